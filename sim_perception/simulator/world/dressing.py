"""Dresses a street: buildings, trees, fences and furniture along its blocks."""

from __future__ import annotations

from functools import partial

import numpy as np

from sim_perception.simulator.content.meshes import buildings, furniture
from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.street.draws import draw, stream
from sim_perception.simulator.street.layout import CROSS_REACH, CURB_HEIGHT, Junction, Layout
from sim_perception.simulator.world.assembly import Assembly, planar_pose
from sim_perception.simulator.world.countryside import Countryside
from sim_perception.simulator.world.palette import wall_color
from sim_perception.simulator.world.placing import Placer
from sim_perception.simulator.world.shopping import Front


class Dresser(Placer):
    """Places everything that never moves, parked vehicles aside."""

    def __init__(
        self, scenario: Scenario, layout: Layout, assembly: Assembly, season: str
    ) -> None:
        super().__init__(scenario, layout, assembly, season)
        # Where a country road is settled, it looks like a suburb.
        self.fronts: list[Front] = []
        self._use = 'suburb' if layout.rural else layout.land_use
        self._country = Countryside(scenario, layout, assembly, season) if layout.rural else None
        self._boards = self._kit('billboard', 5, lambda k, r: furniture.billboard(r))
        self._columns = self._kit('column', 2, lambda k, r: furniture.advertising_column(r))
        small = (furniture.bin_, furniture.cabinet, furniture.bollard, furniture.bench,
                 furniture.bollard, furniture.cabinet)  # fmt: skip
        self._small = self._kit('small', 6, lambda k, r: small[k](r))
        self._shelters = self._kit('shelter', 1, lambda k, r: furniture.bus_shelter(r))

    def dress(self) -> None:
        """Place everything."""
        for side in (-1, 1):
            if not self._settled(side):
                continue
            clear = self.section.sidewalk
            for a, b in self.layout.blocks(side):
                self._buildings(side, a, b)
                self._furniture(side, a, b)
                self._street_trees(side, a, b)
                self._verge(side, a - clear, b + clear)
        for junction in self.layout.junctions:
            self._junction(junction)
            for side in junction.sides:
                if self._settled(side):
                    self._cross_buildings(junction, side)
        if self._country is None:
            self._skyline()
        else:
            self._country.dress()

    def _settled(self, side: int) -> bool:
        return self.layout.verge_of(side) == 'sidewalk'

    def _buildings(self, side: int, a: float, b: float) -> None:
        rng = stream(self.scenario, f'buildings {side} {a:.1f}')
        density = draw(rng, self.scenario.street.building_density)
        if self._use == 'park':
            density *= 0.25
        use = self._use
        s = a - 2.0 + rng.uniform(0, 2)
        while s < b - 5:
            mesh, width, depth = self._building(rng, use)
            if rng.random() < density:
                gap = self.layout.setback + float(rng.uniform(0, 0.6))
                if use in ('suburb', 'residential'):
                    gap += float(rng.uniform(1.0, 5.0))
                if s + width < b + 4:
                    d = side * (self.section.half(side) + self.section.sidewalk + gap + depth / 2)
                    self._put(mesh, s + width / 2, d, self._facing(side), tint=wall_color(rng))
                    if mesh in self._blocks:
                        self.fronts.append(Front(side, s + width / 2, width, gap))
            lane = {'centre': (0.0, 0.3), 'residential': (0.5, 5.0), 'suburb': (3, 12),
                    'industrial': (3, 15), 'park': (15, 40)}[use]  # fmt: skip
            s += width + float(rng.uniform(*lane))

    def _furniture(self, side: int, a: float, b: float) -> None:
        """Place lamps, signs and small things in the strip next to the curb."""
        rng = stream(self.scenario, f'furniture {side} {a:.1f}')
        density = draw(rng, self.scenario.street.furniture_density)
        half, walk = self.section.half(side), self.section.sidewalk
        strip = half + 0.55
        turn = self._facing(side)
        pitch = float(rng.uniform(18, 32))
        utility = self._use in ('suburb', 'industrial') and rng.random() < 0.4
        for s in np.arange(a + rng.uniform(2, 8), b - 1, pitch):
            kit = self._utility if utility else self._lamps
            self._put(kit.pick(rng), float(s), side * strip, turn)
        for _ in range(int(rng.poisson(density * (b - a) / 22))):
            # Signs face the traffic of their side.
            s = float(rng.uniform(a + 1, b - 1))
            against = -side * self.section.hand
            self._put(
                self._signs.pick(rng), s, side * (strip - 0.1), 0.0 if against > 0 else np.pi
            )
        for _ in range(int(rng.poisson(density * (b - a) / 18))):
            s = float(rng.uniform(a + 1, b - 1))
            tint = wall_color(rng)
            at = strip if rng.random() < 0.6 else half + walk - 0.25
            self._put(self._small.pick(rng), s, side * at, turn, tint=tint)
        if walk > 3.2 and rng.random() < 0.4 * density and b - a > 20:
            self._put(self._shelters.pick(rng), float(rng.uniform(a + 6, b - 6)),
                      side * (half + walk - 0.75), self._facing(side))  # fmt: skip
        if walk > 3.0 and rng.random() < 0.3 * density:
            self._put(
                self._columns.pick(rng), float(rng.uniform(a + 2, b - 2)), side * (half + 0.75)
            )
        if rng.random() < 0.35 * density:
            against = -side * self.section.hand
            self._put(self._directions.pick(rng), float(rng.uniform(a + 2, b - 2)),
                      side * (half + walk + 0.8), 0.0 if against > 0 else np.pi)  # fmt: skip
        boards = draw(rng, self.scenario.street.billboard_density)
        for _ in range(int(rng.poisson(boards * (b - a) / 60))):
            against = -side * self.section.hand
            turn_to = (0.0 if against > 0 else np.pi) + float(rng.uniform(-0.5, 0.5))
            self._put(self._boards.pick(rng), float(rng.uniform(a + 3, b - 3)),
                      side * (half + walk + 2.9), turn_to)  # fmt: skip

    def _street_trees(self, side: int, a: float, b: float) -> None:
        rng = stream(self.scenario, f'trees {side} {a:.1f}')
        pitch = draw(rng, self.scenario.street.tree_spacing_m)
        half, walk = self.section.half(side), self.section.sidewalk
        in_walk = walk > 2.6 and rng.random() < 0.6
        d = half + (0.65 if in_walk else walk + 0.9)
        if not in_walk and self.layout.setback < 1.6 and self._use == 'centre':
            return
        s = a + float(rng.uniform(1, pitch))
        while s < b - 1:
            if rng.random() < 0.85:
                self._put(self._trees.pick(rng), s, side * (d + float(rng.uniform(-0.1, 0.1))),
                          float(rng.uniform(0, 2 * np.pi)), CURB_HEIGHT - 0.02)  # fmt: skip
            s += pitch * float(rng.uniform(0.75, 1.3))

    def _verge(self, side: int, a: float, b: float) -> None:
        """Place fences, hedges, bushes and garden trees between sidewalk and buildings."""
        rng = stream(self.scenario, f'verge {side} {a:.1f}')
        edge = self.section.half(side) + self.section.sidewalk
        turn = self._facing(side)
        if self.layout.setback + (3 if self._use != 'centre' else 0) > 1.5:
            s = a + 1
            while s < b - 4:
                length = float(rng.choice([4.0, 6.0, 8.0]))
                kind = str(rng.choice(['rail', 'picket', 'mesh', 'wall', 'hedge', 'hedge', 'none',
                                       'none', 'bushes']))  # fmt: skip
                for _ in range(int(rng.integers(1, 4))):
                    if s + length > b:
                        break
                    self._barrier(rng, kind, length, s + length / 2, side * (edge + 0.45), turn)
                    s += length
                s += float(rng.uniform(1, 6))
        use = self._use
        behind = 14 if use == 'park' else 5
        for _ in range(int((b - a) / 30 * behind / 2)):
            if self._use == 'centre' and rng.random() < 0.7:
                continue
            far = float(rng.uniform(3, 45) if use == 'park' else rng.uniform(20, 50))
            d = edge + far
            kit = self._trees if far < 9 else self._far_trees
            self._put(kit.pick(rng), float(rng.uniform(a, b)), side * d,
                      float(rng.uniform(0, 6.28)))  # fmt: skip

    def _junction(self, junction: Junction) -> None:
        """Place traffic lights or stop signs at a junction's corners."""
        rng = stream(self.scenario, f'junction {junction.s:.1f}')
        reach, hand = junction.reach(), self.section.hand
        for end in (-1, 1):
            # Traffic along +x (end -1) keeps to side -hand and sees the light beyond its line.
            side = end * hand
            half = self.section.half(side)
            if junction.lights and not self.scenario.traffic.signals:
                lit = int(rng.choice([0, 0, 1, 2, 2, 2]))
                arm = float(rng.uniform(2.5, 4.5)) if rng.random() < 0.5 else 0.0
                mesh = self.assembly.mesh(
                    ('light', lit, arm > 0, junction.s),
                    partial(
                        furniture.traffic_light, np.random.default_rng([self._seed, 9]), lit, arm
                    ),
                )
                along = junction.s + end * (reach + 0.4)
                self._put(mesh, along, side * (half + 0.6), 0.0 if end < 0 else np.pi)

    def _cross_buildings(self, junction: Junction, side: int) -> None:
        """Line the cross street with a few buildings and trees and close its end."""
        rng = stream(self.scenario, f'cross {junction.s:.1f} {side}')
        frame = self.layout.frame(junction)
        use = self._use
        heading = float(np.arctan2(frame[1, 0], frame[0, 0]))

        def put(mesh: int, x: float, y: float, turn: float) -> None:
            px, py = (frame[:2, 0] * x + frame[:2, 1] * y + frame[:2, 3]).tolist()
            self.assembly.place(mesh, planar_pose(px, py, CURB_HEIGHT, heading + turn),
                                wall_color(rng))  # fmt: skip

        for end in (-1, 1):
            y = self.section.half(side) + self.section.sidewalk + self.layout.setback + 17
            edge = junction.half + self.section.sidewalk
            while y < CROSS_REACH - 12:
                mesh, width, depth = self._building(rng, use)
                gap = self.layout.setback + (3.0 if use in ('suburb', 'park') else 0.3)
                if rng.random() < 0.85 and use != 'park':
                    put(mesh, end * (edge + gap + depth / 2), side * (y + width / 2),
                        np.pi / 2 * -end)  # fmt: skip
                y += width + float(rng.uniform(0.5, 6))
            for t in np.arange(
                self.section.half(side) + 14, CROSS_REACH, float(rng.uniform(9, 16))
            ):
                if rng.random() < 0.6:
                    put(self._trees.pick(rng), end * (junction.half + 0.7), side * float(t), 0.0)
                elif rng.random() < 0.4:
                    put(self._lamps.pick(rng), end * (junction.half + 0.6), side * float(t),
                        np.pi / 2 * -end)  # fmt: skip
        mesh, _, depth = self._building(rng, use if use != 'park' else 'residential')
        put(mesh, 0.0, side * (CROSS_REACH + 6 + depth / 2), 0.0 if side > 0 else np.pi)

    def _skyline(self) -> None:
        """Place higher blocks and woods behind the first row and at the street's end."""
        rng = stream(self.scenario, 'skyline')
        layout = self.layout
        urban = self._use in ('centre', 'industrial', 'residential')
        for side in (-1, 1):
            for s in np.arange(layout.start, layout.end + 120, 26.0):
                if layout.near_junction(float(s), 9.0, side):
                    continue
                d = side * float(rng.uniform(46, 62) + (12 if urban else 0))
                if urban and rng.random() < 0.55:
                    k = int(rng.integers(4))
                    shape = np.random.default_rng([self._seed, 31, k])
                    floors = int(shape.integers(4, 10))
                    width = float(shape.uniform(14, 24))
                    mesh = self.assembly.mesh(
                        ('tower', k),
                        partial(buildings.tower, width, 14.0, floors, shape),
                    )
                    self._put(mesh, float(s), d, self._facing(side), 0.0)
                else:
                    for _ in range(3):
                        self._put(self._far_trees.pick(rng), float(s + rng.uniform(-12, 12)),
                                  d + side * float(rng.uniform(0, 9)), 0.0, 0.0)  # fmt: skip
        for d in np.arange(-60, 61, 9.0):
            s = layout.end + 45 + float(rng.uniform(0, 25))
            if abs(d) < 14 or not urban or rng.random() < 0.5:
                self._put(self._far_trees.pick(rng), s, float(d), 0.0, -0.2)
            else:
                mesh, _, _ = self._building(rng, self._use)
                self._put(mesh, s, float(d), -np.pi / 2, -0.2)
