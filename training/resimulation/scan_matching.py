"""A vehicle's motion over the ground from scans: each is laid on those before, point to plane.

Iterative closest points with planes at the map's points (Chen and Medioni, 1992), robust by
Cauchy's weights, from a constant-velocity guess. Only what stands still may be given: a queue of
cars that moves as one would carry the sensor along. The motion is planar, x, y and heading; the
ground itself, which tells nothing of those, must be left out.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from sim_perception.geometry.transforms import invert, make_transform, transform_points

Array = npt.NDArray[np.floating]

_VOXEL = 0.25
_NEIGHBOURS = 10
_FLATTEST = 0.12
"""Greatest deviation of a point's neighbours from their plane, metres."""
_REACHES = (1.0, 1.0, 0.7, 0.7, 0.5, 0.5, 0.4, 0.4, 0.3, 0.3)
_PULL = 0.002
"""Weight of the guess beside the points, per point and square metre or radian."""
_FARTHEST, _MOST_TURN = 0.5, 0.1
"""A result farther from the guess, metres and radians, is wrong."""
_LEAST = 60
_MAP_SCANS = 15


def match_scans(scans: Iterable[Array], start: Array | None = None) -> Array:
    """Return the (N, 4, 4) poses world_T_base of a vehicle at its scans.

    A scan with too few points or too little overlap gets the pose of uniform motion.

    Args:
        scans: (M, 3) points in the vehicle's level frame, of things that stand still.
        start: (4, 4) pose at the first scan; the identity if None.
    """
    poses: list[Array] = []
    kept: list[Array] = []
    for scan in scans:
        points = thinned(scan, _VOXEL)
        if not poses:
            pose: Array = np.eye(4) if start is None else start
        else:
            first = len(poses) == 1
            step = np.eye(4) if first else invert(poses[-2]) @ poses[-1]
            guess = _rigid(poses[-1] @ step)
            known = np.concatenate(kept[-_MAP_SCANS:])
            pose = _laid_on(points, known, guess, 3.0 * _FARTHEST if first else _FARTHEST)
        poses.append(pose)
        kept.append(transform_points(pose, points))
    return np.stack(poses)


def thinned(points: Array, voxel: float) -> Array:
    """Return one point of every occupied cube of side ``voxel``, in the given order."""
    cells = np.floor(points / voxel).astype(np.int64)
    _, first = np.unique(cells, axis=0, return_index=True)
    return points[np.sort(first)]


def _laid_on(points: Array, world: Array, guess: Array, farthest: float) -> Array:
    """Return the pose that lays points on those of the world, from a guess."""
    if len(points) < _LEAST or len(world) < _LEAST:
        return guess
    world = thinned(world, _VOXEL / 2)
    tree = cKDTree(world)
    normals, flat = _planes(world, tree)
    pose, way = guess, np.zeros(3)
    for reach in _REACHES:
        moved = transform_points(pose, points)
        distance, nearest = tree.query(moved, distance_upper_bound=reach * farthest / _FARTHEST)
        rows = np.flatnonzero(np.isfinite(distance))
        rows = rows[flat[nearest[rows]]]
        if len(rows) < _LEAST:
            return guess
        place, normal = moved[rows], normals[nearest[rows]]
        error = ((place - world[nearest[rows]]) * normal).sum(1)
        weight = 1 / (1 + (error / (0.3 * reach)) ** 2)
        x, y = (place[:, :2] - pose[:2, 3]).T
        slope = np.stack([normal[:, 0], normal[:, 1], x * normal[:, 1] - y * normal[:, 0]], 1)
        # Where the points do not tell, as along a plain wall, the guess stays.
        pull = _PULL * len(rows) * np.diag([1.0, 1.0, 10.0])
        downhill = -slope.T @ (weight * error) - pull @ way
        change = np.linalg.solve(slope.T @ (slope * weight[:, None]) + pull, downhill)
        way += change
        turn = Rotation.from_euler('z', change[2]).as_matrix()
        place = pose[:3, 3] + np.array([change[0], change[1], 0.0])
        pose = _rigid(make_transform(turn @ pose[:3, :3], place))
    wrong = np.linalg.norm(way[:2]) > farthest or abs(way[2]) > _MOST_TURN
    return guess if wrong else pose


def _rigid(pose: Array) -> Array:
    """Return a pose without rounding errors in its rotation, which would grow from step to step.

    Uniform motion multiplies the last two poses: errors follow Fibonacci's numbers.
    """
    return make_transform(Rotation.from_matrix(pose[:3, :3]).as_matrix(), pose[:3, 3])


def _planes(world: Array, tree: cKDTree) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Return (M, 3) normals at points by their neighbours, and where there is a plane."""
    distance, neighbours = tree.query(world, _NEIGHBOURS)
    offsets = world[neighbours] - world[neighbours].mean(1, keepdims=True)
    spread = np.einsum('nki,nkj->nij', offsets, offsets) / _NEIGHBOURS
    values, vectors = np.linalg.eigh(spread)
    flat = np.sqrt(np.maximum(values[:, 0], 0)) < _FLATTEST
    # Neighbours along one line have no plane.
    flat &= values[:, 1] > np.maximum(4 * values[:, 0], 0.01 * values[:, 2])
    flat &= distance[:, -1] < 2.5
    return vectors[:, :, 0], flat
