# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""From vertices to places on screen, and faces clipped where they reach behind the camera."""

from __future__ import annotations

import numpy as np

from sim_perception.kernels import inlined, kernel

#: Places on screen further out than this are beyond any image.
_FAR = np.float32(1e6)


@kernel
def project_vertices(columns, start, stop, pose, intrinsics, near, screen, reach):  # fmt: skip
    """Write x, y, 1/z of vertices [start, stop) to rows of ``screen``; 1/z = -1 behind ``near``.

    ``reach`` gets the first sample column not left of the vertex, the last one not right of it,
    and the same of rows: a face whose bounds hold no sample is known by whole numbers.

    Returns:
        How many vertices lie in front of the near plane.
    """
    fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
    r00, r01, r02, tx = pose[0, 0], pose[0, 1], pose[0, 2], pose[0, 3]
    r10, r11, r12, ty = pose[1, 0], pose[1, 1], pose[1, 2], pose[1, 3]
    r20, r21, r22, tz = pose[2, 0], pose[2, 1], pose[2, 2], pose[2, 3]
    xs, ys, zs = columns[0, start:stop], columns[1, start:stop], columns[2, start:stop]
    us, vs, inverses = screen[0], screen[1], screen[2]
    left, right, top, bottom = reach[0], reach[1], reach[2], reach[3]
    front = 0
    # Without a branch, and with rows of one kind of number, the processor does several at once.
    for k in range(stop - start):
        x, y, z = xs[k], ys[k], zs[k]
        depth = r20 * x + r21 * y + r22 * z + tz
        inverse = 1.0 / depth
        u = np.float32(fx * (r00 * x + r01 * y + r02 * z + tx) * inverse + cx)
        v = np.float32(fy * (r10 * x + r11 * y + r12 * z + ty) * inverse + cy)
        us[k], vs[k] = u, v
        inverses[k] = inverse if depth > near else -1.0
        front += 1 if depth > near else 0
        u, v = min(max(u, -_FAR), _FAR), min(max(v, -_FAR), _FAR)
        i, j = np.int32(u), np.int32(v)
        left[k] = i + np.int32(1 if u > np.float32(i) else 0)
        right[k] = i - np.int32(1 if u < np.float32(i) else 0)
        top[k] = j + np.int32(1 if v > np.float32(j) else 0)
        bottom[k] = j - np.int32(1 if v < np.float32(j) else 0)
    return front


@inlined
def holds_no_sample(reach, a, b, c, width, height):
    """Whether no sample of the image lies in the bounds of three projected vertices."""
    left = max(0, min(reach[0, a], reach[0, b], reach[0, c]))
    right = min(width - 1, max(reach[1, a], reach[1, b], reach[1, c]))
    top = max(0, min(reach[2, a], reach[2, b], reach[2, c]))
    bottom = min(height - 1, max(reach[3, a], reach[3, b], reach[3, c]))
    return left > right or top > bottom


@kernel
def clip_face(vertices, face, pose, intrinsics, near, polygon):
    """Clip one face at the near plane; write its 3 or 4 screen corners, return their number.

    Crossing points are computed from the front vertex towards the one behind, so that two
    faces that share the edge get the same point.
    """
    camera = np.empty((3, 3))
    for corner in range(3):
        i = face[corner]
        for row in range(3):
            camera[corner, row] = (
                pose[row, 0] * vertices[i, 0]
                + pose[row, 1] * vertices[i, 1]
                + pose[row, 2] * vertices[i, 2]
                + pose[row, 3]
            )
    count = 0
    for corner in range(3):
        other = (corner + 1) % 3
        inside, next_inside = camera[corner, 2] > near, camera[other, 2] > near
        if inside:
            inverse = 1.0 / camera[corner, 2]
            polygon[count, 0] = intrinsics[0] * camera[corner, 0] * inverse + intrinsics[2]
            polygon[count, 1] = intrinsics[1] * camera[corner, 1] * inverse + intrinsics[3]
            polygon[count, 2] = inverse
            count += 1
        if inside != next_inside:
            a, b = (corner, other) if inside else (other, corner)
            s = (near - camera[a, 2]) / (camera[b, 2] - camera[a, 2])
            x = camera[a, 0] + s * (camera[b, 0] - camera[a, 0])
            y = camera[a, 1] + s * (camera[b, 1] - camera[a, 1])
            polygon[count, 0] = intrinsics[0] * x / near + intrinsics[2]
            polygon[count, 1] = intrinsics[1] * y / near + intrinsics[3]
            polygon[count, 2] = 1.0 / near
            count += 1
    return count
