"""Who moves where: draws agents on lanes, cross streets and sidewalks and lets them go."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sim_perception.simulator import traffic_kernel as kernel
from sim_perception.simulator.layout import CROSS_REACH, CURB_HEIGHT, Junction, Layout
from sim_perception.simulator.motion import SPACING, Motion, Paths
from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.sensors import draw, stream

F64 = npt.NDArray[np.float64]

#: Seconds simulated before the scenario begins.
WARM_UP = 6.0
STEP = 0.1


@dataclass
class Agent:
    """One mover before the simulation.

    Attributes:
        kind: VEHICLE, CYCLIST or WALKER of the kernel.
        path: (K, 3) dense polyline.
        start: arc length at the beginning.
        speed: free speed, m/s.
        half: half length and half width of its box, metres.
        passages: junction passages as (s stop, s clear, junction, main, gives way).
        crossings: walkers' (s curb, s curb) intervals on the road.
        tag: what the world makes of it: 'car', 'truck', 'cyclist', 'walker' or 'ego'.
    """

    kind: int
    path: F64
    start: float
    speed: float
    half: tuple[float, float]
    tag: str
    passages: list[tuple[float, float, int, int, int]] = field(default_factory=list)
    crossings: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class TrafficResult:
    """Agents that remain, the ego last, with their paths and motion."""

    agents: tuple[Agent, ...]
    paths: Paths
    motion: Motion


def arc_length(path: F64) -> F64:
    """Return (K,) arc length of a polyline."""
    step = np.sqrt((np.diff(path, axis=0) ** 2).sum(1))
    return np.concatenate([[0.0], np.cumsum(step)])


def run_traffic(scenario: Scenario, agents: list[Agent], layout: Layout) -> TrafficResult:
    """Simulate agents, the ego last, and drop those that would touch another.

    Agents that are dropped never show; the rest drove as if they were there.
    """
    paths = Paths([a.path for a in agents])
    motion = _simulate(scenario, agents, layout, paths)
    keep = _untouched(agents, paths, motion)
    kept = tuple(a for a, k in zip(agents, keep, strict=True) if k)
    chosen = np.flatnonzero(keep)
    return TrafficResult(
        kept,
        Paths([a.path for a in kept]),
        Motion(motion.start, motion.step, motion.s[:, chosen], motion.v[:, chosen],
               motion.a[:, chosen]),
    )  # fmt: skip


def _simulate(scenario: Scenario, agents: list[Agent], layout: Layout, paths: Paths) -> Motion:
    points, start, count = paths.table
    curvature = _curvature(points, start, count)
    rows = [(*p, i) for i, a in enumerate(agents) for p in a.passages]
    passage = np.array([r[:5] for r in rows], float).reshape(-1, 5)
    owner = np.array([r[5] for r in rows], np.int64)
    rng = stream(scenario, 'lights')
    lights = np.array([rng.uniform(0, kernel.LIGHT_PERIOD) if j.lights else -1.0
                       for j in layout.junctions] or [-1.0])  # fmt: skip
    interval = np.array([c for a in agents for c in a.crossings], float).reshape(-1, 2)
    walker = np.array([i for i, a in enumerate(agents) for _ in a.crossings], np.int64)
    hits, first = _meetings(agents, paths, interval, walker)
    steps = int(np.ceil((WARM_UP + scenario.duration_s) / STEP)) + 3
    s0 = np.array([a.start for a in agents])
    desired = np.array([a.speed for a in agents])
    kind = np.array([a.kind for a in agents], np.int64)
    half = np.array([a.half for a in agents], float)
    a_max = np.where(kind == kernel.VEHICLE, np.where(half[:, 0] > 2.9, 1.0, 1.7), 0.9)
    s, v, a = kernel.simulate(
        points, curvature, start, count, SPACING,
        s0, 0.85 * desired, desired, half, kind, a_max,
        passage, owner, _conflicts(agents, paths, passage, owner), lights,
        interval, walker, hits, first, -WARM_UP, STEP, steps,
    )  # fmt: skip
    return Motion(-WARM_UP, STEP, s, v, a)


def _curvature(points: F64, start: npt.NDArray, count: npt.NDArray) -> F64:
    curvature = np.zeros(len(points))
    for a, n in zip(start, count, strict=True):
        heading = np.unwrap(np.arctan2(*np.gradient(points[a : a + n, :2], axis=0).T[::-1]))
        curvature[a : a + n] = np.gradient(heading) / SPACING
    return curvature


def _segment(paths: Paths, i: int, low: float, high: float) -> F64:
    s = np.arange(low, high, 1.0)
    zero = np.zeros_like(s)
    return paths.evaluate(np.full(len(s), i), s, zero, zero).position[:, :2]


def _conflicts(
    agents: list[Agent], paths: Paths, passage: F64, owner: npt.NDArray
) -> npt.NDArray[np.bool_]:
    """Return which pairs of passages cross in a junction; lane mates do not conflict."""
    count = len(owner)
    conflict = np.zeros((count, count), bool)
    segments = [_segment(paths, int(i), p[0], p[1]) for i, p in zip(owner, passage, strict=True)]
    for p in range(count):
        for q in range(p + 1, count):
            if passage[p, 2] != passage[q, 2] or not (len(segments[p]) and len(segments[q])):
                continue
            first = segments[p][0] - segments[q][0]
            if (first**2).sum() < 1.2:
                continue
            gap = ((segments[p][:, None] - segments[q][None]) ** 2).sum(-1).min()
            reach = agents[owner[p]].half[1] + agents[owner[q]].half[1] + 0.5
            conflict[p, q] = conflict[q, p] = bool(gap < reach**2)
    return conflict


def _meetings(
    agents: list[Agent], paths: Paths, interval: F64, walker: npt.NDArray
) -> tuple[F64, npt.NDArray[np.int64]]:
    """Return where vehicles' paths meet walkers' crossings, grouped by crossing."""
    hits: list[tuple[float, ...]] = []
    first = [0]
    vehicles = [i for i, a in enumerate(agents) if a.kind != kernel.WALKER]
    points, start, count = paths.table
    for c, (low, high) in enumerate(interval):
        s = np.arange(low, high + 0.25, 0.5)
        zero = np.zeros_like(s)
        way = paths.evaluate(np.full(len(s), walker[c]), s, zero, zero).position[:, :2]
        lowest, highest = way.min(0) - 1, way.max(0) + 1
        for i in vehicles:
            table = points[start[i] : start[i] + count[i], :2]
            inside = ((table > lowest) & (table < highest)).all(1)
            k = np.flatnonzero(inside)
            if not len(k):
                continue
            gap = ((way[:, None] - table[None, k]) ** 2).sum(-1)
            m = int(gap.argmin())
            if gap.flat[m] < 0.5:
                hits.append((c, s[m // len(k)], i, float(k[m % len(k)] * SPACING)))
        first.append(len(hits))
    return np.array(hits, float).reshape(-1, 4), np.array(first, np.int64)


def _untouched(agents: list[Agent], paths: Paths, motion: Motion) -> npt.NDArray[np.bool_]:
    times = range(0, len(motion.s), 2)
    index = np.arange(len(agents))
    place = np.zeros((len(times), len(agents), 4))
    for row, k in enumerate(times):
        pose = paths.evaluate(index, motion.s[k], motion.v[k], motion.a[k])
        place[row, :, :2] = pose.position[:, :2]
        place[row, :, 2], place[row, :, 3] = np.cos(pose.yaw), np.sin(pose.yaw)
    half = np.array([a.half for a in agents], float) + 0.04
    keep = np.ones(len(agents), bool)
    kernel.colliding(place, half, keep, len(agents) - 1)
    return keep


# Drawing agents ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Footprint:
    """What the drawing of agents needs to know of a vehicle: half length and half width."""

    tag: str
    half: tuple[float, float]


def draw_vehicles(
    scenario: Scenario, layout: Layout, footprints: list[Footprint]
) -> list[tuple[Agent, int]]:
    """Draw the vehicles of the main street and the cross streets.

    Args:
        scenario: gives densities and speeds.
        layout: gives the lanes.
        footprints: the vehicles to choose from; cars and trucks are told by their tags.

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

    def choose() -> int:
        pool = heavy if heavy and rng.random() < trucks else cars
        return pool[int(rng.integers(len(pool)))]

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
                                    turning)  # fmt: skip
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
) -> Agent:
    d = layout.section.lane(direction, lane) + float(rng.normal(0, 0.07))
    speed = _free_speed(rng, scenario)
    outer = lane == layout.section.lanes - 1
    if outer and footprint.half[0] < 3.3 and rng.random() < turning:
        agent = _turning_agent(layout, rng, direction, d, s, footprint, speed)
        if agent is not None:
            return agent
    low, high = min(layout.start, s) - 60, max(layout.end, s) + 400
    grid = np.arange(low, high, SPACING / 2)
    path = layout.line(grid, d)
    start = s - low if direction > 0 else high - s
    if direction < 0:
        path = path[::-1]
    way = arc_length(path)
    at = float(np.interp(start, np.arange(len(grid)) * SPACING / 2, way))
    agent = Agent(kernel.VEHICLE, path, at, speed, footprint.half, footprint.tag)
    agent.passages = _main_passages(layout, grid if direction > 0 else grid[::-1], way)
    return agent


