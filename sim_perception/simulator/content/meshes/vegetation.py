"""Trees of several habits, bushes, hedges and tufts; leaves are small polygons on crowns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.materials import COUNTS, Slot
from sim_perception.simulator.content.meshes.builder import MeshBuilder, grid_faces, normalise
from sim_perception.simulator.content.meshes.classes import class_id

F64 = npt.NDArray[np.floating]

#: Habits of trees.
HABITS = ('round', 'tall', 'spreading', 'conifer', 'small', 'bare')


def tree(habit: str, rng: np.random.Generator, detail: float = 1.0) -> Mesh:
    """Return a tree with its trunk's foot at the origin.

    Args:
        habit: one of ``HABITS``; 'bare' has branches but no leaves.
        rng: decides size, branches and leaves.
        detail: share of the leaves; fewer leaves are larger.
    """
    builder = MeshBuilder(class_id('vegetation'))
    bark = Slot.BARK_0 + int(rng.integers(COUNTS['BARK']))
    leaf = Slot.LEAF_0 + int(rng.integers(COUNTS['LEAF']))
    if habit == 'conifer':
        _conifer(builder, rng, bark, leaf, detail)
        return builder.build()
    height = {
        'round': rng.uniform(6, 10), 'tall': rng.uniform(9, 14), 'spreading': rng.uniform(7, 11),
        'small': rng.uniform(3.2, 5), 'bare': rng.uniform(6, 11),
    }[habit]  # fmt: skip
    spread = {'round': 0.24, 'tall': 0.13, 'spreading': 0.36, 'small': 0.27, 'bare': 0.28}[habit]
    crown_low = {'tall': 0.22, 'small': 0.42}.get(habit, 0.36)
    top = _trunk(builder, rng, height, bark)
    count = int(rng.integers(8, 13)) if habit != 'small' else int(rng.integers(5, 8))
    centres, radii = _clumps(rng, height, spread, crown_low, count)
    for centre in centres[: 7 if habit != 'bare' else None]:
        foot = top(float(np.clip(0.62 * centre[2], 0.3 * height, 0.75 * height)))
        middle = 0.5 * (foot + centre) + [0, 0, 0.05 * height]
        radius = 0.012 * height * rng.uniform(0.5, 0.9)
        builder.tube(np.array([foot, middle, centre]), np.array([radius, 0.6 * radius, 0.02]),
                     bark, sides=5, caps=False)  # fmt: skip
        if habit == 'bare':
            _twigs(builder, rng, foot, centre, height, bark)
    if habit != 'bare':
        leaves = int((900 if habit == 'small' else 1700) * rng.uniform(0.8, 1.2) * detail)
        grow = detail**-0.4
        size = (0.10 * grow, 0.22 * grow) if habit == 'small' else (0.16 * grow, 0.36 * grow)
        crown(builder, rng, centres, radii, leaves, size, leaf)
    return builder.build()


def _trunk(
    builder: MeshBuilder, rng: np.random.Generator, height: float, bark: int
) -> Callable[[float], F64]:
    s = np.linspace(0, 1, 6)
    bend = rng.normal(0, 0.03 * height, 2)
    points = np.column_stack([bend[0] * s**2, bend[1] * s**2, s * 0.78 * height])
    thick = height * rng.uniform(0.014, 0.022)
    radii = thick * (1 - 0.7 * s)
    radii[0] *= 1.35
    builder.tube(points, radii, bark, sides=8, texel=0.8, caps=False)

    def at(z: float) -> F64:
        return np.array([np.interp(z, points[:, 2], points[:, k]) for k in range(3)])

    return at


def _clumps(
    rng: np.random.Generator, height: float, spread: float, low: float, count: int
) -> tuple[F64, F64]:
    level = np.sort(rng.uniform(low + 0.08, 0.93, count))
    profile = np.sqrt(np.clip(1 - ((level - 0.58) / 0.5) ** 2, 0.1, 1))
    angle = np.arange(count) * 2.4 + rng.uniform(0, 6.28)
    reach = spread * height * profile * rng.uniform(0.45, 1.0, count) * 0.8
    centres = np.column_stack([reach * np.cos(angle), reach * np.sin(angle), level * height])
    radii = spread * height * rng.uniform(0.40, 0.62, count)
    return centres, radii


def crown(
    builder: MeshBuilder,
    rng: np.random.Generator,
    centres: F64,
    radii: F64,
    leaves: int,
    size: tuple[float, float],
    slot: int,
    core: float = 0.62,
) -> None:
    """Add dark cores and leaf polygons around clump centres.

    Args:
        builder: takes the crown.
        rng: places and turns the leaves.
        centres: (N, 3) of the clumps, metres.
        radii: (N,) of the clumps, metres.
        leaves: how many.
        size: smallest and largest leaf, metres.
        slot: material.
        core: radius of the dark cores as a share of the clumps' radii; 0 for none.
    """
    middle = centres.mean(0)
    reach = np.sqrt((((centres - middle) ** 2).sum(1)).max()) + radii.max()
    for centre, radius in zip(centres, radii, strict=True) if core > 0 else ():
        _core(builder, centre, core * radius, slot)
    k = rng.choice(len(centres), leaves, p=radii**2 / (radii**2).sum())
    direction = normalise(rng.normal(size=(leaves, 3)))
    depth = rng.random(leaves) ** 0.35
    place = centres[k] + direction * (radii[k] * (0.6 + 0.45 * depth))[:, None] * [1, 1, 0.85]
    outward = normalise(0.7 * direction + 0.5 * normalise(place - middle))
    shade = 0.35 + 0.65 * np.clip(np.sqrt(((place - middle) ** 2).sum(1)) / reach, 0, 1) ** 1.5
    shade *= 0.75 + 0.25 * np.clip(direction[:, 2] + 0.6, 0, 1)
    _leaves(builder, rng, place, outward, rng.uniform(*size, leaves), shade, slot)


def _leaves(
    builder: MeshBuilder,
    rng: np.random.Generator,
    place: F64,
    outward: F64,
    size: F64,
    shade: F64,
    slot: int,
) -> None:
    """Add one pointed leaf triangle at each place, roughly facing outward."""
    count = len(place)
    facing = normalise(outward + rng.normal(0, 0.55, (count, 3)))
    u = normalise(np.cross(facing, rng.normal(size=(count, 3))))
    w = np.cross(facing, u)
    size = size[:, None]
    corners = np.stack(
        [
            place - 0.6 * u * size,
            place + 0.6 * u * size - 0.25 * w * size,
            place + 1.05 * w * size,
        ],
        1,
    )
    faces = np.arange(3 * count).reshape(-1, 3)
    uv = np.repeat(rng.random((count, 2)) * 4, 3, 0) + np.tile(
        [[0, 0], [0.06, 0], [0.03, 0.06]], (count, 1)
    )
    builder.add(
        corners.reshape(-1, 3),
        faces,
        slot,
        uv=uv,
        normals=np.repeat(outward, 3, 0),
        occlusion=np.repeat(shade, 3),
    )


def _core(builder: MeshBuilder, centre: F64, radius: float, slot: int) -> None:
    lat = np.linspace(-np.pi / 2, np.pi / 2, 5)[:, None]
    lon = np.linspace(0, 2 * np.pi, 8)[None]
    ball = np.stack(
        np.broadcast_arrays(np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)), -1
    ).reshape(-1, 3)
    uv = np.stack(np.broadcast_arrays(lon / 2.0, lat / 2.0), -1).reshape(-1, 2) * radius
    builder.add(centre + radius * ball * [1, 1, 0.85], grid_faces(5, 8), slot, uv=uv, normals=ball,
                occlusion=0.3 + 0.15 * ball[:, 2])  # fmt: skip


def _twigs(
    builder: MeshBuilder,
    rng: np.random.Generator,
    foot: F64,
    tip: F64,
    height: float,
    bark: int,
) -> None:
    for _ in range(7):
        start = foot + rng.uniform(0.35, 1.0) * (tip - foot)
        way = rng.normal(size=3) * 0.09 * height + [0, 0, 0.06 * height]
        middle = start + 0.5 * way + rng.normal(size=3) * 0.01 * height
        builder.tube(np.array([start, middle, start + way]), np.array([0.035, 0.022, 0.008]), bark,
                     sides=4, caps=False)  # fmt: skip


def _conifer(
    builder: MeshBuilder, rng: np.random.Generator, bark: int, leaf: int, detail: float
) -> None:
    height = float(rng.uniform(5, 12))
    builder.tube(np.array([[0, 0, 0], [0, 0, 0.5 * height], [0, 0, height]]),
                 np.array([0.02, 0.014, 0.002]) * height, bark, sides=7, caps=False)  # fmt: skip
    spread = float(rng.uniform(0.16, 0.26)) * height
    low = float(rng.uniform(0.06, 0.2))
    rings = np.array([[low + 0.03, 0.75], [0.4, 0.6], [0.7, 0.33], [0.97, 0.03]])
    angle = np.linspace(0, 2 * np.pi, 11)
    cone = np.stack(
        [
            np.column_stack([r * spread * np.cos(angle), r * spread * np.sin(angle),
                             np.full(11, z * height)])
            for z, r in rings
        ]
    )  # fmt: skip
    builder.add(cone.reshape(-1, 3), grid_faces(4, 11), leaf, uv=cone.reshape(-1, 3)[:, [0, 2]],
                occlusion=0.35)  # fmt: skip
    count = int(rng.integers(1300, 1900) * detail)
    level = 1 - np.sqrt(rng.random(count))
    turn = rng.uniform(0, 2 * np.pi, count)
    layer = 1 - 0.25 * ((level * 9) % 1.0)
    radius = spread * (1 - level) * layer * rng.uniform(0.75, 1.05, count) + 0.05
    place = np.column_stack(
        [radius * np.cos(turn), radius * np.sin(turn), (low + (1 - low) * level) * height]
    )
    outward = normalise(np.column_stack([np.cos(turn), np.sin(turn), np.full(count, 0.35)]))
    shade = 0.45 + 0.55 * layer * np.clip(0.5 + level, 0, 1)
    size = rng.uniform(0.14, 0.34, count) * detail**-0.4
    _leaves(builder, rng, place, outward, size, shade, leaf)


def bush(rng: np.random.Generator) -> Mesh:
    """Return a bush about a metre high."""
    builder = MeshBuilder(class_id('vegetation'))
    count = int(rng.integers(2, 5))
    radii = rng.uniform(0.3, 0.6, count)
    centres = np.column_stack([rng.normal(0, 0.4, (count, 2)), radii * 0.8])
    slot = Slot.LEAF_0 + int(rng.integers(COUNTS['LEAF']))
    crown(builder, rng, centres, radii, 380, (0.07, 0.16), slot)
    return builder.build()


def hedge(length: float, height: float, depth: float, rng: np.random.Generator) -> Mesh:
    """Return a clipped hedge along x, centred at the origin."""
    builder = MeshBuilder(class_id('vegetation'))
    slot = Slot.HEDGE
    builder.box((0, 0, height / 2), (length, depth * 0.9, height * 0.97), slot, texel=1.5,
                occlusion=0.4)  # fmt: skip
    count = int(60 * length)
    side = rng.integers(0, 3, count)
    x = rng.uniform(-length / 2, length / 2, count)
    y = np.where(side == 2, rng.uniform(-depth / 2, depth / 2, count),
                 np.where(side == 0, depth / 2, -depth / 2))  # fmt: skip
    z = np.where(side == 2, height, rng.uniform(0.02, height, count))
    place = np.column_stack([x, y, z]) + rng.normal(0, 0.03, (count, 3))
    place[:, 2] = np.maximum(place[:, 2], 0.03)
    outward = np.column_stack([np.zeros(count), np.sign(y) * (side != 2), 1.0 * (side == 2) + 0.2])
    shade = 0.55 + 0.45 * z / height
    size = rng.uniform(0.06, 0.14, count)
    _leaves(builder, rng, place, normalise(outward), size, shade, slot)
    return builder.build()
