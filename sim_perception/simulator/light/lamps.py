# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""Pools of light that lamps throw on the ground at dusk and at night.

Street lamps light a disc below them, head lights a cone ahead. The pools are drawn into a map
of the ground around the camera; lamps are what the meshes' emitting materials say.
"""

from __future__ import annotations

import math

import numpy as np

from sim_perception.kernels import inlined, kernel
from sim_perception.simulator.common.scene import F32, F64
from sim_perception.simulator.light.contact import CELL, SIZE
from sim_perception.simulator.light.table import COLOR, EMISSION
from sim_perception.simulator.surfaces.packing import PackedInstances, PackedMeshes

#: Lamps higher than this shine downwards, lower ones along their mesh's x axis, metres.
_HIGH = 2.5
#: Wider meshes are houses: their windows glow but throw no pools.
_WIDEST = 16.0
_REACH = 22.0
#: Radiance on the ground per emitted radiance and square metre of lamp.
_STRENGTH = 1.6
_LEVEL = 1.6
#: The ego's own head lights: place in its frame and linear RGB.
_HEADLIGHTS = np.array(
    [(2.0, 0.6, 2.2, 2.05, 1.75), (2.0, -0.6, 2.2, 2.05, 1.75)]
)  # fmt: skip
_BEAM_REACH = 65.0


def find_lamps(meshes: PackedMeshes, materials: F64) -> tuple[F64, F64]:
    """Return the lamps of all meshes.

    Args:
        meshes: the scene's meshes.
        materials: the material table.

    Returns:
        (L, 9) mesh, position x y z in its frame, ahead (1 front, -1 rear, 0 down), linear RGB
        power, and z of the mesh's foot; and (meshes + 1,) offsets into them.
    """
    rows, starts = [], [0]
    for mesh in range(len(meshes.radius)):
        first, last = meshes.face_start[mesh], meshes.face_start[mesh + 1]
        used = meshes.material[first:last]
        if meshes.extent[mesh, :2].max() < _WIDEST:
            for material in np.unique(used[materials[used, EMISSION] > 0]):
                faces = meshes.faces[first:last][used == material]
                lamps = _lamps_of(meshes.vertices[faces], mesh, materials[material])
                rows += [[*lamp, float(meshes.footprint[mesh, 2])] for lamp in lamps]
        starts.append(len(rows))
    return np.array(rows, np.float64).reshape(-1, 9), np.array(starts, np.float64)


def _lamps_of(corners: F32, mesh: int, material: F64) -> list[list[float]]:
    """Return a mesh's lamp of one material."""
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(cross, axis=1) / 2
    if not area.sum() > 0:
        return []
    x, y, z = (corners.mean(1) * area[:, None]).sum(0) / area.sum()
    power = material[COLOR : COLOR + 3] * material[EMISSION] * min(float(area.sum()), 0.4)
    ahead = 0.0 if z > _HIGH else (1.0 if x > 0 else -1.0)
    return [[mesh, x, y, z, ahead, *power]]


@kernel
def _draw(poses, mesh_of, lamps, starts, members, origin_x, origin_y, lit, pools):
    pools[:] = 0.0
    for instance in members:
        mesh = mesh_of[instance]
        pose = poses[instance]
        for row in range(int(starts[mesh]), int(starts[mesh + 1])):
            lamp = lamps[row]
            # Whole metres: on flat ground a curb more or less changes nothing.
            foot = np.round(pose[2, 3] + lamp[8])
            x = pose[0, 0] * lamp[1] + pose[0, 1] * lamp[2] + pose[0, 2] * lamp[3] + pose[0, 3]
            y = pose[1, 0] * lamp[1] + pose[1, 1] * lamp[2] + pose[1, 2] * lamp[3] + pose[1, 3]
            height = max(lamp[3], 0.3)
            ux, uy = pose[0, 0] * lamp[4], pose[1, 0] * lamp[4]
            i0 = max(0, int((x - _REACH - origin_x) / CELL))
            i1 = min(SIZE - 1, int((x + _REACH - origin_x) / CELL) + 1)
            j0 = max(0, int((y - _REACH - origin_y) / CELL))
            j1 = min(SIZE - 1, int((y + _REACH - origin_y) / CELL) + 1)
            for j in range(j0, j1 + 1):
                for i in range(i0, i1 + 1):
                    dx, dy = origin_x + i * CELL - x, origin_y + j * CELL - y
                    square = dx * dx + dy * dy
                    if square > _REACH * _REACH:
                        continue
                    edge = 1.0 - square / (_REACH * _REACH)
                    if lamp[4] == 0.0:
                        # Lambert's cosine over the squared distance of a lamp overhead.
                        away = square + height * height
                        value = 9.0 * height * height / (away * away)
                    else:
                        forward = dx * ux + dy * uy
                        if forward <= 0.0:
                            continue
                        across = abs(dx * uy - dy * ux) / (0.4 + 0.35 * forward)
                        value = math.exp(-across * across) * forward / (4.0 + square)
                    value *= _STRENGTH * lit * edge * edge
                    for c in range(3):
                        pools[j, i, c] += value * lamp[5 + c]
                    pools[j, i, 3] = max(pools[j, i, 3], foot)


