# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""What glass, paint and wet roads mirror: houses, trees and cars, coarsely shaded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim_perception.kernels import inlined, kernel
from sim_perception.simulator.common.parallel import Workers
from sim_perception.simulator.common.scene import F32, F64, I32
from sim_perception.simulator.light.sky import (
    AMBIENT,
    FOG,
    GROUND,
    HORIZON,
    SUN,
    SUN_COLOR,
    WETNESS,
    ZENITH,
    sky_radiance,
    tiled_noise,
)
from sim_perception.simulator.light.table import REFLECTIVITY, WETTABLE
from sim_perception.simulator.surfaces.packing import PackedInstances, PackedMeshes
from sim_perception.simulator.surfaces.surface import Surface
from sim_perception.simulator.surfaces.tracing import Tracer

#: Weaker mirrors show the sky or ground only, which costs no ray.
_WEAKEST = 0.02
_REACH = 150.0


@dataclass(frozen=True)
class Reflections:
    """Mirrored radiance of some samples.

    Attributes:
        index: (S,) int32 row of ``color`` for each sample, -1 for none.
        color: (R, 3) float32 linear radiance.
    """

    index: I32
    color: F32


@inlined
def puddle(clouds, x, y):
    """Return 0 to 1 how deep water stands on a wet surface at a place in the world."""
    depth = tiled_noise(clouds, x * 0.02, y * 0.02) * 3.0 - 1.0
    return min(max(depth, 0.0), 1.0)


@inlined
def mirror_strength(materials, m, wet, up, facing):
    """Return the share of light that a surface mirrors (Schlick's approximation)."""
    mirror = materials[m, REFLECTIVITY] + 0.6 * wet * max(up, 0.0)
    result = 0.0
    if mirror > 0.0:
        grazing = 1.0 - facing
        square = grazing * grazing
        result = mirror * (0.05 + 0.95 * square * square * grazing)
    return result


@kernel
def _select(
    rays, first, last, face, normal, rotation, face_material, materials, light, chosen
):  # fmt: skip
    """Mark the samples that are worth a mirror ray."""
    for s in range(first, last):
        chosen[s] = 0
        if face[s] < 0:
            continue
        material = face_material[face[s]]
        if materials[material, REFLECTIVITY] <= 0.0 and (
            light[WETNESS] <= 0.0 or materials[material, WETTABLE] <= 0.0
        ):
            continue
        rx, ry = rays[s, 0], rays[s, 1]
        n0, n1, n2 = normal[s, 0], normal[s, 1], normal[s, 2]
        facing = -(rx * n0 + ry * n1 + n2) / np.sqrt(rx * rx + ry * ry + 1.0)
        up = rotation[2, 0] * n0 + rotation[2, 1] * n1 + rotation[2, 2] * n2
        wet = light[WETNESS] * materials[material, WETTABLE]
        strength = mirror_strength(materials, material, wet, up, min(max(facing, 0.0), 1.0))
        if strength > _WEAKEST:
            chosen[s] = 1


@kernel
def _aim(
    rays, chosen, first, last, depth, normal, face, face_material, materials, clouds, rotation,
    position, origins, directions,
):  # fmt: skip
    """Write the mirror rays of the chosen samples."""
    for k in range(first, last):
        s = chosen[k]
        z = float(depth[s])
        rx, ry = rays[s, 0], rays[s, 1]
        n0, n1, n2 = float(normal[s, 0]), float(normal[s, 1]), float(normal[s, 2])
        scale = 1.0 / np.sqrt(rx * rx + ry * ry + 1.0)
        along = 2.0 * (rx * n0 + ry * n1 + n2)
        m0, m1, m2 = (rx - along * n0) * scale, (ry - along * n1) * scale, (1 - along * n2) * scale
        lift = 0.01 + 0.001 * z
        x, y, w = rx * z + n0 * lift, ry * z + n1 * lift, z + n2 * lift
        tilt = 0.0
        if materials[face_material[face[s]], WETTABLE] > 0.0:
            # Ripples and grains of the road smear its mirror image up and down.
            u = rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2] * w + position[0]
            v = rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2] * w + position[1]
            calm = puddle(clouds, u, v)
            tilt = (0.08 - 0.06 * calm) * (tiled_noise(clouds, u * 0.31, v * 0.31) - 0.4)
        for row in range(3):
            a, b, c = rotation[row, 0], rotation[row, 1], rotation[row, 2]
            origins[k, row] = a * x + b * y + c * w + position[row]
            directions[k, row] = a * m0 + b * m1 + c * m2 + (tilt if row == 2 else 0.0)


