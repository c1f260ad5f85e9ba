"""What lies on the road: rails, crossings, arrows, bumps' paint, patches, seams, covers, water."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.materials import Slot
from sim_perception.simulator.content.meshes.builder import MeshBuilder
from sim_perception.simulator.content.meshes.classes import class_id
from sim_perception.simulator.content.meshes.strips import loft, stations
from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.street.crossings import Crossing, draw_crossings
from sim_perception.simulator.street.draws import draw, stream
from sim_perception.simulator.street.layout import STOP_LINE, Layout
from sim_perception.simulator.street.relief import make_relief

F64 = npt.NDArray[np.float64]

_TEXEL, _PAINT_TEXEL = 6.0, 1.5
_GAUGE = 1.435
#: What lies on what, from below: heights above the road, metres.
_BED, _PATCH, _STEEL, _PAINT, _WATER = 0.003, 0.005, 0.008, 0.010, 0.013
#: Outline of an arrow that points along s: s and d, metres; its shaft and its head.
_SHAFT = np.array([[0.0, -0.1], [2.6, -0.1], [2.6, 0.1], [0.0, 0.1]])
_HEAD = np.array([[2.5, -0.45], [4.2, 0.0], [2.5, 0.45]])
_BRANCH = np.array([[1.5, 0.0], [2.0, 0.0], [2.5, 0.55], [2.2, 0.7]])
_BRANCH_HEAD = np.array([[2.0, 1.0], [2.25, 0.35], [2.9, 1.25]])


def road_details(scenario: Scenario, layout: Layout) -> list[Mesh]:
    """Return meshes of what ``scenario.ground`` asks for, in world coordinates; often none."""
    details = _Details(scenario, layout)
    details.rails()
    for crossing in draw_crossings(scenario, layout):
        details.crossing(crossing)
    details.bumps()
    details.arrows()
    details.patches()
    details.seams()
    details.covers()
    details.puddles()
    return [details.builder.build()] if details.used else []


class _Details:
    """Adds one kind of thing after the other, each from random numbers of its own."""

    def __init__(self, scenario: Scenario, layout: Layout) -> None:
        self.scenario, self.layout = scenario, layout
        self.builder = MeshBuilder(class_id('road'))
        self.used = False
        section = layout.section
        self._low, self._high = -section.half(-1), section.half(1)

    def _band(self, s: tuple[float, float], d: F64, slots: int | list[int], z: float,
              texel: float = _TEXEL) -> None:  # fmt: skip
        """Add a band along the street; ``slots`` may give one material for each of its strips."""
        along = stations(*s, [], 5.0)
        kind: int | npt.NDArray[np.integer] = (
            slots if isinstance(slots, int) else np.tile(np.array(slots), (len(along) - 1, 1))
        )
        loft(self.builder, self.layout, along, d, np.full(len(d), z), kind, class_id('road'),
             texel)  # fmt: skip
        self.used = True

    def _shape(self, outline: F64, slot: int, z: float, texel: float = _PAINT_TEXEL) -> None:
        """Add a convex polygon given by s and d; it faces up whichever way it turns."""
        x, y = self.layout.place(outline[:, 0], outline[:, 1])
        area = np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)
        corners = np.stack([x, y, np.full(len(x), z)], -1)[:: 1 if area > 0 else -1]
        self.builder.polygon(corners, slot, uv=corners[:, :2] / texel)
        self.used = True

    def _count(self, rng: np.random.Generator, span: tuple[float, float]) -> int:
        length = self.layout.end - self.layout.start
        return int(rng.poisson(draw(rng, span) * length / 1000))

    def _somewhere(self, rng: np.random.Generator, room: float = 0.3) -> tuple[float, float]:
        s = float(rng.uniform(self.layout.start + 2, self.layout.end - 12))
        return s, float(rng.uniform(self._low + room, self._high - room))

    def rails(self) -> None:
        """Lay the rails of a tram along the inner lanes, some in a bed of stones."""
        rng = stream(self.scenario, 'tram')
        if rng.random() >= draw(rng, self.scenario.ground.tram):
            return
        bedded = rng.random() < 0.5
        bed = (Slot.COBBLE, Slot.CONCRETE, Slot.ASPHALT_PATCH)[int(rng.integers(3))]
        span = (self.layout.start, self.layout.end)
        for direction in (-1, 1):
            middle = self.layout.section.lane(direction, 0)
            if bedded:
                edges = middle + np.array([-1.15, 1.15])
                self._band(span, edges, int(bed), _BED, 2.4)
            for side in (-1, 1):
                # The head of a grooved rail, its groove on the inside.
                head = middle + side * (_GAUGE / 2 + np.array([-0.045, 0.0, 0.06]))
                slots = [int(Slot.TAR), int(Slot.RAIL)]
                order = 1 if side > 0 else -1
                self._band(span, head[::order], slots[::order], _STEEL)

    def crossing(self, crossing: Crossing) -> None:
        """Mark a crossing of the road."""
        a, b = crossing.s - crossing.width / 2, crossing.s + crossing.width / 2
        across = np.array([self._low + 0.05, self._high - 0.05])
        ground = {'coloured': Slot.PAINT_COLOURED, 'cobbled': Slot.COBBLE, 'table': Slot.COBBLE}
        if crossing.kind in ground:
            self._band((a, b), across, int(ground[crossing.kind]), _PATCH, 2.4)
        if crossing.kind in ('zebra', 'ladder', 'table'):
            for d in np.arange(self._low + 0.45, self._high - 0.8, 1.0):
                self._band((a, b), np.array([d, d + 0.5]), int(Slot.MARKING), _PAINT, _PAINT_TEXEL)
        edges = ((a - 0.3, a - 0.15), (b + 0.15, b + 0.3))
        if crossing.kind == 'dashed':
            for s in edges:
                for d in np.arange(self._low + 0.3, self._high - 0.5, 0.75):
                    self._band(s, np.array([d, d + 0.5]), int(Slot.MARKING), _PAINT, _PAINT_TEXEL)
        elif crossing.kind in ('ladder', 'lines', 'coloured'):
            for s in edges:
                self._band(s, across, int(Slot.MARKING), _PAINT, _PAINT_TEXEL)

    def bumps(self) -> None:
        """Paint the ramps of speed bumps, or cover short ones with rubber."""
        rng = stream(self.scenario, 'bumps')
        relief = make_relief(self.scenario, self.layout)
        tables = {c.s for c in draw_crossings(self.scenario, self.layout)}
        for bump in () if relief is None else relief.bumps:
            if bump.s in tables:
                continue
            low, high = bump.s - bump.length / 2, bump.s + bump.length / 2
            d = np.arange(self._low + 0.35, self._high - 0.3, 0.5)
            style = float(rng.random())
            if bump.length < 1.5:
                pair = (Slot.TAR, Slot.MARKING_YELLOW if style < 0.7 else Slot.MARKING)
                slots = [int(pair[k % 2]) for k in range(len(d) - 1)]
                self._band((low, high), d, slots, _PATCH)
            elif style < 0.75:
                slot = (Slot.ASPHALT_PATCH, Slot.COBBLE, Slot.PAINT_COLOURED)[int(rng.integers(3))]
                self._band((low, high), d[[0, -1]], int(slot), _PATCH)
                for end, start in ((1, low + 0.1), (-1, high - 0.1)):
                    for left in d[:-1:2]:
                        tip = [start + end * 0.9, left + 0.25]
                        tooth = np.array([[start, left], tip, [start, left + 0.5]])
                        self._shape(tooth, Slot.MARKING, _PAINT)

    def arrows(self) -> None:
        """Paint arrows on the lanes before junctions."""
        rng = stream(self.scenario, 'arrows')
        chance = draw(rng, self.scenario.ground.arrows)
        section = self.layout.section
        for junction in self.layout.junctions:
            if rng.random() >= chance:
                continue
            for direction in (1, -1):
                for lane in range(section.lanes):
                    middle = section.lane(direction, lane)
                    turns = [s for s in junction.sides if rng.random() < 0.5]
                    for away in (7.0, 27.0):
                        start = junction.s - direction * (junction.reach() + STOP_LINE + away)
                        self._arrow(start, middle, direction, turns)

    def _arrow(self, start: float, middle: float, direction: int, turns: list[int]) -> None:
        def put(outline: F64) -> None:
            along = start + direction * outline[:, :1]
            self._shape(np.hstack([along, middle + outline[:, 1:]]), Slot.MARKING, _PAINT)

        put(_SHAFT)
        put(_HEAD)
        for side in turns:
            put(_BRANCH * [1, side])
            put(_BRANCH_HEAD * [1, side])

    def patches(self) -> None:
        """Lay patches and trenches of newer asphalt, some with tar along their edges."""
        rng = stream(self.scenario, 'patches')
        for _ in range(self._count(rng, self.scenario.ground.patches_per_km)):
            trench = rng.random() < 0.35
            length = float(rng.uniform(8, 45) if trench else rng.uniform(0.6, 6))
            width = float(rng.uniform(0.4, 1.0) if trench else rng.uniform(0.5, 2.6))
            s, d = self._somewhere(rng, 0.3)
            right = float(np.clip(d, self._low + 0.1, self._high - 0.1 - width))
            end = min(s + length, self.layout.end - 1)
            slot = Slot.DAMP if rng.random() < 0.3 else Slot.ASPHALT_PATCH
            self._band((s, end), np.array([right, right + width]), int(slot), _BED)
            if rng.random() < 0.5:
                for edge in (right, right + width):
                    self._band((s, end), np.array([edge - 0.03, edge + 0.03]), int(Slot.TAR),
                               _PATCH)  # fmt: skip

    def seams(self) -> None:
        """Draw cracks that were sealed with tar, along and across the road."""
        rng = stream(self.scenario, 'seams')
        for _ in range(self._count(rng, self.scenario.ground.seams_per_km)):
            s, d = self._somewhere(rng, 0.4)
            across = rng.random() < 0.4
            steps = int(rng.integers(4, 24))
            turn = np.cumsum(rng.normal(0, 0.25, steps)) + (np.pi / 2 if across else 0.0)
            steps_taken = 0.45 * np.stack([np.cos(turn), np.sin(turn)], -1)
            way = np.array([s, d]) + np.cumsum(steps_taken, 0)
            inside = (way[:, 1] > self._low + 0.1) & (way[:, 1] < self._high - 0.1)
            way = way[: int(inside.argmin())] if not inside.all() else way
            half = float(rng.uniform(0.015, 0.04))
            for a, b in pairwise(way):
                along = (b - a) / np.hypot(*(b - a))
                side = half * np.array([-along[1], along[0]])
                a, b = a - 0.3 * half * along, b + 0.3 * half * along
                self._shape(np.array([a - side, b - side, b + side, a + side]), Slot.TAR, _PATCH)

    def covers(self) -> None:
        """Lay round and square covers, and gullies along the curbs."""
        rng = stream(self.scenario, 'covers')
        for _ in range(self._count(rng, self.scenario.ground.covers_per_km)):
            s, d = self._somewhere(rng, 0.6)
            kind = float(rng.random())
            angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
            ring = np.stack([np.cos(angle), np.sin(angle)], -1)
            if kind < 0.4:
                # In a square of fresh asphalt.
                reach = float(rng.uniform(0.45, 0.7))
                square = np.array([s, d]) + reach * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
                self._shape(square, Slot.ASPHALT_PATCH, _BED, _TEXEL)
            if kind < 0.6:
                round_one = np.array([s, d]) + float(rng.uniform(0.28, 0.36)) * ring
                self._shape(round_one, Slot.MANHOLE, _STEEL)
            else:
                size = np.array([0.25, 0.2]) if kind < 0.8 else np.array([0.5, 0.3])
                if kind < 0.8:
                    d = (self._low + 0.25) if rng.random() < 0.5 else (self._high - 0.25)
                box = np.array([s, d]) + size * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
                self._shape(box, Slot.MANHOLE, _STEEL)

    def puddles(self) -> None:
        """Let water stand on the road, more often at its edges, in a damp margin."""
        rng = stream(self.scenario, 'puddles')
        for _ in range(self._count(rng, self.scenario.ground.puddles_per_km)):
            s, d = self._somewhere(rng, 0.8)
            length, width = float(rng.uniform(0.4, 3.0)), float(rng.uniform(0.3, 0.9))
            if rng.random() < 0.5:
                d = self._low + width if d < 0 else self._high - width
            angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
            waves = [
                0.22 / k * np.sin(k * angle + float(rng.uniform(0, 2 * np.pi))) for k in (2, 3, 5)
            ]
            wobble = 1 + np.sum(waves, 0)
            ring = np.stack([length * np.cos(angle), width * np.sin(angle)], -1)
            ring = ring * wobble[:, None] / 1.3
            for share, slot, z in ((1.0, Slot.DAMP, _STEEL), (0.78, Slot.WATER, _WATER)):
                self._pool(np.array([s, d]), share * ring, int(slot), z)

    def _pool(self, middle: F64, ring: F64, slot: int, z: float) -> None:
        """Add a star-shaped outline as a fan around its middle."""
        points = middle + ring
        points[:, 1] = np.clip(points[:, 1], self._low + 0.02, self._high - 0.02)
        for a, b in zip(points, np.roll(points, -1, 0), strict=True):
            self._shape(np.array([middle, a, b]), slot, z, _TEXEL)
