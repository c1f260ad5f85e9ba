"""Light on surfaces: textures, sun with shadows, sky light, mirrored sky, fog, lamps."""

from __future__ import annotations

import math

import numpy as np

from sim_perception.simulator.kernels import kernel
from sim_perception.simulator.mipmaps import LINEAR, build_pyramids, sample
from sim_perception.simulator.packing import PackedMeshes
from sim_perception.simulator.parallel import Workers
from sim_perception.simulator.scene import F32, F64, I32, Material, Scene
from sim_perception.simulator.sky import (
    AMBIENT,
    FOG,
    GROUND,
    HORIZON,
    LAMPS,
    SUN,
    SUN_COLOR,
    WETNESS,
    ZENITH,
    make_clouds,
    pack_light,
    sky_radiance,
)
from sim_perception.simulator.surface import Surface
from sim_perception.simulator.tracing import Tracer

TEXTURE, COLOR, SPECULAR, REFLECTIVITY, TINTED, TRANSLUCENCY, EMISSION, WETTABLE = (
    0, 1, 4, 5, 6, 7, 8, 9,
)  # fmt: skip
_SHADOW_REACH = 250.0


def pack_materials(materials: tuple[Material, ...]) -> F64:
    """Return the (K, 10) material table for kernels."""
    return np.array(
        [
            (
                m.texture, *m.color, m.specular, m.reflectivity, m.tinted, m.translucency,
                m.emission, m.wettable,
            )
            for m in materials
        ],
        np.float64,
    ).reshape(-1, 10)  # fmt: skip


