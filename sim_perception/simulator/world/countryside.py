"""Dresses a country road: wood edges, meadows, fields, young trees, guard rails and posts."""

from __future__ import annotations

import numpy as np

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.meshes import furniture, vegetation, woods
from sim_perception.simulator.content.meshes.strips import field
from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.street.draws import stream
from sim_perception.simulator.street.layout import CROSS_REACH, CURB_HEIGHT, Junction, Layout
from sim_perception.simulator.world.assembly import WHITE, Assembly, Color, planar_pose
from sim_perception.simulator.world.palette import wall_color
from sim_perception.simulator.world.placing import Kit, Placer

#: What follows each other along a side, with its share.
_COVERS = {'wood': 0.42, 'young trees': 0.2, 'meadow': 0.18, 'field': 0.11, 'hedgerow': 0.09}
#: Woods nearer to the road than this have all their leaves, metres.
_NEAR = 24.0
#: How far from the road the land is level with its verge, metres.
_LEVEL = 58.0


def _turn(rng: np.random.Generator) -> float:
    """Return any turn about the vertical, radians."""
    return float(rng.uniform(0, 2 * np.pi))


class Countryside(Placer):
    """Places what stands beside a country road where nobody has settled."""

    def __init__(
        self, scenario: Scenario, layout: Layout, assembly: Assembly, season: str
    ) -> None:
        super().__init__(scenario, layout, assembly, season)
        leafless = season == 'winter'

        def edge(k: int, r: np.random.Generator, tall: float, detail: float) -> Mesh:
            kind = 'conifer' if k == 0 else 'bare' if leafless else 'broadleaf'
            return woods.wood_edge(kind, tall * float(r.uniform(0.75, 1.3)), r, detail)

        self._edges = self._kit('wood edge', 5, lambda k, r: edge(k, r, 9.0, 1.0))
        self._far_edges = self._kit('far wood', 5, lambda k, r: edge(k, r, 11.0, 0.35))
        self._backs = self._kit('wood behind', 4, lambda k, r: edge(k, r, 15.0, 0.3))
        self._saplings = self._kit(
            'sapling', 6,
            lambda k, r: vegetation.tree('bare', r) if leafless and k == 0 else woods.sapling(r),
        )  # fmt: skip
        self._posts = self._kit('post', 1, lambda k, r: furniture.delineator(r))

    def dress(self) -> None:
        """Place everything."""
        for side in (-1, 1):
            for a, b in self.layout.blocks(side):
                if self.layout.verge_of(side) != 'sidewalk':
                    self._roadside(side, a, b)
                    self._land(side, a, b)
                else:
                    self._belt(stream(self.scenario, f'behind {side} {a:.1f}'), side, a, b, 48.0)
        for junction in self.layout.junctions:
            for side in junction.sides:
                if self.layout.verge_of(side) != 'sidewalk':
                    self._cross_street(junction, side)
        self._road_end()

    def _ground(self, side: int, e: float) -> float:
        """Return the ground's height at a distance from the road's edge."""
        if e > _LEVEL:
            return -0.25
        if self.layout.verge_of(side) == 'shoulder':
            slope = (e - self.layout.shoulder - 0.5) / 0.7
            return CURB_HEIGHT * float(np.clip(slope, 0.0, 1.0))
        return CURB_HEIGHT

    def _plant(self, mesh: int, side: int, s: float, e: float, turn: float = 0.0,
               radius: float = 1.0, tint: Color = WHITE) -> bool:  # fmt: skip
        """Place a piece ``e`` metres off the road's edge unless it would reach into a road."""
        d = side * (self.section.half(side) + e)
        x, y = (float(v) for v in self.layout.place(s, d))
        if float(self.layout.clearance(np.array([[x, y]]))[0]) < radius:
            return False
        heading = float(self.layout.heading(s))
        # A hand's breadth into the ground, so that no foot shows.
        pose = planar_pose(x, y, self._ground(side, e) - 0.03, heading + turn)
        self.assembly.place(mesh, pose, tint)
        return True

    def _land(self, side: int, a: float, b: float) -> None:
        """Cover the land along a block with woods, meadows and fields in turn."""
        rng = stream(self.scenario, f'land {side} {a:.1f}')
        names, shares = list(_COVERS), np.array(list(_COVERS.values()))
        s = a
        while s < b - 6:
            end = min(s + float(rng.uniform(35, 120)), b)
            cover = names[int(rng.choice(len(names), p=shares / shares.sum()))]
            if cover == 'wood':
                self._wood(rng, side, s, end)
            elif cover == 'young trees':
                self._young_trees(rng, side, s, end)
            elif cover == 'meadow':
                self._meadow(rng, side, s, end)
            elif cover == 'field':
                self._field(rng, side, s, end)
            else:
                self._hedgerow(rng, side, s, end)
            if rng.random() < 0.15:
                self._farm(rng, side, s, end)
            s = end

    def _wood(self, rng: np.random.Generator, side: int, a: float, b: float) -> None:
        walk = self.section.sidewalk
        near = float(
            walk + rng.choice([rng.uniform(1.5, 6), rng.uniform(6, 20), rng.uniform(20, 45)])
        )
        self._belt(rng, side, a, b, near, float(rng.uniform(-0.12, 0.12)))
        for _ in range(int((b - a) / 25 * min(near - walk, 14) / 4)):
            kit = self._bushes if rng.random() < 0.6 else self._saplings
            self._plant(kit.pick(rng), side, float(rng.uniform(a, b)),
                        float(rng.uniform(walk + 0.5, near - 0.5)), _turn(rng))  # fmt: skip

    def _belt(self, rng: np.random.Generator, side: int, a: float, b: float, near: float,
              slope: float = 0.0) -> None:  # fmt: skip
        """Line a stretch with wood edges whose distance grows by ``slope`` per metre."""
        rows: list[tuple[float, Kit]] = [(near, self._edges if near < _NEAR else self._far_edges)]
        rows.append((near + 9.0, self._backs))
        for first, kit in rows:
            s = a + 0.4 * woods.EDGE_LENGTH
            while s < b:
                e = max(first + slope * (s - a) + float(rng.normal(0, 0.8)), self.section.sidewalk)
                turn = self._facing(side) + side * float(np.arctan(slope)) + rng.normal(0, 0.12)
                self._plant(kit.pick(rng), side, s, e + 1.5, float(turn), 8.0 if e > 9 else 2.5)
                # On the outer side of a bend the belt is longer than the street.
                here, there = (np.stack(self.layout.place(x, side * (self.section.half(side) + e)))
                               for x in (s, s + 1.0))  # fmt: skip
                stretch = float(np.hypot(*(there - here)))
                s += 0.8 * woods.EDGE_LENGTH / max(stretch, 0.3)

    def _young_trees(self, rng: np.random.Generator, side: int, a: float, b: float) -> None:
        """Plant a lawn with rows of young trees; woods or a hedge close it."""
        walk, pitch = self.section.sidewalk, float(rng.uniform(6, 14))
        for row in range(int(rng.integers(1, 4))):
            e = 1.8 + row * float(rng.uniform(5, 9))
            for s in np.arange(a + rng.uniform(0, pitch), b, pitch):
                if rng.random() < 0.85:
                    self._plant(self._saplings.pick(rng), side, float(s + rng.normal(0, 0.5)),
                                float(e + rng.normal(0, 0.25)), _turn(rng))  # fmt: skip
        self._belt(rng, side, a, b, float(walk + rng.uniform(18, 45)))

    def _meadow(self, rng: np.random.Generator, side: int, a: float, b: float) -> None:
        """Scatter single trees, young ones and bushes; a wood closes the meadow far off."""
        walk = self.section.sidewalk
        for _ in range(int((b - a) / 7)):
            e = walk + 1 + 40 * float(rng.random()) ** 1.3
            kit = (self._saplings, self._trees, self._far_trees, self._bushes)[
                int(rng.choice(4, p=[0.45, 0.15, 0.2, 0.2]))
            ]
            kit = self._far_trees if kit is self._trees and e > 15 else kit
            self._plant(kit.pick(rng), side, float(rng.uniform(a, b)), e,
                        _turn(rng), 2.0)  # fmt: skip
        if rng.random() < 0.3:
            self._barrier_row(
                rng, side, a, b, str(rng.choice(['rail', 'mesh', 'rail'])), walk + 0.6
            )
        if rng.random() < 0.8:
            self._belt(rng, side, a, b, float(rng.uniform(42, 75)), float(rng.uniform(-0.1, 0.1)))

    def _field(self, rng: np.random.Generator, side: int, a: float, b: float) -> None:
        near = self.section.sidewalk + float(rng.uniform(0.5, 5))
        self.assembly.lay(field(self.layout, side, (a, b), (near, _LEVEL)))
        if rng.random() < 0.3:
            self._barrier_row(rng, side, a, b, 'rail', near)
        if rng.random() < 0.75:
            self._belt(rng, side, a, b, float(rng.uniform(50, 90)))

    def _hedgerow(self, rng: np.random.Generator, side: int, a: float, b: float) -> None:
        """Grow bushes and trees in a row close to the road."""
        e = self.section.sidewalk + float(rng.uniform(0.6, 6))
        clipped = rng.random() < 0.3
        if clipped:
            self._barrier_row(rng, side, a, b, 'hedge', e)
        s = a
        while s < b:
            kit = self._trees if rng.random() < 0.12 else self._bushes
            if kit is self._trees or not clipped:
                self._plant(kit.pick(rng), side, s, e + float(rng.normal(0, 0.3)),
                            _turn(rng))  # fmt: skip
            s += float(rng.uniform(0.7, 1.5))
        self._belt(rng, side, a, b, float(rng.uniform(35, 80)))

    def _barrier_row(
        self, rng: np.random.Generator, side: int, a: float, b: float, kind: str, e: float
    ) -> None:
        """Set fences, hedges or guard rails along a stretch, end to end."""
        length = 4.0
        shape = np.random.default_rng([self._seed, 6, len(kind), ord(kind[0])])
        key = ('country', kind)
        mesh = self.assembly.mesh(
            key,
            lambda: (
                vegetation.hedge(length, float(shape.uniform(0.8, 1.9)), 0.8, shape)
                if kind == 'hedge'
                else furniture.fence(kind, length + 0.1, shape)
            ),
        )
        for s in np.arange(a + length / 2, b - length / 2, length):
            self._plant(mesh, side, float(s), e, self._facing(side), 0.15)

    def _farm(self, rng: np.random.Generator, side: int, a: float, b: float) -> None:
        mesh, _, depth = self._building(rng, 'rural')
        turn = self._facing(side) + float(rng.choice([0.0, np.pi / 2])) + float(rng.normal(0, 0.1))
        self._plant(mesh, side, float(rng.uniform(a, b)), float(rng.uniform(16, 40)) + depth, turn,
                    14.0, wall_color(rng))  # fmt: skip

    def _roadside(self, side: int, a: float, b: float) -> None:
        """Set guard rails, marker posts, signs, lamps and poles next to the road."""
        rng = stream(self.scenario, f'roadside {side} {a:.1f}')
        shoulder = self.layout.verge_of(side) == 'shoulder'
        edge = self.layout.shoulder + 0.35 if shoulder else 0.55
        away = np.pi if side * self.section.hand > 0 else 0.0
        s = a + 2
        while s < b:
            end = min(s + float(rng.uniform(20, 90)), b)
            if rng.random() < (0.4 if shoulder else 0.1):
                self._barrier_row(rng, side, s, end, 'guard', edge)
            s = end
        pitch = float(rng.choice([15.0, 25.0, 50.0]))
        if rng.random() < (0.85 if shoulder else 0.25):
            for s in np.arange(a + rng.uniform(0, pitch), b, pitch):
                self._plant(self._posts.pick(rng), side, float(s), edge + 0.2, away, 0.2)
        density = self.scenario.street.furniture_density[1]
        for _ in range(int(rng.poisson(density * (b - a) / 80))):
            self._plant(self._signs.pick(rng), side, float(rng.uniform(a, b)), edge + 0.9, away)
        if rng.random() < 0.2:
            s = float(rng.uniform(a, b))
            self._plant(self._directions.pick(rng), side, s, edge + 2.5, away, 2.0)
        line = float(rng.random())
        if line < 0.45:
            kit, e = (self._lamps, edge + 0.5) if line < 0.2 else (self._utility, edge + 3.0)
            for s in np.arange(a + rng.uniform(2, 20), b, float(rng.uniform(26, 45))):
                self._plant(kit.pick(rng), side, float(s), e, self._facing(side), 0.4)

    def _cross_street(self, junction: Junction, side: int) -> None:
        """Line a side road with bushes and trees and close its end with a wood."""
        rng = stream(self.scenario, f'side road {junction.s:.1f} {side}')
        edge = junction.half + 3.0
        for end in (-1, 1):
            for e in np.arange(14.0, CROSS_REACH - 4, float(rng.uniform(7, 15))):
                kit = (self._far_trees, self._saplings, self._bushes)[int(rng.integers(3))]
                s = junction.s + end * (edge + float(rng.uniform(0, 8)))
                self._plant(kit.pick(rng), side, s, float(e), _turn(rng), 1.5)
        for k in (-1, 0, 1):
            self._plant(self._far_edges.pick(rng), side, junction.s + 11.0 * k, CROSS_REACH + 4.0,
                        self._facing(side))  # fmt: skip

    def _road_end(self) -> None:
        """Close the view where the built street ends."""
        rng = stream(self.scenario, 'road end')
        for d in np.arange(-77.0, 78.0, 11.0):
            s = self.layout.end + 35 + float(rng.uniform(0, 12)) + 0.003 * d * d
            self._put(self._far_edges.pick(rng), s, float(d), -np.pi / 2, -0.25)
