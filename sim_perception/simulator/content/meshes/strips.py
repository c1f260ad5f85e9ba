"""Strips of ground swept along the street, and what borders the road."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.materials import Slot
from sim_perception.simulator.content.meshes.builder import MeshBuilder, grid_faces
from sim_perception.simulator.content.meshes.classes import class_id
from sim_perception.simulator.street.layout import CURB_HEIGHT, Layout

F64 = npt.NDArray[np.float64]
#: (e0, e1, z0, z1, slot, texel, class): distances from the road's edge and heights of a strip.
Strip = tuple[float, float, float, float, int, float, str]

_WALK_TEXEL, _ROAD_TEXEL, _GRASS_TEXEL = 2.4, 6.0, 4.0


def stations(low: float, high: float, extra: list[float], step: float) -> F64:
    """Return places along s from low to high, at most a step apart, with the extra ones."""
    base = np.linspace(low, high, max(2, int(np.ceil((high - low) / step)) + 1))
    inside = [x for x in extra if low < x < high]
    merged = np.unique(np.round(np.concatenate([base, inside]), 4))
    return merged


def loft(
    builder: MeshBuilder,
    layout: Layout,
    s: F64,
    d: F64,
    z: F64,
    material: int | npt.NDArray[np.integer],
    semantic: int,
    texel: float,
    occlusion: F64 | float = 1.0,
) -> None:
    """Add a strip whose lateral profile (d, z), d increasing, is swept along s.

    Args:
        builder: takes the surface.
        layout: maps street coordinates to the world.
        s: (K,) metres along the street.
        d: (L,) metres to its left.
        z: (L,) heights.
        material: one index, or (K - 1, L - 1).
        semantic: class id.
        texel: metres per texture repeat.
        occlusion: baked ambient occlusion, for all or (L,).
    """
    grid_s, grid_d = np.meshgrid(s, d, indexing='ij')
    x, y = layout.place(grid_s, grid_d)
    height = np.broadcast_to(z, x.shape)
    vertices = np.stack([x, y, height], -1).reshape(-1, 3)
    around = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(d), np.diff(z)))]) + d[0]
    uv = np.stack([grid_s / texel, np.broadcast_to(around, x.shape) / texel], -1)
    kinds: int | npt.NDArray[np.integer] = material
    if not isinstance(material, int | Slot):
        kinds = np.repeat(np.asarray(material).ravel(), 2)
    shade = np.broadcast_to(occlusion, x.shape).ravel()
    # Columns run to the left and rows forward: swap the winding to face up.
    faces = grid_faces(len(s), len(d))[:, ::-1]
    builder.add(vertices, faces, kinds, uv=uv.reshape(-1, 2), semantic=semantic, occlusion=shade)


def verge_strips(layout: Layout, side: int) -> tuple[Strip, ...]:
    """Return the strips between the road and the land on a side, from the road outwards."""
    h, width = CURB_HEIGHT, layout.section.sidewalk
    verge = layout.verge_of(side)
    if verge == 'shoulder':
        paved = layout.shoulder
        gravel, grass = paved + 0.5, paved + 1.2
        return (
            (0.0, paved, 0.002, 0.002, Slot.ASPHALT, _ROAD_TEXEL, 'road'),
            (paved, gravel, 0.002, 0.02, Slot.GRAVEL, _WALK_TEXEL, 'terrain'),
            (gravel, grass, 0.02, h, Slot.GRASS, _GRASS_TEXEL, 'terrain'),
            (grass, width, h, h + 0.015, Slot.GRASS, _GRASS_TEXEL, 'terrain'),
        )
    curb: tuple[Strip, ...] = (
        (0.0, 0.02, -0.02, h, Slot.CURB, 1.5, 'sidewalk'),
        (0.02, 0.16, h, h, Slot.CURB, 1.5, 'sidewalk'),
    )
    if verge == 'lawn':
        return (*curb, (0.16, width, h, h + 0.015, Slot.GRASS, _GRASS_TEXEL, 'terrain'))
    left = 0 if side > 0 else 1
    slot = Slot.GRAVEL if layout.gravel[left] else Slot.SIDEWALK
    lawn = layout.lawns[left]
    if lawn == 0:
        return (*curb, (0.16, width, h, h + 0.015, slot, _WALK_TEXEL, 'sidewalk'))
    edge = 0.16 + lawn
    return (
        *curb,
        (0.16, edge, h, h + 0.01, Slot.GRASS, _GRASS_TEXEL, 'terrain'),
        (edge, width, h + 0.01, h + 0.015, slot, _WALK_TEXEL, 'sidewalk'),
    )


def field(layout: Layout, side: int, along: tuple[float, float], across: tuple[float, float]
          ) -> Mesh:  # fmt: skip
    """Return a tilled or mown field beside the street.

    Args:
        layout: maps street coordinates to the world.
        side: +1 left, -1 right.
        along: first and last s.
        across: distances of its near and far edge from the road's edge.
    """
    builder = MeshBuilder()
    d = side * (layout.section.half(side) + np.linspace(*across, 5))
    z = CURB_HEIGHT + np.array([0.01, 0.05, 0.05, 0.05, 0.05])
    d, z = (d, z) if side > 0 else (d[::-1], z[::-1])
    loft(builder, layout, stations(*along, [], 8.0), d, z, int(Slot.FIELD), class_id('terrain'),
         _GRASS_TEXEL)  # fmt: skip
    return builder.build()
