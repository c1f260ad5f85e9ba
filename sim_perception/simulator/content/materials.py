"""The material slots that meshes refer to, and their look in one scene."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.common.parallel import Workers
from sim_perception.simulator.common.scene import Material
from sim_perception.simulator.content import textures


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
    FIELD = 8
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
    GRAVEL = 25
    CHROME = 26
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
    GRAPHIC_0 = 110
    RAIL = 140
    WATER = 141
    DAMP = 142
    TAR = 143
    PAINT_COLOURED = 144
    COBBLE = 145


#: How many variants follow each numbered slot.
COUNTS = {
    'PLATE': 4, 'SKIN': 4, 'HAIR': 4, 'BARK': 2, 'LEAF': 6, 'FACADE': 9, 'SHOP': 4,
    'BILLBOARD': 8, 'SIGN': 8, 'TRUCK_SIDE': 4, 'PLASTER': 4, 'GRAPHIC': 6,
}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """What decides a scene's appearance.

    Attributes:
        domain: 'clean' or 'target'.
        season: of the leaves and the grass.
        color, texture: strength of the randomisation, 0 to 1.
        rural: whether the scene needs the materials of open country.
        prints: whether it needs those of lettered vehicles and shops.
        details: whether it needs those of details of the road.
        wear: chance that a colour of markings has partly worn away.
        fine: chance that the road's asphalt is fine and even.
        lamps: brightness of the glass of unlit rear lamps.
    """

    domain: str
    season: str
    color: float
    texture: float
    rural: bool = False
    prints: bool = False
    details: bool = False
    wear: float = 0.0
    fine: float = 0.0
    lamps: float = 1.0


@dataclass(frozen=True)
class _Recipe:
    """How a slot is dressed: kinds of texture to choose from, colour, other properties."""

    kinds: tuple[str, ...]
    color: tuple[float, float, float]
    specular: float = 0.03
    reflectivity: float = 0.0
    tinted: bool = False
    translucency: float = 0.0
    emission: float = 0.0
    wettable: bool = False
    lidar: float = 0.3
    retro: float = 0.0
    spread: float = 1.0


def _ground(kinds: tuple[str, ...], color: float, lidar: float, retro: float = 0.0) -> _Recipe:
    return _Recipe(kinds, (color,) * 3, wettable=True, lidar=lidar, retro=retro)


def _shiny(color: tuple[float, float, float], specular: float, mirror: float, lidar: float,
           emission: float = 0.0, retro: float = 0.0, spread: float = 1.0) -> _Recipe:  # fmt: skip
    return _Recipe(
        (), color, specular, mirror, lidar=lidar, emission=emission, retro=retro, spread=spread
    )


_FIXED: dict[Slot, _Recipe] = {
    Slot.ASPHALT: _ground(('asphalt', 'asphalt', 'asphalt', 'concrete'), 0.95, 0.15),
    Slot.ASPHALT_PATCH: _ground(('asphalt',), 0.6, 0.1),
    Slot.MARKING: _ground(('marking',), 1.0, 0.6, 0.3),
    Slot.MARKING_YELLOW: _Recipe(('marking',), (0.95, 0.62, 0.12), wettable=True, lidar=0.5,
                                 retro=0.3),
    Slot.CURB: _ground(('concrete',), 0.9, 0.3),
    Slot.SIDEWALK: _ground(('paving', 'paving', 'paving', 'asphalt', 'cobble', 'concrete'), 0.9,
                           0.3),
    Slot.LOT: _ground(('paving', 'asphalt', 'concrete', 'cobble'), 0.85, 0.3),
    Slot.GRASS: _Recipe(('grass',), (0.55, 0.6, 0.5), 0.01, lidar=0.5),
    Slot.CYCLE_LANE: _Recipe(('asphalt',), (1.25, 0.5, 0.42), wettable=True, lidar=0.2),
    Slot.CONCRETE: _Recipe(('concrete',), (0.9, 0.9, 0.88), lidar=0.4),
    Slot.BRICK: _Recipe(('brick', 'brick', 'stone'), (0.95, 0.95, 0.95), lidar=0.35),
    Slot.ROOF: _Recipe(('concrete', 'asphalt'), (0.5, 0.48, 0.46), lidar=0.2),
    Slot.ROOF_TILE: _Recipe(('roof_tile',), (0.75, 0.34, 0.24), lidar=0.25, spread=2.0),
    Slot.METAL: _shiny((0.35, 0.36, 0.37), 0.4, 0.15, 0.4),
    Slot.METAL_DARK: _shiny((0.05, 0.06, 0.06), 0.3, 0.1, 0.2),
    Slot.WOOD: _Recipe(('planks',), (0.8, 0.75, 0.7), lidar=0.4),
    Slot.PAINTED: _Recipe(('corrugated', 'plain', 'planks'), (0.95,) * 3, 0.2, tinted=True,
                          lidar=0.4),
    Slot.GLASS: _shiny((0.015, 0.018, 0.02), 1.0, 0.9, 0.03),
    Slot.PAINT: _Recipe((), (1.0, 1.0, 1.0), 0.9, 0.4, tinted=True, lidar=0.5, spread=0.0),
    Slot.PLASTIC: _shiny((0.02, 0.02, 0.022), 0.15, 0.03, 0.1),
    Slot.TYRE: _shiny((0.016, 0.016, 0.016), 0.03, 0.0, 0.08),
    Slot.RIM: _shiny((0.42, 0.43, 0.45), 0.7, 0.3, 0.5, spread=2.0),
    Slot.HEADLIGHT: _shiny((0.7, 0.72, 0.73), 1.0, 0.6, 0.4, emission=6.0, retro=0.2),
    Slot.TAILLIGHT: _shiny((0.42, 0.01, 0.012), 0.9, 0.35, 0.3, emission=2.5, retro=0.6),
    Slot.CHROME: _shiny((0.5, 0.5, 0.5), 1.0, 0.8, 0.5),
    Slot.CLOTH: _Recipe(('cloth',), (1.0, 1.0, 1.0), 0.01, tinted=True, lidar=0.4, spread=0.0),
    Slot.SHOE: _shiny((0.04, 0.035, 0.03), 0.1, 0.0, 0.2, spread=2.0),
    Slot.LAMP: _shiny((0.8, 0.8, 0.75), 0.3, 0.0, 0.3, emission=8.0),
    Slot.HEDGE: _Recipe(('leaf',), (0.30, 0.42, 0.16), 0.01, translucency=0.2, lidar=0.45),
    Slot.WHITE: _Recipe(('plain',), (0.75, 0.75, 0.73), lidar=0.6),
    Slot.SIGN_BACK: _shiny((0.3, 0.31, 0.32), 0.2, 0.05, 0.4),
    Slot.MANHOLE: _Recipe(('concrete',), (0.25, 0.24, 0.24), 0.2, wettable=True),
    Slot.LIGHT_RED: _shiny((0.9, 0.04, 0.02), 0.1, 0.0, 0.3, emission=3.0),
    Slot.LIGHT_AMBER: _shiny((0.9, 0.45, 0.02), 0.1, 0.0, 0.3, emission=3.0),
    Slot.LIGHT_GREEN: _shiny((0.05, 0.85, 0.4), 0.1, 0.0, 0.3, emission=3.0),
    Slot.LIGHT_OFF: _shiny((0.02, 0.02, 0.02), 0.2, 0.0, 0.1),
    Slot.WINDOW: _shiny((0.03, 0.035, 0.04), 0.8, 0.8, 0.03),
}  # fmt: skip

_SKINS = ((0.60, 0.40, 0.30), (0.48, 0.30, 0.21), (0.28, 0.16, 0.10), (0.12, 0.07, 0.05))
_HAIRS = ((0.015, 0.012, 0.01), (0.06, 0.035, 0.02), (0.3, 0.2, 0.09), (0.45, 0.44, 0.42))

_VARIED: dict[str, _Recipe] = {
    'PLATE': _Recipe(('plate',), (0.9, 0.9, 0.9), lidar=0.6, retro=0.9, spread=0.0),
    'SKIN': _Recipe((), (0.5, 0.32, 0.24), lidar=0.5),
    'HAIR': _Recipe((), (0.08, 0.06, 0.04), 0.08, lidar=0.3),
    'BARK': _Recipe(('bark',), (0.8, 0.78, 0.74), 0.0, lidar=0.35),
    'LEAF': _Recipe(('leaf',), (1.0, 1.0, 1.0), 0.02, translucency=0.45, lidar=0.5),
    'FACADE': _Recipe(('facade',), (0.95, 0.95, 0.95), 0.05, lidar=0.4),
    'SHOP': _Recipe(('shop',), (0.95, 0.95, 0.95), 0.1, lidar=0.3),
    'BILLBOARD': _Recipe(('billboard',), (1.0, 1.0, 1.0), 0.1, lidar=0.5, spread=0.3),
    'SIGN': _Recipe(('sign',), (0.95, 0.95, 0.95), 0.2, lidar=0.6, retro=0.9, spread=0.3),
    'TRUCK_SIDE': _Recipe(('truck_side',), (0.95, 0.95, 0.95), 0.3, 0.05, lidar=0.5),
    'PLASTER': _Recipe(('plaster', 'plaster', 'brick', 'planks'), (0.95, 0.95, 0.95), lidar=0.4),
}

# Drawn after all others and only where needed, so towns look the same with and without them.
_COUNTRY: dict[Slot, tuple[_Recipe, ...]] = {
    Slot.FIELD: (
        _Recipe(('grass',), (0.95, 0.85, 0.45), 0.01, lidar=0.5),
        _Recipe(('grass',), (0.5, 0.75, 0.3), 0.01, lidar=0.5),
        _Recipe(('concrete', 'asphalt'), (0.42, 0.32, 0.22), 0.01, lidar=0.3),
    ),
    Slot.GRAVEL: (_Recipe(('asphalt', 'concrete'), (0.9, 0.84, 0.74), 0.02, lidar=0.3),),
}
_PRINTS = {'GRAPHIC': _Recipe(('graphic',), (0.95, 0.95, 0.95), 0.3, 0.05, lidar=0.5, spread=0.3)}

# As above, for details of the road.
_DETAILS: dict[Slot, tuple[_Recipe, ...]] = {
    Slot.RAIL: (_shiny((0.42, 0.41, 0.40), 0.9, 0.5, 0.25),),
    Slot.WATER: (_shiny((0.03, 0.03, 0.028), 1.0, 1.0, 0.02),),
    Slot.DAMP: (_ground(('asphalt',), 0.42, 0.08),),
    Slot.TAR: (_shiny((0.02, 0.02, 0.022), 0.25, 0.06, 0.05),),
    Slot.PAINT_COLOURED: (
        _Recipe(('asphalt',), (1.5, 0.42, 0.34), wettable=True, lidar=0.2),
        _Recipe(('asphalt',), (0.6, 0.8, 1.05), wettable=True, lidar=0.2),
        _Recipe(('asphalt',), (0.5, 1.15, 0.5), wettable=True, lidar=0.2),
    ),
    Slot.COBBLE: (_ground(('cobble', 'cobble', 'paving'), 0.85, 0.25),),
}
_WORN = {
    Slot.MARKING: _ground(('worn_marking',), 1.0, 0.4, 0.15),
    Slot.MARKING_YELLOW: _Recipe(('worn_marking',), (0.95, 0.68, 0.22), wettable=True, lidar=0.35,
                                 retro=0.15),
}  # fmt: skip

_FINE = {Slot.ASPHALT: _ground(('fine_asphalt',), 0.95, 0.15)}

# Multiplied with the grey leaf texture, per season: darkest and lightest of the palette.
_LEAVES = {
    'spring': ((0.30, 0.52, 0.10), (0.55, 0.78, 0.22)),
    'summer': ((0.17, 0.32, 0.07), (0.42, 0.58, 0.17)),
    'autumn': ((0.62, 0.20, 0.04), (0.85, 0.60, 0.10)),
    'winter': ((0.10, 0.20, 0.08), (0.25, 0.30, 0.14)),
}
_GRASS = {
    'spring': (0.95, 1.1, 0.9), 'summer': (1.0, 1.0, 1.0), 'autumn': (1.15, 0.98, 0.8),
    'winter': (1.1, 1.0, 0.95),
}  # fmt: skip


class _Pool:
    """Collects the textures that the materials of a scene use, each once."""

    def __init__(self, domain: str) -> None:
        self.domain = domain
        self._index: dict[tuple[str, int], int] = {}

    def index(self, kind: str, variant: int) -> int:
        """Return the place of a texture among those of the scene."""
        return self._index.setdefault((kind, variant), len(self._index))

    def images(self) -> npt.NDArray[np.uint8]:
        """Make the textures and return them as (T, S, S, 3)."""
        keys = list(self._index)
        made = np.empty((len(keys), textures.SIZE, textures.SIZE, 3), np.uint8)

        def make(n: int) -> None:
            made[n] = textures.texture(*keys[n], self.domain)

        Workers().run(make, len(keys))
        return made


class _Dresser:
    """Makes the materials of one scene, slot by slot."""

    def __init__(self, look: Look, rng: np.random.Generator) -> None:
        self._look, self._rng = look, rng
        self.pool = _Pool(look.domain)
        # Few variants of each kind when textures hardly vary, many when they do.
        self._variants = 2 + int(look.texture * 14)

    def make(self, name: str, recipe: _Recipe, color: npt.ArrayLike | None = None) -> Material:
        """Draw colour and texture of a slot."""
        rng, strength = self._rng, self._look.color * recipe.spread
        shade = 1 + 0.3 * strength * rng.uniform(-1, 1) + 0.12 * strength * rng.uniform(-1, 1, 3)
        rgb = np.clip(np.asarray(recipe.color if color is None else color) * shade, 0.0, 2.0)
        texture = -1
        if recipe.kinds:
            wild = rng.random() < 0.25 + 0.75 * self._look.texture
            kind = recipe.kinds[int(rng.integers(len(recipe.kinds))) if wild else 0]
            kind = name if kind == 'sign' else kind
            texture = self.pool.index(kind, int(rng.integers(self._variants)))
        return Material(
            name=name,
            texture=texture,
            color=(float(rgb[0]), float(rgb[1]), float(rgb[2])),
            specular=recipe.specular,
            reflectivity=recipe.reflectivity,
            tinted=recipe.tinted,
            translucency=recipe.translucency,
            emission=recipe.emission,
            wettable=recipe.wettable,
            lidar_reflectance=recipe.lidar,
            retroreflectivity=recipe.retro,
            transmission=float(name in ('glass', 'window')),
        )

    def varied_color(self, name: str, k: int) -> npt.ArrayLike | None:
        """Return the base colour of a variant, or None for its recipe's."""
        if name == 'SKIN':
            return _SKINS[k]
        if name == 'HAIR':
            return _HAIRS[k]
        if name == 'LEAF':
            low, high = (np.asarray(c) for c in _LEAVES[self._look.season])
            return low + (high - low) * self._rng.random()
        return None


