"""What lorries and semitrailers carry: boxes, tarpaulins, tanks, skips, drums, platforms."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from sim_perception.simulator.content.materials import Slot
from sim_perception.simulator.content.meshes.builder import MeshBuilder, grid_faces
from sim_perception.simulator.content.meshes.trucks import TruckShape

#: Height of the platform, metres.
_FLOOR = 1.15


def _deck(builder: MeshBuilder, s: TruckShape, x0: float, x1: float, z: float = _FLOOR) -> None:
    builder.box(((x0 + x1) / 2, 0, z - 0.08), (x1 - x0, s.width, 0.16), Slot.METAL_DARK,
                bottom=True)  # fmt: skip


def _box(builder: MeshBuilder, s: TruckShape, x0: float, x1: float) -> None:
    """Add a box body; refrigerated ones have a unit in front."""
    _deck(builder, s, x0, x1)
    high, middle = s.height - _FLOOR, (x0 + x1) / 2
    builder.box((middle, 0, _FLOOR + high / 2), (x1 - x0, s.width, high),
                Slot.TRUCK_SIDE_0 + s.side, texel=max(x1 - x0, high), bottom=True)  # fmt: skip
    for y in (-1, 1):
        builder.box((x0 - 0.015, y * 0.1, _FLOOR + high / 2), (0.04, 0.05, 0.92 * high),
                    Slot.METAL)  # fmt: skip
    if s.side % 2:
        builder.box((x1 + 0.1, 0, s.height - 0.5), (0.24, 1.5, 0.7), Slot.WHITE, bottom=True)


def _curtain(builder: MeshBuilder, s: TruckShape, x0: float, x1: float) -> None:
    """Add a body with tarpaulin sides between posts."""
    _deck(builder, s, x0, x1)
    high, middle = s.height - _FLOOR, (x0 + x1) / 2
    builder.box((middle, 0, _FLOOR + high / 2), (x1 - x0, s.width - 0.06, high), Slot.PAINTED,
                texel=3.0, bottom=True)  # fmt: skip
    builder.box((middle, 0, s.height), (x1 - x0, s.width, 0.12), Slot.METAL, bottom=True)
    for x in np.arange(x0 + 0.3, x1, 0.75):
        for y in (-1, 1):
            builder.box((float(x), y * (s.width / 2 - 0.015), _FLOOR + high / 2),
                        (0.06, 0.02, high), Slot.PLASTIC)  # fmt: skip


def _flat(builder: MeshBuilder, s: TruckShape, x0: float, x1: float) -> None:
    """Add a platform with a front wall and pipes, crates or boards on it."""
    _deck(builder, s, x0, x1)
    builder.box((x1 - 0.04, 0, _FLOOR + 0.5), (0.08, s.width, 1.0), Slot.METAL_DARK, bottom=True)
    for x in np.linspace(x0 + 0.1, x1 - 0.2, 5):
        for y in (-1, 1):
            builder.box((float(x), y * (s.width / 2 - 0.03), _FLOOR + 0.2), (0.07, 0.06, 0.4),
                        Slot.METAL, bottom=True)  # fmt: skip
    rng = np.random.default_rng([round(s.length * 100), s.side])
    long, middle = x1 - x0 - 0.6, (x0 + x1) / 2 - 0.1
    kind = int(rng.integers(4))
    if kind == 0:
        for across in np.arange(-0.9, 0.95, 0.45):
            for z in (0.22, 0.62):
                way = np.array([[middle - long / 2, across, _FLOOR + z],
                                [middle + long / 2, across, _FLOOR + z]])  # fmt: skip
                builder.tube(way, 0.2, Slot.CONCRETE if s.side % 2 else Slot.METAL, sides=8)
    elif kind == 1:
        at = x0 + 0.3
        while at < x1 - 1.5:
            size = float(rng.uniform(0.9, 1.5))
            high = float(rng.uniform(0.6, 1.4))
            slot = (Slot.WOOD, Slot.WHITE, Slot.PAINTED)[int(rng.integers(3))]
            builder.box((at + size / 2, 0, _FLOOR + high / 2), (size, 0.85 * s.width, high), slot,
                        bottom=True)  # fmt: skip
            at += size + 0.15
    elif kind == 2:
        builder.box((middle, 0, _FLOOR + 0.45), (long, 0.8 * s.width, 0.9), Slot.WOOD, texel=1.0)


def _container(builder: MeshBuilder, s: TruckShape, x0: float, x1: float) -> None:
    length = min(12.19 if x1 - x0 > 12.2 else 6.06, x1 - x0)
    builder.box((x0 + length / 2, 0, _FLOOR + 1.3), (length, 2.44, 2.59), Slot.PAINTED, texel=2.4,
                bottom=True)  # fmt: skip
    for x in (x0, x0 + length):
        for y in (-1, 1):
            builder.box((x, y * 1.2, _FLOOR + 1.3), (0.16, 0.1, 2.62), Slot.METAL_DARK)


def _tank(builder: MeshBuilder, s: TruckShape, x0: float, x1: float) -> None:
    """Add a tank with bulged ends, a walkway and manholes on top."""
    radius = min(0.5 * (s.height - _FLOOR) + 0.1, s.width / 2 - 0.02)
    z = _FLOOR + radius - 0.15
    shiny = s.side % 2 == 0
    x = np.array([x0 + 0.1, x0 + 0.16, x0 + 0.4, x1 - 0.4, x1 - 0.16, x1 - 0.1])
    points = np.stack([x, np.zeros(6), np.full(6, z)], -1)
    builder.tube(points, radius * np.array([0.55, 0.8, 1.0, 1.0, 0.8, 0.55]),
                 Slot.METAL if shiny else Slot.PAINT, sides=18)  # fmt: skip
    builder.box(((x0 + x1) / 2, 0, z + radius + 0.03), (0.75 * (x1 - x0), 0.5, 0.05), Slot.METAL,
                bottom=True)  # fmt: skip
    for m in np.linspace(x0 + 1.2, x1 - 1.2, 4):
        cap = np.array([[m, 0, z + radius], [m, 0, z + radius + 0.16]])
        builder.tube(cap, 0.26, Slot.METAL_DARK, sides=10)
        builder.box((float(m), 0, z - radius + 0.1), (0.14, 1.7, 0.5), Slot.METAL_DARK,
                    bottom=True)  # fmt: skip
    for y in (-0.2, 0.2):
        rung = np.array([[x0 + 0.02, y, 0.9], [x0 + 0.02, y, z + radius]])
        builder.tube(rung, 0.02, Slot.METAL, sides=4)
    for side in (-1, 1):
        builder.box((0.0, side * (s.width / 2 - 0.12), 0.98), (0.7 * (x1 - x0), 0.2, 0.24),
                    Slot.METAL_DARK, bottom=True)  # fmt: skip


def _tipper(builder: MeshBuilder, s: TruckShape, x0: float, x1: float) -> None:
    """Add a skip with leaning walls, a cab guard and often a heap in it."""
    high = float(min(s.height - _FLOOR - 0.3, 1.5))
    floor, top = _FLOOR + 0.1, _FLOOR + 0.1 + high
    wide, narrow = s.width / 2, s.width / 2 - 0.16
    low = np.array([[x0 + 0.2, -narrow, floor], [x1 - 0.1, -narrow, floor],
                    [x1 - 0.1, narrow, floor], [x0 + 0.2, narrow, floor]])  # fmt: skip
    rim = np.array([[x0, -wide, top], [x1, -wide, top], [x1, wide, top], [x0, wide, top]])
    for k in range(4):
        m = (k + 1) % 4
        builder.polygon(np.array([low[k], low[m], rim[m], rim[k]]), Slot.PAINT)
        inner = np.array([rim[k], rim[m], low[m], low[k]]) * [0.985, 0.97, 1]
        builder.polygon(inner, Slot.METAL_DARK)
    builder.polygon(low[::-1], Slot.METAL_DARK)
    builder.polygon(np.add(low, [0, 0, 0.02]), Slot.METAL_DARK)
    for x in np.linspace(x0 + 0.3, x1 - 0.3, 6):
        for y in (-1, 1):
            builder.box((float(x), y * (wide - 0.06), 0.5 * (floor + top)), (0.1, 0.14, high),
                        Slot.PAINT, bottom=True)  # fmt: skip
    builder.box((x1 + 0.25, 0, top + 0.06), (0.7, s.width * 0.95, 0.08), Slot.PAINT, bottom=True)
    if s.side % 4:
        heap(builder, (x0 + 0.15, x1 - 0.15), wide - 0.12, top - 0.25, s.side)


def heap(builder: MeshBuilder, x: tuple[float, float], half: float, z: float, seed: int) -> None:
    """Add loose material that bulges over a skip's rim."""
    rng = np.random.default_rng(seed)
    u, v = np.meshgrid(np.linspace(0, 1, 8), np.linspace(-1, 1, 6))
    bulge = np.sin(np.pi * u) * (1 - v**2) * 0.55 + 0.06 * rng.normal(size=u.shape)
    points = np.stack([x[0] + u * (x[1] - x[0]), v * half, z + bulge], -1)
    slot = (Slot.CONCRETE, Slot.BRICK, Slot.ASPHALT_PATCH)[seed % 3]
    builder.add(points.reshape(-1, 3), grid_faces(6, 8), slot)


