"""Lets a street's agents go: car following, giving way, waiting; drops what would collide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.street import contacts
from sim_perception.simulator.street import traffic_kernel as kernel
from sim_perception.simulator.street.agents import WARM_UP, Agent
from sim_perception.simulator.street.motion import SPACING, Motion, Paths

F64 = npt.NDArray[np.float64]

#: Seconds between rows of the motion.
STEP = 0.1


@dataclass(frozen=True)
class TrafficResult:
    """Agents that remain, the ego last, with their paths and motion."""

    agents: tuple[Agent, ...]
    paths: Paths
    motion: Motion


def run_traffic(scenario: Scenario, agents: list[Agent], lights: F64) -> TrafficResult:
    """Simulate agents, the ego last, and drop those that would touch another.

    ``lights`` are the junctions' of ``draw_lights``.

    Agents that are dropped never show; the rest drove as if they were there.
    """
    paths = Paths([a.path for a in agents])
    motion = _simulate(scenario, agents, lights, paths)
    keep = _untouched(agents, paths, motion)
    kept = tuple(a for a, k in zip(agents, keep, strict=True) if k)
    chosen = np.flatnonzero(keep)
    return TrafficResult(
        kept,
        Paths([a.path for a in kept]),
        Motion(motion.start, motion.step, motion.s[:, chosen], motion.v[:, chosen],
               motion.a[:, chosen]),
    )  # fmt: skip


def _simulate(scenario: Scenario, agents: list[Agent], lights: F64, paths: Paths) -> Motion:
    points, start, count = paths.table
    curvature = _curvature(points, start, count)
    rows = [(*p, i) for i, a in enumerate(agents) for p in a.passages]
    passage = np.array([r[:5] for r in rows], float).reshape(-1, 5)
    owner = np.array([r[5] for r in rows], np.int64)
    interval = np.array([c for a in agents for c in a.crossings], float).reshape(-1, 2)
    walker = np.array([i for i, a in enumerate(agents) for _ in a.crossings], np.int64)
    hits, first = _meetings(agents, paths, interval, walker)
    steps = int(np.ceil((WARM_UP + scenario.duration_s) / STEP)) + 3
    s0 = np.array([a.start for a in agents])
    desired = np.array([a.speed for a in agents])
    speed0 = np.array([0.85 * a.speed if a.initial_speed is None else a.initial_speed
                       for a in agents])  # fmt: skip
    halt = np.array([h for a in agents for h in a.halts], float).reshape(-1, 2)
    halting = np.array([i for i, a in enumerate(agents) for _ in a.halts], np.int64)
    kind = np.array([a.kind for a in agents], np.int64)
    half = np.array([a.half for a in agents], float)
    a_max = np.where(kind == kernel.VEHICLE, np.where(half[:, 0] > 2.9, 1.0, 1.7), 0.9)
    s, v, a = kernel.simulate(
        points, curvature, start, count, SPACING,
        s0, speed0, desired, half, kind, a_max, np.array([a.standstill for a in agents]),
        passage, owner, _conflicts(agents, paths, passage, owner), lights,
        scenario.traffic.signals, halt, halting,
        interval, walker, hits, first, -WARM_UP, STEP, steps,
    )  # fmt: skip
    return Motion(-WARM_UP, STEP, s, v, a)


def _curvature(points: F64, start: npt.NDArray, count: npt.NDArray) -> F64:
    curvature = np.zeros(len(points))
    for a, n in zip(start, count, strict=True):
        heading = np.unwrap(np.arctan2(*np.gradient(points[a : a + n, :2], axis=0).T[::-1]))
        curvature[a : a + n] = np.gradient(heading) / SPACING
    return curvature


def _conflicts(
    agents: list[Agent], paths: Paths, passage: F64, owner: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Return which pairs of passages cross in a junction; lane mates do not conflict."""
    ways = [np.arange(low, high, 1.0) for low, high in passage[:, :2]]
    count = np.array([len(way) for way in ways], np.int64)
    s = np.concatenate([np.zeros(0), *ways])
    zero = np.zeros_like(s)
    points = paths.evaluate(np.repeat(owner, count), s, zero, zero).position[:, :2]
    half = np.array([agents[i].half[1] for i in owner], float)
    conflict = np.zeros((len(owner), len(owner)), bool)
    first = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    contacts.crossing(np.ascontiguousarray(points), first, passage[:, 2].copy(), half, conflict)
    return conflict


def _meetings(
    agents: list[Agent], paths: Paths, interval: F64, walker: npt.NDArray
) -> tuple[F64, npt.NDArray[np.int64]]:
    """Return where vehicles' paths meet walkers' crossings, grouped by crossing."""
    hits: list[tuple[float, ...]] = []
    first = [0]
    points, start, count = paths.table
    rides = np.array([a.kind != kernel.WALKER for a in agents], bool)
    mover = np.repeat(np.arange(len(agents)), count)
    # All vehicles' path points in the order of x: a crossing looks at its own strip only.
    riding = np.flatnonzero(rides[mover])
    by_x = riding[np.argsort(points[riding, 0], kind='stable')]
    sorted_x = points[by_x, 0]
    for c, (low, high) in enumerate(interval):
        s = np.arange(low, high + 0.25, 0.5)
        zero = np.zeros_like(s)
        way = paths.evaluate(np.full(len(s), walker[c]), s, zero, zero).position[:, :2]
        lowest, highest = way.min(0) - 1, way.max(0) + 1
        strip = by_x[np.searchsorted(sorted_x, lowest[0]) : np.searchsorted(sorted_x, highest[0])]
        inside = ((points[strip, :2] > lowest) & (points[strip, :2] < highest)).all(1)
        near = np.sort(strip[inside])
        for group in np.split(near, np.flatnonzero(np.diff(mover[near])) + 1):
            if not len(group):
                continue
            gap = ((way[:, None] - points[None, group, :2]) ** 2).sum(-1)
            m = int(gap.argmin())
            if gap.flat[m] < 0.5:
                i = mover[group[0]]
                k = group[m % len(group)] - start[i]
                hits.append((c, s[m // len(group)], i, float(k * SPACING)))
        first.append(len(hits))
    return np.array(hits, float).reshape(-1, 4), np.array(first, np.int64)


def places(paths: Paths, motion: Motion) -> tuple[F64, F64]:
    """Return (T, A, 4) x, y, cosine and sine of all agents on the plan, and (T,) the times."""
    rows = range(0, len(motion.s), 2)
    index = np.arange(motion.s.shape[1])
    place = np.zeros((len(rows), len(index), 4))
    for row, k in enumerate(rows):
        pose = paths.evaluate(index, motion.s[k], motion.v[k], motion.a[k])
        place[row, :, :2] = pose.position[:, :2]
        place[row, :, 2], place[row, :, 3] = np.cos(pose.yaw), np.sin(pose.yaw)
    return place, motion.start + motion.step * np.array(rows)


def _untouched(agents: list[Agent], paths: Paths, motion: Motion) -> npt.NDArray[np.bool_]:
    place, _ = places(paths, motion)
    half = np.array([a.half for a in agents], float) + 0.04
    keep = np.ones(len(agents), bool)
    contacts.colliding(place, half, keep, len(agents) - 1)
    return keep
