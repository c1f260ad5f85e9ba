"""Walls: plaster, brick, stone and glass facades with windows, shop fronts, sheet metal."""

from __future__ import annotations

import cv2
import numpy as np

from sim_perception.simulator.content.textures.noise import (
    F32,
    SIZE,
    Maker,
    bricks,
    grey,
    jitter,
    letters,
    mix,
    noise,
    pixels,
)

_PLASTER = np.array(
    [[0.86, 0.78, 0.66], [0.70, 0.50, 0.42], [0.89, 0.87, 0.83], [0.62, 0.61, 0.60],
     [0.84, 0.72, 0.56], [0.91, 0.88, 0.76], [0.58, 0.62, 0.67], [0.80, 0.66, 0.62],
     [0.72, 0.76, 0.68], [0.76, 0.72, 0.66]]
)  # fmt: skip


def _plaster_wall(rng: np.random.Generator, worn: bool) -> F32:
    wall = jitter(rng, _PLASTER[rng.integers(len(_PLASTER))])
    image = wall * (1 + 0.10 * (noise(rng, 16, 5, 0.8)[..., None] - 0.5))
    image = image * (1 + (0.06 + 0.25 * worn) * (noise(rng, 3, 4)[..., None] - 0.5))
    if worn or rng.random() < 0.25:
        # Rain has washed dirt down in streaks.
        streaks = np.clip(noise(rng, 32, 3, 0.7)[:1] - 0.55, 0, 1) * 1.6
        image = image * (1 - streaks[..., None] * noise(rng, 3, 3)[..., None])
    return image.astype(np.float32)


def _brick_wall(rng: np.random.Generator, worn: bool) -> F32:
    value, joints = bricks(rng, 48, 20, rng.uniform(1.2, 2.2))
    color = jitter(rng, np.array([[0.62, 0.38, 0.31], [0.70, 0.50, 0.38], [0.48, 0.36, 0.33],
                                  [0.76, 0.66, 0.52],
                                  [0.55, 0.53, 0.50]])[rng.integers(5)])  # fmt: skip
    image = color * (0.82 + 0.34 * value[..., None])
    mortar = jitter(rng, [0.68, 0.66, 0.62])
    image = np.where(joints[..., None], mortar, image)
    return (image * (1 + (0.1 + 0.15 * worn) * (noise(rng, 3, 5)[..., None] - 0.5))).astype(
        np.float32
    )


def _stone_wall(rng: np.random.Generator, worn: bool) -> F32:
    value, joints = bricks(rng, int(rng.choice([8, 12, 16])), int(rng.choice([4, 6, 8])), 3)
    color = jitter(rng, [0.74, 0.68, 0.58])
    image = color * (0.85 + 0.24 * value[..., None]) * (1 - 0.3 * joints[..., None])
    return (image * (1 + 0.22 * (noise(rng, 12, 6, 0.8)[..., None] - 0.5))).astype(np.float32)


def _glass(rng: np.random.Generator, height: int) -> F32:
    base = np.array([0.20, 0.25, 0.30]) + rng.random() * np.array([0.18, 0.22, 0.26])
    return (base * np.linspace(1.2, 0.65, height)[:, None, None]).astype(np.float32)


