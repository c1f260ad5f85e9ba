"""Who goes along with an agent: people beside each other, trailers behind their vehicles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.street.agents import Agent, arc_length
from sim_perception.simulator.street.draws import draw, stream
from sim_perception.simulator.street.motion import Motion, Paths
from sim_perception.simulator.street.traffic import TrafficResult
from sim_perception.simulator.street.vehicles import Footprint

F64 = npt.NDArray[np.float64]


def accompany(scenario: Scenario, walkers: list[Agent]) -> list[Agent]:
    """Return walkers, some of which now walk with others.

    Companions walk on the side of the road or behind; who crosses the road goes alone. The
    agent that leads is as wide as its whole party, so that others keep clear of it.
    """
    rng = stream(scenario, 'companions')
    share = draw(rng, scenario.people.grouped)
    if share == 0:
        return walkers
    together = []
    for agent in walkers:
        if agent.crossings or rng.random() >= share:
            together.append(agent)
            continue
        beside = agent.roadward * float(rng.uniform(0.55, 0.65))
        places = [(beside, float(rng.normal(0, 0.12)))]
        if rng.random() < 0.3:
            places.append((float(rng.normal(0, 0.1)), float(rng.uniform(0.85, 1.1))))
            if rng.random() < 0.5:
                places.append((beside + float(rng.normal(0, 0.1)), float(rng.uniform(0.9, 1.2))))
        length = agent.half[0] + max(0.0, *(behind for _, behind in places))
        together.append(replace(agent, followers=places, half=(length, agent.half[1] + 0.6)))
    return together


def hitch(vehicles: list[tuple[Agent, int]], footprints: list[Footprint]) -> None:
    """Let vehicles that tow be followed by what they tow."""
    for agent, k in vehicles:
        if footprints[k].behind > 0:
            agent.ahead = footprints[k].ahead
            agent.followers = [(0.0, footprints[k].behind)]


def with_followers(result: TrafficResult) -> TrafficResult:
    """Return a street's traffic with followers as agents of their own, the ego last.

    A follower has its leader's motion on a path beside the leader's, behind it by a constant
    arc length; in bends it therefore falls back or catches up a little.
    """
    agents, columns = list(result.agents[:-1]), list(range(len(result.agents) - 1))
    behind = [-a.ahead for a in agents]
    polylines = [a.path for a in agents]
    for k, leader in enumerate(result.agents[:-1]):
        for aside, back in leader.followers:
            agents.append(replace(leader, followers=[], leader=leader))
            columns.append(k)
            behind.append(back)
            polylines.append(beside(leader.path, aside))
    if len(agents) == len(result.agents) - 1:
        return result  # who tows has a follower
    ego = result.agents[-1]
    columns.append(len(result.agents) - 1)
    motion, back_by = result.motion, np.array([*behind, 0.0])
    return TrafficResult(
        (*agents, ego),
        Paths([*polylines, ego.path]),
        Motion(motion.start, motion.step, motion.s[:, columns] - back_by, motion.v[:, columns],
               motion.a[:, columns]),
    )  # fmt: skip


def beside(path: F64, aside: float) -> F64:
    """Return a (K, 3) polyline ``aside`` metres to the left of a path."""
    way = arc_length(path)
    along = np.gradient(path[:, :2], way, axis=0)
    length = np.sqrt((along**2).sum(1, keepdims=True))
    left = np.stack([-along[:, 1], along[:, 0]], -1) / np.maximum(length, 1e-9)
    moved = path.copy()
    moved[:, :2] += aside * left
    return moved
