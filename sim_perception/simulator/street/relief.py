"""The ground's height: hills, banked bends and speed bumps over the plan of a street.

Streets and traffic are planned on a plane. The relief lifts what the plan says: a point of the
plan at height z comes to lie at ``lifted``. It is smooth, so its slopes are finite everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.scenario_parts import Ground
from sim_perception.simulator.scenario_parts import Relief as ReliefFields
from sim_perception.simulator.street.crossings import Crossing, draw_crossings, lowered_curbs
from sim_perception.simulator.street.draws import draw, stream
from sim_perception.simulator.street.layout import CURB_HEIGHT, Layout

F64 = npt.NDArray[np.float64]

#: Width of the embankment between the street's level and the hills around, metres.
_EMBANKMENT = 40.0
#: Steepness of hills across the street, as a share of that along it.
_ACROSS = 0.6
#: Curvature of a bend that is banked in full, 1/m.
_FULL_BANK = 1 / 120
#: Gap between a bump's end and the curb that water runs through, metres.
_CHANNEL = 0.35
#: Height of a lowered curb, half the length that is lowered in full, the lengths of the slopes
#: beside it and behind it, metres.
_LOWERED, _DIP, _DIP_RAMP, _DIP_DEPTH = 0.02, 1.4, 0.8, 1.4
#: Parts of the plan that lie deeper are below the street and never seen there, metres.
_BELOW = -0.1
#: Height of the speed tables under raised crossings, and how far they reach beyond them, metres.
_TABLE, _TABLE_MARGIN = 0.08, 1.3
#: Length of the slope at either end of a bump, metres.
_RAMP = 1.2


@dataclass(frozen=True)
class Bump:
    """A speed bump across the road.

    Attributes:
        s: its middle along the street.
        length: along the street, metres.
        height: metres.
    """

    s: float
    length: float
    height: float

    def profile(self, s: F64) -> F64:
        """Return its height at places along the street."""
        ramp = min(_RAMP, self.length / 2)
        return self.height * _smooth((self.length / 2 - np.abs(s - self.s)) / ramp)


class Relief:
    """The uneven ground of one scene.

    Attributes:
        bumps: in order of s.
    """

    def __init__(self, scenario: Scenario, layout: Layout) -> None:
        rng = stream(scenario, 'relief')
        fields = scenario.relief
        self._layout = layout
        self._slope = draw(rng, fields.slope_percent) / 100
        self._bank = draw(rng, fields.bank_percent) / 100
        self._waves = _draw_waves(fields, rng)
        self._amplitude = 1.0
        s = np.arange(layout.start, layout.end, 2.0)
        steepest = np.abs(np.diff(self._along(s))).max() / 2.0
        self._amplitude = self._slope / max(float(steepest), 1e-9)
        tables = [c for c in draw_crossings(scenario, layout) if c.kind == 'table']
        self.bumps = _draw_bumps(fields, layout, rng, tables)
        section = layout.section
        ground = stream(scenario, 'curbs')
        self._curb = draw(ground, scenario.ground.curb_height_m)
        self._lowered = lowered_curbs(scenario, layout)
        self._shelf = max(section.half(1), section.half(-1)) + section.sidewalk + 1.5

    def height(self, points: F64) -> F64:
        """Return the (N,) heights of the ground at (N, 2) places of the plan, metres."""
        ground = self._hills(points)
        s, d, near = self._near(points)
        # The street's shelf is cut into the hills and level across, but for its bank.
        cut = _smooth((self._shelf + _EMBANKMENT - np.abs(d)) / _EMBANKMENT)
        tilt = -self._bank * np.clip(self._layout.bend(s) / _FULL_BANK, -1, 1)
        level = self._along(s) + tilt * np.clip(d, -self._shelf, self._shelf)
        ground[near] += cut * (level - ground[near]) + self._bumped(s, d)
        return ground

    def lifted(self, points: F64) -> F64:
        """Return the (N,) heights to which (N, 3) points of the plan are lifted.

        What stands on the plan's curb comes to stand on the scene's, which may be lowered.
        """
        z = points[:, 2]
        lift = self.height(points[:, :2])
        curb = np.full(len(z), self._curb)
        if self._lowered:
            s, d, near = self._near(points[:, :2])
            curb[near] -= (self._curb - min(_LOWERED, self._curb)) * self._dip(s, d)
        return lift + z + (curb - CURB_HEIGHT) * np.clip(z / CURB_HEIGHT, 0.0, 1.0)

    def _near(self, points: F64) -> tuple[F64, F64, npt.NDArray[np.bool_]]:
        """Return s and d of the points near the street, and which these are."""
        s, d = self._layout.locate(points, self._shelf + _EMBANKMENT)
        near = np.isfinite(d)
        return s[near], d[near], near

    def _dip(self, s: F64, d: F64) -> F64:
        """Return 1 where a curb is lowered, 0 where it is not."""
        section = self._layout.section
        behind = np.abs(d) - np.where(d > 0, section.half(1), section.half(-1))
        gap = np.abs(s[:, None] - np.array(self._lowered)).min(1)
        along = _smooth((_DIP + _DIP_RAMP - gap) / _DIP_RAMP)
        return np.asarray(along * _smooth((_DIP_DEPTH - behind) / (_DIP_DEPTH - 0.2)))

    def gradient(self, points: F64, step: float = 0.02) -> F64:
        """Return the (N, 3) derivatives of ``lifted`` with respect to x, y, z."""
        sides = [
            self.lifted(points + step * a) - self.lifted(points - step * a) for a in np.eye(3)
        ]
        return np.stack(sides, -1) / (2 * step)

    def tolerance(self, points: F64) -> F64:
        """Return how far meshes may lie off the ground at (N, 3) points of the plan, metres.

        Less near the road, so that what lies on it (``z`` says how high) does not sink into it.
        """
        _, d = self._layout.locate(points[:, :2], 300.0)
        z = points[:, 2]
        nearest = np.where(z < _BELOW, -0.3 * z, np.clip(0.45 * z, 0.0012, 0.006))
        return np.asarray(np.clip(nearest + 0.002 * (np.abs(d) - self._shelf), nearest, 0.5))

    def _along(self, s: F64) -> F64:
        x, y = self._layout.place(s, 0.0)
        return self._hills(np.stack([x, y], -1))

    def _hills(self, points: F64) -> F64:
        total = np.zeros(points.shape[:-1])
        for kx, ky, phase, height in self._waves:
            # The ego starts at height 0.
            wave = np.sin(kx * points[..., 0] + ky * points[..., 1] + phase) - np.sin(phase)
            total += height * wave
        return self._amplitude * total

    def _bumped(self, s: F64, d: F64) -> F64:
        section = self._layout.section
        half = np.where(d > 0, section.half(1), section.half(-1))
        total = np.zeros_like(s)
        for bump in self.bumps:
            there = np.flatnonzero((np.abs(s - bump.s) < bump.length / 2) & (np.abs(d) < half))
            across = _smooth((half[there] - np.abs(d[there])) / _CHANNEL)
            total[there] = across * bump.profile(s[there])
        return total


def make_relief(scenario: Scenario, layout: Layout) -> Relief | None:
    """Return the scene's relief, or None where the scenario leaves the plan flat."""
    fields, ground = scenario.relief, scenario.ground
    asked = (
        fields.slope_percent, fields.bank_percent, fields.bumps_per_km, ground.lowered_curbs,
        ground.crossings_per_km,
    )  # fmt: skip
    plan = Ground.model_fields['curb_height_m'].default
    uneven = any(high > 0 for _, high in asked) or ground.curb_height_m != plan
    return Relief(scenario, layout) if uneven else None


