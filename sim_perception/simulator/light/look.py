"""From a scene's appearance to light: everything between surfaces and linear radiance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.common.scene import F32, F64, Scene
from sim_perception.simulator.light.mipmaps import build_pyramids
from sim_perception.simulator.light.sky import SUN, make_clouds, pack_light
from sim_perception.simulator.light.table import mean_colors, pack_materials


@dataclass(frozen=True)
class Look:
    """A scene's materials and sky in the form that kernels read.

    Attributes:
        materials: the material table.
        mean_color: (K, 3) linear colours with textures averaged.
        tint: (N, 3) float32 linear colours of the instances.
        pyramids: (T, texels, 3) uint8 sRGB.
        texture_size: texels per side at the finest level.
        light: the light array.
        clouds: cloud noise.
        sun_is_up: whether shadow rays are worth casting.
    """

    materials: F64
    mean_color: F64
    tint: F32
    pyramids: npt.NDArray[np.uint8]
    texture_size: int
    light: F64
    clouds: F32
    sun_is_up: bool


def make_look(scene: Scene) -> Look:
    """Prepare a scene's appearance.

    Raises:
        ValueError: for textures of a wrong shape, missing textures or a sun without direction.
    """
    environment, assets = scene.environment, scene.assets
    clouds = make_clouds(environment.cloud_seed)
    light = pack_light(environment, clouds)
    pyramids = build_pyramids(assets.textures)
    materials = pack_materials(assets.materials, len(assets.textures))
    return Look(
        materials=materials,
        mean_color=mean_colors(materials, pyramids),
        tint=np.ascontiguousarray(scene.instances.tint, np.float32),
        pyramids=pyramids,
        texture_size=assets.textures.shape[1],
        light=light,
        clouds=clouds,
        sun_is_up=bool(max(environment.sun_color) > 0 and light[SUN + 2] > 0),
    )
