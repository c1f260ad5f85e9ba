# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""Light on surfaces: textures, sun with shadows, sky light, mirrored sky, fog, lamps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sim_perception.kernels import inlined, kernel
from sim_perception.simulator.common.parallel import Workers
from sim_perception.simulator.common.scene import F32, F64
from sim_perception.simulator.light.ambient import AmbientGrid, openness
from sim_perception.simulator.light.contact import darkness
from sim_perception.simulator.light.lamps import lamplight
from sim_perception.simulator.light.look import Look
from sim_perception.simulator.light.mipmaps import LINEAR, sample
from sim_perception.simulator.light.reflections import Reflections, mirror_strength, puddle
from sim_perception.simulator.light.sky import (
    AMBIENT,
    FOG,
    GROUND,
    HORIZON,
    LAMPS,
    SUN,
    SUN_COLOR,
    WETNESS,
    ZENITH,
    sky_radiance,
)
from sim_perception.simulator.light.table import (
    COLOR,
    EMISSION,
    REFLECTIVITY,
    SPECULAR,
    TEXTURE,
    TINTED,
    TRANSLUCENCY,
    WETTABLE,
)
from sim_perception.simulator.surfaces.packing import PackedMeshes
from sim_perception.simulator.surfaces.surface import Surface


@dataclass(frozen=True)
class Surroundings:
    """Light that reaches the samples of one frame.

    Attributes:
        lit: (S,) share of the sun's disc.
        reflections: what the samples mirror.
        ambient: openness of the standing scene.
        contact: darkness map of the ground; contact_origin: its place.
        pools: light of lamps on the ground and the height of their feet, in the same place.
    """

    lit: F32
    reflections: Reflections
    ambient: AmbientGrid
    contact: F32
    contact_origin: F64
    pools: F32


@inlined
def _haze(dx, dy, dz, light, clouds):
    """Return the sky's radiance behind the air in front of it."""
    r, g, b = sky_radiance(dx, dy, dz, light, clouds)
    haze = math.exp(-max(dz, 0.0) * 14.0) * min(1.0, light[FOG] * 50.0)
    # Thick fog hides the whole sky.
    haze = max(haze, min(1.0, max(0.0, light[FOG] * 40.0 - 0.4)))
    return (
        r + (light[HORIZON] - r) * haze,
        g + (light[HORIZON + 1] - g) * haze,
        b + (light[HORIZON + 2] - b) * haze,
    )


@inlined
def _albedo(
    materials, m, u, v, texels, wet, tint, instance, pyramids, size, top, linear
):  # fmt: skip
    """Return the surface's linear colour; ``texels`` is the footprint of a pixel."""
    r, g, b = materials[m, COLOR], materials[m, COLOR + 1], materials[m, COLOR + 2]
    texture = int(materials[m, TEXTURE])
    if texture >= 0:
        level = math.log2(max(texels, 1e-3))
        tr, tg, tb = sample(pyramids, texture, size, top, u, v, level, linear)
        r, g, b = r * tr, g * tg, b * tb
    if materials[m, TINTED] > 0.0:
        r, g, b = r * tint[instance, 0], g * tint[instance, 1], b * tint[instance, 2]
    darken = 1.0 - 0.5 * wet
    return r * darken, g * darken, b * darken


@inlined
def _highlight(materials, m, wet, shine, lit):
    """Return the sun's highlight for the cosine between sun and mirrored view."""
    value = 0.0
    if shine > 0.4 and lit > 0.0:
        strength = materials[m, SPECULAR] + 0.5 * wet
        power = 90.0 if materials[m, REFLECTIVITY] + wet > 0.0 else 14.0
        value = 0.30 * lit * strength * math.exp(power * (shine - 1.0))
    return value


@inlined
def _turn(rotation, x, y, z):
    """Return a vector in the world."""
    return (
        rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2] * z,
        rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2] * z,
        rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2] * z,
    )


@inlined
def _sunshine(through, cosine):
    """Return the share of sunlight that a surface scatters, some of it through leaves."""
    direct = max(cosine, 0.0) * (1.0 - 0.5 * through)
    return direct + 0.5 * through * (0.3 + 0.7 * abs(cosine))


@inlined
def _mirror_image(mirrored, row, strength, wet, standing, rise, light):
    """Return the radiance that a surface mirrors; ``rise`` is the upward part of its direction."""
    r, g, b = 0.0, 0.0, 0.0
    if row >= 0:
        # Where no water stands, roughness mixes the mirror image with all of the sky.
        sharp = 0.35 + 0.65 * standing if wet > 0.0 else 1.0
        r, g, b = light[HORIZON] * 0.7, light[HORIZON + 1] * 0.7, light[HORIZON + 2] * 0.7
        r += (mirrored[row, 0] - r) * sharp
        g += (mirrored[row, 1] - g) * sharp
        b += (mirrored[row, 2] - b) * sharp
    elif strength > 0.0:
        # Faint mirrors do without a ray.
        blend = min(1.0, max(0.0, rise * 4.0 + 0.3))
        r, g, b = light[GROUND], light[GROUND + 1], light[GROUND + 2]
        r += (0.5 * (light[ZENITH] + light[HORIZON]) - r) * blend
        g += (0.5 * (light[ZENITH + 1] + light[HORIZON + 1]) - g) * blend
        b += (0.5 * (light[ZENITH + 2] + light[HORIZON + 2]) - b) * blend
    return r, g, b