def _mixer(builder: MeshBuilder, s: TruckShape, x0: float, x1: float) -> None:
    """Add a concrete mixer's drum, hopper and chute."""
    _deck(builder, s, x0, x1, 1.05)
    base, rise = 2.1, 0.55
    t = np.array([0.02, 0.06, 0.3, 0.62, 0.9, 1.0])
    points = np.stack([x1 - 0.2 - t * (x1 - x0 - 0.5), 0 * t, base + rise * t - 0.1], -1)
    radii = np.array([0.4, 0.75, 1.12, 1.1, 0.62, 0.42])
    builder.tube(points, radii, Slot.PAINT if s.side % 2 else Slot.WHITE, sides=18)
    for k in (1, 3):
        band = np.array([points[k] - [0.05, 0, 0], points[k] + [0.05, 0, 0]])
        builder.tube(band, radii[k] + 0.03, Slot.METAL_DARK, sides=18)
    for y in (-0.5, 0.5):
        builder.tube(np.array([[x0 + 0.8, y, 1.1], [x0 + 0.5, y, 2.5]]), 0.07, Slot.METAL, sides=6)
        builder.tube(np.array([[x1 - 0.3, y, 1.1], [x1 - 0.35, y, 2.0]]), 0.09, Slot.METAL,
                     sides=6)  # fmt: skip
    builder.tube(np.array([[x0 + 0.35, 0, s.height - 0.25], [x0 + 0.35, 0, s.height - 0.75]]),
                 np.array([0.5, 0.22]), Slot.METAL, sides=10)  # fmt: skip
    builder.box((x0 + 0.05, 0.1, 1.7), (0.1, 0.36, 1.5), Slot.METAL, bottom=True)


