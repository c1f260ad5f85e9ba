"""Puts tall things close to the road: walls, hedges, garages, scaffolds, bins, bridges."""

from __future__ import annotations

from functools import partial

import numpy as np

from sim_perception.simulator.content.meshes import frontage
from sim_perception.simulator.street.draws import draw, stream
from sim_perception.simulator.world.palette import wall_color
from sim_perception.simulator.world.placing import Placer

_LENGTHS = (4.0, 7.0)
_VARIANTS = 3


class Roadside(Placer):
    """Places what ``scenario.roadside`` asks for; nothing by default."""

    def dress(self) -> None:
        """Place everything."""
        for side in (-1, 1):
            for a, b in self.layout.blocks(side):
                self._frontages(side, a, b)
                self._scaffolds(side, a, b)
                self._bins(side, a, b)
        self._bridges()

    def _edge(self, side: int) -> float:
        """Return the distance of the sidewalk's back from the centre line."""
        return self.section.half(side) + self.section.sidewalk

    def _frontages(self, side: int, a: float, b: float) -> None:
        rng = stream(self.scenario, f'frontage {side} {a:.1f}')
        roadside = self.scenario.roadside
        share = draw(rng, roadside.frontage)
        s = a + 0.5
        while share > 0 and s < b - 4:
            kind = str(rng.choice(frontage.FRONTAGES))
            height = draw(rng, roadside.frontage_height_m)
            length = float(rng.choice(_LENGTHS))
            variant, tint = int(rng.integers(_VARIANTS)), wall_color(rng)
            there = rng.random() < share
            for _ in range(int(rng.integers(1, 6))):
                if s + length > b:
                    break
                if there:
                    self._frontage(kind, length, height, variant, s + length / 2, side, tint)
                s += length
            s += float(rng.uniform(0.0, 4.0)) if rng.random() < 0.4 else 0.0

    def _frontage(
        self,
        kind: str,
        length: float,
        height: float,
        variant: int,
        s: float,
        side: int,
        tint: tuple[float, float, float],
    ) -> None:
        high = round(2 * height) / 2
        mesh = self.assembly.mesh(
            (kind, length, high, variant),
            partial(frontage.frontage, kind, length, high, self._random(31, variant)),
        )
        self._put(mesh, s, side * (self._edge(side) + 0.25), self._facing(side), tint=tint)

    def _scaffolds(self, side: int, a: float, b: float) -> None:
        rng = stream(self.scenario, f'scaffold {side} {a:.1f}')
        rate = draw(rng, self.scenario.roadside.scaffolds_per_km)
        for _ in range(int(rng.poisson(rate * (b - a) / 2000))):
            variant = int(rng.integers(_VARIANTS))
            length, height = 7.0, 4.2 + 2.0 * variant
            mesh = self.assembly.mesh(
                ('scaffold', variant),
                partial(frontage.scaffold, length, height, self._random(37, variant)),
            )
            if b - a > length + 2:
                s = float(rng.uniform(a + length / 2, b - length / 2))
                self._put(mesh, s, side * (self._edge(side) - 0.9), self._facing(side))

    def _bins(self, side: int, a: float, b: float) -> None:
        rng = stream(self.scenario, f'bins {side} {a:.1f}')
        rate = draw(rng, self.scenario.roadside.bins_per_km)
        for _ in range(int(rng.poisson(rate * (b - a) / 2000))):
            variant = int(rng.integers(4))
            mesh = self.assembly.mesh(
                ('bins', variant),
                partial(frontage.wheeled_bins, variant + 1, self._random(41, variant)),
            )
            at = self._edge(side) - 0.45 if rng.random() < 0.6 else self.section.half(side) + 0.5
            self._put(mesh, float(rng.uniform(a, b)), side * at, self._facing(side),
                      tint=wall_color(rng))  # fmt: skip

    def _bridges(self) -> None:
        rng = stream(self.scenario, 'bridges')
        length = self.layout.end - self.layout.start
        rate = draw(rng, self.scenario.roadside.bridges_per_km)
        for k in range(int(rng.poisson(rate * length / 1000))):
            s = float(rng.uniform(self.layout.start + 30, self.layout.end - 20))
            width, clearance = float(rng.uniform(4, 16)), float(rng.uniform(4.4, 6.5))
            if self.layout.near_junction(s, width / 2 + 8):
                continue
            room = float(rng.uniform(0.1, 3.0))
            span = (-self._edge(-1) - room, self._edge(1) + room)
            mesh = self.assembly.mesh(
                ('bridge', k),
                partial(frontage.bridge, span, width, clearance, self._random(43, k)),
            )
            self._put(mesh, s, 0.0, 0.0, z=0.0, stance='tilted')

    def _random(self, purpose: int, variant: int) -> np.random.Generator:
        """Return the random numbers of a mesh."""
        return np.random.default_rng([self._seed, purpose, variant])