def _main_passages(
    layout: Layout, along: F64, way: F64
) -> list[tuple[float, float, int, int, int]]:
    """Return the passages of an agent that goes straight on along the main street."""
    order = np.argsort(along)
    passages = []
    for k, j in enumerate(layout.junctions):
        a, b = (
            float(np.interp(x, along[order], way[order]))
            for x in (j.s - j.reach(), j.s + j.reach())
        )
        a, b = min(a, b), max(a, b)
        if a > 1.0 and b < way[-1]:
            passages.append((a - 4.2, b, k, 1, 0))
    return passages


def _fillet(a: F64, corner: F64, b: F64, radius: float) -> F64:
    """Return a dense polyline a - corner - b with its corner rounded."""
    to_a, to_b = a - corner, b - corner
    la, lb = np.sqrt((to_a**2).sum()), np.sqrt((to_b**2).sum())
    ua, ub = to_a / la, to_b / lb
    # Quadratic Bezier over 1.4 radii: curvature peaks near 1 / radius, smooth at its ends.
    cut = min(1.4 * radius, 0.95 * la, 0.95 * lb)
    p, q = corner + cut * ua, corner + cut * ub
    t = np.linspace(0, 1, 80)[:, None]
    bend = (1 - t) ** 2 * p + 2 * t * (1 - t) * corner + t**2 * q
    first = a + (p - a) * np.linspace(0, 1, max(2, int((la - cut) / 0.25)))[:-1, None]
    last = q + (b - q) * np.linspace(0, 1, max(2, int((lb - cut) / 0.25)))[1:, None]
    return np.concatenate([first, bend, last])


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
    turn = _fillet(along[-1], corner, far, junction.half / 2 + junction.radius + 0.8)
    path = np.concatenate([along, turn[1:]])
    way = arc_length(path)
    at = float(np.interp((s - low) * direction, (before - low) * direction, way[: len(before)]))
    agent = Agent(kernel.VEHICLE, path, at, speed, footprint.half, footprint.tag)
    agent.passages = [
        p for p in _main_passages(layout, before, way[: len(before)]) if p[2] != index
    ]
    stop = float(np.interp((junction.s - direction * (junction.reach() + 4.2) - low) * direction,
                           (before - low) * direction, way[: len(before)]))  # fmt: skip
    agent.passages.append((stop, stop + 2 * junction.reach() + 12, index, 1, 0))
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
        turn = _fillet(world(x, begin + side * lead), corner, layout.line(np.array([exit_s]), d)[0],
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
        way = arc_length(path)
        for k, j in enumerate(layout.junctions):
            if k != index and (j.s - junction.s) * direction > 0:
                offset = len(turn) - 1
                reach = np.arange(exit_s, last, direction * SPACING / 2)
                a = (j.s - direction * j.reach() - exit_s) * direction / (SPACING / 2)
                b = (j.s + direction * j.reach() - exit_s) * direction / (SPACING / 2)
                if 0 < a and b < len(reach) - 1:
                    agent.passages.append(
                        (way[offset + int(a)] - 4.2, way[offset + int(b)], k, 1, 0)
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
            agent.passages = _main_passages(layout, grid, way)
            agents.append(agent)
            s += max(6.0, rng.exponential(2000 / per_km))
    return agents


def draw_walkers(scenario: Scenario, layout: Layout, gaps: list[float]) -> list[Agent]:
    """Draw pedestrians on the sidewalks; some cross the street at the given s positions.

    Args:
        scenario: gives numbers.
        layout: gives the sidewalks.
        gaps: where crossing is possible: free of parked vehicles on both sides.
    """
    rng = stream(scenario, 'walkers')
    section = layout.section
    per_km = draw(rng, scenario.traffic.pedestrians_per_km)
    crossing = draw(rng, scenario.traffic.crossing_fraction)
    count = int(rng.poisson(per_km * (layout.end - layout.start - 60) / 1000))
    agents = []
    tracks = walking_tracks(section.sidewalk)
    for _ in range(count):
        side, direction = (int(x) for x in rng.choice([-1, 1], 2))
        track = tracks[int(rng.integers(len(tracks)))]
        if len(tracks) > 1:
            half = len(tracks) // 2
            pool = tracks[:half] if direction > 0 else tracks[half:]
            track = pool[int(rng.integers(len(pool)))]
        s = float(rng.uniform(layout.start + 10, layout.end - 50))
        speed = float(np.clip(rng.normal(1.35, 0.2), 0.8, 2.0))
        cross = rng.random() < crossing and len(gaps) > 0
        agents.append(
            _walker(layout, rng, side, direction, track, s, speed, gaps if cross else [])
        )
    return agents


def walking_tracks(sidewalk: float) -> list[float]:
    """Return distances from the curb at which people walk, apart enough to pass."""
    low, high = min(1.5, 0.55 * sidewalk), sidewalk - 0.45
    count = max(1, int((high - low) / 0.75) + 1)
    return [float(x) for x in np.linspace(low, max(high, low), count)]


def _walker(
    layout: Layout,
    rng: np.random.Generator,
    side: int,
    direction: int,
    track: float,
    s: float,
    speed: float,
    gaps: list[float],
) -> Agent:
    section = layout.section
    d = side * (section.half(side) + track)
    ahead = [g for g in gaps if 3 < (g - s) * direction < 40]
    first, last = s - direction * 12, s + direction * 400
    if not ahead:
        path = layout.line(np.arange(first, last, direction * 0.25), d)
    else:
        g = ahead[int(rng.integers(len(ahead)))] + float(rng.uniform(-0.3, 0.3))
        other = -side * (section.half(-side) + track)
        onward = direction if rng.random() < 0.7 else -direction
        to = layout.line(np.arange(first, g - direction * 1.2, direction * 0.25), d)
        corner, across = layout.line(np.array([g]), d)[0], layout.line(np.array([g]), other)[0]
        beyond = layout.line(np.arange(g + onward * 1.2, g + onward * 300, onward * 0.25), other)
        middle = 0.5 * (corner + across)
        path = np.concatenate([to, _fillet(to[-1], corner, middle, 0.5)[1:],
                               _fillet(middle, across, beyond[0], 0.5)[1:], beyond[1:]])  # fmt: skip
    heights, crossings = _curbs(layout, path)
    path[:, 2] = heights
    half = (0.32, 0.27)
    agent = Agent(kernel.WALKER, path, 12.0, speed, half, 'walker')
    agent.crossings = crossings
    return agent


def _curbs(layout: Layout, path: F64) -> tuple[F64, list[tuple[float, float]]]:
    """Return the ground's height along a walker's path and its intervals on a road."""
    on_road = on_the_road(layout, path[:, :2])
    way = arc_length(path)
    change = np.flatnonzero(np.diff(on_road.astype(int)))
    intervals = []
    for k in range(len(change)):
        if not on_road[change[k]]:
            end = way[change[k + 1]] if k + 1 < len(change) else way[-1]
            intervals.append((float(way[change[k]]), float(end)))
    level = np.where(on_road, 0.0, CURB_HEIGHT)
    grid = np.arange(0, way[-1], 0.1)
    smooth = np.convolve(np.interp(grid, way, level), np.ones(5) / 5, 'same')
    smooth[:3], smooth[-3:] = level[0], level[-1]
    return np.interp(way, grid, smooth), intervals


def on_the_road(layout: Layout, points: F64) -> npt.NDArray[np.bool_]:
    """Return which (N, 2) world points lie on the road's surface."""
    x, y = layout.place(np.arange(layout.start - 50, layout.end + 350, 0.5), 0.0)
    order = (points[:, None, 0] - x[None, ::8]) ** 2 + (points[:, None, 1] - y[None, ::8]) ** 2
    near = order.argmin(1) * 8
    s0 = layout.start - 50 + near * 0.5
    heading = layout.heading(s0)
    dx, dy = points[:, 0] - x[near], points[:, 1] - y[near]
    s = s0 + np.cos(heading) * dx + np.sin(heading) * dy
    heading = layout.heading(s)
    px, py = layout.place(s, 0.0)
    d = -np.sin(heading) * (points[:, 0] - px) + np.cos(heading) * (points[:, 1] - py)
    half = np.where(d > 0, layout.section.half(1), layout.section.half(-1))
    road = np.abs(d) < half
    for j in layout.junctions:
        u, w = np.abs(s - j.s), np.abs(d) - half
        inside = u < j.half + np.where(
            w < j.radius,
            j.radius
            - np.sqrt(np.clip(j.radius**2 - np.clip(j.radius - w, 0, None) ** 2, 0, None)),
            0.0,
        )
        open_side = np.where(d > 0, 1 in j.sides, -1 in j.sides)
        road |= inside & open_side & (w >= 0)
    return road


def ego_agent(scenario: Scenario, layout: Layout) -> Agent:
    """Return the ego vehicle, which reaches s = 0 about when the scenario begins."""
    rng = stream(scenario, 'ego')
    speed = draw(rng, scenario.ego.speed_kmh) / 3.6
    lane = int(rng.integers(layout.section.lanes))
    d = layout.section.lane(1, lane)
    grid = np.arange(layout.start - 60, layout.end + 60, SPACING / 2)
    path = layout.line(grid, d)
    way = arc_length(path)
    at = float(np.interp(-0.9 * speed * WARM_UP, grid, way))
    agent = Agent(kernel.VEHICLE, path, at, speed, (2.3, 0.95), 'ego')
    agent.passages = _main_passages(layout, grid, way)
    return agent
