"""What one walks and drives on, and what grows: asphalt, paving, grass, bark, leaves."""

from __future__ import annotations

import numpy as np

from sim_perception.simulator.content.textures.noise import (
    F32,
    SIZE,
    Maker,
    bricks,
    grey,
    jitter,
    mix,
    noise,
    pixels,
)


def _asphalt(rng: np.random.Generator, worn: bool) -> F32:
    base = rng.uniform(0.30, 0.52)
    blotch, grain = rng.uniform(0.04, 0.12), rng.uniform(0.08, 0.2)
    v = base + blotch * (noise(rng, 3, 4) - 0.5) + grain * (noise(rng, 64, 4, 0.9) - 0.5)
    v *= 1 + rng.uniform(0, 0.5) * (noise(rng, 256, 2) > 0.9)
    v *= 1 - 0.4 * (noise(rng, 256, 1) > 0.93)
    for _ in range(int(rng.integers(0, 3)) + 3 * worn):
        x, y = rng.integers(0, SIZE, 2)
        w, h = rng.integers(40, 220, 2)
        v[y : y + h, x : x + w] *= rng.uniform(0.8, 1.1)
    if rng.random() < (0.9 if worn else 0.55):
        crack = noise(rng, 4, 6, 0.7)
        v *= 1 - rng.uniform(0.2, 0.5) * np.exp(-(((crack - 0.5) / 0.008) ** 2))
    if rng.random() < 0.3:
        # Sealed joints: dark tar bands.
        tar = noise(rng, 3, 3, 0.5)
        v *= 1 - 0.45 * (np.abs(tar - 0.5) < 0.006)
    return grey(v, (1.0, rng.uniform(0.975, 1.0), rng.uniform(0.92, 1.06)))


def _fine_asphalt(rng: np.random.Generator, worn: bool) -> F32:
    """Return what most main roads have: dark and even from where a driver sits."""
    blotch, grain = rng.uniform(0.01, 0.04), rng.uniform(0.03, 0.09)
    v = rng.uniform(0.24, 0.42) + blotch * (noise(rng, 3, 4) - 0.5)
    v += grain * (noise(rng, 128, 3, 0.9) - 0.5) * (1 + worn)
    return grey(v, (1.0, rng.uniform(0.985, 1.0), rng.uniform(0.96, 1.05)))


