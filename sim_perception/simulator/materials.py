"""The material slots that meshes refer to, and their look in one scene."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from sim_perception.simulator import textures
from sim_perception.simulator.scene import Material


class Slot(IntEnum):
    """Index of a material in ``Assets.materials``; what it looks like changes per scene.

    ``NAME_0`` is the first of ``COUNTS['NAME']`` variants with consecutive indices.
    """

    ASPHALT = 0
    ASPHALT_PATCH = 1
    MARKING = 2
    MARKING_YELLOW = 3
    CURB = 4
    SIDEWALK = 5
    LOT = 6
    GRASS = 7
    SOIL = 8
    CYCLE_LANE = 9
    CONCRETE = 10
    BRICK = 11
    ROOF = 12
    ROOF_TILE = 13
    METAL = 14
    METAL_DARK = 15
    WOOD = 16
    PAINTED = 17
    GLASS = 18
    PAINT = 19
    PLASTIC = 20
    TYRE = 21
    RIM = 22
    HEADLIGHT = 23
    TAILLIGHT = 24
    INDICATOR = 25
    CHROME = 26
    INTERIOR = 27
    CLOTH = 28
    SHOE = 29
    LAMP = 30
    HEDGE = 31
    WHITE = 32
    SIGN_BACK = 33
    MANHOLE = 34
    LIGHT_RED = 35
    LIGHT_AMBER = 36
    LIGHT_GREEN = 37
    LIGHT_OFF = 38
    WINDOW = 39
    PLATE_0 = 40
    SKIN_0 = 44
    HAIR_0 = 48
    BARK_0 = 52
    LEAF_0 = 54
    FACADE_0 = 60
    SHOP_0 = 72
    BILLBOARD_0 = 76
    SIGN_0 = 84
    TRUCK_SIDE_0 = 92
    PLASTER_0 = 96


#: How many variants follow each numbered slot.
COUNTS = {
    'PLATE': 4, 'SKIN': 4, 'HAIR': 4, 'BARK': 2, 'LEAF': 6, 'FACADE': 12, 'SHOP': 4,
    'BILLBOARD': 8, 'SIGN': 8, 'TRUCK_SIDE': 4, 'PLASTER': 4,
}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """What decides a scene's appearance.

    Attributes:
        domain: 'clean' or 'target'.
        season: of the leaves.
        color, texture: strength of the randomisation, 0 to 1.
        lit: whether lamps and windows glow.
    """

    domain: str
    season: str
    color: float
    texture: float
    lit: bool


#: How many texture variants of a kind are drawn from; small enough that a process reuses them.
VARIANTS = 24

_FIXED: dict[Slot, tuple[str | None, tuple[float, float, float], dict[str, float | bool]]] = {
    Slot.ASPHALT: ('asphalt', (0.9, 0.9, 0.9), {'wettable': True, 'lidar_reflectance': 0.15}),
    Slot.ASPHALT_PATCH: ('asphalt', (0.6, 0.6, 0.6), {'wettable': True, 'lidar_reflectance': 0.1}),
    Slot.MARKING: ('concrete', (1.5, 1.5, 1.5), {'wettable': True, 'lidar_reflectance': 0.6,
                                                 'retroreflectivity': 0.3}),
    Slot.MARKING_YELLOW: ('concrete', (1.6, 1.1, 0.25), {'wettable': True,
                                                         'lidar_reflectance': 0.5,
                                                         'retroreflectivity': 0.3}),
    Slot.CURB: ('concrete', (0.8, 0.8, 0.8), {'wettable': True, 'lidar_reflectance': 0.3}),
    Slot.SIDEWALK: ('paving', (0.85, 0.85, 0.85), {'wettable': True, 'lidar_reflectance': 0.3}),
    Slot.LOT: ('paving', (0.7, 0.7, 0.7), {'wettable': True, 'lidar_reflectance': 0.3}),
    Slot.GRASS: ('grass', (1.0, 1.0, 1.0), {'specular': 0.01, 'lidar_reflectance': 0.5}),
    Slot.SOIL: ('soil', (1.0, 1.0, 1.0), {'specular': 0.01, 'lidar_reflectance': 0.3}),
    Slot.CYCLE_LANE: ('asphalt', (1.3, 0.6, 0.5), {'wettable': True, 'lidar_reflectance': 0.2}),
    Slot.CONCRETE: ('concrete', (0.85, 0.85, 0.85), {'lidar_reflectance': 0.4}),
    Slot.BRICK: ('concrete', (0.6, 0.3, 0.2), {'lidar_reflectance': 0.35}),
    Slot.ROOF: ('concrete', (0.4, 0.38, 0.36), {'lidar_reflectance': 0.2}),
    Slot.ROOF_TILE: ('concrete', (0.6, 0.3, 0.22), {'lidar_reflectance': 0.25}),
    Slot.METAL: (None, (0.35, 0.36, 0.37), {'specular': 0.4, 'reflectivity': 0.15,
                                           'lidar_reflectance': 0.4}),
    Slot.METAL_DARK: (None, (0.06, 0.07, 0.07), {'specular': 0.3, 'reflectivity': 0.1,
                                                 'lidar_reflectance': 0.2}),
    Slot.WOOD: ('bark', (1.1, 0.9, 0.7), {'lidar_reflectance': 0.4}),
    Slot.PAINTED: ('plain', (0.9, 0.9, 0.9), {'tinted': True, 'specular': 0.2,
                                              'lidar_reflectance': 0.4}),
    Slot.GLASS: (None, (0.02, 0.025, 0.03), {'specular': 1.0, 'reflectivity': 0.9,
                                             'lidar_reflectance': 0.03}),
    Slot.PAINT: (None, (1.0, 1.0, 1.0), {'tinted': True, 'specular': 0.9, 'reflectivity': 0.4,
                                         'lidar_reflectance': 0.5}),
    Slot.PLASTIC: (None, (0.025, 0.025, 0.027), {'specular': 0.15, 'lidar_reflectance': 0.1}),
    Slot.TYRE: (None, (0.018, 0.018, 0.018), {'specular': 0.04, 'lidar_reflectance': 0.08}),
    Slot.RIM: (None, (0.42, 0.43, 0.45), {'specular': 0.7, 'reflectivity': 0.3,
                                          'lidar_reflectance': 0.5}),
    Slot.HEADLIGHT: (None, (0.75, 0.77, 0.78), {'specular': 1.0, 'reflectivity': 0.6,
                                                'emission': 6.0, 'lidar_reflectance': 0.4,
                                                'retroreflectivity': 0.2}),
    Slot.TAILLIGHT: (None, (0.45, 0.01, 0.012), {'specular': 0.9, 'reflectivity': 0.35,
                                                 'emission': 2.5, 'lidar_reflectance': 0.3,
                                                 'retroreflectivity': 0.6}),
    Slot.INDICATOR: (None, (0.7, 0.25, 0.02), {'specular': 0.9, 'reflectivity': 0.35,
                                               'lidar_reflectance': 0.3}),
    Slot.CHROME: (None, (0.5, 0.5, 0.5), {'specular': 1.0, 'reflectivity': 0.8,
                                          'lidar_reflectance': 0.5}),
    Slot.INTERIOR: (None, (0.02, 0.02, 0.02), {'specular': 0.0, 'lidar_reflectance': 0.1}),
    Slot.CLOTH: ('plain', (1.0, 1.0, 1.0), {'tinted': True, 'specular': 0.01,
                                            'lidar_reflectance': 0.4}),
    Slot.SHOE: (None, (0.05, 0.04, 0.04), {'specular': 0.1, 'lidar_reflectance': 0.2}),
    Slot.LAMP: (None, (0.8, 0.8, 0.75), {'specular': 0.3, 'emission': 8.0}),
    Slot.HEDGE: ('leaf', (0.25, 0.38, 0.14), {'specular': 0.01, 'translucency': 0.2,
                                              'lidar_reflectance': 0.45}),
    Slot.WHITE: ('plain', (0.75, 0.75, 0.73), {'lidar_reflectance': 0.6}),
    Slot.SIGN_BACK: (None, (0.3, 0.31, 0.32), {'specular': 0.2, 'lidar_reflectance': 0.4}),
    Slot.MANHOLE: (None, (0.1, 0.1, 0.1), {'specular': 0.2, 'wettable': True}),
    Slot.LIGHT_RED: (None, (0.8, 0.03, 0.02), {'emission': 3.0}),
    Slot.LIGHT_AMBER: (None, (0.8, 0.4, 0.02), {'emission': 3.0}),
    Slot.LIGHT_GREEN: (None, (0.03, 0.7, 0.3), {'emission': 3.0}),
    Slot.LIGHT_OFF: (None, (0.03, 0.03, 0.03), {}),
    Slot.WINDOW: (None, (0.03, 0.035, 0.04), {'specular': 0.8, 'reflectivity': 0.8,
                                              'lidar_reflectance': 0.03}),
}  # fmt: skip

_VARIED: dict[str, tuple[str | None, tuple[float, float, float], dict[str, float | bool]]] = {
    'PLATE': (None, (0.75, 0.75, 0.7), {'retroreflectivity': 0.9, 'lidar_reflectance': 0.6}),
    'SKIN': (None, (0.5, 0.32, 0.24), {'lidar_reflectance': 0.5}),
    'HAIR': (None, (0.08, 0.06, 0.04), {'lidar_reflectance': 0.3}),
    'BARK': ('bark', (0.7, 0.66, 0.6), {'specular': 0.0, 'lidar_reflectance': 0.35}),
    'LEAF': ('leaf', (0.35, 0.5, 0.16), {'specular': 0.02, 'translucency': 0.45,
                                         'lidar_reflectance': 0.5}),
    'FACADE': ('facade', (1.0, 1.0, 1.0), {'specular': 0.05, 'lidar_reflectance': 0.4}),
    'SHOP': ('facade', (1.0, 1.0, 1.0), {'specular': 0.1, 'lidar_reflectance': 0.3}),
    'BILLBOARD': ('plain', (0.9, 0.8, 0.3), {'specular': 0.1, 'lidar_reflectance': 0.5}),
    'SIGN': (None, (0.6, 0.05, 0.05), {'specular': 0.2, 'retroreflectivity': 0.9,
                                       'lidar_reflectance': 0.6}),
    'TRUCK_SIDE': ('plain', (0.9, 0.9, 0.9), {'specular': 0.2, 'lidar_reflectance': 0.5}),
    'PLASTER': ('concrete', (0.9, 0.85, 0.75), {'lidar_reflectance': 0.4}),
}  # fmt: skip


class _Pool:
    """Collects the textures that the materials of a scene use, each once."""

    def __init__(self, domain: str) -> None:
        self.domain = domain
        self.images: list[npt.NDArray[np.uint8]] = []
        self._index: dict[tuple[str, int], int] = {}

    def index(self, kind: str, variant: int) -> int:
        key = (kind, variant)
        if key not in self._index:
            self._index[key] = len(self.images)
            self.images.append(textures.texture(kind, variant, self.domain))
        return self._index[key]


def build_materials(
    look: Look, rng: np.random.Generator
) -> tuple[tuple[Material, ...], npt.NDArray[np.uint8]]:
    """Dress every slot for one scene.

    Returns:
        The materials in slot order and their (T, S, S, 3) uint8 textures.
    """
    pool = _Pool(look.domain)
    materials: dict[int, Material] = {}

    def add(index: int, name: str, kind: str | None, color: object, extra: dict) -> None:
        jitter = (
            1 + 0.25 * look.color * rng.uniform(-1, 1) + 0.1 * look.color * rng.uniform(-1, 1, 3)
        )
        variant = int(rng.integers(VARIANTS))
        rgb = np.asarray(color, float) * jitter
        materials[index] = Material(
            name=name,
            texture=-1 if kind is None else pool.index(kind, variant),
            color=(float(rgb[0]), float(rgb[1]), float(rgb[2])),
            **extra,
        )

    for slot, (kind, color, extra) in _FIXED.items():
        add(slot, slot.name.lower(), kind, color, extra)
    for name, (kind, color, extra) in _VARIED.items():
        for k in range(COUNTS[name]):
            add(Slot[f'{name}_0'] + k, f'{name.lower()}_{k}', kind, color, extra)
    filler = Material(name='unused')
    ordered = tuple(materials.get(i, filler) for i in range(max(materials) + 1))
    return ordered, np.ascontiguousarray(np.stack(pool.images))
