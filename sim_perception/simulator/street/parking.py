"""Vehicles that pull into parking places at the curb or out of them."""

from __future__ import annotations

from dataclasses import dataclass

from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.street.agents import WARM_UP, Agent
from sim_perception.simulator.street.draws import draw, stream
from sim_perception.simulator.street.layout import Layout
from sim_perception.simulator.street.shifts import Shift
from sim_perception.simulator.street.vehicles import Footprint, street_agent

#: Length of the way into or out of a place per metre sideways, and at least, metres.
_SLOPE, _SHORTEST = 4.2, 10.0
#: The model stops vehicles this far before the end of their way, metres.
_STOP = 2.0
#: Before the way in, vehicles indicate for this long, metres.
_INDICATED = 22.0
#: Attempts per manoeuvre to find room.
_TRIES = 8


@dataclass(frozen=True)
class Place:
    """A stretch of the parking strip that must stay free of parked vehicles.

    Attributes:
        side: of the street.
        low, high: its ends, s.
    """

    side: int
    low: float
    high: float


def draw_parking(
    scenario: Scenario, layout: Layout, footprints: list[Footprint], gaps: list[float]
) -> tuple[list[tuple[Agent, int]], list[Place]]:
    """Draw vehicles that park or leave while the scenario runs.

    Args:
        scenario: gives how many.
        layout: gives the parking strips.
        footprints: the vehicles to choose from; cars park.
        gaps: s where people cross; nobody parks there.

    Returns:
        Agents with the index of their footprint, and the room that they need.
    """
    rng = stream(scenario, 'parking')
    per_km = draw(rng, scenario.traffic.parking_per_km)
    sides = [side for side in (-1, 1) if layout.section.parking_of(side) > 0]
    cars = [k for k, f in enumerate(footprints) if f.tag == 'car']
    drawn: list[tuple[Agent, int]] = []
    places: list[Place] = []
    if per_km <= 0 or not sides:
        return drawn, places
    for _ in range(int(rng.poisson(per_km * (layout.end - layout.start) / 1000))):
        for _ in range(_TRIES):
            side = sides[int(rng.integers(len(sides)))]
            k = cars[int(rng.integers(len(cars)))]
            s, leaves = float(rng.uniform(layout.start + 10, layout.end - 60)), rng.random() < 0.5
            place = _room(layout, side, s, footprints[k], leaves)
            if place is not None and _is_free(place, places, gaps):
                speed = 0.8 * draw(rng, scenario.traffic.speed_kmh) / 3.6
                if not leaves:
                    lead = float(rng.uniform(25, 110))
                    agent = _arriving(layout, side, s, footprints[k], speed, lead)
                else:
                    agent = _leaving(layout, side, s, footprints[k], speed)
                    wait = WARM_UP + float(rng.uniform(-3, max(1.0, 0.7 * scenario.duration_s)))
                    agent.halts.append((agent.start, wait))
                drawn.append((agent, k))
                places.append(place)
                break
    return drawn, places


def _track(layout: Layout, side: int, footprint: Footprint) -> tuple[int, float, float, float]:
    """Return direction, d of the lane, d of the parking place, and the way's length."""
    section = layout.section
    direction = -section.hand * side
    lane = section.lane(direction, section.lanes - 1)
    width = section.parking_of(side)
    place = side * (section.half(side) - max(footprint.half[1] - 0.08, width / 2))
    return direction, lane, place, max(_SHORTEST, _SLOPE * abs(place - lane))


def _room(layout: Layout, side: int, s: float, footprint: Footprint, leaves: bool) -> Place | None:
    """Return what must be free for a place whose middle is at s; None without room for it."""
    direction, _, _, length = _track(layout, side, footprint)
    half, swing = footprint.half[0], 0.72 * length + 1.0
    before, after = (1.0, swing) if leaves else (swing, 1.0)
    ends = sorted((s - direction * (half + before), s + direction * (half + after)))
    for a, b in layout.blocks(side):
        if a + 5 < ends[0] and ends[1] < b - 5:
            return Place(side, *ends)
    return None


def _is_free(place: Place, places: list[Place], gaps: list[float]) -> bool:
    taken = any(p.side == place.side and p.low < place.high and place.low < p.high for p in places)
    return not taken and not any(place.low - 1.3 < g < place.high + 1.3 for g in gaps)


def _arriving(
    layout: Layout, side: int, s: float, footprint: Footprint, speed: float, lead: float
) -> Agent:
    direction, lane, place, length = _track(layout, side, footprint)
    shift = Shift(direction, s - direction * (length + 1.0), length, place - lane)
    begin = shift.begin - direction * lead
    agent = street_agent(
        layout, direction, lane, begin, footprint, speed, shift,
        s + direction * (footprint.half[0] + _STOP),
    )  # fmt: skip
    agent.speed = min(speed, 7.0)
    first, last, way = agent.indications.pop()
    agent.indications.append((first - _INDICATED, last, way))
    return agent


def _leaving(layout: Layout, side: int, s: float, footprint: Footprint, speed: float) -> Agent:
    direction, lane, place, length = _track(layout, side, footprint)
    shift = Shift(direction, s, length, lane - place)
    agent = street_agent(layout, direction, place, s, footprint, speed, shift)
    agent.initial_speed = 0.0
    return agent