def build_materials(
    look: Look, rng: np.random.Generator
) -> tuple[tuple[Material, ...], npt.NDArray[np.uint8]]:
    """Dress every slot for one scene.

    Returns:
        The materials in slot order and their (T, S, S, 3) uint8 textures.
    """
    dresser = _Dresser(look, rng)
    materials: dict[int, Material] = {}
    for slot, recipe in _FIXED.items():
        color: npt.ArrayLike | None = None
        if slot == Slot.GRASS:
            color = np.asarray(recipe.color) * _GRASS[look.season]
        elif slot == Slot.HEDGE and look.season == 'autumn':
            color = (0.5, 0.36, 0.12)
        elif slot == Slot.TAILLIGHT:
            color = np.asarray(recipe.color) * look.lamps
        materials[slot] = dresser.make(slot.name.lower(), recipe, color)
    for name, recipe in _VARIED.items():
        for k in range(COUNTS[name]):
            shade = dresser.varied_color(name, k)
            made = dresser.make(f'{name.lower()}_{k}', recipe, shade)
            materials[Slot[f'{name}_0'] + k] = made
    for needed, extra in ((look.rural or look.details, _COUNTRY), (look.details, _DETAILS)):
        for slot, recipes in extra.items() if needed else ():
            recipe = recipes[int(rng.integers(len(recipes)))]
            materials[slot] = dresser.make(slot.name.lower(), recipe)
    for name, recipe in _PRINTS.items() if look.prints else ():
        for k in range(COUNTS[name]):
            materials[Slot[f'{name}_0'] + k] = dresser.make(f'{name.lower()}_{k}', recipe)
    for chance, others in ((look.wear, _WORN), (look.fine, _FINE)):
        for slot, recipe in others.items() if chance > 0 else ():
            if rng.random() < chance:
                materials[slot] = dresser.make(slot.name.lower(), recipe)
    unused = Material(name='unused')
    ordered = tuple(materials.get(i, unused) for i in range(max(materials) + 1))
    return ordered, dresser.pool.images()
