"""The ego vehicle's way: along the main street, off it, or onto it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.street import traffic_kernel as kernel
from sim_perception.simulator.street.agents import WARM_UP, Agent, arc_length, fillet
from sim_perception.simulator.street.draws import draw, stream
from sim_perception.simulator.street.layout import CROSS_REACH, STOP_LINE, Junction, Layout
from sim_perception.simulator.street.motion import SPACING
from sim_perception.simulator.street.queues import EGO_HALF, stand
from sim_perception.simulator.street.vehicles import main_passages

F64 = npt.NDArray[np.float64]

_HALF = (EGO_HALF, 0.95)
#: Radius of turns across the oncoming lanes, metres.
_WIDE = 8.0
#: s of the junction where the ego turns off, and where it joins, metres.
_OFF, _ON = (20.0, 120.0), (0.0, 60.0)
#: How far before the stop line the ego begins in a cross street, metres.
_WAITING = (8.0, 30.0)


@dataclass(frozen=True)
class Course:
    """What the ego is going to do.

    Attributes:
        speed: free speed, m/s.
        lane: on the main street.
        junction: index of the junction where it turns, or -1.
        side: of the cross street that it turns into or comes from.
        joins: whether it comes from the cross street.
    """

    speed: float
    lane: int
    junction: int = -1
    side: int = 0
    joins: bool = False


def plan_course(scenario: Scenario, layout: Layout) -> Course:
    """Draw what the ego does."""
    rng = stream(scenario, 'ego')
    speed = draw(rng, scenario.ego.speed_kmh) / 3.6
    course = Course(speed, int(rng.integers(layout.section.lanes)))
    rng = stream(scenario, 'ego turns')
    if rng.random() >= draw(rng, scenario.ego.turn):
        return course
    joins = bool(rng.random() < 0.4) and layout.queue is None
    low, high = _ON if joins else _OFF
    known = [k for k, j in enumerate(layout.junctions) if low < j.s < high]
    if layout.queue is not None:
        known = [layout.queue.junction]
    if not known:
        return course
    sides = layout.junctions[known[0]].sides
    side = int(sides[int(rng.integers(len(sides)))])
    lane = layout.section.lanes - 1 if side == -layout.section.hand else 0
    return Course(speed, lane, known[0], side, joins)


def ego_agent(layout: Layout, course: Course, queued: tuple[float, float] | None = None) -> Agent:
    """Return the ego vehicle.

    Args:
        layout: gives the lanes.
        course: what it does.
        queued: s of its place in a queue and its gap to the one ahead; without it the ego
            reaches s = 0 about when the scenario begins, or stands in its cross street.
    """
    if course.joins:
        return _joining(layout, course)
    d = layout.section.lane(1, course.lane)
    grid = np.arange(layout.start - 60, layout.end + 60, SPACING / 2)
    path = layout.line(grid, d)
    if course.junction >= 0:
        path, grid = _turning_off(layout, course, d)
    way = arc_length(path)[: len(grid)]
    begin = -0.9 * course.speed * WARM_UP if queued is None else queued[0]
    at = float(np.interp(begin, grid, way))
    agent = Agent(kernel.VEHICLE, path, at, course.speed, _HALF, 'ego')
    agent.passages = main_passages(layout, grid, way)
    if course.junction >= 0:
        agent.passages = [p for p in agent.passages if p[2] != course.junction]
        agent.passages.append(_exit(layout, course, d, grid, way))
    if queued is not None:
        stand(agent, queued[1])
    return agent


def _is_near(layout: Layout, course: Course) -> bool:
    """Return whether the turn keeps to the ego's own side of the street."""
    return course.side == -layout.section.hand


def _radius(junction: Junction, near: bool) -> float:
    return junction.half / 2 + junction.radius + 0.8 if near else _WIDE


def _turning_off(layout: Layout, course: Course, d: float) -> tuple[F64, F64]:
    """Return the path into a cross street, and s of its points before the bend."""
    junction, near = layout.junctions[course.junction], _is_near(layout, course)
    exit_s = junction.s + (-0.5 if near else 0.5) * junction.half
    grid = np.arange(layout.start - 60, exit_s - (14.0 if near else 16.0), SPACING / 2)
    along = layout.line(grid, d)
    corner = layout.line(np.array([exit_s]), d)[0]
    # A house closes the street's end.
    last = layout.line(np.array([exit_s]), course.side * (CROSS_REACH - 10.0))[0]
    turn = fillet(along[-1], corner, last, _radius(junction, near))
    return np.concatenate([along, turn[1:]]), grid


def _exit(
    layout: Layout, course: Course, d: float, grid: F64, way: F64
) -> tuple[float, float, int, int, int]:
    """Return the passage of the junction where the ego turns off."""
    junction, near = layout.junctions[course.junction], _is_near(layout, course)
    line = junction.s - junction.reach() - STOP_LINE
    # Way and s go on alike on the straight street between the path's last point and the line.
    stop = float(np.interp(line, grid, way)) + max(0.0, line - float(grid[-1]))
    beyond = 12.0 if near else abs(d) + layout.section.half(course.side) + junction.radius
    return stop, stop + 2 * junction.reach() + beyond, course.junction, 1, 0 if near else 1


def _joining(layout: Layout, course: Course) -> Agent:
    """Return the ego at rest in a cross street, about to turn onto the main street."""
    junction, near = layout.junctions[course.junction], _is_near(layout, course)
    section, side = layout.section, course.side
    d = section.lane(1, course.lane)
    line = section.half(side) + junction.radius + 1.0
    # The faster it goes, the further from the junction it begins.
    wait = float(np.clip(1.2 * course.speed, *_WAITING))
    begin, lead = min(line + EGO_HALF + wait, CROSS_REACH - 8.0), 6.0
    x = -section.hand * side * 0.5 * junction.half
    exit_s = junction.s + (14.0 if near else 18.0)
    turn = fillet(
        _world(layout, junction, x, side * (begin + lead)),
        _world(layout, junction, x, d),
        layout.line(np.array([exit_s]), d)[0],
        _radius(junction, near),
    )
    grid = np.arange(exit_s, layout.end + 60, SPACING / 2)
    path = np.concatenate([turn, layout.line(grid, d)[1:]])
    way = arc_length(path)[len(turn) - 1 :]
    agent = Agent(kernel.VEHICLE, path, lead, course.speed, _HALF, 'ego')
    agent.initial_speed = 0.0
    agent.halts.append((lead, WARM_UP + 0.5))
    stop = lead + begin - line
    across = 28.0 if near else section.half(side) + junction.radius + abs(d) + 24.0
    later = [p for p in main_passages(layout, grid, way) if p[2] != course.junction]
    agent.passages = [(stop, stop + across, course.junction, 0, 1), *later]
    return agent


def _world(layout: Layout, junction: Junction, x: float, y: float) -> F64:
    frame = layout.frame(junction)
    return np.asarray(frame[:3, 0] * x + frame[:3, 1] * y + frame[:3, 3])