@kernel
def _shadow_rays(
    rays, first, last, width, depth, normal, rotation, position, light, softness, origins,
    directions,
):  # type: ignore[no-untyped-def]  # fmt: skip
    """Prepare one ray to the sun per sample; zero direction where it faces away.

    The rays of a 3x3 block of pixels go to nine different parts of the sun's disc, so that
    the mean over any 3x3 neighbourhood is a soft shadow without noise.
    """
    sx, sy, sz = light[SUN], light[SUN + 1], light[SUN + 2]
    # Two axes across the sun's direction.
    flat = math.sqrt(sx * sx + sy * sy)
    if flat > 1e-6:
        ux, uy = -sy / flat, sx / flat
    else:
        ux, uy = 1.0, 0.0
    vx, vy, vz = -sz * uy, sz * ux, sx * uy - sy * ux
    for s in range(first, last):
        directions[s, 0] = directions[s, 1] = directions[s, 2] = 0.0
        z = depth[s]
        if not z > 0.0:
            continue
        nx = rotation[0, 0] * normal[s, 0] + rotation[0, 1] * normal[s, 1] + rotation[0, 2] * normal[s, 2]  # noqa: E501  # fmt: skip
        ny = rotation[1, 0] * normal[s, 0] + rotation[1, 1] * normal[s, 1] + rotation[1, 2] * normal[s, 2]  # noqa: E501  # fmt: skip
        nz = rotation[2, 0] * normal[s, 0] + rotation[2, 1] * normal[s, 1] + rotation[2, 2] * normal[s, 2]  # noqa: E501  # fmt: skip
        if nx * sx + ny * sy + nz * sz < -0.2:
            continue
        x, y = rays[s, 0] * z, rays[s, 1] * z
        lift = 0.004 + 0.0006 * z
        origins[s, 0] = rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2] * z + position[0] + nx * lift  # noqa: E501  # fmt: skip
        origins[s, 1] = rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2] * z + position[1] + ny * lift  # noqa: E501  # fmt: skip
        origins[s, 2] = rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2] * z + position[2] + nz * lift  # noqa: E501  # fmt: skip
        cell = (s // width) % 3 * 3 + (s % width) % 3
        radius = softness * math.sqrt((cell * 4 % 9 + 0.5) / 9.0)
        angle = 2.399963 * cell
        a, b = radius * math.cos(angle), radius * math.sin(angle)
        directions[s, 0] = sx + a * ux + b * vx
        directions[s, 1] = sy + a * uy + b * vy
        directions[s, 2] = sz + b * vz


@kernel
def _soften(first, last, width, height, depth, normal, blocked, lit):  # type: ignore[no-untyped-def]  # fmt: skip
    """Average shadows over 3x3 pixels of the same surface."""
    for y in range(first, last):
        for x in range(width):
            s = y * width + x
            z = depth[s]
            if not z > 0.0:
                continue
            total, count = 0, 0
            for j in range(max(0, y - 1), min(height, y + 2)):
                for i in range(max(0, x - 1), min(width, x + 2)):
                    t = j * width + i
                    near = abs(depth[t] - z) < 0.04 * z
                    aligned = (
                        normal[t, 0] * normal[s, 0]
                        + normal[t, 1] * normal[s, 1]
                        + normal[t, 2] * normal[s, 2]
                    )
                    if near and aligned > 0.7:
                        total += blocked[t]
                        count += 1
            lit[s] = 1.0 - total / count if count else 1.0 - blocked[s]


@kernel
def _shade(
    rays, first, last, depth, instance, face, normal, uv, occlusion, lit, rotation, focal,
    face_material, density, materials, tint, pyramids, size, linear, light, clouds, out,
):  # type: ignore[no-untyped-def]  # fmt: skip
    for s in range(first, last):
        rx, ry = rays[s, 0], rays[s, 1]
        length = math.sqrt(rx * rx + ry * ry + 1.0)
        dx = (rotation[0, 0] * rx + rotation[0, 1] * ry + rotation[0, 2]) / length
        dy = (rotation[1, 0] * rx + rotation[1, 1] * ry + rotation[1, 2]) / length
        dz = (rotation[2, 0] * rx + rotation[2, 1] * ry + rotation[2, 2]) / length
        if instance[s] < 0:
            r, g, b = sky_radiance(dx, dy, dz, light, clouds)
            haze = math.exp(-max(dz, 0.0) * 14.0) * min(1.0, light[FOG] * 50.0)
            out[s, 0] = r + (light[HORIZON] - r) * haze
            out[s, 1] = g + (light[HORIZON + 1] - g) * haze
            out[s, 2] = b + (light[HORIZON + 2] - b) * haze
            continue
        z = depth[s]
        m0, m1, m2 = normal[s, 0], normal[s, 1], normal[s, 2]
        nx = rotation[0, 0] * m0 + rotation[0, 1] * m1 + rotation[0, 2] * m2
        ny = rotation[1, 0] * m0 + rotation[1, 1] * m1 + rotation[1, 2] * m2
        nz = rotation[2, 0] * m0 + rotation[2, 1] * m1 + rotation[2, 2] * m2
        facing = max(0.02, -(nx * dx + ny * dy + nz * dz))
        material = materials[face_material[face[s]]]
        wet = light[WETNESS] * material[WETTABLE]
        r, g, b = material[COLOR], material[COLOR + 1], material[COLOR + 2]
        texture = int(material[TEXTURE])
        if texture >= 0:
            texels = size * density[face[s]] * z / focal
            level = math.log2(max(texels, 1e-3) / math.sqrt(facing))
            tr, tg, tb = sample(
                pyramids[texture], size, uv[s, 0], uv[s, 1], level, linear
            )
            r, g, b = r * tr, g * tg, b * tb
        if material[TINTED] > 0:
            k = instance[s]
            r, g, b = r * tint[k, 0], g * tint[k, 1], b * tint[k, 2]
        darken = 1.0 - 0.5 * wet
        r, g, b = r * darken, g * darken, b * darken
        sun = nx * light[SUN] + ny * light[SUN + 1] + nz * light[SUN + 2]
        through = material[TRANSLUCENCY]
        sun = max(sun, 0.0) * (1.0 - 0.5 * through) + 0.5 * through * (0.3 + abs(sun) * 0.7)
        sun *= lit[s]
        up = 0.5 + 0.5 * nz
        open_sky = light[AMBIENT] * occlusion[s]
        emission = material[EMISSION] * light[LAMPS]
        mirror = material[REFLECTIVITY] + 0.55 * wet * max(nz, 0.0)
        fresnel = 0.0
        if mirror > 0.0:
            grazing = 1.0 - facing
            grazing2 = grazing * grazing
            fresnel = mirror * (0.05 + 0.95 * grazing2 * grazing2 * grazing)
        # Mirrored direction, for highlight and sky.
        along = 2.0 * (nx * dx + ny * dy + nz * dz)
        qx, qy, qz = dx - along * nx, dy - along * ny, dz - along * nz
        shine = max(0.0, qx * light[SUN] + qy * light[SUN + 1] + qz * light[SUN + 2])
        strength = material[SPECULAR] + 0.5 * wet
        power = 90.0 if mirror > 0.0 else 14.0
        highlight = 0.0
        if shine > 0.5 and lit[s] > 0.0:
            highlight = lit[s] * strength * math.exp(power * (shine - 1.0)) * 0.30
        mr, mg, mb = 0.0, 0.0, 0.0
        if fresnel > 0.002:
            mr, mg, mb = sky_radiance(qx, qy, max(qz, 0.02), light, clouds)
            blend = min(1.0, max(0.0, qz * 6.0 + 0.3))
            mr = light[GROUND] + (mr - light[GROUND]) * blend
            mg = light[GROUND + 1] + (mg - light[GROUND + 1]) * blend
            mb = light[GROUND + 2] + (mb - light[GROUND + 2]) * blend
        clear = math.exp(-light[FOG] * z * length)
        for c in range(3):
            albedo = r if c == 0 else (g if c == 1 else b)
            mirrored = mr if c == 0 else (mg if c == 1 else mb)
            sky = 0.5 * (light[ZENITH + c] + light[HORIZON + c])
            around = open_sky * (sky * up + light[GROUND + c] * (1.0 - up))
            value = albedo * (around + sun * light[SUN_COLOR + c])
            value = value * (1.0 - fresnel) + fresnel * mirrored * (0.3 + 0.7 * occlusion[s])
            value += highlight * light[SUN_COLOR + c] + emission * albedo
            out[s, c] = value * clear + light[HORIZON + c] * (1.0 - clear)


class Shader:
    """Turns surfaces into linear RGB radiance for one scene."""

    def __init__(self, scene: Scene, meshes: PackedMeshes, workers: Workers) -> None:
        environment = scene.environment
        self._meshes, self._workers = meshes, workers
        self._clouds = make_clouds(environment.cloud_seed)
        self._light = pack_light(environment, self._clouds)
        self._softness = environment.sun_softness
        self._materials = pack_materials(scene.assets.materials)
        self._tint = np.ascontiguousarray(scene.instances.tint, np.float32)
        self._size = scene.assets.textures.shape[1]
        self._pyramids = build_pyramids(scene.assets.textures)
        self._sun_is_up = bool(max(environment.sun_color) > 0 and self._light[SUN + 2] > 0)

    def sunlight(
        self, rays: F64, surface: Surface, world_T_camera: F64, size: tuple[int, int],
        tracer: Tracer,
    ) -> F32:  # fmt: skip
        """Return (S,) float32 the share of the sun's disc that each sample sees.

        Args:
            rays: (S, 2) slopes of the viewing rays.
            surface: what the samples see.
            world_T_camera: the camera's pose.
            size: height, width; S = height * width.
            tracer: posed scene.
        """
        count = len(rays)
        lit = np.zeros(count, np.float32)
        if not self._sun_is_up:
            return lit
        height, width = size
        origins, directions = np.empty((2, count, 3), np.float32)
        rotation = np.ascontiguousarray(world_T_camera[:3, :3])
        position = np.ascontiguousarray(world_T_camera[:3, 3])

        def prepare(first: int, last: int) -> None:
            _shadow_rays(
                rays, first, last, width, surface.depth, surface.normal, rotation, position,
                self._light, self._softness, origins, directions,
            )  # fmt: skip

        self._workers.split(prepare, count)
        blocked = np.empty(count, np.uint8)
        tracer.occluded(origins, directions, _SHADOW_REACH, blocked)

        def soften(first: int, last: int) -> None:
            _soften(
                first, last, width, height, surface.depth, surface.normal, blocked, lit
            )

        self._workers.split(soften, height)
        return lit

    def shade(
        self, rays: F64, surface: Surface, lit: F32, world_T_camera: F64, focal: float
    ) -> F32:
        """Return (S, 3) float32 linear radiance."""
        out = np.empty((len(rays), 3), np.float32)
        rotation = np.ascontiguousarray(world_T_camera[:3, :3])
        meshes = self._meshes

        def part(first: int, last: int) -> None:
            _shade(
                rays, first, last, surface.depth, surface.instance, surface.face,
                surface.normal, surface.uv, surface.occlusion, lit, rotation, focal,
                meshes.material, meshes.density, self._materials, self._tint, self._pyramids,
                self._size, LINEAR, self._light, self._clouds, out,
            )  # fmt: skip

        self._workers.split(part, len(rays))
        return out
