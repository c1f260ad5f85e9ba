"""How much sky every place of the standing scene sees: an ambient cube per grid point.

Streets between houses, ground under trees and gateways get their soft darkness from here.
The grid is filled once per scene by rays against the background; between its points it is
interpolated, so there is no noise in the image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sim_perception.kernels import inlined
from sim_perception.simulator.common.scene import F32, F64
from sim_perception.simulator.surfaces.packing import PackedInstances, PackedMeshes
from sim_perception.simulator.surfaces.tracing import Tracer

_CELL = 1.5
_LEVEL = 2.5
_LEVELS = 6
_LOWEST = 0.5
_MOST_CELLS = 240
_MARGIN = 12.0
_RAYS = 40
_REACH = 60.0
_CHUNK = 8192


@dataclass(frozen=True)
class AmbientGrid:
    """Sky openness on a grid.

    Attributes:
        values: (z, y, x, 5) float32 cosine-weighted share of the upper hemisphere that is open,
            seen by surfaces that face up, +x, -x, +y, -y; 1 and 0.5 in the open.
        frame: (6,) origin x, y, z and cells per metre in x, y, z.
    """

    values: F32
    frame: F64


def _directions() -> F64:
    """Return (R, 3) directions spread evenly over the upper hemisphere."""
    k = np.arange(_RAYS)
    z = (k + 0.5) / _RAYS
    angle = k * math.pi * (3 - math.sqrt(5))
    r = np.sqrt(1 - z * z)
    return np.stack([r * np.cos(angle), r * np.sin(angle), z], -1)


def _cube_weights(directions: F64) -> F64:
    """Return (R, 5) weights that turn open rays into the five openness values."""
    axes = np.array([[0, 0, 1], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]], float)
    facing = np.clip(directions @ axes.T, 0, None)
    # A surface that faces sideways sees at most half of its hemisphere as sky.
    return facing / facing.sum(0) * [1.0, 0.5, 0.5, 0.5, 0.5]


def _fill_buried(values: F32) -> None:
    """Give points inside walls the mean of their open neighbours, so that light is smooth."""
    for _ in range(2):
        buried = values.sum(-1) <= 1e-6
        if not buried.any():
            return
        total = np.zeros_like(values)
        count = np.zeros(values.shape[:3], np.float32)
        for axis in (1, 2):
            for step in (-1, 1):
                neighbour = np.roll(values, step, axis)
                is_open = neighbour.sum(-1) > 1e-6
                total += neighbour * is_open[..., None]
                count += is_open
        mean = total / np.maximum(count, 1)[..., None]
        values[buried] = mean[buried]


def _fill_hills(values: F32) -> None:
    """Give points below the ground what is seen above them."""
    for level in range(len(values) - 2, -1, -1):
        buried = values[level].sum(-1) <= 1e-6
        values[level][buried] = values[level + 1][buried]


def open_grid() -> AmbientGrid:
    """Return the grid of an empty world."""
    values = np.empty((2, 2, 2, 5), np.float32)
    values[:] = [1.0, 0.5, 0.5, 0.5, 0.5]
    return AmbientGrid(values, np.array([0.0, 0.0, 0.0, 1e-6, 1e-6, 1e-6]))


def bake_ambient(
    meshes: PackedMeshes, instances: PackedInstances, world_T_instance: F64, tracer: Tracer
) -> AmbientGrid:
    """Measure the openness of the background.

    Args:
        meshes: the scene's meshes.
        instances: the scene's instances.
        world_T_instance: (N, 4, 4) poses.
        tracer: posed scene.
    """
    members = np.flatnonzero(instances.object < 0)
    tall = meshes.extent[instances.mesh[members], 2] > 0.5
    if not tall.any():
        return open_grid()
    centers = world_T_instance[members[tall], :2, 3]
    low, high = centers.min(0) - _MARGIN, centers.max(0) + _MARGIN
    feet = world_T_instance[members[tall], 2, 3]
    # Whole levels, so that flat ground has the same grid wherever exactly things stand.
    lowest, highest = np.round(feet.min() / _LEVEL), np.round(feet.max() / _LEVEL)
    bottom, levels = _LOWEST + _LEVEL * lowest, _LEVELS + int(highest - lowest)
    cell = np.maximum(_CELL, (high - low) / _MOST_CELLS)
    nx, ny = np.ceil((high - low) / cell).astype(int) + 1
    z, y, x = np.meshgrid(
        bottom + _LEVEL * np.arange(levels),
        low[1] + cell[1] * np.arange(ny),
        low[0] + cell[0] * np.arange(nx),
        indexing='ij',
    )
    points = np.stack([x, y, z], -1).reshape(-1, 3).astype(np.float32)
    directions = _directions()
    weights = _cube_weights(directions)
    values = np.empty((len(points), 5), np.float32)
    for first in range(0, len(points), _CHUNK):
        part = points[first : first + _CHUNK]
        # All points of one direction follow each other: packets stay coherent.
        rays = np.repeat(directions.astype(np.float32), len(part), 0)
        blocked = np.empty(len(rays), np.uint8)
        tracer.occluded(np.tile(part, (_RAYS, 1)), rays, _REACH, blocked, background_only=True)
        values[first : first + _CHUNK] = (1 - blocked.reshape(_RAYS, -1)).T @ weights
    grid = values.reshape(levels, ny, nx, 5)
    _fill_buried(grid)
    if levels > _LEVELS:
        _fill_hills(grid)
    frame = np.array([low[0], low[1], bottom, 1 / cell[0], 1 / cell[1], 1 / _LEVEL])
    return AmbientGrid(grid, frame)


@inlined
def _clamped(position, count):  # type: ignore[no-untyped-def]
    """Return lower index and fraction of a coordinate on a line of ``count`` points."""
    position = min(max(position, 0.0), count - 1.001)
    index = int(position)
    return index, position - index


@inlined
def openness(values, frame, x, y, z, nx, ny, nz):  # type: ignore[no-untyped-def]
    """Return the open share for a surface at (x, y, z) with normal (nx, ny, nz)."""
    i, fx = _clamped((x - frame[0]) * frame[3], values.shape[2])
    j, fy = _clamped((y - frame[1]) * frame[4], values.shape[1])
    k, fz = _clamped((z - frame[2]) * frame[5], values.shape[0])
    side_x = 1 if nx > 0 else 2
    side_y = 3 if ny > 0 else 4
    up = nz * nz if nz > 0 else 0.0
    wide, square_x, square_y = 1.0 - fx, nx * nx, ny * ny
    total = 0.0
    for b in range(2):
        for c in range(2):
            z, y = k + c, j + b
            left = up * values[z, y, i, 0] + square_x * values[z, y, i, side_x]
            left += square_y * values[z, y, i, side_y]
            right = up * values[z, y, i + 1, 0]
            right += square_x * values[z, y, i + 1, side_x]
            right += square_y * values[z, y, i + 1, side_y]
            weight = (fy if b else 1.0 - fy) * (fz if c else 1.0 - fz)
            total += weight * (left * wide + right * fx)
    return total
