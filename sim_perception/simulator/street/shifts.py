"""Moves sideways along the street: lane changes, into parking places and out of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.street.draws import draw, stream
from sim_perception.simulator.street.layout import STOP_LINE, Layout

F64 = npt.NDArray[np.float64]

#: How far ahead of a vehicle its lane change begins, and how long it is, metres.
_AHEAD, _LENGTH = (12.0, 70.0), (22.0, 38.0)


@dataclass(frozen=True)
class Shift:
    """A smooth move from one d to another.

    Attributes:
        direction: of travel along s, +1 or -1.
        begin: s where it begins.
        length: along s, metres.
        by: change of d, metres.
    """

    direction: int
    begin: float
    length: float
    by: float

    @property
    def end(self) -> float:
        """Where it ends, s."""
        return self.begin + self.direction * self.length

    @property
    def side(self) -> int:
        """Where it leads to as the driver sees it: +1 to the left, -1 to the right."""
        return 1 if self.by * self.direction > 0 else -1

    def offset(self, s: F64) -> F64:
        """Return the change of d at s: smooth up to the second derivative (minimum jerk)."""
        u = np.clip((s - self.begin) * self.direction / self.length, 0, 1)
        return self.by * u**3 * (10 - 15 * u + 6 * u**2)


class LaneChanges:
    """Draws which vehicles change lanes, and where."""

    def __init__(self, scenario: Scenario, layout: Layout) -> None:
        self._rng, self._layout = stream(scenario, 'lane changes'), layout
        self._share = draw(self._rng, scenario.traffic.lane_changes)

    def __call__(self, direction: int, lane: int, s: float) -> Shift | None:
        """Return the lane change of a vehicle that begins at s, or None."""
        section, rng = self._layout.section, self._rng
        if section.lanes < 2 or rng.random() >= self._share:
            return None
        beside = [k for k in (lane - 1, lane + 1) if 0 <= k < section.lanes]
        by = section.lane(direction, beside[int(rng.integers(len(beside)))])
        by -= section.lane(direction, lane)
        begin = s + direction * float(rng.uniform(*_AHEAD))
        shift = Shift(direction, begin, float(rng.uniform(*_LENGTH)), by)
        low, high = sorted((shift.begin, shift.end))
        for junction in self._layout.junctions:
            reach = junction.reach() + STOP_LINE + 4.0
            if junction.s - reach < high and low < junction.s + reach:
                return None
        return shift