def _windows(
    rng: np.random.Generator, image: F32, columns: int, rows: int, width: float, height: float
) -> F32:
    """Cut a grid of windows into a wall."""
    across, up = SIZE / columns, SIZE / rows
    frame = np.clip(image.mean((0, 1)) * rng.uniform(0.4, 1.4), 0, 1)
    white = np.array([0.85, 0.85, 0.83]) if rng.random() < 0.6 else frame
    bars, sill, head = int(rng.integers(0, 3)), rng.random() < 0.7, rng.random() < 0.5
    cross = rng.random() < 0.4
    for i in range(rows):
        for j in range(columns):
            y0, y1 = (int((i + 0.5 + s * height / 2) * up) for s in (-1, 1))
            x0, x1 = (int((j + 0.5 + s * width / 2) * across) for s in (-1, 1))
            image[y0 - 6 : y1 + 5, x0 - 5 : x1 + 5] = frame
            if head:
                image[y0 - 12 : y0 - 6, x0 - 8 : x1 + 8] = np.clip(frame * 1.15, 0, 1)
            if sill:
                image[y1 + 4 : y1 + 9, x0 - 8 : x1 + 8] = np.clip(frame * 0.75, 0, 1)
            image[y0 - 2 : y1 + 2, x0 - 2 : x1 + 2] = white
            image[y0:y1, x0:x1] = _glass(rng, y1 - y0)
            if rng.random() < 0.45:
                drop = int((y1 - y0) * rng.uniform(0.15, 0.9))
                image[y0 : y0 + drop, x0:x1] = jitter(rng, [0.72, 0.7, 0.66], 0.2)
            image[y0 : y0 + 4, x0:x1] *= 0.5
            image[y0:y1, x0 : x0 + 3] *= 0.65
            for b in range(bars):
                at = x0 + (x1 - x0) * (b + 1) // (bars + 1)
                image[y0:y1, at - 2 : at + 1] = white * 0.9
            if cross:
                image[y0 + (y1 - y0) // 3 - 1 : y0 + (y1 - y0) // 3 + 2, x0:x1] = white * 0.9
    return image


def _facade(rng: np.random.Generator, worn: bool) -> F32:
    style = int(rng.integers(8))
    if style == 0:
        return _curtain(rng, worn)
    wall = (_plaster_wall, _plaster_wall, _brick_wall, _plaster_wall, _brick_wall, _stone_wall,
            _plaster_wall, _brick_wall)[style](rng, worn)  # fmt: skip
    if rng.random() < 0.35:
        # Storeys marked by a band.
        for i in range(4):
            y = i * SIZE // 4
            wall[y : y + 7] = np.clip(wall[y : y + 7] * rng.uniform(0.7, 1.2), 0, 1)
    wide = rng.random() < 0.25
    return _windows(
        rng,
        wall,
        int(rng.integers(2, 4)) if wide else int(rng.integers(3, 6)),
        4,
        rng.uniform(0.6, 0.8) if wide else rng.uniform(0.34, 0.6),
        rng.uniform(0.42, 0.68),
    )


def _curtain(rng: np.random.Generator, worn: bool) -> F32:
    """Return a glass or panel facade."""
    columns, rows = int(rng.integers(5, 10)), 4
    y, x = pixels()
    panel = jitter(rng, [0.45, 0.5, 0.55], 0.3)
    image = np.broadcast_to(panel, (SIZE, SIZE, 3)).copy()
    across, up = SIZE / columns, SIZE / rows
    tone = rng.uniform(0.6, 1.3, (rows, columns)).astype(np.float32)
    cell = tone[(y / up).astype(int), np.minimum((x / across).astype(int), columns - 1)]
    glass = jitter(rng, [0.28, 0.36, 0.42], 0.25)
    band = ((y % up) / up) < rng.uniform(0.6, 0.85)
    image = np.where(band[..., None], glass * cell[..., None], image)
    lines = ((x % across) < 4) | ((y % up) < 4)
    image = np.where(lines[..., None], jitter(rng, [0.6, 0.6, 0.62], 0.3), image)
    return (image * (1 + 0.1 * (noise(rng, 3, 4)[..., None] - 0.5))).astype(np.float32)


def _shop(rng: np.random.Generator, worn: bool) -> F32:
    """Return a ground floor: display windows, door, lettered board above (v = 1)."""
    wall = (_plaster_wall if rng.random() < 0.6 else _stone_wall)(rng, worn)
    board = int(SIZE * 0.18)
    color = rng.random(3) * 0.8
    wall[:board] = color
    image = np.ascontiguousarray((np.clip(wall, 0, 1) * 255).astype(np.uint8))
    ink = tuple(int(c) for c in ((1 - color) * 255))
    cv2.putText(image, letters(rng, 5, 10), (40, board - 26), int(rng.integers(0, 5)), 2.2, ink, 8)
    wall = (image / 255).astype(np.float32)
    low = int(SIZE * rng.uniform(0.82, 0.95))
    panes = int(rng.integers(2, 4))
    door = int(rng.integers(panes + 1))
    edge = np.linspace(20, SIZE - 20, panes + 2).astype(int)
    frame = jitter(rng, [0.25, 0.25, 0.27], 0.5)
    for k in range(panes + 1):
        x0, x1 = edge[k] + 8, edge[k + 1] - 8
        bottom = SIZE - 4 if k == door else low
        wall[board + 14 : bottom, x0 - 5 : x1 + 5] = frame
        wall[board + 20 : bottom - 5, x0:x1] = _glass(rng, bottom - 5 - board - 20)
        for _ in range(int(rng.integers(2, 7))):
            # Goods on display.
            gx, gy = rng.integers(x0, max(x1 - 20, x0 + 1)), rng.integers(low - 160, low - 40)
            w, h = rng.integers(10, 50, 2)
            wall[gy : min(gy + h, bottom - 6), gx : min(gx + w, x1)] = rng.random(3) * 0.7
    return wall


def _corrugated(rng: np.random.Generator, worn: bool) -> F32:
    _, x = pixels()
    period = int(rng.choice([16, 32, 64]))
    v = (
        0.82
        + 0.12 * np.sin(2 * np.pi * x / period)
        + (0.04 + 0.14 * worn) * (noise(rng, 3, 5) - 0.5)
    )
    return grey(v.astype(np.float32))


def _planks(rng: np.random.Generator, worn: bool) -> F32:
    y, _ = pixels()
    board = (y // 42) % 12
    tone = rng.uniform(0.8, 1.1, 13).astype(np.float32)[board]
    grain = np.repeat(noise(rng, 8, 5, 0.9)[:, ::8], 8, 1)
    image = mix([0.45, 0.34, 0.24], [0.72, 0.58, 0.42], grain) * tone[..., None]
    return (image * (1 - 0.5 * ((y % 42) < 2))[..., None]).astype(np.float32)


KINDS: dict[str, Maker] = {
    'facade': _facade, 'shop': _shop, 'brick': _brick_wall, 'plaster': _plaster_wall,
    'stone': _stone_wall, 'corrugated': _corrugated, 'planks': _planks,
}  # fmt: skip
