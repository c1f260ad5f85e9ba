# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""A posed shape seen by points and by the camera: distances, outlines, and their derivatives.

A state is ``x y z yaw | log length, width, height | latent``: the box centre in the level frame
(z up), metres and radians.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.kernels import kernel

F64 = npt.NDArray[np.float64]

POSE = 4
"""Numbers of a state before the log sizes."""
SHAPE = 7
"""Numbers of a state before the latent."""
_TOUCHES = 2


class Space(NamedTuple):
    """A shape space as the loops read it.

    Attributes:
        grid: (X, Y, Z, 1 + K) float32 distances and derivatives by latent; see ``models.shape``.
        spacing: of the grid, metres.
        mean_size: (3,) box of the normalised frame.
        anchors: (A, 3) points near the mean surface, normalised frame.
        mirrors: (M, 3) places of the mirrors as shares of length, width and height; may be empty.
    """

    grid: npt.NDArray[np.float32]
    spacing: float
    mean_size: F64
    anchors: F64
    mirrors: F64


class View(NamedTuple):
    """A pinhole camera.

    Attributes:
        intrinsics: (4,) fx fy cx cy, pixels.
        camera_T_level: (4, 4).
    """

    intrinsics: F64
    camera_T_level: F64


@kernel
def sample(grid, spacing, place, latent, gradient, basis):
    """Return the signed distance at a place of the normalised frame.

    Args:
        grid: (X, Y, Z, 1 + K), centred on the origin.
        spacing: metres.
        place: (3,).
        latent: (K,) of the state.
        gradient: (3,) receives the derivative by place.
        basis: (K,) receives the derivative by latent.
    """
    k = grid.shape[3] - 1
    low = np.empty(3, np.int64)
    part = np.empty(3)
    outside = np.empty(3)
    beyond = 0.0
    for axis in range(3):
        last = grid.shape[axis] - 1
        position = place[axis] / spacing + 0.5 * last
        inside = min(max(position, 0.0), last - 1e-3)
        low[axis] = int(inside)
        part[axis] = inside - low[axis]
        outside[axis] = (position - inside) * spacing
        beyond += outside[axis] * outside[axis]
        gradient[axis] = 0.0
    for j in range(k):
        basis[j] = 0.0
    value = 0.0
    for corner in range(8):
        bx, by, bz = corner >> 2, corner >> 1 & 1, corner & 1
        wx = part[0] if bx else 1.0 - part[0]
        wy = part[1] if by else 1.0 - part[1]
        wz = part[2] if bz else 1.0 - part[2]
        node = grid[low[0] + bx, low[1] + by, low[2] + bz]
        distance = float(node[0])
        weight = wx * wy * wz
        for j in range(k):
            distance += node[1 + j] * latent[j]
            basis[j] += weight * node[1 + j]
        value += weight * distance
        gradient[0] += (distance if bx else -distance) * wy * wz
        gradient[1] += (distance if by else -distance) * wx * wz
        gradient[2] += (distance if bz else -distance) * wx * wy
    beyond = math.sqrt(beyond)
    for axis in range(3):
        gradient[axis] = gradient[axis] / spacing if outside[axis] == 0.0 else 0.0
        if beyond > 1e-2 * spacing:
            gradient[axis] += outside[axis] / beyond
    return value + (beyond if beyond > 1e-2 * spacing else 0.0)


@kernel
def point_residual(space, point, state, place, gradient, row):
    """Return the signed distance of a point of the level frame; ``row`` gets its derivative.

    ``place`` and ``gradient`` are (3,) work space: the point and slope in the normalised frame.
    """
    c, s = math.cos(state[3]), math.sin(state[3])
    dx, dy, dz = point[0] - state[0], point[1] - state[1], point[2] - state[2]
    x, y = c * dx + s * dy, c * dy - s * dx
    kx = space.mean_size[0] / math.exp(state[4])
    ky = space.mean_size[1] / math.exp(state[5])
    kz = space.mean_size[2] / math.exp(state[6])
    place[0], place[1], place[2] = x * kx, y * ky, dz * kz
    distance = sample(space.grid, space.spacing, place, state[SHAPE:], gradient, row[SHAPE:])
    gx, gy, gz = gradient[0] * kx, gradient[1] * ky, gradient[2] * kz
    row[0] = gy * s - gx * c
    row[1] = -gx * s - gy * c
    row[2] = -gz
    row[3] = gx * y - gy * x
    row[4] = -gradient[0] * place[0]
    row[5] = -gradient[1] * place[1]
    row[6] = -gradient[2] * place[2]
    return distance


