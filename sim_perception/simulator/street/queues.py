"""Vehicles that stand in a queue at a red light when the scenario begins."""

from __future__ import annotations

import numpy as np

from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.street import traffic_kernel as kernel
from sim_perception.simulator.street.agents import Agent
from sim_perception.simulator.street.draws import draw, stream
from sim_perception.simulator.street.layout import STOP_LINE, Layout
from sim_perception.simulator.street.vehicles import Exchange, Footprint, lane_agent

#: Half length of the ego's box, metres.
EGO_HALF = 2.3
#: Vehicles that would begin nearer to one in the queue than this are left out, metres.
_CLEAR = 6.0


def queue_vehicles(
    scenario: Scenario, layout: Layout, footprints: list[Footprint], lane: int
) -> tuple[list[tuple[Agent, int]], tuple[float, float] | None]:
    """Return the vehicles of the queue and where the ego stands in it.

    Args:
        scenario: gives gaps.
        layout: gives the queue.
        footprints: the vehicles to choose from.
        lane: the ego's; the lanes beside it have queues of their own.

    Returns:
        Agents at rest with the index of their footprint; s of the ego's middle and its gap to
        the one ahead, 0 if there is none. No agents and None without a queue.
    """
    queue = layout.queue
    if queue is None:
        return [], None
    rng = stream(scenario, 'queued')
    trucks = draw(rng, scenario.traffic.truck_fraction)
    cars = [k for k, f in enumerate(footprints) if f.tag == 'car']
    heavy = [k for k, f in enumerate(footprints) if f.tag == 'truck']
    exchange = Exchange(scenario, footprints, 'exchanged in queues')
    junction = layout.junctions[queue.junction]
    standing: list[tuple[Agent, int]] = []
    place = (0.0, 0.0)
    for other in range(layout.section.lanes):
        count = queue.vehicles if other == lane else int(rng.integers(queue.vehicles + 2))
        s = junction.s - junction.reach() - STOP_LINE - float(rng.uniform(0.2, 0.8))
        gap = 0.0
        for _ in range(count):
            pool = heavy if heavy and rng.random() < trucks else cars
            k = exchange(pool[int(rng.integers(len(pool)))])
            half = footprints[k].half[0]
            agent = lane_agent(layout, rng, 1, other, s - half, footprints[k], scenario)
            stand(agent, gap)
            standing.append((agent, k))
            gap = draw(rng, scenario.ego.queue_gap_m)
            s -= 2 * half + gap
        if other == lane:
            place = s - EGO_HALF, gap
    return standing, place


def stand(agent: Agent, gap: float) -> None:
    """Let an agent begin at rest, with a gap to the one ahead that it is content with."""
    agent.initial_speed = 0.0
    # The model sees free way in whole metres, rounded down.
    agent.standstill = max(float(np.ceil(gap)) - 1.0, 0.5) + 0.01 if gap > 0 else 2.0


def out_of_the_way(
    agents: list[tuple[Agent, int]], placed: list[Agent]
) -> list[tuple[Agent, int]]:
    """Return the agents that begin neither in nor just around those that are placed."""
    if not placed:
        return agents
    there = np.array([_start(a) for a in placed])
    reach = np.array([a.half[0] for a in placed])
    kept = []
    for agent, k in agents:
        x, y, _, _ = _start(agent)
        dx, dy = x - there[:, 0], y - there[:, 1]
        along = np.abs(there[:, 2] * dx + there[:, 3] * dy)
        across = np.abs(there[:, 2] * dy - there[:, 3] * dx)
        near = (along < reach + agent.half[0] + _CLEAR) & (across < 1.6)
        if agent.kind == kernel.VEHICLE and near.any():
            continue
        kept.append((agent, k))
    return kept


def _start(agent: Agent) -> tuple[float, float, float, float]:
    """Return x, y and the direction at an agent's beginning."""
    step = np.sqrt((np.diff(agent.path, axis=0) ** 2).sum(1))
    way = np.concatenate([[0.0], np.cumsum(step)])
    k = min(max(int(np.searchsorted(way, agent.start)), 1), len(way) - 1)
    ux, uy = (agent.path[k, :2] - agent.path[k - 1, :2]) / max(step[k - 1], 1e-9)
    return float(agent.path[k, 0]), float(agent.path[k, 1]), float(ux), float(uy)
