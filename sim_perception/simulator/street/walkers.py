"""Draws the pedestrians of a street: along the sidewalks, some across the road."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.street import traffic_kernel as kernel
from sim_perception.simulator.street.agents import Agent, arc_length, fillet
from sim_perception.simulator.street.draws import draw, stream
from sim_perception.simulator.street.layout import CURB_HEIGHT, Layout

F64 = npt.NDArray[np.float64]


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
        path = np.concatenate([to, fillet(to[-1], corner, middle, 0.5)[1:],
                               fillet(middle, across, beyond[0], 0.5)[1:],
                               beyond[1:]])  # fmt: skip
    heights, crossings = _curbs(layout, path)
    path[:, 2] = heights
    half = (0.32, 0.27)
    agent = Agent(kernel.WALKER, path, 12.0, speed, half, 'walker')
    agent.crossings = crossings
    agent.roadward = -side * direction
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
    near = cKDTree(np.stack([x[::8], y[::8]], 1)).query(points)[1] * 8
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