@kernel
def _shade(
    rays, first, last, depth, instance, face, normal, uv, occlusion, lit, mirror_index, mirrored,
    rotation, position, focal, face_material, density, materials, tint, pyramids, size, linear,
    light, clouds, ambient, frame, contact, contact_x, contact_y, pools, out,
):  # fmt: skip
    """Write the radiance of the samples [first, last)."""
    glowing = pools.shape[0] > 1
    top = math.log2(size)
    for s in range(first, last):
        rx, ry = rays[s, 0], rays[s, 1]
        length = math.sqrt(rx * rx + ry * ry + 1.0)
        scale = 1.0 / length
        dx, dy, dz = _turn(rotation, rx * scale, ry * scale, scale)
        if instance[s] < 0:
            out[s, 0], out[s, 1], out[s, 2] = _haze(dx, dy, dz, light, clouds)
            continue
        reach = depth[s] * length
        m0, m1, m2 = float(normal[s, 0]), float(normal[s, 1]), float(normal[s, 2])
        nx, ny, nz = _turn(rotation, m0, m1, m2)
        x, y, z = position[0] + reach * dx, position[1] + reach * dy, position[2] + reach * dz
        cosine = nx * dx + ny * dy + nz * dz
        facing = min(max(0.02, -cosine), 1.0)
        m = face_material[face[s]]
        wet = light[WETNESS] * materials[m, WETTABLE]
        texels = size * density[face[s]] * depth[s] / (focal * math.sqrt(facing))
        color = _albedo(
            materials, m, uv[s, 0], uv[s, 1], texels, wet, tint, instance[s], pyramids, size, top,
            linear,
        )  # fmt: skip
        sun = nx * light[SUN] + ny * light[SUN + 1] + nz * light[SUN + 2]
        sun = lit[s] * _sunshine(materials[m, TRANSLUCENCY], sun)
        # Sky light: what the standing scene leaves open, then folds and contacts.
        near = openness(ambient, frame, x + nx * 0.8, y + ny * 0.8, z + nz * 0.8, nx, ny, nz)
        closed = occlusion[s] * (
            1.0 - darkness(contact, contact_x, contact_y, x, y, z, max(nz, 0.0))
        )
        standing = puddle(clouds, x, y) if wet > 0.0 else 0.0
        strength = mirror_strength(materials, m, wet * (0.3 + 0.7 * standing), nz, facing)
        qx, qy, qz = dx - 2 * cosine * nx, dy - 2 * cosine * ny, dz - 2 * cosine * nz
        shine = qx * light[SUN] + qy * light[SUN + 1] + qz * light[SUN + 2]
        highlight = _highlight(materials, m, wet, shine, lit[s])
        mirror = _mirror_image(mirrored, mirror_index[s], strength, wet, standing, qz, light)
        clear = math.exp(-light[FOG] * reach)
        high = 0.5 + 0.35 * nz
        glow = materials[m, EMISSION] * light[LAMPS]
        for c in range(3):
            sky = light[HORIZON + c] + (light[ZENITH + c] - light[HORIZON + c]) * high
            around = sky * light[AMBIENT] * near + light[GROUND + c] * (1.0 - near)
            value = color[c] * (around * closed + sun * light[SUN_COLOR + c])
            value += strength * (mirror[c] * (0.3 + 0.7 * closed) - value)
            if glowing:
                value += color[c] * lamplight(pools, contact_x, contact_y, x, y, z, nz, c)
            value += highlight * light[SUN_COLOR + c] + glow * color[c]
            out[s, c] = value * clear + light[HORIZON + c] * (1.0 - clear)


def shade_samples(
    rays: F64,
    surface: Surface,
    surroundings: Surroundings,
    world_T_camera: F64,
    focal: float,
    look: Look,
    meshes: PackedMeshes,
    workers: Workers,
) -> F32:
    """Return (S, 3) float32 linear radiance.

    Args:
        rays: (S, 2) slopes of the viewing rays.
        surface: what the samples see.
        surroundings: the light that reaches them.
        world_T_camera: the camera's pose.
        focal: pixels per unit of slope, for the textures' level of detail.
        look: the scene's materials and sky.
        meshes: the scene's meshes.
        workers: threads.
    """
    out = np.empty((len(rays), 3), np.float32)
    rotation = np.ascontiguousarray(world_T_camera[:3, :3])
    position = np.ascontiguousarray(world_T_camera[:3, 3])
    origin_x, origin_y = (float(v) for v in surroundings.contact_origin)

    def part(first: int, last: int) -> None:
        _shade(
            rays, first, last, surface.depth, surface.instance, surface.face, surface.normal,
            surface.uv, surface.occlusion, surroundings.lit, surroundings.reflections.index,
            surroundings.reflections.color, rotation, position, focal, meshes.material,
            meshes.density, look.materials, look.tint, look.pyramids, look.texture_size, LINEAR,
            look.light, look.clouds, surroundings.ambient.values, surroundings.ambient.frame,
            surroundings.contact, origin_x, origin_y, surroundings.pools, out,
        )  # fmt: skip

    workers.split(part, len(rays))
    return out
