"""Edges of woods, young trees on stakes and the tree line at the horizon."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.materials import COUNTS, Slot
from sim_perception.simulator.content.meshes.builder import MeshBuilder, grid_faces
from sim_perception.simulator.content.meshes.classes import class_id
from sim_perception.simulator.content.meshes.vegetation import crown, tree

F64 = npt.NDArray[np.float64]

#: Kinds of wood edges.
WOODS = ('broadleaf', 'conifer', 'bare')
#: Length of one piece of a wood's edge along x, metres.
EDGE_LENGTH = 14.0
_DEPTH = 8.0


def wood_edge(kind: str, height: float, rng: np.random.Generator, detail: float = 1.0) -> Mesh:
    """Return a piece of a wood's edge along x, a wall of foliage that faces -y.

    Bushes stand in front, crowns close ranks behind them and a dark backdrop keeps light from
    shining through. Pieces join to a belt when they stand ``0.8 * EDGE_LENGTH`` apart.

    Args:
        kind: one of ``WOODS``; 'bare' is a broadleaf wood without its leaves.
        height: of the higher trees, metres (conifers and bare trees have their own heights).
        rng: decides places, sizes and leaves.
        detail: share of the leaves; fewer leaves are larger.

    Raises:
        ValueError: for an unknown kind.
    """
    if kind not in WOODS:
        raise ValueError(f'unknown kind of wood {kind!r}; choose one of {", ".join(WOODS)}')
    builder = MeshBuilder(class_id('vegetation'))
    if kind == 'broadleaf':
        for x in _spread(rng, 4):
            _broadleaf(builder, rng, x, height * float(rng.uniform(0.65, 1.1)), detail)
        _backdrop(builder, rng, 0.6 * height, Slot.LEAF_0 + int(rng.integers(COUNTS['LEAF'])))
    else:
        for x in _spread(rng, 6 if kind == 'conifer' else 4):
            pose = np.eye(4)
            pose[:3, 3] = x, rng.uniform(0.1, 0.9) * _DEPTH, -0.1
            share = 0.4 * detail if kind == 'conifer' else detail
            builder.add_mesh(tree(kind, rng, share), pose)
        slot = Slot.LEAF_0 if kind == 'conifer' else Slot.BARK_0
        _backdrop(builder, rng, 4.0 if kind == 'conifer' else 1.8, int(slot))
    _undergrowth(builder, rng, 3 if kind == 'bare' else 6, detail)
    return builder.build()


def _spread(rng: np.random.Generator, count: int) -> list[float]:
    """Return places along x, evenly spread and then shaken."""
    pitch = EDGE_LENGTH / count
    middles = (np.arange(count) + 0.5) * pitch - EDGE_LENGTH / 2
    return [float(x) for x in middles + rng.uniform(-0.35, 0.35, count) * pitch]


def _broadleaf(
    builder: MeshBuilder, rng: np.random.Generator, x: float, height: float, detail: float
) -> None:
    """Add one tree whose crown hangs low, as at a wood's edge."""
    count = int(rng.integers(10, 15))
    level = np.linspace(0.14, 0.93, count) + rng.uniform(-0.05, 0.05, count)
    radii = height * (0.16 - 0.13 * np.abs(level - 0.5)) * rng.uniform(0.7, 1.3, count)
    angle = np.arange(count) * 2.4 + rng.uniform(0, 6.28)
    reach = 0.21 * height * np.sqrt(1.1 - level) * rng.uniform(0.4, 1.0, count)
    y = rng.uniform(0.3, 0.75) * _DEPTH
    centres = np.column_stack(
        [x + reach * np.cos(angle), y + reach * np.sin(angle), level * height]
    )
    grow = detail**-0.5
    slot = Slot.LEAF_0 + int(rng.integers(COUNTS['LEAF']))
    # Large cores of few clumps keep it opaque; leaves alone make the outline.
    inner = slice(0, None, 2)
    crown(builder, rng, centres[inner], 0.9 * radii[inner], int(130 * detail),
          (0.25 * grow, 0.5 * grow), slot)  # fmt: skip
    crown(builder, rng, centres, radii, int(480 * detail), (0.2 * grow, 0.5 * grow), slot, 0.0)


def _undergrowth(
    builder: MeshBuilder, rng: np.random.Generator, count: int, detail: float
) -> None:
    radii = rng.uniform(0.7, 1.5, count)
    centres = np.column_stack([_spread(rng, count), rng.uniform(-0.8, 1.2, count), 0.75 * radii])
    grow = detail**-0.4
    slot = Slot.LEAF_0 + int(rng.integers(COUNTS['LEAF']))
    crown(builder, rng, centres, radii, int(110 * count * detail), (0.12 * grow, 0.3 * grow), slot)


