"""Draws the vehicles, riders and the ego of a street with the ways they take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.street import traffic_kernel as kernel
from sim_perception.simulator.street.agents import Agent, arc_length, fillet
from sim_perception.simulator.street.draws import draw, stream
from sim_perception.simulator.street.layout import CROSS_REACH, STOP_LINE, Junction, Layout
from sim_perception.simulator.street.motion import SPACING
from sim_perception.simulator.street.shifts import LaneChanges, Shift

F64 = npt.NDArray[np.float64]

#: How long before a turn vehicles indicate, and how long the turn takes, metres.
INDICATED, TURN_LENGTH = 30.0, 22.0


class Exchange:
    """Puts motorcycles, cars with trailers and lorries of all kinds in the place of others."""

    def __init__(
        self, scenario: Scenario, footprints: list[Footprint], purpose: str = 'exchanged'
    ) -> None:
        self._rng, traffic = stream(scenario, purpose), scenario.traffic
        shares = (scenario.cycles.motorbike_fraction, traffic.trailer_fraction,
                  traffic.lorry_fraction)  # fmt: skip
        self._shares = dict(
            zip(
                ('motorbike', 'towing', 'lorry'), [draw(self._rng, s) for s in shares], strict=True
            )
        )
        self._pools = {
            tag: [k for k, f in enumerate(footprints) if f.tag == tag] for tag in self._shares
        }
        self._footprints = footprints

    def __call__(self, k: int) -> int:
        """Return what drives in the place of vehicle ``k``."""
        tags = ('lorry',) if self._footprints[k].tag == 'truck' else ('motorbike', 'towing')
        for tag in tags:
            pool = self._pools[tag]
            if pool and self._rng.random() < self._shares[tag]:
                return pool[int(self._rng.integers(len(pool)))]
        return k


@dataclass(frozen=True)
class Footprint:
    """What the drawing of agents needs to know of a vehicle.

    Attributes:
        tag: 'car' or 'truck'; 'motorbike', 'towing' (a car with a trailer) or 'lorry' for those
            that come by shares of their own.
        half: half length and half width, with what is towed.
        ahead: how far before the middle of all the vehicle's own middle is, metres.
        behind: how far after it the middle of what is towed is; 0 without.
    """

    tag: str
    half: tuple[float, float]
    ahead: float = 0.0
    behind: float = 0.0


def draw_vehicles(
    scenario: Scenario, layout: Layout, footprints: list[Footprint]
) -> list[tuple[Agent, int]]:
    """Draw the vehicles of the main street and the cross streets.

    Args:
        scenario: gives densities and speeds.
        layout: gives the lanes.
        footprints: the vehicles to choose from; cars, trucks and motorbikes are told by their
            tags.

    Returns:
        Agents with the index of their footprint.
    """
    rng = stream(scenario, 'vehicles')
    traffic = scenario.traffic
    per_km = draw(rng, traffic.vehicles_per_km)
    trucks = draw(rng, traffic.truck_fraction)
    turning = draw(rng, traffic.turning_fraction)
    cars = [k for k, f in enumerate(footprints) if f.tag == 'car']
    heavy = [k for k, f in enumerate(footprints) if f.tag == 'truck']
    drawn: list[tuple[Agent, int]] = []
    exchange = Exchange(scenario, footprints)
    changes = LaneChanges(scenario, layout)

    def ordinary() -> int:
        pool = heavy if heavy and rng.random() < trucks else cars
        return pool[int(rng.integers(len(pool)))]

    def choose() -> int:
        return exchange(ordinary())

    way = scenario.ego.speed_kmh[1] / 3.6 * scenario.duration_s
    for direction in (1, -1):
        for lane in range(layout.section.lanes):
            low = layout.start + 8
            high = layout.end if direction > 0 else layout.end + way
            spacing = 1000 * 2 * layout.section.lanes / max(per_km, 1e-3)
            s = low + rng.random() * spacing
            while s < high:
                k = choose()
                agent = _main_agent(layout, rng, direction, lane, s, footprints[k], scenario,
                                    turning, changes)  # fmt: skip
                drawn.append((agent, k))
                s += max(14.0, rng.exponential(spacing - 12) + 12) if spacing > 13 else 14.0
    for index, junction in enumerate(layout.junctions):
        for side in junction.sides:
            for _ in range(int(rng.poisson(0.9 if per_km > 1 else 0))):
                k = choose()
                if footprints[k].half[0] < 3.3:
                    drawn.append((_cross_agent(layout, rng, index, junction, side, footprints[k],
                                               scenario), k))  # fmt: skip
    return drawn


def _free_speed(rng: np.random.Generator, scenario: Scenario) -> float:
    return draw(rng, scenario.traffic.speed_kmh) / 3.6


def _main_agent(
    layout: Layout,
    rng: np.random.Generator,
    direction: int,
    lane: int,
    s: float,
    footprint: Footprint,
    scenario: Scenario,
    turning: float,
    changes: LaneChanges,
) -> Agent:
    d = layout.section.lane(direction, lane) + float(rng.normal(0, 0.07))
    speed = _free_speed(rng, scenario)
    outer = lane == layout.section.lanes - 1
    if outer and footprint.half[0] < 3.3 and rng.random() < turning:
        agent = _turning_agent(layout, rng, direction, d, s, footprint, speed)
        if agent is not None:
            return agent
    shift = changes(direction, lane, s)
    return street_agent(layout, direction, d, s, footprint, speed, shift)


def lane_agent(
    layout: Layout,
    rng: np.random.Generator,
    direction: int,
    lane: int,
    s: float,
    footprint: Footprint,
    scenario: Scenario,
) -> Agent:
    """Return a vehicle that begins at s and keeps to its lane of the main street."""
    d = layout.section.lane(direction, lane) + float(rng.normal(0, 0.07))
    return street_agent(layout, direction, d, s, footprint, _free_speed(rng, scenario))


def street_agent(
    layout: Layout,
    direction: int,
    d: float,
    s: float,
    footprint: Footprint,
    speed: float,
    shift: Shift | None = None,
    end: float | None = None,
) -> Agent:
    """Return a vehicle that begins at s, d and goes along the main street.

    Args:
        layout: maps street coordinates to the world.
        direction: of travel along s.
        d: where it goes.
        s: where it begins.
        footprint: of the vehicle.
        speed: its free speed, m/s.
        shift: where it moves sideways, and indicates.
        end: s where its way ends; beyond the built street when omitted.
    """
    low, high = min(layout.start, s) - 60, max(layout.end, s) + 400
    if end is not None:
        low, high = (low, end) if direction > 0 else (end, high)
    grid = np.arange(low, high, SPACING / 2)
    path = layout.line(grid, d if shift is None else d + shift.offset(grid))
    start = s - low if direction > 0 else high - s
    if direction < 0:
        path = path[::-1]
    way = arc_length(path)
    at = float(np.interp(start, np.arange(len(grid)) * SPACING / 2, way))
    agent = Agent(kernel.VEHICLE, path, at, speed, footprint.half, footprint.tag)
    along = grid if direction > 0 else grid[::-1]
    agent.passages = main_passages(layout, along, way)
    if shift is not None:
        first, last = np.interp(
            [shift.begin * direction, shift.end * direction], along * direction, way
        )
        agent.indications.append((float(first) - INDICATED / 2, float(last), shift.side))
    return agent


def main_passages(
    layout: Layout, along: F64, way: F64
) -> list[tuple[float, float, int, int, int]]:
    """Return the passages of an agent that goes straight on along the main street.

    ``along`` are s of a path's points, ``way`` is their arc length.
    """
    length, order = way[-1], np.argsort(along)
    along, way = along[order], way[order]
    passages = []
    for k, j in enumerate(layout.junctions):
        a, b = np.interp([j.s - j.reach(), j.s + j.reach()], along, way).tolist()
        a, b = min(a, b), max(a, b)
        if a > 1.0 and b < length:
            passages.append((a - STOP_LINE, b, k, 1, 0))
    return passages


def _turning_agent(
    layout: Layout,
    rng: np.random.Generator,
    direction: int,
    d: float,
    s: float,
    footprint: Footprint,
    speed: float,
) -> Agent | None:
    """Return an agent that leaves the main street to its own side at a junction ahead."""
    side = 1 if d > 0 else -1
    ahead = [(k, j) for k, j in enumerate(layout.junctions)
             if side in j.sides and (j.s - s) * direction > 25]  # fmt: skip
    if not ahead:
        return None
    index, junction = ahead[0] if direction > 0 else ahead[-1]
    # The exit lane lies on the hand's side of the cross street, seen along the way out.
    exit_s = junction.s - direction * 0.5 * junction.half
    low = layout.start - 60 if direction > 0 else max(layout.end, s) + 60
    before = np.arange(low, exit_s - direction * 14, direction * SPACING / 2)
    along = layout.line(before, d)
    corner = layout.line(np.array([exit_s]), d)[0]
    far = layout.line(np.array([exit_s]), side * (CROSS_REACH + 30))[0]
    turn = fillet(along[-1], corner, far, junction.half / 2 + junction.radius + 0.8)
    path = np.concatenate([along, turn[1:]])
    way = arc_length(path)
    at = float(np.interp((s - low) * direction, (before - low) * direction, way[: len(before)]))
    agent = Agent(kernel.VEHICLE, path, at, speed, footprint.half, footprint.tag)
    agent.passages = [
        p for p in main_passages(layout, before, way[: len(before)]) if p[2] != index
    ]
    line = junction.s - direction * (junction.reach() + STOP_LINE)
    stop = float(
        np.interp((line - low) * direction, (before - low) * direction, way[: len(before)])
    )
    agent.passages.append((stop, stop + 2 * junction.reach() + 12, index, 1, 0))
    bend = float(way[len(before) - 1])
    agent.indications.append((bend - INDICATED, bend + TURN_LENGTH, -layout.section.hand))
    return agent


def _cross_agent(
    layout: Layout,
    rng: np.random.Generator,
    index: int,
    junction: Junction,
    side: int,
    footprint: Footprint,
    scenario: Scenario,
) -> Agent:
    """Return an agent that comes from a cross street and goes on or turns."""
    hand, section = layout.section.hand, layout.section
    # Coming from the left it travels along -y, where right-hand traffic keeps to -x.
    x = -hand * side * 0.5 * junction.half
    begin = side * float(rng.uniform(section.half(side) + junction.radius + 8, CROSS_REACH - 3))
    frame = layout.frame(junction)

    def world(px: float, py: float) -> F64:
        return frame[:3, :3][:, 0] * px + frame[:3, :3][:, 1] * py + frame[:3, 3]

    stop_y = section.half(side) + junction.radius + 1.0
    lead = 40.0
    away = -side in junction.sides and rng.random() < 0.5
    if away:
        ends = np.linspace(0, 1, 1200)[:, None]
        a, b = world(x, begin + side * lead), world(x, -side * (CROSS_REACH + 60))
        path = a + (b - a) * ends
    else:
        # Turn onto the near lanes: with right-hand traffic from the left side towards -s.
        direction = -hand * side
        d = section.lane(direction, section.lanes - 1)
        exit_s = junction.s + direction * 16
        corner = world(x, d)
        turn = fillet(world(x, begin + side * lead), corner, layout.line(np.array([exit_s]), d)[0],
                       junction.radius + junction.half / 2 + 0.8)  # fmt: skip
        last = layout.end + 300 if direction > 0 else layout.start - 200
        rest = layout.line(np.arange(exit_s, last, direction * SPACING / 2), d)
        path = np.concatenate([turn, rest[1:]])
    stop = abs(begin) + lead - stop_y
    agent = Agent(kernel.VEHICLE, path, lead, 0.8 * _free_speed(rng, scenario), footprint.half,
                  footprint.tag)  # fmt: skip
    clear = stop + 2 * section.half(side) + 2 * junction.radius + 6 if away else stop + 28
    agent.passages.append((stop, clear, index, 0, 1))
    if not away:
        agent.indications.append((stop - INDICATED, stop + TURN_LENGTH, -hand))
        way = arc_length(path)
        for k, j in enumerate(layout.junctions):
            if k != index and (j.s - junction.s) * direction > 0:
                offset = len(turn) - 1
                reach = np.arange(exit_s, last, direction * SPACING / 2)
                first = (j.s - direction * j.reach() - exit_s) * direction / (SPACING / 2)
                final = (j.s + direction * j.reach() - exit_s) * direction / (SPACING / 2)
                if first > 0 and final < len(reach) - 1:
                    agent.passages.append(
                        (way[offset + int(first)] - STOP_LINE, way[offset + int(final)], k, 1, 0)
                    )
    return agent


def draw_cyclists(scenario: Scenario, layout: Layout) -> list[Agent]:
    """Draw the riders on the cycle lanes."""
    rng = stream(scenario, 'cyclists')
    section = layout.section
    per_km = draw(rng, scenario.traffic.cyclists_per_km)
    agents = []
    for direction in (1, -1):
        edge = section.cycle / 2 if section.cycle > 0 else -0.8
        d = -direction * section.hand * (section.travel() + edge)
        s = layout.start + 10 + rng.exponential(30)
        while s < layout.end and per_km > 0:
            grid = np.arange(layout.start - 60, layout.end + 300, SPACING / 2)
            path = layout.line(grid, d + float(rng.normal(0, 0.1)))
            if direction < 0:
                path, grid = path[::-1], grid[::-1]
            way = arc_length(path)
            at = float(np.interp(s, *((grid, way) if direction > 0 else (grid[::-1], way[::-1]))))
            agent = Agent(kernel.CYCLIST, path, at, float(rng.uniform(3.0, 6.5)), (0.95, 0.3),
                          'cyclist')  # fmt: skip
            agent.passages = main_passages(layout, grid, way)
            agents.append(agent)
            s += max(6.0, rng.exponential(2000 / per_km))
    return agents
