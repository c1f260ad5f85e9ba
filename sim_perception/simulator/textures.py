"""Procedural tileable textures: (SIZE, SIZE, 3) uint8 sRGB, each a pure function of its key."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]

#: Edge length of every texture in pixels.
SIZE = 512

_FIELDS = 6


def texture(kind: str, variant: int, domain: str) -> U8:
    """Return one texture.

    Args:
        kind: one of ``KINDS``.
        variant: which of the endlessly many of its kind.
        domain: 'clean' or 'target'; the latter is more worn.

    Raises:
        KeyError: for an unknown kind.
    """
    return _texture(kind, variant, domain)


@lru_cache(maxsize=320)
def _texture(kind: str, variant: int, domain: str) -> U8:
    worn = domain == 'target'
    key = [zlib.crc32(kind.encode()), variant, int(worn)]
    image = KINDS[kind](np.random.default_rng(key), worn)
    # Rows run upwards: row 0 is v = 0.
    result = (np.clip(image[::-1], 0, 1) * 255 + 0.5).astype(np.uint8)
    result.setflags(write=False)
    return result


@lru_cache(maxsize=64)
def _field(index: int, base: int, octaves: int, persistence: float) -> F32:
    """Return tileable value noise with mean 0.5, spread over 0 to 1."""
    rng = np.random.default_rng([index, base, octaves])
    total = np.zeros((SIZE, SIZE), np.float32)
    gain = 1.0
    for octave in range(octaves):
        cells = min(base * 2**octave, SIZE)
        grid = rng.random((cells, cells)).astype(np.float32)
        x = np.arange(SIZE) * cells / SIZE
        i = x.astype(int)
        f = (x - i).astype(np.float32)
        f = f * f * (3 - 2 * f)
        j = (i + 1) % cells
        rows = grid[i] * (1 - f)[:, None] + grid[j] * f[:, None]
        total += np.float32(gain) * (rows[:, i] * (1 - f) + rows[:, j] * f - np.float32(0.5))
        gain *= persistence
    return (0.5 + total / (4 * total.std())).astype(np.float32)


def noise(rng: np.random.Generator, base: int, octaves: int, persistence: float = 0.6) -> F32:
    """Return (SIZE, SIZE) tileable noise about 0.5, drawn by shifting a cached field."""
    index = int(rng.integers(_FIELDS))
    field = _field(index, base, octaves, persistence)
    if rng.random() < 0.5:
        field = field.T
    shift = rng.integers(0, SIZE, 2)
    return np.roll(field, (int(shift[0]), int(shift[1])), (0, 1))


def _grey(value: F32, tint: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> F32:
    return value[..., None] * np.asarray(tint, np.float32)


def _mix(a: object, b: object, t: F32) -> F32:
    t = np.clip(t, 0, 1)[..., None]
    return np.asarray(a, np.float32) * (1 - t) + np.asarray(b, np.float32) * t


def _asphalt(rng: np.random.Generator, worn: bool) -> F32:
    base = rng.uniform(0.34, 0.5)
    v = base + 0.10 * (noise(rng, 3, 4) - 0.5) + 0.13 * (noise(rng, 64, 4, 0.9) - 0.5)
    v *= 1 - 0.4 * (noise(rng, 256, 1) > 0.93)
    for _ in range(int(rng.integers(1, 4)) + 3 * worn):
        x, y = rng.integers(0, SIZE, 2)
        w, h = rng.integers(40, 200, 2)
        v[y : y + h, x : x + w] *= rng.uniform(0.82, 1.1)
    crack = noise(rng, 4, 6, 0.7)
    v *= 1 - (0.3 + 0.2 * worn) * np.exp(-(((crack - 0.5) / 0.008) ** 2))
    return _grey(v, (1.0, rng.uniform(0.985, 1.0), rng.uniform(0.96, 1.05)))


def _paving(rng: np.random.Generator, worn: bool) -> F32:
    cells = int(rng.choice([4, 6, 8, 12]))
    edge = SIZE / cells
    y, x = np.mgrid[:SIZE, :SIZE]
    row = (y / edge).astype(int)
    offset = (row % 2) * (0.5 if rng.random() < 0.5 else 0.0)
    column = ((x / edge + offset) % cells).astype(int)
    stone = rng.random((cells + 1, cells + 1)).astype(np.float32)
    v = rng.uniform(0.45, 0.68) + rng.uniform(0.03, 0.12) * (stone[row, column] - 0.5)
    gap = ((y % edge) < 3) | (((x + offset * edge) % edge) < 3)
    v = v * (1 - rng.uniform(0.2, 0.4) * gap) + 0.08 * (noise(rng, 32, 5, 0.8) - 0.5)
    v += (0.06 + 0.1 * worn) * (noise(rng, 3, 4) - 0.5)
    return _grey(v.astype(np.float32), (1.0, rng.uniform(0.92, 1.0), rng.uniform(0.8, 1.0)))


def _concrete(rng: np.random.Generator, worn: bool) -> F32:
    v = rng.uniform(0.5, 0.68) + 0.08 * (noise(rng, 64, 4, 0.9) - 0.5)
    v += (0.08 + 0.12 * worn) * (noise(rng, 3, 5) - 0.5)
    return _grey(v, (1.0, 0.98, rng.uniform(0.9, 0.97)))


def _grass(rng: np.random.Generator, worn: bool) -> F32:
    t = 0.75 * noise(rng, 64, 4, 0.95) + 0.35 * (noise(rng, 3, 4) - 0.5)
    dark = np.array([0.14, 0.22, 0.06]) * rng.uniform(0.8, 1.2)
    light = np.array([0.42, 0.52, 0.20]) * rng.uniform(0.85, 1.1)
    if worn:
        light = light * [1.15, 0.95, 0.9]
    return _mix(dark, light, t * 1.6 - 0.2)


def _soil(rng: np.random.Generator, worn: bool) -> F32:
    t = 0.6 * noise(rng, 32, 5, 0.9) + 0.4 * noise(rng, 4, 4)
    return _mix([0.25, 0.19, 0.13], [0.55, 0.46, 0.35], t)


def _plain(rng: np.random.Generator, worn: bool) -> F32:
    v = 0.92 + (0.06 + 0.1 * worn) * (noise(rng, 4, 6) - 0.5)
    return _grey(v)


def _bark(rng: np.random.Generator, worn: bool) -> F32:
    t = np.repeat(noise(rng, 16, 5, 0.8)[::4], 4, 0)
    shade = rng.uniform(0.7, 1.2)
    return _mix(np.array([0.2, 0.15, 0.11]) * shade, np.array([0.5, 0.43, 0.35]) * shade, t)


def _leaf(rng: np.random.Generator, worn: bool) -> F32:
    t = 0.7 * noise(rng, 16, 5, 0.95) + 0.3 * noise(rng, 64, 3, 0.9)
    return _grey(np.clip(0.35 + 1.1 * (t - 0.2), 0.1, 1.3)) * np.float32(0.72)


def _facade(rng: np.random.Generator, worn: bool) -> F32:
    palette = np.array(
        [[0.80, 0.72, 0.60], [0.62, 0.40, 0.32], [0.85, 0.83, 0.79], [0.55, 0.54, 0.53],
         [0.78, 0.65, 0.50], [0.88, 0.85, 0.74], [0.50, 0.54, 0.60], [0.75, 0.60, 0.55]]
    )  # fmt: skip
    wall = palette[rng.integers(len(palette))] * rng.uniform(0.85, 1.1)
    image = wall * (1 + 0.16 * (noise(rng, 16, 5, 0.8)[..., None] - 0.5))
    image *= 1 + (0.1 + 0.25 * worn) * (noise(rng, 3, 4)[..., None] - 0.5)
    columns, rows = int(rng.integers(3, 6)), 4
    across, up = SIZE / columns, SIZE // rows
    width, height = rng.uniform(0.4, 0.65), rng.uniform(0.5, 0.68)
    frame = np.clip(wall * rng.uniform(0.5, 1.3), 0, 1)
    for i in range(rows):
        for j in range(columns):
            y0, y1 = (int((i + 0.5 + s * height / 2) * up) for s in (-1, 1))
            x0, x1 = (int((j + 0.5 + s * width / 2) * across) for s in (-1, 1))
            image[y0 - 5 : y1 + 6, x0 - 4 : x1 + 4] = frame
            glass = np.array([0.16, 0.2, 0.25]) + rng.random() * np.array([0.15, 0.2, 0.25])
            image[y0:y1, x0:x1] = glass * np.linspace(1.1, 0.6, y1 - y0)[:, None, None]
            if rng.random() < 0.4:
                image[y0 : y0 + int((y1 - y0) * rng.uniform(0.2, 0.8)), x0:x1] = rng.uniform(
                    0.5, 0.8
                )
            image[y0 : y0 + 4, x0:x1] *= 0.5
            image[y0:y1, (x0 + x1) // 2 - 2 : (x0 + x1) // 2 + 1] = frame * 0.9
    return image.astype(np.float32)


#: Every kind of texture and its maker.
KINDS: dict[str, Callable[[np.random.Generator, bool], F32]] = {
    'asphalt': _asphalt,
    'paving': _paving,
    'concrete': _concrete,
    'grass': _grass,
    'soil': _soil,
    'plain': _plain,
    'bark': _bark,
    'leaf': _leaf,
    'facade': _facade,
}
