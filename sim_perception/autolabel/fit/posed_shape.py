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

from sim_perception.kernels import kernel

F64 = npt.NDArray[np.float64]

POSE = 4
"""Numbers of a state before the log sizes."""
SHAPE = 7
"""Numbers of a state before the latent."""
_TOUCHES = 2
_NEAREST = 0.3
"""Metres before the camera from which on points are projected."""
_ON_SURFACE = 0.05
"""Metres up to which a place is taken for one of the surface, which the latent moves."""
_NEARLY = 0.06
"""Metres inside the outline within which points may become the outermost."""


class Space(NamedTuple):
    """A shape space as the loops read it.

    Attributes:
        grid: (X, Y, Z, 1 + K) float32 distances and derivatives by latent; see ``models.shape``.
        spacing: of the grid, metres.
        mean_size: (3,) box of the normalised frame.
        anchors: (A, 3) points near the mean surface, normalised frame.
        normals: (A, 3) its slope there over the slope's square.
        offsets: (A, 1 + K) distance there and derivatives by latent.
        beside: (M, 3) places off the surface that an image box holds as well, the mirrors or the
            corners of the 3D box, as shares of length, width and height; may be empty.
    """

    grid: npt.NDArray[np.float32]
    spacing: float
    mean_size: F64
    anchors: F64
    normals: F64
    offsets: F64
    beside: F64


class View(NamedTuple):
    """A pinhole camera.

    Attributes:
        intrinsics: (4,) fx fy cx cy, pixels.
        camera_T_level: (4, 4).
    """

    intrinsics: F64
    camera_T_level: F64


@kernel
def _locate(position, nodes):
    """Return the cell, the place in it and how far outside, of a position in units of nodes."""
    last = nodes - 1
    position += 0.5 * last
    inside = min(max(position, 0.0), last - 1e-3)
    low = int(inside)
    return low, inside - low, position - inside


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
    ix, px, ox = _locate(place[0] / spacing, grid.shape[0])
    iy, py, oy = _locate(place[1] / spacing, grid.shape[1])
    iz, pz, oz = _locate(place[2] / spacing, grid.shape[2])
    for j in range(k):
        basis[j] = 0.0
    value, gx, gy, gz = 0.0, 0.0, 0.0, 0.0
    for corner in range(8):
        bx, by, bz = corner >> 2, corner >> 1 & 1, corner & 1
        wx = px if bx else 1.0 - px
        wy = py if by else 1.0 - py
        wz = pz if bz else 1.0 - pz
        distance = float(grid[ix + bx, iy + by, iz + bz, 0])
        weight = wx * wy * wz
        for j in range(k):
            part = grid[ix + bx, iy + by, iz + bz, 1 + j]
            distance += part * latent[j]
            basis[j] += weight * part
        value += weight * distance
        gx += (distance if bx else -distance) * wy * wz
        gy += (distance if by else -distance) * wx * wz
        gz += (distance if bz else -distance) * wx * wy
    beyond = spacing * math.sqrt(ox * ox + oy * oy + oz * oz)
    gradient[0] = gx / spacing if ox == 0.0 else 0.0
    gradient[1] = gy / spacing if oy == 0.0 else 0.0
    gradient[2] = gz / spacing if oz == 0.0 else 0.0
    if beyond > 1e-2 * spacing:
        gradient[0] += ox * spacing / beyond
        gradient[1] += oy * spacing / beyond
        gradient[2] += oz * spacing / beyond
        value += beyond
    return value


@kernel
def sample_value(grid, spacing, x, y, z, latent):
    """Return the signed distance at a place of the normalised frame, without derivatives."""
    ix, px, ox = _locate(x / spacing, grid.shape[0])
    iy, py, oy = _locate(y / spacing, grid.shape[1])
    iz, pz, oz = _locate(z / spacing, grid.shape[2])
    value = 0.0
    for corner in range(8):
        bx, by, bz = corner >> 2, corner >> 1 & 1, corner & 1
        distance = float(grid[ix + bx, iy + by, iz + bz, 0])
        for j in range(grid.shape[3] - 1):
            distance += grid[ix + bx, iy + by, iz + bz, 1 + j] * latent[j]
        wx = px if bx else 1.0 - px
        wy = py if by else 1.0 - py
        wz = pz if bz else 1.0 - pz
        value += wx * wy * wz * distance
    beyond = spacing * math.sqrt(ox * ox + oy * oy + oz * oz)
    return value + (beyond if beyond > 1e-2 * spacing else 0.0)


@kernel
def pose_of(space, state, pose):
    """Write (5,) cosine and sine of the heading, and the stretch to the normalised frame."""
    pose[0], pose[1] = math.cos(state[3]), math.sin(state[3])
    for axis in range(3):
        pose[2 + axis] = space.mean_size[axis] / math.exp(state[4 + axis])


@kernel
def point_distance(space, pose, point, state, latent):
    """Return the signed distance of a point of the level frame, without derivatives.

    Args:
        space: the shape space.
        pose: (5,) of ``pose_of``.
        point: (3,).
        state: (7 + K,).
        latent: (K,), its end.
    """
    dx, dy, dz = point[0] - state[0], point[1] - state[1], point[2] - state[2]
    x, y = pose[0] * dx + pose[1] * dy, pose[0] * dy - pose[1] * dx
    return sample_value(space.grid, space.spacing, x * pose[2], y * pose[3], dz * pose[4], latent)


