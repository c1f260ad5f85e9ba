"""Where the street runs: centre line, cross-section, junctions and the blocks between them.

Street coordinates: ``s`` metres along the main street, ``d`` metres to its left. Side +1 is
the left of increasing s, -1 the right. Cross streets meet the main street at right angles, on
straight pieces, so a junction can be built in a rigid local frame (x along the main street,
y to its left).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.scenario_parts import Street
from sim_perception.simulator.street.draws import draw, stream

F64 = npt.NDArray[np.float64]

_STEP = 0.25
#: How far the street is built behind the ego's start and beyond its farthest place, metres.
BEHIND, AHEAD = 70.0, 170.0
#: How far cross streets reach from the main street's centre line, metres.
CROSS_REACH = 85.0
CURB_HEIGHT = 0.13
#: How far before a junction's corners the main street's stop line lies, metres.
STOP_LINE = 4.2
#: Length that a vehicle takes in a queue, on average, metres.
_QUEUED_LENGTH = 4.4
#: Length of one bend of a country road, metres.
_BEND = 120.0

#: What borders the road: a curb with paving, a curb with grass, or a shoulder without a curb.
Verge = Literal['sidewalk', 'lawn', 'shoulder']


@dataclass(frozen=True)
class Section:
    """Cross-section of the main street, metres.

    Attributes:
        hand: +1 for right-hand traffic (the ego's lanes at d < 0), -1 for left-hand.
        lanes: per direction.
        lane_width, sidewalk, cycle: widths; ``cycle`` is 0 without cycle lanes.
        parking: width of the parking strip on the left and on the right, 0 for none.
    """

    hand: int
    lanes: int
    lane_width: float
    sidewalk: float
    cycle: float
    parking: tuple[float, float]

    def parking_of(self, side: int) -> float:
        """Return the width of a side's parking strip."""
        return self.parking[0 if side > 0 else 1]

    def travel(self) -> float:
        """Return the distance from the centre line to the outer edge of the outer lane."""
        return self.lanes * self.lane_width

    def half(self, side: int) -> float:
        """Return the distance from the centre line to a side's curb."""
        return self.travel() + self.cycle + self.parking_of(side)

    def lane(self, direction: int, index: int) -> float:
        """Return d of a lane's middle; direction +1 runs with s, index 0 is the innermost."""
        return -direction * self.hand * (index + 0.5) * self.lane_width


@dataclass(frozen=True)
class Junction:
    """A crossing of the main street.

    Attributes:
        s: its middle.
        half: half width of the cross street's road.
        radius: of the corner curbs.
        sides: which sides the cross street leaves to.
        lights: whether traffic lights stand there.
    """

    s: float
    half: float
    radius: float
    sides: tuple[int, ...]
    lights: bool

    def reach(self) -> float:
        """Return how far the junction's corners extend along the main street."""
        return self.half + self.radius


@dataclass(frozen=True)
class Queue:
    """A queue at a red light in which the ego begins.

    Attributes:
        junction: index of the junction whose light is red.
        vehicles: how many stand ahead of the ego.
        wait: until the light turns green, seconds after the scenario's beginning.
    """

    junction: int
    vehicles: int
    wait: float


class Layout:
    """The plan of one scene.

    Attributes:
        section: the main street's cross-section.
        junctions: in order of s.
        start, end: range of s that is built.
        land_use: kind of neighbourhood.
        setback: from sidewalk to building fronts, metres.
        verges: what borders the road on the left and on the right.
        shoulder: width of the paved part of a shoulder, metres.
        lawns: width of the grass between curb and pavement on the left and on the right.
        gravel: whether the paths on the left and on the right are of gravel.
        queue: in which the ego begins, or None.
    """

    def __init__(self, scenario: Scenario) -> None:
        rng = stream(scenario, 'layout')
        street = scenario.street
        ego_way = scenario.ego.speed_kmh[1] / 3.6 * scenario.duration_s
        self.start, self.end = -BEHIND, ego_way + AHEAD
        self.land_use = street.land_use[int(rng.integers(len(street.land_use)))]
        self.section = _draw_section(street, scenario.traffic.cyclists_per_km[1] > 0, rng)
        self.setback = draw(rng, street.setback_m)
        self.verges: tuple[Verge, Verge] = ('sidewalk', 'sidewalk')
        self.shoulder = 0.0
        if self.rural:
            self._open_up(stream(scenario, 'country road'))
        self.lawns, self.gravel = self._draw_paths(scenario)
        self.junctions = self._draw_junctions(street, rng)
        self.queue = self._draw_queue(scenario)
        self._s, self._x, self._y, self._heading = self._centre_line(street, rng)

    @property
    def rural(self) -> bool:
        """Whether the street runs through open country."""
        return self.land_use == 'rural'

    def verge_of(self, side: int) -> Verge:
        """Return what borders the road on a side."""
        return self.verges[0 if side > 0 else 1]

    def _open_up(self, rng: np.random.Generator) -> None:
        """Turn the cross-section into a country road's: verges, rarely parking, no cycle lane."""
        kinds: tuple[Verge, ...] = ('shoulder', 'shoulder', 'shoulder', 'lawn', 'lawn', 'sidewalk')
        left, right = (kinds[int(rng.integers(len(kinds)))] for _ in range(2))
        self.verges = (left, right)
        self.shoulder = float(rng.uniform(0.2, 1.4))
        parking = self.section.parking
        kept = tuple(
            w if verge == 'sidewalk' or rng.random() < 0.1 else 0.0
            for w, verge in zip(parking, self.verges, strict=True)
        )
        # A verge needs room for the shoulder, the gravel and the slope up to the grass.
        width = max(self.section.sidewalk, self.shoulder + 1.4)
        self.section = replace(self.section, sidewalk=width, cycle=0.0, parking=(kept[0], kept[1]))

    def _draw_paths(self, scenario: Scenario) -> tuple[tuple[float, float], tuple[bool, bool]]:
        """Return the width of lawns beside the curbs and which paths are of gravel."""
        rng = stream(scenario, 'paths')
        ground = scenario.ground
        lawn, gravel = draw(rng, ground.lawn_strips), draw(rng, ground.gravel)
        room = self.section.sidewalk - 1.0
        lawns = [
            float(rng.uniform(0.5, 1.0)) * room if rng.random() < lawn and room > 0.6 else 0.0
            for _ in range(2)
        ]
        rough = [bool(rng.random() < gravel) for _ in range(2)]
        return (lawns[0], lawns[1]), (rough[0], rough[1])

    def _draw_junctions(self, street: Street, rng: np.random.Generator) -> tuple[Junction, ...]:
        junctions = []
        lights = 0.1 if self.rural else 0.5
        s = self.start + 40 + rng.random() * draw(rng, street.junction_spacing_m)
        while s < self.end - 40:
            sides = ((1, -1), (1, -1), (1,), (-1,))[int(rng.integers(4))]
            half = float(rng.uniform(2.9, 4.2))
            radius = self.section.sidewalk + float(rng.uniform(0.6, 2.5))
            junctions.append(Junction(s, half, radius, sides, bool(rng.random() < lights)))
            s += max(draw(rng, street.junction_spacing_m), 40.0)
        return tuple(junctions)

    def _draw_queue(self, scenario: Scenario) -> Queue | None:
        """Put the junction of a queue where the queue's end lies at the ego's start."""
        rng = stream(scenario, 'queue')
        ego = scenario.ego
        if rng.random() >= draw(rng, ego.queue):
            return None
        vehicles, wait = round(draw(rng, ego.queue_vehicles)), draw(rng, ego.queue_wait_s)
        half = float(rng.uniform(2.9, 4.2))
        radius = self.section.sidewalk + float(rng.uniform(0.6, 2.5))
        gap = 0.5 * (ego.queue_gap_m[0] + ego.queue_gap_m[1])
        s = half + radius + STOP_LINE + 3.0 + vehicles * (_QUEUED_LENGTH + gap)
        lit = Junction(s, half, radius, (1, -1), True)
        others = [j for j in self.junctions if abs(j.s - s) > 45]
        self.junctions = tuple(sorted([*others, lit], key=lambda j: j.s))
        return Queue(self.junctions.index(lit), vehicles, wait)

    def _centre_line(self, street: Street, rng: np.random.Generator) -> tuple[F64, F64, F64, F64]:
        """Integrate smooth bends that leave the junctions straight."""
        first, last = self.start - 60, self.end + 60
        s = np.arange(first, last + _STEP, _STEP)
        curvature = np.zeros_like(s)
        curviness = draw(rng, street.curviness)
        knots = [first, *[j.s for j in self.junctions], last]
        for low, high in self._bends(knots):
            peak = curviness * float(rng.uniform(-1, 1)) / 75
            if self.rural:
                # Country roads wind: no bend is as good as straight.
                peak = curviness * float(np.sign(peak) * rng.uniform(0.3, 1.0)) / 75
            u = np.clip((s - low) / (high - low), 0, 1)
            curvature += peak * np.sin(np.pi * u) ** 2
        heading = np.cumsum(curvature) * _STEP
        middle = 0.5 * (heading[:-1] + heading[1:])
        x = np.concatenate([[0.0], np.cumsum(np.cos(middle) * _STEP)])
        y = np.concatenate([[0.0], np.cumsum(np.sin(middle) * _STEP)])
        zero = round(-first / _STEP)
        # The world's origin is where the ego starts, x along the street there.
        c, n = np.cos(heading[zero]), np.sin(heading[zero])
        dx, dy = x - x[zero], y - y[zero]
        return s, c * dx + n * dy, c * dy - n * dx, heading - heading[zero]

    def _bends(self, knots: list[float]) -> Iterator[tuple[float, float]]:
        """Yield the pieces of s that bend: one between junctions, several in open country."""
        for a, b in pairwise(knots):
            low, high = a + 24, b - 24
            if high - low < 30:
                continue
            pieces = max(1, round((high - low) / _BEND)) if self.rural else 1
            yield from pairwise(np.linspace(low, high, pieces + 1).tolist())

    def heading(self, s: F64 | float) -> F64:
        """Return the street's heading at s, radians."""
        return np.asarray(np.interp(s, self._s, self._heading))

    def place(self, s: F64 | float, d: F64 | float) -> tuple[F64, F64]:
        """Map street coordinates to the world's x, y."""
        heading = self.heading(s)
        x = np.interp(s, self._s, self._x) - np.sin(heading) * d
        y = np.interp(s, self._s, self._y) + np.cos(heading) * d
        # Straight on beyond the table's ends.
        over = np.asarray(s) - np.clip(s, self._s[0], self._s[-1])
        return x + over * np.cos(heading), y + over * np.sin(heading)

    def locate(self, points: F64, reach: float = np.inf) -> tuple[F64, F64]:
        """Return the street coordinates s, d of (N, 2) points of the world.

        Exact where the street is nearer than the centre of its bend. Farther off than ``reach``,
        which saves time, d is infinite and s is the end's.
        """
        gap, k = self._tree.query(points, distance_upper_bound=reach)
        k = np.minimum(k, len(self._s) - 1)
        heading, curvature = self._heading[k], self._curvature[k]
        dx, dy = points[:, 0] - self._x[k], points[:, 1] - self._y[k]
        c, n = np.cos(heading), np.sin(heading)
        ahead, left = c * dx + n * dy, c * dy - n * dx
        # Within a step the street is an arc, beyond the table's ends its tangent.
        curvature = np.where((k == 0) | (k == len(self._s) - 1), 0.0, curvature)
        along = ahead / np.maximum(1 - curvature * left, 0.2)
        near = np.isfinite(gap)
        d = np.where(near, left - 0.5 * curvature * ahead * along, np.inf)
        return np.where(near, self._s[k] + along, self._s[k]), d

    def bend(self, s: F64) -> F64:
        """Return the street's curvature at s, 1/m, positive to the left."""
        return np.asarray(np.interp(s, self._s, self._curvature))

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(np.column_stack([self._x, self._y]))

    @cached_property
    def _curvature(self) -> F64:
        return np.asarray(np.gradient(self._heading, _STEP))

    def line(self, s: F64, d: F64 | float) -> F64:
        """Return (N, 3) world points on the ground along street coordinates."""
        x, y = self.place(s, d)
        return np.stack([x, y, np.zeros_like(x)], -1)

    def frame(self, junction: Junction) -> F64:
        """Return the 4x4 pose of a junction's local frame in the world."""
        x, y = self.place(junction.s, 0.0)
        h = float(self.heading(junction.s))
        pose = np.eye(4)
        pose[:2, :2] = [[np.cos(h), -np.sin(h)], [np.sin(h), np.cos(h)]]
        pose[:2, 3] = x, y
        return pose

    def blocks(self, side: int, clear: float | None = None) -> list[tuple[float, float]]:
        """Return the pieces of s between cross streets on one side.

        Args:
            side: +1 or -1.
            clear: distance kept from cross streets' middles; their corners when omitted.
        """
        edges = [self.start]
        for j in self.junctions:
            if side in j.sides:
                reach = j.reach() if clear is None else clear
                edges += [j.s - reach, j.s + reach]
        edges.append(self.end)
        pairs = zip(edges[0::2], edges[1::2], strict=True)
        return [(a, b) for a, b in pairs if b - a > 1.0]

    def near_junction(self, s: float, margin: float, side: int | None = None) -> bool:
        """Return whether s lies within a junction widened by ``margin`` metres."""
        return any(
            abs(s - j.s) < j.reach() + margin and (side is None or side in j.sides)
            for j in self.junctions
        )

    def clearance(self, points: F64) -> F64:
        """Return how far (N, 2) world points lie from the nearest road, metres.

        Points on a road get a negative distance. Corners of junctions count as land.
        """
        x, y = self.place(np.arange(self.start - 60, self.end + 30, 1.0), 0.0)
        reach = np.hypot(points[:, :1] - x, points[:, 1:2] - y).min(1)
        gap = reach - max(self.section.half(1), self.section.half(-1))
        for junction in self.junctions:
            frame = self.frame(junction)
            dx, dy = points[:, 0] - frame[0, 3], points[:, 1] - frame[1, 3]
            along = np.abs(frame[0, 0] * dx + frame[1, 0] * dy)
            for side in junction.sides:
                out = side * (frame[0, 1] * dx + frame[1, 1] * dy)
                beyond = np.stack([along - junction.half, out - CROSS_REACH, -out], -1)
                outside = np.sqrt((np.clip(beyond, 0, None) ** 2).sum(-1))
                gap = np.minimum(gap, np.where(beyond.max(-1) > 0, outside, beyond.max(-1)))
        return np.asarray(gap)


def _draw_section(street: Street, cyclists: bool, rng: np.random.Generator) -> Section:
    hand = 1 if rng.random() >= draw(rng, street.left_hand) else -1
    lanes = round(draw(rng, street.lanes_per_direction))
    chance = draw(rng, street.parking)
    parking = tuple(
        float(rng.uniform(2.15, 2.65)) if rng.random() < chance else 0.0 for _ in range(2)
    )
    cycle = float(rng.uniform(1.5, 1.9)) if cyclists and rng.random() < 0.45 else 0.0
    return Section(
        hand,
        lanes,
        draw(rng, street.lane_width_m),
        draw(rng, street.sidewalk_width_m),
        cycle,
        (parking[0], parking[1]),
    )
