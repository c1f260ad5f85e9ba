# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""Soft darkness on the ground around the feet, wheels and posts of things that stand on it.

A map of the ground around the camera is drawn anew for every frame from the instances'
footprints; it costs no rays and has no noise.
"""

from __future__ import annotations

import math

import numpy as np

from sim_perception.kernels import inlined, kernel
from sim_perception.simulator.common.scene import F32, F64
from sim_perception.simulator.surfaces.packing import PackedInstances, PackedMeshes

#: Cells per side and their size in metres.
SIZE, CELL = 512, 0.2
#: How far the darkness reaches around a footprint, metres.
_REACH = 0.6
_STRENGTH = 0.8
#: How far above a footprint's ground the darkness is gone, metres.
_HEIGHT = 0.4
#: Footprints larger than this are ground or houses, not things on the ground.
_LARGEST = 16.0
_WIDEST = 36.0
_NOWHERE = np.float32(-1e6)


@kernel
def _draw(poses, members, mesh_of, footprint, origin_x, origin_y, shade):  # fmt: skip
    shade[:, :, 0] = 0.0
    shade[:, :, 1] = _NOWHERE
    for instance in members:
        pose = poses[instance]
        box = footprint[mesh_of[instance]]
        length = math.hypot(pose[0, 0], pose[1, 0])
        if length < 0.5:
            continue  # lies on its side
        ux, uy = pose[0, 0] / length, pose[1, 0] / length
        mx, my = 0.5 * (box[0] + box[3]), 0.5 * (box[1] + box[4])
        hx, hy = 0.5 * (box[3] - box[0]), 0.5 * (box[4] - box[1])
        cx = pose[0, 0] * mx + pose[0, 1] * my + pose[0, 2] * box[2] + pose[0, 3]
        cy = pose[1, 0] * mx + pose[1, 1] * my + pose[1, 2] * box[2] + pose[1, 3]
        ground = pose[2, 0] * mx + pose[2, 1] * my + pose[2, 2] * box[2] + pose[2, 3]
        radius = math.hypot(hx, hy) + _REACH
        i0 = max(0, int((cx - radius - origin_x) / CELL))
        i1 = min(SIZE - 1, int((cx + radius - origin_x) / CELL) + 1)
        j0 = max(0, int((cy - radius - origin_y) / CELL))
        j1 = min(SIZE - 1, int((cy + radius - origin_y) / CELL) + 1)
        # Small things darken less.
        strength = _STRENGTH * min(1.0, 0.45 + 0.5 * min(hx, hy))
        for j in range(j0, j1 + 1):
            for i in range(i0, i1 + 1):
                dx, dy = origin_x + i * CELL - cx, origin_y + j * CELL - cy
                a = abs(dx * ux + dy * uy) - hx
                b = abs(dy * ux - dx * uy) - hy
                outside = math.hypot(max(a, 0.0), max(b, 0.0))
                if outside >= _REACH:
                    continue
                inside = min(1.0, max(0.0, -max(a, b)) / 0.3)
                fade = 1.0 - outside / _REACH
                value = strength * (0.55 * fade * fade + 0.45 * inside)
                if value > shade[j, i, 0]:
                    shade[j, i, 0] = value
                shade[j, i, 1] = max(shade[j, i, 1], np.float32(ground))


class ContactMap:
    """Draws the contact map of one scene."""

    def __init__(self, meshes: PackedMeshes, instances: PackedInstances) -> None:
        self._meshes, self._instances = meshes, instances
        size = meshes.footprint[:, 3:] - meshes.footprint[:, :3]
        stands = (meshes.extent[:, 2] > 0.4) & (np.hypot(size[:, 0], size[:, 1]) < _LARGEST)
        # Ground that slopes has a small foot, too.
        stands &= np.hypot(meshes.extent[:, 0], meshes.extent[:, 1]) < _WIDEST
        self._members = np.flatnonzero(stands[instances.mesh]).astype(np.int32)
        self._shade = np.empty((SIZE, SIZE, 2), np.float32)

    def draw(self, world_T_instance: F64, ahead: F64) -> tuple[F32, F64]:
        """Draw the map around a place.

        Args:
            world_T_instance: (N, 4, 4) poses.
            ahead: (2,) x, y of the map's middle in the world.

        Returns:
            (SIZE, SIZE, 2) float32 darkness and height of the ground, and (2,) the map's
            origin. Overwritten by the next call.
        """
        # Whole cells: the map must not crawl over the ground with the camera.
        origin = np.floor(ahead / CELL - SIZE / 2) * CELL
        away = np.abs(world_T_instance[self._members, :2, 3] - origin - SIZE * CELL / 2)
        near = self._members[(away < SIZE * CELL / 2 + 10).all(1)]
        _draw(
            world_T_instance, near, self._instances.mesh, self._meshes.footprint,
            float(origin[0]), float(origin[1]), self._shade,
        )  # fmt: skip
        return self._shade, origin


@inlined
def darkness(shade, origin_x, origin_y, x, y, z, up):
    """Return 0 to 1 for a surface at (x, y, z) whose normal has the upward part ``up``."""
    u, v = (x - origin_x) / CELL, (y - origin_y) / CELL
    result = 0.0
    if up > 0.0 and 0.0 <= u < SIZE - 1.0 and 0.0 <= v < SIZE - 1.0:
        i, j = int(u), int(v)
        fx, fy = u - i, v - j
        value = (
            (shade[j, i, 0] * (1.0 - fx) + shade[j, i + 1, 0] * fx) * (1.0 - fy)
            + (shade[j + 1, i, 0] * (1.0 - fx) + shade[j + 1, i + 1, 0] * fx) * fy
        )  # fmt: skip
        if value > 0.0:
            ground = max(
                max(shade[j, i, 1], shade[j, i + 1, 1]),
                max(shade[j + 1, i, 1], shade[j + 1, i + 1, 1]),
            )
            result = value * up * min(1.0, max(0.0, 1.0 - (z - ground) / _HEIGHT))
    return result
