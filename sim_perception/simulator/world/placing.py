"""Puts pieces at places along a street; shares meshes between pieces of one kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.meshes import buildings, furniture, vegetation
from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.street.draws import stream
from sim_perception.simulator.street.layout import CURB_HEIGHT, Layout
from sim_perception.simulator.world.assembly import (
    WHITE,
    Assembly,
    Color,
    Stance,
    planar_pose,
)

_TREES = {
    'centre': ('round', 'small', 'tall'),
    'residential': ('round', 'small', 'spreading', 'conifer'),
    'suburb': ('round', 'spreading', 'conifer', 'small', 'tall'),
    'industrial': ('round', 'tall', 'conifer'), 'park': ('spreading', 'round', 'tall', 'conifer'),
    'rural': ('round', 'spreading', 'tall', 'conifer', 'small'),
}  # fmt: skip


@dataclass
class Kit:
    """Meshes of one kind, made on first use.

    Attributes:
        assembly: takes the meshes.
        name: tells kinds apart.
        make: returns variant ``k``.
        count: number of variants.
    """

    assembly: Assembly
    name: str
    make: Callable[[int], Mesh]
    count: int

    def pick(self, rng: np.random.Generator) -> int:
        """Return the index of a mesh drawn from the variants."""
        k = int(rng.integers(self.count))
        return self.assembly.mesh((self.name, k), lambda: self.make(k))


class Placer:
    """Places pieces that never move.

    Args:
        scenario: gives the seed.
        layout: maps street coordinates to the world.
        assembly: takes the pieces.
        season: of the trees.
    """

    def __init__(
        self, scenario: Scenario, layout: Layout, assembly: Assembly, season: str
    ) -> None:
        self.scenario, self.layout, self.assembly = scenario, layout, assembly
        self.section = layout.section
        shape = stream(scenario, 'shapes')
        self._seed = int(shape.integers(2**31))
        self._blocks: set[int] = set()
        bare = season == 'winter'
        habits = _TREES[layout.land_use]

        def grow(k: int, r: np.random.Generator, detail: float) -> Mesh:
            habit = habits[k % len(habits)]
            return vegetation.tree('bare' if bare and habit != 'conifer' else habit, r, detail)

        self._trees = self._kit('tree', 6, lambda k, r: grow(k, r, 1.0))
        self._far_trees = self._kit('far tree', 5, lambda k, r: grow(k, r, 0.2))
        self._bushes = self._kit('bush', 3, lambda k, r: vegetation.bush(r))
        self._lamps = self._kit('lamp', 1, lambda k, r: furniture.lamp(r))
        self._signs = self._kit(
            'sign', 16, lambda k, r: furniture.sign(k % 8, r.uniform(2.3, 2.9))
        )
        self._directions = self._kit('direction', 2, lambda k, r: furniture.direction_sign(r))
        self._utility = self._kit('utility', 1, lambda k, r: furniture.utility_pole(r))

    def _kit(self, name: str, count: int, make: Callable[[int, np.random.Generator], Mesh]) -> Kit:
        def build(k: int) -> Mesh:
            key = [self._seed, len(name), ord(name[0]), ord(name[-1]), k]
            return make(k, np.random.default_rng(key))

        return Kit(self.assembly, name, build, count)

    def _put(self, mesh: int, s: float, d: float, turn: float = 0.0, z: float = CURB_HEIGHT,
             tint: Color = WHITE, stance: Stance = 'auto') -> None:  # fmt: skip
        x, y = self.layout.place(s, d)
        pose = planar_pose(float(x), float(y), z, float(self.layout.heading(s)) + turn)
        self.assembly.place(mesh, pose, tint, stance)

    def _facing(self, side: int) -> float:
        """Return the turn that points a piece's -y at the street."""
        return 0.0 if side > 0 else np.pi

    def _building(self, rng: np.random.Generator, use: str) -> tuple[int, float, float]:
        """Return a building's mesh, width and depth; ``use`` is the land use around it."""
        kind = {
            'centre': ('block',), 'residential': ('block', 'house', 'house'),
            'park': ('house', 'block'),
            'suburb': ('house',), 'industrial': ('hall', 'hall', 'block'),
            'rural': ('house', 'house', 'hall'),
        }[use]  # fmt: skip
        name = kind[int(rng.integers(len(kind)))]
        k = int(rng.integers(6))
        shape = np.random.default_rng([self._seed, 77, k, len(name)])
        if name == 'block':
            width, depth = float(shape.uniform(9, 22)), float(shape.uniform(10, 14))
            floors = int(shape.integers(1, 6))
            make = lambda: buildings.town_block(width, depth, floors, shape)  # noqa: E731
        elif name == 'house':
            width, depth = float(shape.uniform(7.5, 12)), float(shape.uniform(7, 10))
            floors = int(shape.integers(1, 3))
            make = lambda: buildings.house(width, depth, floors, shape)  # noqa: E731
        else:
            width, depth = float(shape.uniform(18, 34)), float(shape.uniform(14, 22))
            make = lambda: buildings.hall(width, depth, shape)  # noqa: E731
        mesh = self.assembly.mesh((name, k), make)
        if name == 'block':
            self._blocks.add(mesh)
        return mesh, width, depth

    def _barrier(
        self, rng: np.random.Generator, kind: str, length: float, s: float, d: float, turn: float
    ) -> None:
        if kind == 'none':
            return
        if kind == 'bushes':
            for x in np.arange(-length / 2 + 0.5, length / 2, 1.3):
                self._put(self._bushes.pick(rng), s + float(x), d, float(rng.uniform(0, 6.28)))
            return
        shape = np.random.default_rng([self._seed, 5, int(length), len(kind)])
        make = (
            (lambda: vegetation.hedge(length, float(shape.uniform(0.8, 1.7)), 0.6, shape))
            if kind == 'hedge'
            else (lambda: furniture.fence(kind, length, shape))
        )
        self._put(self.assembly.mesh((kind, length), make), s, d, turn)