@kernel
def posed_residual(space, pose, point, state, latent, place, gradient, row):
    """Return the signed distance of a point of the level frame; ``row`` gets its derivative.

    ``place`` and ``gradient`` are (3,) work space: the point and slope in the normalised frame;
    for the rest see ``point_distance``.
    """
    c, s = pose[0], pose[1]
    dx, dy, dz = point[0] - state[0], point[1] - state[1], point[2] - state[2]
    x, y = c * dx + s * dy, c * dy - s * dx
    place[0], place[1], place[2] = x * pose[2], y * pose[3], dz * pose[4]
    distance = sample(space.grid, space.spacing, place, latent, gradient, row[SHAPE:])
    gx, gy, gz = gradient[0] * pose[2], gradient[1] * pose[3], gradient[2] * pose[4]
    row[0] = gy * s - gx * c
    row[1] = -gx * s - gy * c
    row[2] = -gz
    row[3] = gx * y - gy * x
    row[4] = -gradient[0] * place[0]
    row[5] = -gradient[1] * place[1]
    row[6] = -gradient[2] * place[2]
    return distance


@kernel
def point_residual(space, point, state, place, gradient, row):
    """Return what ``posed_residual`` does, of one point alone."""
    pose = np.empty(5)
    pose_of(space, state, pose)
    return posed_residual(space, pose, point, state, state[SHAPE:], place, gradient, row)


@kernel
def _project(state, view, c, s, place):
    """Return column, row and depth of a place of the box frame, metres."""
    camera, pose = view.intrinsics, view.camera_T_level
    x = state[0] + c * place[0] - s * place[1]
    y = state[1] + s * place[0] + c * place[1]
    z = state[2] + place[2]
    depth = pose[2, 0] * x + pose[2, 1] * y + pose[2, 2] * z + pose[2, 3]
    if depth < _NEAREST:
        return 0.0, 0.0, depth
    u = pose[0, 0] * x + pose[0, 1] * y + pose[0, 2] * z + pose[0, 3]
    v = pose[1, 0] * x + pose[1, 1] * y + pose[1, 2] * z + pose[1, 3]
    return camera[0] * u / depth + camera[2], camera[1] * v / depth + camera[3], depth


@kernel
def _widen(u, v, place, pixel, touch):
    """Take a projected place into the outline."""
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


@kernel
def silhouette(space, state, view, touch, pixel):
    """Find the outermost projected surface points.

    The anchors are moved onto the present surface: all to first order, those that are then
    nearly outermost along its slope.

    Args:
        touch: (4, 3) receives the places (metres, box frame) of the left, top, right and lowest.
        pixel: (4,) receives their coordinates.

    Returns:
        Whether all points lie in front of the camera.
    """
    count, beside, latent = len(space.anchors), space.beside, state[SHAPE:]
    gradient, basis, place = np.empty(3), np.empty(len(latent)), np.empty(3)
    seen, size = np.empty((count, 2)), np.empty(3)
    c, s = math.cos(state[3]), math.sin(state[3])
    for axis in range(3):
        size[axis] = math.exp(state[4 + axis])
    pixel[0] = pixel[1] = np.inf
    pixel[2] = pixel[3] = -np.inf
    farthest = 0.0
    for i in range(count):
        d = space.offsets[i, 0]
        for j in range(len(latent)):
            d += space.offsets[i, 1 + j] * latent[j]
        for axis in range(3):
            place[axis] = space.anchors[i, axis] - d * space.normals[i, axis]
            place[axis] *= size[axis] / space.mean_size[axis]
        u, v, depth = _project(state, view, c, s, place)
        if depth < _NEAREST:
            return False
        seen[i, 0], seen[i, 1] = u, v
        farthest = max(farthest, depth)
        _widen(u, v, place, pixel, touch)
    # Of those that second order could make the outermost, the exact places.
    near = _NEARLY * view.intrinsics[0] / farthest
    left, top, right, low = pixel[0] + near, pixel[1] + near, pixel[2] - near, pixel[3] - near
    pixel[0] = pixel[1] = np.inf
    pixel[2] = pixel[3] = -np.inf
    for i in range(count):
        u, v = seen[i, 0], seen[i, 1]
        if u > left and v > top and u < right and v < low:
            continue
        place[:] = space.anchors[i]
        for _ in range(_TOUCHES):
            d = sample(space.grid, space.spacing, place, latent, gradient, basis)
            norm = gradient[0] ** 2 + gradient[1] ** 2 + gradient[2] ** 2
            for axis in range(3):
                place[axis] -= d * gradient[axis] / max(norm, 0.25)
        for axis in range(3):
            place[axis] *= size[axis] / space.mean_size[axis]
        u, v, depth = _project(state, view, c, s, place)
        if depth < _NEAREST:
            return False
        _widen(u, v, place, pixel, touch)
    for i in range(len(beside)):
        for axis in range(3):
            place[axis] = beside[i, axis] * size[axis]
        u, v, depth = _project(state, view, c, s, place)
        if depth < _NEAREST:
            return False
        _widen(u, v, place, pixel, touch)
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
    off = sample(space.grid, space.spacing, where, state[SHAPE:], gradient, basis)
    for j in range(3):
        norm += gradient[j] * gradient[j]
        shift += along[j] * gradient[j] * math.exp(state[4 + j]) / space.mean_size[j]
    # The surface moves along its gradient when the latent changes its distances.
    for j in range(len(basis)):
        row[SHAPE + j] = -basis[j] * shift / max(norm, 0.25) if abs(off) < _ON_SURFACE else 0.0