@kernel
def _color(
    first, last, directions, distance, instance, face, poses, mesh_of, face_start, face_normal,
    face_material, mean_color, tinted, tint, light, clouds, out,
):  # fmt: skip
    """Shade the hits from their materials' mean colours."""
    for k in range(first, last):
        dx, dy, dz = directions[k, 0], directions[k, 1], directions[k, 2]
        i = instance[k]
        if i < 0:
            r, g, b = sky_radiance(dx, dy, max(dz, 0.0), light, clouds)
            if dz < 0.0:
                r, g, b = light[GROUND], light[GROUND + 1], light[GROUND + 2]
            out[k, 0], out[k, 1], out[k, 2] = r, g, b
            continue
        f = face_start[mesh_of[i]] + face[k]
        n0, n1, n2 = face_normal[f, 0], face_normal[f, 1], face_normal[f, 2]
        nx = poses[i, 0, 0] * n0 + poses[i, 0, 1] * n1 + poses[i, 0, 2] * n2
        ny = poses[i, 1, 0] * n0 + poses[i, 1, 1] * n1 + poses[i, 1, 2] * n2
        nz = poses[i, 2, 0] * n0 + poses[i, 2, 1] * n1 + poses[i, 2, 2] * n2
        if nx * dx + ny * dy + nz * dz > 0.0:
            nx, ny, nz = -nx, -ny, -nz
        sun = max(0.0, nx * light[SUN] + ny * light[SUN + 1] + nz * light[SUN + 2])
        up = 0.5 + 0.5 * nz
        material = face_material[f]
        clear = np.exp(-light[FOG] * distance[k])
        for c in range(3):
            albedo = mean_color[material, c]
            if tinted[material] > 0.0:
                albedo *= tint[i, c]
            sky = 0.5 * (light[ZENITH + c] + light[HORIZON + c]) * light[AMBIENT]
            around = 0.75 * (sky * up + light[GROUND + c] * (1.0 - up))
            # Without a shadow ray, about half of the lit side is taken to be in shadow.
            value = albedo * (around + 0.5 * sun * light[SUN_COLOR + c])
            out[k, c] = value * clear + light[HORIZON + c] * (1.0 - clear)


class Mirrors:
    """Casts mirror rays for one scene."""

    def __init__(
        self,
        meshes: PackedMeshes,
        instances: PackedInstances,
        materials: F64,
        mean_color: F64,
        tinted: F64,
        tint: F32,
        light: F64,
        clouds: F32,
        workers: Workers,
    ) -> None:
        self._meshes, self._instances, self._workers = meshes, instances, workers
        self._materials, self._mean_color = materials, mean_color
        self._tinted, self._tint = tinted, tint
        self._light, self._clouds = light, clouds

    def cast(
        self, rays: F64, surface: Surface, world_T_camera: F64, poses: F64, tracer: Tracer
    ) -> Reflections:
        """Return what the samples mirror.

        Args:
            rays: (S, 2) slopes of the viewing rays.
            surface: what the samples see.
            world_T_camera: the camera's pose.
            poses: (N, 4, 4) ``world_T_instance``.
            tracer: posed scene.
        """
        rotation = np.ascontiguousarray(world_T_camera[:3, :3])
        position = np.ascontiguousarray(world_T_camera[:3, 3])
        meshes, light = self._meshes, self._light
        marked = np.empty(len(rays), np.uint8)

        def select(first: int, last: int) -> None:
            _select(
                rays, first, last, surface.face, surface.normal, rotation, meshes.material,
                self._materials, light, marked,
            )  # fmt: skip

        self._workers.split(select, len(rays))
        chosen = np.flatnonzero(marked).astype(np.int32)
        index = np.full(len(rays), -1, np.int32)
        index[chosen] = np.arange(len(chosen), dtype=np.int32)
        origins, directions = np.empty((2, len(chosen), 3), np.float32)

        def aim(first: int, last: int) -> None:
            _aim(
                rays, chosen, first, last, surface.depth, surface.normal, surface.face,
                meshes.material, self._materials, self._clouds, rotation, position, origins,
                directions,
            )  # fmt: skip

        self._workers.split(aim, len(chosen))
        times = np.zeros(len(chosen), np.float32)
        distance, instance, face = tracer.first_hits(origins, directions, times, _REACH)
        color = np.empty((len(chosen), 3), np.float32)

        def shade(first: int, last: int) -> None:
            _color(
                first, last, directions, distance, instance, face, poses,
                self._instances.mesh, meshes.face_start, meshes.face_normal, meshes.material,
                self._mean_color, self._tinted, self._tint, light, self._clouds, color,
            )  # fmt: skip

        self._workers.split(shade, len(chosen))
        return Reflections(index, color)
