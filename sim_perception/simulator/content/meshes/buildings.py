"""Buildings: town blocks with shops, houses with gable roofs, halls. Front along +x side y<0.

Every building's front faces -y and its footprint is centred at the origin.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.materials import COUNTS, Slot
from sim_perception.simulator.content.meshes.builder import MeshBuilder
from sim_perception.simulator.content.meshes.classes import class_id

F64 = npt.NDArray[np.float64]

FLOOR = 3.2


def _variant(rng: np.random.Generator, name: str) -> int:
    return int(Slot[f'{name}_0']) + int(rng.integers(COUNTS[name]))


def _walls(
    builder: MeshBuilder,
    size: tuple[float, float],
    z0: float,
    z1: float,
    slot: int,
    repeat: float,
    v_scale: float,
    occlusion: tuple[float, float] = (1.0, 1.0),
) -> None:
    """Add four outward walls; the texture repeats a whole number of times along each."""
    hx, hy = size[0] / 2, size[1] / 2
    corners = np.array([[-hx, -hy], [hx, -hy], [hx, hy], [-hx, hy]])
    for k in range(4):
        p, q = corners[k], corners[(k + 1) % 4]
        width = float(np.hypot(*(q - p)))
        u = max(1.0, round(width / repeat))
        quad = np.array([[*p, z0], [*q, z0], [*q, z1], [*p, z1]])
        uv = np.array([[0, 0], [u, 0], [u, 1], [0, 1.0]])
        uv[:, 1] = (quad[:, 2] - z0) * v_scale
        normal = np.array([q[1] - p[1], p[0] - q[0], 0.0]) / width
        shade = np.where(quad[:, 2] == z0, occlusion[0], occlusion[1])
        builder.add(
            quad, np.array([[0, 1, 2], [0, 2, 3]]), slot, uv=uv,
            normals=np.tile(normal, (4, 1)), occlusion=shade,
        )  # fmt: skip


def town_block(width: float, depth: float, floors: int, rng: np.random.Generator) -> Mesh:
    """Return a flat- or pitched-roofed block; width along x."""
    builder = MeshBuilder(class_id('building'))
    facade = _variant(rng, 'FACADE')
    shop = rng.random() < 0.55
    ground = float(rng.uniform(3.4, 4.2)) if shop else float(rng.uniform(0.4, 0.9))
    top = ground + floors * FLOOR
    repeat = float(rng.uniform(8.5, 13.0))
    _walls(builder, (width, depth), ground, top, facade, repeat, 1 / (4 * FLOOR))
    base = _variant(rng, 'SHOP') if shop else Slot.CONCRETE
    _walls(builder, (width + 0.1, depth + 0.1), 0.0, ground, base, 6.0 if shop else 3.0,
           1 / ground if shop else 1 / 3.0, (0.6, 1.0))  # fmt: skip
    trim = Slot.CONCRETE if rng.random() < 0.5 else _variant(rng, 'PLASTER')
    builder.box((0, 0, ground), (width + 0.3, depth + 0.3, 0.22), trim, bottom=True)
    if rng.random() < 0.7:
        builder.box((0, 0, top + 0.05), (width + 0.7, depth + 0.7, 0.4), trim, bottom=True)
    if rng.random() < 0.35:
        gable_roof(builder, width + 0.5, depth + 0.5, top + 0.2, float(rng.uniform(1.8, 3.5)))
    else:
        _flat_roof(builder, width, depth, top, rng)
    if shop and rng.random() < 0.7:
        _awnings(builder, width, depth, ground, rng)
    if rng.random() < 0.45:
        _balconies(builder, width, depth, ground, floors, rng)
    if rng.random() < 0.5:
        _pilasters(builder, width, depth, ground, top, trim, rng)
    return builder.build()


def _flat_roof(
    builder: MeshBuilder, width: float, depth: float, top: float, rng: np.random.Generator
) -> None:
    builder.box((0, 0, top + 0.02), (width, depth, 0.5), Slot.ROOF, texel=4.0)
    for _ in range(int(rng.integers(0, 4))):
        w, d, h = rng.uniform(1, 3.5), rng.uniform(1, 3.5), rng.uniform(0.8, 2.6)
        x = rng.uniform(-0.3, 0.3) * width
        y = rng.uniform(-0.2, 0.3) * depth
        slot = Slot.METAL if rng.random() < 0.4 else Slot.CONCRETE
        builder.box((x, y, top + h / 2), (w, d, h), slot)
    if rng.random() < 0.3:
        builder.tube(np.array([[width * 0.2, 0, top], [width * 0.2, 0, top + 3.5]]), 0.04,
                     Slot.METAL, sides=5)  # fmt: skip


def _awnings(
    builder: MeshBuilder, width: float, depth: float, ground: float, rng: np.random.Generator
) -> None:
    y = -depth / 2 - 0.05
    for x in np.arange(-width / 2 + 2.2, width / 2 - 1.8, 4.4):
        if rng.random() < 0.5:
            z, out = ground - 0.55, float(rng.uniform(0.8, 1.3))
            corners = np.array([[x - 1.8, y - out, z - 0.5], [x + 1.8, y - out, z - 0.5],
                                [x + 1.8, y, z], [x - 1.8, y, z]])  # fmt: skip
            builder.polygon(corners, Slot.PAINTED, double_sided=True)
            front = np.array([[x - 1.8, y - out, z - 0.72], [x + 1.8, y - out, z - 0.72],
                              [x + 1.8, y - out, z - 0.5],
                              [x - 1.8, y - out, z - 0.5]])  # fmt: skip
            builder.polygon(front, Slot.WHITE, double_sided=True)
        elif rng.random() < 0.6:
            builder.box((x, y - 0.12, ground - 0.4), (3.4, 0.2, 0.55),
                        _variant(rng, 'BILLBOARD'), texel=3.4, bottom=True)  # fmt: skip


def _balconies(
    builder: MeshBuilder,
    width: float,
    depth: float,
    ground: float,
    floors: int,
    rng: np.random.Generator,
) -> None:
    y = -depth / 2
    slot = Slot.METAL_DARK if rng.random() < 0.5 else Slot.CONCRETE
    columns = np.arange(-width / 2 + 2.0, width / 2 - 1.2, float(rng.uniform(3.0, 6.0)))
    for floor in range(floors):
        for x in columns:
            if rng.random() < 0.55:
                z = ground + floor * FLOOR + 0.05
                builder.box((x, y - 0.5, z), (2.3, 1.0, 0.14), Slot.CONCRETE, bottom=True)
                builder.box((x, y - 0.98, z + 0.5), (2.3, 0.05, 0.95), slot, bottom=True)
                for side in (-1, 1):
                    builder.box((x + side * 1.13, y - 0.5, z + 0.5), (0.05, 1.0, 0.95), slot)


def _pilasters(
    builder: MeshBuilder,
    width: float,
    depth: float,
    ground: float,
    top: float,
    slot: int,
    rng: np.random.Generator,
) -> None:
    pitch = float(rng.uniform(3.5, 7.0))
    for x in np.linspace(-width / 2 + 0.3, width / 2 - 0.3, max(2, int(width / pitch))):
        builder.box((x, -depth / 2 - 0.06, (ground + top) / 2), (0.4, 0.14, top - ground), slot)


def gable_roof(builder: MeshBuilder, width: float, depth: float, z: float, rise: float) -> None:
    """Add a gable roof with its ridge along x, eaves at height z."""
    hx, hy = width / 2, depth / 2
    slope = float(np.hypot(hy, rise))
    for side in (-1, 1):
        quad = np.array([[-hx, side * hy, z], [hx, side * hy, z], [hx, 0, z + rise],
                         [-hx, 0, z + rise]])  # fmt: skip
        quad = quad if side < 0 else quad[[1, 0, 3, 2]]
        uv = np.array([[0, 0], [width, 0], [width, slope], [0, slope]]) / 3.0
        builder.polygon(quad, Slot.ROOF_TILE, uv=uv)
        under = quad[[3, 2, 1, 0]] - [0, 0, 0.16]
        builder.polygon(under, Slot.WOOD)
        fascia = np.array([[-hx, side * hy, z - 0.16], [hx, side * hy, z - 0.16],
                           [hx, side * hy, z], [-hx, side * hy, z]])  # fmt: skip
        builder.polygon(fascia if side < 0 else fascia[[1, 0, 3, 2]], Slot.WHITE)
    for end in (-1, 1):
        triangle = np.array([[end * hx * 0.96, -hy, z - 0.1], [end * hx * 0.96, hy, z - 0.1],
                             [end * hx * 0.96, 0, z + rise - 0.1]])  # fmt: skip
        builder.polygon(triangle if end > 0 else triangle[[1, 0, 2]], Slot.PLASTER_0,
                        uv=triangle[:, 1:] / 3)  # fmt: skip


def house(width: float, depth: float, floors: int, rng: np.random.Generator) -> Mesh:
    """Return a detached house."""
    builder = MeshBuilder(class_id('building'))
    wall = Slot.BRICK if rng.random() < 0.45 else _variant(rng, 'PLASTER')
    height = floors * 2.8 + 0.3
    _walls(builder, (width, depth), 0.0, height, wall, 3.0, 1 / 3.0, (0.65, 1.0))
    turned = rng.random() < 0.3
    rise = float(rng.uniform(0.25, 0.55)) * (width if turned else depth) * 0.6
    roof = MeshBuilder(class_id('building'))
    across = (depth, width) if turned else (width, depth)
    gable_roof(roof, across[0] + 0.5, across[1] + 0.8, height, rise)
    pose = np.eye(4)
    if turned:
        pose[:2, :2] = [[0, -1], [1, 0]]
    builder.add_mesh(roof.build(), pose)
    door = float(rng.uniform(-0.25, 0.25)) * width
    for floor in range(floors):
        z = 0.3 + 2.8 * floor + 1.35
        for x in np.linspace(-width / 2 + 1.3, width / 2 - 1.3, max(2, int(width / 2.6))):
            if floor == 0 and abs(x - door) < 1.3:
                continue
            for side in (-1, 1):
                _window(builder, x, side, depth, z, rng)
    _door(builder, door, depth, rng)
    builder.box((width * 0.25, 0.2, height + rise * 0.8), (0.6, 0.6, rise + 0.6), Slot.BRICK)
    if rng.random() < 0.4:
        builder.box((-width / 2 - 1.6, 0.5, 1.25), (3.2, depth * 0.8, 2.5), wall, texel=3.0)
        builder.box((-width / 2 - 1.6, 0.5 - depth * 0.4 - 0.02, 1.05), (2.5, 0.06, 2.1),
                    Slot.PAINTED)  # fmt: skip
        builder.box((-width / 2 - 1.6, 0.5, 2.56), (3.4, depth * 0.82, 0.14), Slot.ROOF)
    return builder.build()


def _window(
    builder: MeshBuilder, x: float, side: int, depth: float, z: float, rng: np.random.Generator
) -> None:
    y = side * depth / 2
    w = 1.25
    builder.box((x, y, z), (w + 0.16, 0.07, 1.36), Slot.WHITE, bottom=True)
    for half in (-1, 1):
        builder.box(
            (x + half * w / 4, y + side * 0.012, z), (w / 2 - 0.04, 0.06, 1.2), Slot.WINDOW
        )
    builder.box((x, y + side * 0.05, z - 0.70), (w + 0.3, 0.16, 0.06), Slot.CONCRETE)
    if side < 0 and rng.random() < 0.25:
        for half in (-1, 1):
            builder.box((x + half * (w / 2 + 0.28), y - 0.03, z), (0.4, 0.05, 1.3), Slot.PAINTED)


def _door(builder: MeshBuilder, x: float, depth: float, rng: np.random.Generator) -> None:
    y = -depth / 2
    builder.box((x, y, 1.3), (1.2, 0.08, 2.3), Slot.WHITE)
    builder.box((x, y - 0.02, 1.25), (0.98, 0.08, 2.1), Slot.PAINTED)
    builder.box((x, y - 0.6, 0.14), (1.8, 1.2, 0.28), Slot.CONCRETE)
    if rng.random() < 0.5:
        builder.box((x, y - 0.5, 2.65), (1.9, 1.1, 0.12), Slot.ROOF, bottom=True)


def hall(width: float, depth: float, rng: np.random.Generator) -> Mesh:
    """Return an industrial hall or a supermarket."""
    builder = MeshBuilder(class_id('building'))
    height = float(rng.uniform(5, 9))
    _walls(builder, (width, depth), 0.6, height, Slot.PAINTED, 4.0, 0.25)
    _walls(builder, (width + 0.06, depth + 0.06), 0.0, 0.6, Slot.CONCRETE, 3.0, 0.3, (0.6, 0.9))
    builder.box((0, 0, height), (width + 0.3, depth + 0.3, 0.35), Slot.METAL_DARK, bottom=True)
    builder.box((0, 0, height + 0.1), (width - 0.4, depth - 0.4, 0.3), Slot.ROOF)
    y = -depth / 2 - 0.03
    for x in np.arange(-width / 2 + 3, width / 2 - 2.5, 5.5):
        if rng.random() < 0.5:
            builder.box((x, y, 1.9), (3.4, 0.08, 3.8), Slot.METAL if rng.random() < 0.6 else
                        Slot.WHITE)  # fmt: skip
        else:
            builder.box((x, y, 2.2), (4.2, 0.08, 1.4), Slot.WINDOW, bottom=True)
    if rng.random() < 0.8:
        x = float(rng.uniform(-0.2, 0.2)) * width
        builder.box((x, y - 0.1, height - 1.1), (5.0, 0.2, 1.3),
                    _variant(rng, 'BILLBOARD'), texel=5.0, bottom=True)  # fmt: skip
    return builder.build()


def tower(width: float, depth: float, floors: int, rng: np.random.Generator) -> Mesh:
    """Return a plain high block for the skyline."""
    builder = MeshBuilder(class_id('building'))
    top = floors * FLOOR
    _walls(builder, (width, depth), 0.0, top, _variant(rng, 'FACADE'), 12.0, 1 / (4 * FLOOR))
    builder.box((0, 0, top), (width + 0.3, depth + 0.3, 0.8), Slot.ROOF)
    return builder.build()
