"""Doors that drivers of parked cars open to the road where nobody is in the way."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.content.meshes.car_doors import CutDoor
from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.street.draws import draw, stream
from sim_perception.simulator.street.traffic import TrafficResult, places
from sim_perception.simulator.world.assembly import DoorSwing
from sim_perception.simulator.world.vehicle_model import Model

F64 = npt.NDArray[np.float64]

#: How far a door opens at most and at least, radians.
_WIDE, _NARROW = np.deg2rad(66.0), np.deg2rad(15.0)
#: Room between an open door and who passes, metres.
_MARGIN = 0.15
#: Moments to open a door that are weighed.
_TRIES = 4


class Doors:
    """Decides which doors open, when and how far.

    Args:
        scenario: gives how many do.
        hand: +1 for right-hand traffic: drivers sit on the left, which parked cars turn to the
            road; -1 for left-hand traffic.
        traffic: everybody who may come by, the ego too.
    """

    def __init__(self, scenario: Scenario, hand: int, traffic: TrafficResult) -> None:
        self._rng, self._side = stream(scenario, 'doors'), hand
        self._cut: dict[int, CutDoor | None] = {}
        self._share = draw(self._rng, scenario.traffic.opening_doors)
        self._duration = scenario.duration_s
        if self._share > 0:
            self._places, self._times = places(traffic.paths, traffic.motion)
            self._half = np.array([a.half for a in traffic.agents], float)

    def draw(self, number: int, model: Model, pose: F64) -> tuple[CutDoor, DoorSwing] | None:
        """Return the door of a parked vehicle that opens, when and how far; None for most.

        Args:
            number: of the model.
            model: of the vehicle.
            pose: (4, 4) its pose on the plan.
        """
        if self._share == 0 or self._rng.random() >= self._share:
            return None
        if number not in self._cut:
            self._cut[number] = model.cut_door(self._side)
        cut = self._cut[number]
        swing = None if cut is None else self._swing(cut, pose)
        return None if cut is None or swing is None else (cut, swing)

    def _swing(self, cut: CutDoor, world_T_car: F64) -> DoorSwing | None:
        """Return when and how far a door opens; None where there is never room."""
        along = cut.hinge[0] - cut.reach * np.linspace(0, 1, 4)
        local = np.stack([along, np.full(4, cut.hinge[1]), np.zeros(4)], -1)
        line = local @ world_T_car[:3, :3].T + world_T_car[:3, 3]
        best = DoorSwing(0.0, 0.0, 0.0)
        for _ in range(_TRIES):
            opens = float(self._rng.uniform(-8.0, 0.9 * self._duration))
            closes = opens + float(self._rng.uniform(4.0, 20.0))
            room = self._room(line[:, :2], opens, closes) - _MARGIN
            wide = float(self._rng.uniform(0.8, 1.0)) * _WIDE
            angle = min(wide, float(np.arcsin(np.clip(room / cut.reach, 0.0, 1.0))))
            if angle > abs(best.angle):
                best = DoorSwing(opens, closes, -self._side * angle)
        return best if abs(best.angle) > _NARROW else None

    def _room(self, line: F64, opens: float, closes: float) -> float:
        """Return how near anybody comes to points of the plan meanwhile, metres."""
        open_at = (self._times > opens - 0.5) & (self._times < closes + DoorSwing.LASTS + 0.5)
        x, y, c, s = np.moveaxis(self._places[open_at], -1, 0)
        nearest = np.inf
        for px, py in line:
            ahead = np.abs((px - x) * c + (py - y) * s) - self._half[:, 0]
            aside = np.abs((py - y) * c - (px - x) * s) - self._half[:, 1]
            gap = np.hypot(np.maximum(ahead, 0.0), np.maximum(aside, 0.0))
            nearest = min(nearest, float(gap.min(initial=np.inf)))
        return nearest