def _paving(rng: np.random.Generator, worn: bool) -> F32:
    style = int(rng.integers(4))
    rows, columns = ((8, 8), (6, 4), (16, 8), (4, 4))[style]
    stone, gap = bricks(rng, rows, columns, rng.uniform(2, 5))
    if style == 0 and rng.random() < 0.5:
        y, x = pixels()
        cell = SIZE // 8
        gap = ((y % cell) < 3) | ((x % cell) < 3)
        stone = rng.random((8, 8)).astype(np.float32)[y // cell, x // cell]
    v = rng.uniform(0.42, 0.70) + rng.uniform(0.03, 0.15) * (stone - 0.5)
    v = v * (1 - rng.uniform(0.15, 0.4) * gap) + 0.09 * (noise(rng, 32, 5, 0.8) - 0.5)
    v += (0.05 + 0.1 * worn) * (noise(rng, 3, 4) - 0.5)
    tint = (1.0, rng.uniform(0.86, 1.0), rng.uniform(0.72, 1.02))
    return grey(v, tint)


def _cobble(rng: np.random.Generator, worn: bool) -> F32:
    stone, _ = bricks(rng, 24, 20, 2)
    y, x = pixels()
    high, wide = SIZE / 24, SIZE / 20
    row = (y / high).astype(int)
    dy = (y % high) / high - 0.5
    dx = ((x + (row % 2) * wide / 2) % wide) / wide - 0.5
    dome = np.clip(1.25 - 3.2 * (dx**4 + dy**4) * 8, 0.3, 1)
    v = (0.38 + 0.2 * (stone - 0.5)) * dome + 0.08 * (noise(rng, 64, 4, 0.9) - 0.5)
    return grey(v.astype(np.float32), (1.0, 0.97, rng.uniform(0.88, 1.0)))


def _concrete(rng: np.random.Generator, worn: bool) -> F32:
    v = rng.uniform(0.48, 0.68) + 0.08 * (noise(rng, 64, 4, 0.9) - 0.5)
    v += (0.07 + 0.12 * worn) * (noise(rng, 3, 5) - 0.5)
    return grey(v, (1.0, rng.uniform(0.96, 1.0), rng.uniform(0.88, 0.98)))


def _marking(rng: np.random.Generator, worn: bool) -> F32:
    v = 0.85 + 0.08 * (noise(rng, 32, 5, 0.9) - 0.5)
    chipped = noise(rng, 16, 6, 0.8) > rng.uniform(0.72, 1.1) - 0.15 * worn
    return grey(np.where(chipped, 0.5, v).astype(np.float32))


def _worn_marking(rng: np.random.Generator, worn: bool) -> F32:
    """Return paint that tyres and frost have taken in part; the road shows through."""
    paint = rng.uniform(0.62, 0.85) + 0.08 * (noise(rng, 32, 5, 0.9) - 0.5)
    road = 0.36 + 0.15 * (noise(rng, 64, 4, 0.9) - 0.5)
    thin = 0.55 * noise(rng, 5, 5, 0.8) + 0.45 * noise(rng, 128, 3, 0.9)
    share = np.clip((thin - rng.uniform(0.36, 0.56) + 0.05 * worn) * 9, 0, 1)
    return grey((paint + (road - paint) * rng.uniform(0.6, 1.0) * share).astype(np.float32))


def _grass(rng: np.random.Generator, worn: bool) -> F32:
    t = 0.75 * noise(rng, 64, 4, 0.95) + rng.uniform(0.2, 0.6) * (noise(rng, 3, 4) - 0.5)
    dark = jitter(rng, [0.30, 0.36, 0.20], 0.2)
    light = jitter(rng, [0.60, 0.66, 0.38], 0.2)
    image = mix(dark, light, t * 1.6 - 0.2)
    dry = np.clip((noise(rng, 3, 5) - (0.62 - 0.12 * worn)) * 5, 0, 1)
    return mix(image, jitter(rng, [0.66, 0.60, 0.42]), dry * rng.uniform(0.2, 0.9))


def _plain(rng: np.random.Generator, worn: bool) -> F32:
    v = 0.93 + (0.05 + 0.12 * worn) * (noise(rng, 4, 6) - 0.5)
    return grey(v)


def _cloth(rng: np.random.Generator, worn: bool) -> F32:
    v = 0.85 + 0.12 * (noise(rng, 6, 5) - 0.5)
    style = int(rng.integers(3))
    if style == 1:
        y, _ = pixels()
        v = v * np.where((y // int(rng.choice([16, 32, 64]))) % 2 == 0, 1.0, rng.uniform(0.4, 0.8))
    if style == 2:
        y, x = pixels()
        v = v * (1 - 0.25 * ((x // 24) % 2 == 0)) * (1 - 0.25 * ((y // 24) % 2 == 0))
    return grey(v.astype(np.float32))


def _bark(rng: np.random.Generator, worn: bool) -> F32:
    t = np.repeat(noise(rng, 16, 5, 0.8)[::4], 4, 0)
    shade = rng.uniform(0.7, 1.2)
    return mix(np.array([0.30, 0.26, 0.22]) * shade, np.array([0.62, 0.56, 0.50]) * shade, t)


def _leaf(rng: np.random.Generator, worn: bool) -> F32:
    t = 0.7 * noise(rng, 16, 5, 0.95) + 0.3 * noise(rng, 64, 3, 0.9)
    return grey(np.clip(0.30 + 1.1 * (t - 0.2), 0.1, 1.2)) * np.float32(0.78)


def _roof_tile(rng: np.random.Generator, worn: bool) -> F32:
    y, x = pixels()
    rows, columns = 14, 10
    high, wide = SIZE / rows, SIZE / columns
    row, column = (y / high).astype(int), (x / wide).astype(int)
    value = rng.random((rows, columns)).astype(np.float32)[row, column]
    ridge = 0.75 + 0.25 * np.sin(2 * np.pi * x / wide)
    step = 0.6 + 0.4 * ((y % high) / high)
    v = (0.62 + 0.25 * (value - 0.5)) * ridge * step
    v = v + (0.08 + 0.1 * worn) * (noise(rng, 4, 5) - 0.5)
    return grey(v.astype(np.float32))


KINDS: dict[str, Maker] = {
    'asphalt': _asphalt, 'fine_asphalt': _fine_asphalt,
    'paving': _paving, 'cobble': _cobble, 'concrete': _concrete,
    'marking': _marking, 'worn_marking': _worn_marking, 'grass': _grass, 'plain': _plain,
    'cloth': _cloth,
    'bark': _bark, 'leaf': _leaf, 'roof_tile': _roof_tile,
}  # fmt: skip