def _backdrop(builder: MeshBuilder, rng: np.random.Generator, height: float, slot: int) -> None:
    """Add an uneven dark wall behind the crowns."""
    columns, rows = 12, 4
    x = np.linspace(-0.55 * EDGE_LENGTH, 0.55 * EDGE_LENGTH, columns)
    top = height * rng.uniform(0.75, 1.15, columns)
    z = np.linspace(0, 1, rows)[:, None] * top
    y = 0.7 * _DEPTH + rng.uniform(-0.6, 0.6, (rows, columns))
    vertices = np.stack([np.broadcast_to(x, z.shape), y, z], -1).reshape(-1, 3)
    uv = vertices[:, [0, 2]] / 2.5
    shade = np.repeat(np.linspace(0.12, 0.3, rows), columns)
    builder.add(vertices, grid_faces(rows, columns), slot, uv=uv, occlusion=shade)


def sapling(rng: np.random.Generator) -> Mesh:
    """Return a young tree of 2.8 to 5.5 m, most often tied to stakes, its foot at the origin."""
    builder = MeshBuilder(class_id('vegetation'))
    height = float(rng.uniform(2.8, 5.5))
    bark = Slot.BARK_0 + int(rng.integers(COUNTS['BARK']))
    lean = rng.normal(0, 0.015, 2) * height
    builder.tube(np.array([[0, 0, 0], [*(0.5 * lean), 0.5 * height], [*lean, 0.92 * height]]),
                 np.array([0.055, 0.04, 0.015]), bark, sides=6, caps=False)  # fmt: skip
    count = int(rng.integers(10, 16))
    level = np.linspace(0.4, 0.93, count)
    slim = float(rng.uniform(0.09, 0.2))
    profile = np.sin(np.pi * np.clip((level - 0.3) / 0.72, 0, 1)) ** 0.7
    angle = np.arange(count) * 2.4 + rng.uniform(0, 6.28)
    reach = slim * height * profile * rng.uniform(0.2, 1.0, count)
    centres = np.column_stack([reach * np.cos(angle), reach * np.sin(angle), level * height])
    centres[:, :2] += lean * level[:, None]
    radii = slim * height * (0.3 + 0.3 * profile) * rng.uniform(0.7, 1.2, count)
    slot = Slot.LEAF_0 + int(rng.integers(COUNTS['LEAF']))
    crown(builder, rng, centres, radii, int(rng.integers(350, 650)), (0.09, 0.24), slot, 0.3)
    _stakes(builder, rng, int(rng.choice([0, 1, 2, 3, 3])))
    return builder.build()


def _stakes(builder: MeshBuilder, rng: np.random.Generator, count: int) -> None:
    """Add posts around a trunk and the slats that join them."""
    high, turn = float(rng.uniform(1.3, 2.1)), float(rng.uniform(0, 6.28))
    angle = turn + np.arange(count) * 2 * np.pi / max(count, 1)
    feet = np.column_stack([0.38 * np.cos(angle), 0.38 * np.sin(angle), np.zeros(count)])
    tops = feet * [0.75, 0.75, 1] + [0, 0, high]
    for foot, head in zip(feet, tops, strict=True):
        builder.tube(np.array([foot, head]), 0.035, Slot.WOOD, sides=5, semantic=class_id('pole'))
    for k in range(count if count > 1 else 0):
        ends = np.array([tops[k], tops[(k + 1) % count]]) - [0, 0, 0.12]
        builder.tube(ends, 0.025, Slot.WOOD, sides=4, caps=False, semantic=class_id('pole'))


def tree_line(centre: tuple[float, float], radius: float, rng: np.random.Generator) -> Mesh:
    """Return the silhouettes of woods around the whole scene, with gaps.

    Args:
        centre: x, y of the middle, metres.
        radius: distance of the trees from it.
        rng: decides heights and gaps.
    """
    builder = MeshBuilder(class_id('vegetation'))
    count = max(60, int(2 * np.pi * radius / 3.5))
    angle = np.linspace(0, 2 * np.pi, count + 1)
    waves = sum(
        rng.normal() / k * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in range(2, 12)
    )
    tall = np.clip(9 + 4 * np.asarray(waves), 0.0, 18.0) * rng.uniform(0.8, 1.2, count + 1)
    tall = np.where(tall < 3.5, 0.0, tall)
    tall[-1] = tall[0]
    away = radius + rng.uniform(-1.5, 1.5, count + 1)
    away[-1] = away[0]
    x, y = centre[0] + away * np.cos(angle), centre[1] + away * np.sin(angle)
    z = np.array([-0.6, 0.45, 1.0])[:, None] * np.stack([np.ones_like(tall), tall, tall])
    vertices = np.stack([np.broadcast_to(x, z.shape), np.broadcast_to(y, z.shape), z], -1)
    along = np.broadcast_to(angle * radius, z.shape)
    builder.add(vertices.reshape(-1, 3), grid_faces(3, count + 1)[:, ::-1], Slot.HEDGE,
                uv=np.stack([along / 4, z / 4], -1).reshape(-1, 2),
                occlusion=np.repeat([0.3, 0.5, 0.8], count + 1))  # fmt: skip
    return builder.build()