def _draw_waves(fields: ReliefFields, rng: np.random.Generator) -> list[tuple[float, ...]]:
    """Return wave number x, y, phase and height of three hills along and one across."""
    waves: list[tuple[float, ...]] = []
    for turn in (*rng.uniform(-0.35, 0.35, 3), np.pi / 2 + rng.uniform(-0.4, 0.4)):
        low, high = np.log(fields.crest_spacing_m)
        number = 2 * np.pi / float(np.exp(rng.uniform(low, high)))
        share = _ACROSS if turn > 1 else float(rng.uniform(0.3, 1.0))
        kx, ky = number * np.cos(turn), number * np.sin(turn)
        waves.append((float(kx), float(ky), float(rng.uniform(0, 2 * np.pi)), share / number))
    return waves


def _draw_bumps(
    fields: ReliefFields, layout: Layout, rng: np.random.Generator, tables: list[Crossing]
) -> tuple[Bump, ...]:
    """Draw bumps that keep off junctions and each other; raised crossings are bumps, too."""
    rate = draw(rng, fields.bumps_per_km)
    bumps = [Bump(c.s, c.width + 2 * _TABLE_MARGIN, _TABLE) for c in tables]
    if rate == 0:
        return tuple(bumps)
    s = layout.start + float(rng.exponential(1000 / rate))
    while s < layout.end:
        length = float(rng.uniform(5, 9) if rng.random() < 0.3 else rng.uniform(0.8, 3.8))
        height = draw(rng, fields.bump_height_m)
        crowded = any(abs(s - b.s) < 15 for b in bumps)
        if not crowded and not layout.near_junction(s, 5.0 + length / 2):
            # What is short is low: nobody could drive over it otherwise.
            bumps.append(Bump(s, length, min(height, 0.05 * length)))
        s += length + 8.0 + float(rng.exponential(1000 / rate))
    return tuple(sorted(bumps, key=lambda b: b.s))


def _smooth(u: F64) -> F64:
    """Return the smooth step from 0 at u = 0 to 1 at u = 1."""
    u = np.clip(u, 0.0, 1.0)
    return np.asarray(u * u * u * (10 - 15 * u + 6 * u * u))