@kernel
def silhouette(space, state, view, touch, pixel):
    """Find the outermost projected surface points.

    The anchors are first moved onto the present surface along its slope.

    Args:
        touch: (4, 3) receives the places (metres, box frame) of the left, top, right and lowest.
        pixel: (4,) receives their coordinates.

    Returns:
        Whether all points lie in front of the camera.
    """
    anchors, mirrors = space.anchors, space.mirrors
    camera, pose = view.intrinsics, view.camera_T_level
    gradient, basis = np.empty(3), np.empty(len(state) - SHAPE)
    place, point, seen = np.empty(3), np.empty(3), np.empty(3)
    c, s = math.cos(state[3]), math.sin(state[3])
    size = np.empty(3)
    for axis in range(3):
        size[axis] = math.exp(state[4 + axis])
    pixel[0] = pixel[1] = np.inf
    pixel[2] = pixel[3] = -np.inf
    for i in range(len(anchors) + len(mirrors)):
        if i < len(anchors):
            place[:] = anchors[i]
            for _ in range(_TOUCHES):
                d = sample(space.grid, space.spacing, place, state[SHAPE:], gradient, basis)
                norm = gradient[0] ** 2 + gradient[1] ** 2 + gradient[2] ** 2
                for axis in range(3):
                    place[axis] -= d * gradient[axis] / max(norm, 0.25)
            for axis in range(3):
                place[axis] *= size[axis] / space.mean_size[axis]
        else:
            for axis in range(3):
                place[axis] = mirrors[i - len(anchors), axis] * size[axis]
        point[0] = state[0] + c * place[0] - s * place[1]
        point[1] = state[1] + s * place[0] + c * place[1]
        point[2] = state[2] + place[2]
        for axis in range(3):
            seen[axis] = (pose[axis, 0] * point[0] + pose[axis, 1] * point[1]
                          + pose[axis, 2] * point[2] + pose[axis, 3])  # fmt: skip
        if seen[2] < 0.3:
            return False
        u = camera[0] * seen[0] / seen[2] + camera[2]
        v = camera[1] * seen[1] / seen[2] + camera[3]
        if u < pixel[0]:
            pixel[0] = u
            touch[0] = place
        if v < pixel[1]:
            pixel[1] = v
            touch[1] = place
        if u > pixel[2]:
            pixel[2] = u
            touch[2] = place
        if v > pixel[3]:
            pixel[3] = v
            touch[3] = place
    return True


@kernel
def edge_row(space, state, view, place, axis, row):
    """Write how an image coordinate of a surface point depends on the state.

    Args:
        place: (3,) the point, metres in the box frame.
        axis: 0 for the column, 1 for the row.
        row: (7 + K,) receives pixels per unit.
    """
    camera, pose = view.intrinsics, view.camera_T_level
    c, s = math.cos(state[3]), math.sin(state[3])
    x, y = c * place[0] - s * place[1], s * place[0] + c * place[1]
    px, py, pz = state[0] + x, state[1] + y, state[2] + place[2]
    depth = pose[2, 0] * px + pose[2, 1] * py + pose[2, 2] * pz + pose[2, 3]
    across = pose[axis, 0] * px + pose[axis, 1] * py + pose[axis, 2] * pz + pose[axis, 3]
    by = np.empty(3)
    for j in range(3):
        by[j] = camera[axis] * (pose[axis, j] * depth - across * pose[2, j]) / (depth * depth)
    row[0], row[1], row[2] = by[0], by[1], by[2]
    row[3] = by[1] * x - by[0] * y
    # The same derivative by the box frame's axes.
    along = (c * by[0] + s * by[1], c * by[1] - s * by[0], by[2])
    gradient, basis, where = np.empty(3), np.empty(len(state) - SHAPE), np.empty(3)
    shift = 0.0
    norm = 0.0
    for j in range(3):
        row[4 + j] = along[j] * place[j]
        where[j] = place[j] * space.mean_size[j] / math.exp(state[4 + j])
    sample(space.grid, space.spacing, where, state[SHAPE:], gradient, basis)
    for j in range(3):
        norm += gradient[j] * gradient[j]
        shift += along[j] * gradient[j] * math.exp(state[4 + j]) / space.mean_size[j]
    # The surface moves along its gradient when the latent changes its distances.
    for j in range(len(basis)):
        row[SHAPE + j] = -basis[j] * shift / max(norm, 0.25)
