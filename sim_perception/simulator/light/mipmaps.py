# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""Texture pyramids and their filtered lookup."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sim_perception.kernels import inlined
from sim_perception.simulator.common.scene import F32


def _srgb_to_linear() -> F32:
    value = np.arange(256) / 255.0
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return linear.astype(np.float32)


#: Linear value of every sRGB byte.
LINEAR: F32 = _srgb_to_linear()


def build_pyramids(textures: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return (T, texels, 3) uint8 sRGB: each texture's levels one after the other.

    Levels are averaged in linear light, so that distance does not darken a texture.

    Raises:
        ValueError: if the textures are not (T, S, S, 3) uint8 with S a power of two.
    """
    shape = textures.shape
    if textures.dtype != np.uint8 or len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3:
        raise ValueError(f'textures must be (T, S, S, 3) uint8, got {textures.dtype} {shape}')
    size = shape[1]
    if size & (size - 1) or not size:
        raise ValueError(f'textures must have a power of two as size, got {size}')
    # 2^16 steps are enough to invert the sRGB curve to the nearest byte.
    edges = (LINEAR[1:] + LINEAR[:-1]) / 2
    to_srgb = np.searchsorted(edges, np.linspace(0, 1, 65536)).astype(np.uint8)
    pyramids = np.empty((shape[0], (4 * size * size - 1) // 3, 3), np.uint8)
    for texture, pyramid in zip(textures, pyramids, strict=True):
        level, offset = LINEAR[texture], size * size
        pyramid[:offset] = texture.reshape(-1, 3)
        while len(level) > 1:
            level = (level[::2, ::2] + level[1::2, ::2] + level[::2, 1::2] + level[1::2, 1::2]) / 4
            count = len(level) ** 2
            index = (level * 65535 + 0.5).astype(np.int64)
            pyramid[offset : offset + count] = to_srgb[index].reshape(-1, 3)
            offset += count
    return pyramids


@inlined
def _bilinear(pyramids, texture, offset, size, u, v, linear):
    u, v = float(u), float(v)  # floor() of other numbers is a call
    x = (u - math.floor(u)) * size - 0.5
    y = (v - math.floor(v)) * size - 0.5
    x0, y0 = math.floor(x), math.floor(y)
    fx, fy = x - x0, y - y0
    i0, j0 = int(x0) & (size - 1), int(y0) & (size - 1)
    i1, j1 = (i0 + 1) & (size - 1), (j0 + 1) & (size - 1)
    a, b = offset + j0 * size + i0, offset + j0 * size + i1
    c, d = offset + j1 * size + i0, offset + j1 * size + i1
    wa, wb = (1 - fx) * (1 - fy), fx * (1 - fy)
    wc, wd = (1 - fx) * fy, fx * fy
    r = wa * linear[pyramids[texture, a, 0]] + wb * linear[pyramids[texture, b, 0]]
    r += wc * linear[pyramids[texture, c, 0]] + wd * linear[pyramids[texture, d, 0]]
    g = wa * linear[pyramids[texture, a, 1]] + wb * linear[pyramids[texture, b, 1]]
    g += wc * linear[pyramids[texture, c, 1]] + wd * linear[pyramids[texture, d, 1]]
    h = wa * linear[pyramids[texture, a, 2]] + wb * linear[pyramids[texture, b, 2]]
    h += wc * linear[pyramids[texture, c, 2]] + wd * linear[pyramids[texture, d, 2]]
    return r, g, h


@inlined
def sample(pyramids, texture, size, top, u, v, level, linear):
    """Return linear RGB of a texture at (u, v) repeats and a fractional level of detail.

    ``size`` is the texels per side at level 0, ``top`` the last level.

    Two levels are mixed only half-way between them, which hides the change and saves half of
    the lookups.
    """
    level = min(max(level, 0.0), top)
    whole = int(level)
    mix = min(max((level - whole - 0.25) * 2.0, 0.0), 1.0)
    here = size >> whole
    # All finer levels lie before this one: the sum of a geometric series.
    offset = 4 * (size * size - here * here) // 3
    r, g, b = 0.0, 0.0, 0.0
    if mix < 1.0:
        r, g, b = _bilinear(pyramids, texture, offset, here, u, v, linear)
    if mix > 0.0:
        offset += here * here
        r1, g1, b1 = _bilinear(pyramids, texture, offset, here >> 1, u, v, linear)
        r += (r1 - r) * mix
        g += (g1 - g) * mix
        b += (b1 - b) * mix
    return r, g, b