def _refuse(builder: MeshBuilder, s: TruckShape, x0: float, x1: float) -> None:
    """Add a refuse lorry's body and its loader."""
    split = x0 + 1.7
    _deck(builder, s, split, x1, 1.0)
    high = s.height - 1.0
    builder.box(((split + x1) / 2, 0, 1.0 + high / 2), (x1 - split, s.width, high), Slot.PAINT,
                bottom=True)  # fmt: skip
    for x in np.arange(split + 0.5, x1, 0.9):
        builder.box((float(x), 0, 1.0 + high / 2), (0.1, s.width + 0.06, 0.96 * high), Slot.PAINT,
                    bottom=True)  # fmt: skip
    y = s.width / 2
    side = np.array([[x0 + 0.35, 0, 0.75], [split, 0, 0.75], [split, 0, s.height],
                     [x0 + 0.9, 0, s.height], [x0, 0, 1.9]])  # fmt: skip
    builder.polygon(np.add(side, [0, -y, 0]), Slot.PAINT)
    builder.polygon(np.add(side[::-1], [0, y, 0]), Slot.PAINT)
    for a, b in pairwise([side[2], side[3], side[4], side[0], side[1]]):
        quad = np.array([np.add(a, [0, y, 0]), np.add(b, [0, y, 0]), b - [0, y, 0], a - [0, y, 0]])
        builder.polygon(quad, Slot.METAL_DARK, double_sided=True)
    for dy in (-0.8, 0.8):
        builder.box((x0 + 0.2, dy, 0.95), (0.2, 0.5, 0.4), Slot.PLASTIC, bottom=True)


def _tractor(builder: MeshBuilder, s: TruckShape, x0: float, x1: float) -> None:
    """Add the fifth wheel, tanks and the wind deflector over the cab."""
    builder.tube(np.array([[x0 + 1.3, 0, 0.95], [x0 + 1.3, 0, 1.12]]), 0.5, Slot.METAL_DARK)
    top = min(s.height * 0.86, 3.0)
    lean = np.array([[x1 + 0.4, 0, top], [x1 + 1.7, 0, top], [x1 + 0.4, 0, s.height]])
    w = 0.44 * s.width
    builder.polygon(np.add(lean, [0, -w, 0]), Slot.PAINT)
    builder.polygon(np.add(lean[::-1], [0, w, 0]), Slot.PAINT)
    front = np.array([lean[1] - [0, w, 0], lean[1] + [0, w, 0], lean[2] + [0, w, 0],
                      lean[2] - [0, w, 0]])  # fmt: skip
    builder.polygon(front, Slot.PAINT, double_sided=True)
    for y in (-1, 1):
        way = np.array([[x1 - 0.9, y * 0.95, 0.7], [x1 + 0.1, y * 0.95, 0.7]])
        builder.tube(way, 0.3, Slot.METAL, sides=10)


#: Adds a family's load between x0 and x1; semitrailers' families without their 'semi_'.
LOADS: dict[str, Callable[[MeshBuilder, TruckShape, float, float], None]] = {
    'box': _box, 'box_lorry': _box, 'curtain': _curtain, 'flat': _flat, 'flatbed': _flat,
    'tank': _tank, 'tanker': _tank, 'tipper': _tipper, 'mixer': _mixer, 'refuse': _refuse,
    'container': _container, 'tractor': _tractor,
}  # fmt: skip
