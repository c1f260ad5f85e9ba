"""The material table that kernels read: one row per material, one column per property."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.common.scene import F64, Material
from sim_perception.simulator.light.mipmaps import LINEAR

TEXTURE, COLOR, SPECULAR, REFLECTIVITY, TINTED, TRANSLUCENCY, EMISSION, WETTABLE = (
    0, 1, 4, 5, 6, 7, 8, 9,
)  # fmt: skip


def pack_materials(materials: tuple[Material, ...], textures: int) -> F64:
    """Return the (K, 10) material table.

    Raises:
        ValueError: if a material refers to a missing texture.
    """
    for material in materials:
        if not -1 <= material.texture < textures:
            raise ValueError(
                f'material {material.name!r} refers to texture {material.texture}, but there '
                f'are {textures}'
            )
    rows = [
        (
            m.texture, *m.color, m.specular, m.reflectivity, m.tinted, m.translucency,
            m.emission, m.wettable,
        )
        for m in materials
    ]  # fmt: skip
    return np.array(rows, np.float64).reshape(-1, 10)


def mean_colors(table: F64, pyramids: npt.NDArray[np.uint8]) -> F64:
    """Return (K, 3) linear colours of the materials with their textures averaged."""
    colors = table[:, COLOR : COLOR + 3].copy()
    for row, texture in enumerate(table[:, TEXTURE].astype(int)):
        if texture >= 0:
            # The last level of a pyramid is its mean.
            colors[row] *= LINEAR[pyramids[texture, -1]]
    return colors
