# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""The sky: gradient, sun glow and procedural clouds, as seen and as mirrored."""

from __future__ import annotations

import math

import numpy as np

from sim_perception.kernels import inlined
from sim_perception.simulator.common.scene import F32, F64, Environment

#: Places of the values in the light array that kernels share.
SUN, SUN_COLOR, ZENITH, HORIZON = 0, 3, 6, 9
AMBIENT, COVER_LOW, COVER_HIGH, FOG, WETNESS, LAMPS, GROUND = 12, 13, 14, 15, 16, 17, 18
_LIGHT_SIZE = 21
_CLOUD_SIZE = 512


def pack_light(environment: Environment, clouds: F32) -> F64:
    """Return the light array for kernels.

    Raises:
        ValueError: if the sun's direction has no length.
    """
    light = np.zeros(_LIGHT_SIZE)
    sun = np.array(environment.sun_direction, float)
    length = np.linalg.norm(sun)
    if not length > 0:
        raise ValueError('environment.sun_direction must not be zero')
    light[SUN : SUN + 3] = sun / length
    light[SUN_COLOR : SUN_COLOR + 3] = environment.sun_color
    light[ZENITH : ZENITH + 3] = environment.zenith_color
    light[HORIZON : HORIZON + 3] = environment.horizon_color
    light[AMBIENT] = environment.ambient
    cover = min(max(environment.cloud_cover, 0.0), 1.0)
    edges = np.quantile(clouds, [max(0.0, 1 - cover - 0.08), min(1.0, 1 - cover + 0.22)])
    # At the ends the quantiles must leave the sky wholly clear or wholly covered.
    light[COVER_LOW] = edges[0] + (1.0 if cover == 0 else 0.0) - 0.3 * max(0.0, cover - 0.8) * 5
    light[COVER_HIGH] = light[COVER_LOW] + max(edges[1] - edges[0], 0.05)
    light[FOG] = environment.fog_density
    light[WETNESS] = environment.wetness
    light[LAMPS] = environment.lamps
    sky = light[ZENITH : ZENITH + 3] * 0.5 + light[HORIZON : HORIZON + 3] * 0.5
    facing = max(0.0, light[SUN + 2])
    # What comes back from the ground, for surfaces that look down and for mirrors.
    light[GROUND : GROUND + 3] = 0.16 * (sky * environment.ambient)
    light[GROUND : GROUND + 3] += 0.10 * facing * light[SUN_COLOR : SUN_COLOR + 3]
    return light


def make_clouds(seed: int, size: int = _CLOUD_SIZE) -> F32:
    """Return (size, size) float32 tileable fractal noise in [0, 1]."""
    random = np.random.default_rng(seed)
    total, weight = np.zeros((size, size)), 1.0
    cells = 4
    while cells <= size // 2:
        lattice = random.random((cells, cells))
        position = np.arange(size) * cells / size
        index = position.astype(np.int64)
        s = position - index
        s = s * s * (3 - 2 * s)
        following = (index + 1) % cells
        rows = lattice[index] * (1 - s)[:, None] + lattice[following] * s[:, None]
        total += weight * (rows[:, index] * (1 - s) + rows[:, following] * s)
        weight *= 0.52
        cells *= 2
    total -= total.min()
    return (total / total.max()).astype(np.float32)


@inlined
def tiled_noise(clouds, u, v):
    """Sample the tileable noise bilinearly; u, v in repeats."""
    size = clouds.shape[0]
    x, y = u * size, v * size
    x0, y0 = math.floor(x), math.floor(y)
    fx, fy = x - x0, y - y0
    i, j = int(x0) & (size - 1), int(y0) & (size - 1)
    i1, j1 = (i + 1) & (size - 1), (j + 1) & (size - 1)
    top = clouds[j, i] * (1 - fx) + clouds[j, i1] * fx
    return top * (1 - fy) + (clouds[j1, i] * (1 - fx) + clouds[j1, i1] * fx) * fy


@inlined
def sky_radiance(dx, dy, dz, light, clouds):
    """Return linear RGB of the sky in a unit direction; below the horizon it is the horizon."""
    up = max(dz, 0.0)
    t = math.sqrt(up)
    r = light[HORIZON] + (light[ZENITH] - light[HORIZON]) * t
    g = light[HORIZON + 1] + (light[ZENITH + 1] - light[HORIZON + 1]) * t
    b = light[HORIZON + 2] + (light[ZENITH + 2] - light[HORIZON + 2]) * t
    facing = max(0.0, dx * light[SUN] + dy * light[SUN + 1] + dz * light[SUN + 2])
    p8 = facing**8
    p64 = p8**8
    glow = 0.10 * p8 + 0.35 * p64 + 6.0 * p64**16
    cover = 0.0
    if dz > -0.02:
        k = 0.16 / (dz + 0.10)
        u, v = dx * k, dy * k
        density = tiled_noise(clouds, u, v)
        cover = (density - light[COVER_LOW]) / (light[COVER_HIGH] - light[COVER_LOW])
        cover = min(max(cover, 0.0), 1.0)
        cover = cover * cover * (3.0 - 2.0 * cover)
        # Towards the horizon clouds melt into haze.
        cover *= min(1.0, max(0.0, dz * 6.0 + 0.10))
        if cover > 0.0:
            # Denser towards the sun means shaded.
            sunward = tiled_noise(clouds, u + 0.02 * light[SUN], v + 0.02 * light[SUN + 1])
            shade = min(1.0, max(0.0, 0.62 - 2.2 * (sunward - density) - 0.25 * (density - 0.5)))
            lit = 0.10 + 0.32 * shade
            base = 0.55 + 0.45 * shade
            cr = light[SUN_COLOR] * lit + light[HORIZON] * base
            cg = light[SUN_COLOR + 1] * lit + light[HORIZON + 1] * base
            cb = light[SUN_COLOR + 2] * lit + light[HORIZON + 2] * base
            r += (cr - r) * cover
            g += (cg - g) * cover
            b += (cb - b) * cover
    glow *= 1.0 - 0.85 * cover
    return (
        r + glow * light[SUN_COLOR],
        g + glow * light[SUN_COLOR + 1],
        b + glow * light[SUN_COLOR + 2],
    )