@kernel
def _beam(pose, lamp, origin_x, origin_y, pools):
    """Add a dipped beam: flat, wide, cut off above, so that the road is lit for 60 m or so."""
    x = pose[0, 0] * lamp[0] + pose[0, 1] * lamp[1] + pose[0, 3]
    y = pose[1, 0] * lamp[0] + pose[1, 1] * lamp[1] + pose[1, 3]
    ux, uy = pose[0, 0], pose[1, 0]
    for j in range(SIZE):
        for i in range(SIZE):
            dx, dy = origin_x + i * CELL - x, origin_y + j * CELL - y
            forward = dx * ux + dy * uy
            if forward <= 0.3 or forward > _BEAM_REACH:
                continue
            across = abs(dx * uy - dy * ux) / (0.6 + 0.45 * forward)
            edge = 1.0 - forward / _BEAM_REACH
            value = math.exp(-across * across) * edge * forward / (12.0 + forward * forward * 0.6)
            for c in range(3):
                pools[j, i, c] += value * lamp[2 + c]
            pools[j, i, 3] = max(pools[j, i, 3], pose[2, 3])


class LampMap:
    """Draws the light pools of one scene; does nothing by day."""

    def __init__(
        self,
        meshes: PackedMeshes,
        instances: PackedInstances,
        materials: F64,
        lit: float,
        headlights: float = 0.0,
    ) -> None:
        self._mesh_of, self._lit = instances.mesh, lit
        self._own = _HEADLIGHTS * (1, 1, *(headlights,) * 3) if headlights else _HEADLIGHTS[:0]
        self._lamps, self._starts = find_lamps(meshes, materials)
        shines = np.diff(self._starts)[instances.mesh] > 0
        self._members = np.flatnonzero(shines).astype(np.int32)
        self.active = (lit > 0 and len(self._members) > 0) or headlights > 0
        size = SIZE if self.active else 1
        self._pools = np.zeros((size, size, 4), np.float32)

    def draw(self, world_T_instance: F64, origin: F64, world_T_base: F64) -> F32:
        """Return (SIZE, SIZE, 4) float32 light on the ground and how high its lamps' feet are.

        By day (1, 1, 4) zeros.

        Args:
            world_T_instance: (N, 4, 4) poses.
            origin: (2,) of the map, shared with the contact map.
            world_T_base: (4, 4) of the vehicle, whose own head lights shine as well.
        """
        if self.active:
            away = np.abs(world_T_instance[self._members, :2, 3] - origin - SIZE * CELL / 2)
            near = self._members[(away < SIZE * CELL / 2 + _REACH).all(1)]
            _draw(
                world_T_instance, self._mesh_of, self._lamps, self._starts, near,
                float(origin[0]), float(origin[1]), self._lit, self._pools,
            )  # fmt: skip
            for lamp in self._own:
                _beam(
                    np.ascontiguousarray(world_T_base), lamp, float(origin[0]), float(origin[1]),
                    self._pools,
                )  # fmt: skip
        return self._pools


@inlined
def lamplight(pools, origin_x, origin_y, x, y, z, up, c):
    """Return the light of one channel on a surface at (x, y, z) that looks up by ``up``."""
    result = 0.0
    u, v = (x - origin_x) / CELL, (y - origin_y) / CELL
    if not (0.0 <= u < pools.shape[1] - 1.0 and 0.0 <= v < pools.shape[0] - 1.0):
        return result
    i, j = int(u), int(v)
    z -= pools[j, i, 3]
    if z < 2 * _LEVEL:
        fx, fy = u - i, v - j
        value = (
            (pools[j, i, c] * (1.0 - fx) + pools[j, i + 1, c] * fx) * (1.0 - fy)
            + (pools[j + 1, i, c] * (1.0 - fx) + pools[j + 1, i + 1, c] * fx) * fy
        )  # fmt: skip
        # What stands upright in the pool gets some of it too, up to head height.
        result = value * (0.35 + 0.65 * max(up, 0.0)) * min(1.0, (2 * _LEVEL - z) / _LEVEL)
    return result
