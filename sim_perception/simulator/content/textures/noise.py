"""Tileable noise and the small tools that all textures share."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
Maker = Callable[[np.random.Generator, bool], F32]

#: Edge length of every texture in pixels.
SIZE = 512

_FIELDS = 5


@lru_cache(maxsize=128)
def _field(index: int, base: int, octaves: int, persistence: float) -> F32:
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
    """Return (SIZE, SIZE) tileable noise about 0.5, drawn by shifting a cached field.

    Args:
        rng: decides which field and shift.
        base: cells of the coarsest octave along an edge.
        octaves: how many, each twice as fine.
        persistence: amplitude of an octave over that of the one before.
    """
    field = _field(int(rng.integers(_FIELDS)), base, octaves, persistence)
    if rng.random() < 0.5:
        field = field.T
    shift = rng.integers(0, SIZE, 2)
    return np.roll(field, (int(shift[0]), int(shift[1])), (0, 1))


def grey(value: F32, tint: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> F32:
    """Return (SIZE, SIZE, 3) of a grey image times a tint."""
    return value[..., None].astype(np.float32) * np.asarray(tint, np.float32)


def mix(a: npt.ArrayLike, b: npt.ArrayLike, t: npt.NDArray[np.floating]) -> F32:
    """Return the blend of two colours by (SIZE, SIZE) weights clipped to [0, 1]."""
    t = np.clip(t, 0, 1)[..., None]
    return (np.asarray(a, np.float32) * (1 - t) + np.asarray(b, np.float32) * t).astype(np.float32)


def jitter(rng: np.random.Generator, color: npt.ArrayLike, amount: float = 0.15) -> F32:
    """Return a colour with its brightness and hue varied."""
    scale = rng.uniform(1 - amount, 1 + amount) * rng.uniform(1 - amount / 3, 1 + amount / 3, 3)
    return np.clip(np.asarray(color) * scale, 0, 1).astype(np.float32)


def pixels() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return row and column indices of every pixel."""
    y, x = np.mgrid[:SIZE, :SIZE]
    return y, x


def bricks(
    rng: np.random.Generator, rows: int, columns: int, joint: float
) -> tuple[F32, npt.NDArray[np.bool_]]:
    """Return a random value per brick of a running bond, and where the joints are."""
    y, x = pixels()
    high, wide = SIZE / rows, SIZE / columns
    row = (y / high).astype(int)
    shifted = (x + (row % 2) * wide / 2) % SIZE
    column = (shifted / wide).astype(int)
    value = rng.random((rows, columns)).astype(np.float32)[row, column]
    joints = ((y % high) < joint) | ((shifted % wide) < joint)
    return value, joints


def letters(rng: np.random.Generator, low: int, high: int) -> str:
    """Return an invented name of ``low`` to ``high - 1`` letters."""
    count = int(rng.integers(low, high))
    pairs = ('BDFGKLMNPRSTVZ', 'AEIOU')
    return ''.join(pairs[k % 2][int(rng.integers(len(pairs[k % 2])))] for k in range(count))
