"""The ego vehicle's way."""

from __future__ import annotations

import numpy as np

from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.street import traffic_kernel as kernel
from sim_perception.simulator.street.agents import WARM_UP, Agent, arc_length
from sim_perception.simulator.street.draws import draw, stream
from sim_perception.simulator.street.layout import Layout
from sim_perception.simulator.street.motion import SPACING
from sim_perception.simulator.street.queues import EGO_HALF, stand
from sim_perception.simulator.street.vehicles import main_passages

_HALF = (EGO_HALF, 0.95)


def ego_lane(scenario: Scenario, layout: Layout) -> tuple[float, int]:
    """Return the ego's free speed, m/s, and its lane."""
    rng = stream(scenario, 'ego')
    return draw(rng, scenario.ego.speed_kmh) / 3.6, int(rng.integers(layout.section.lanes))


def ego_agent(
    scenario: Scenario, layout: Layout, queued: tuple[float, float] | None = None
) -> Agent:
    """Return the ego vehicle.

    Args:
        scenario: gives its speed.
        layout: gives the lanes.
        queued: s of its place in a queue and its gap to the one ahead; without it the ego
            reaches s = 0 about when the scenario begins.
    """
    speed, lane = ego_lane(scenario, layout)
    d = layout.section.lane(1, lane)
    grid = np.arange(layout.start - 60, layout.end + 60, SPACING / 2)
    path = layout.line(grid, d)
    way = arc_length(path)
    begin = -0.9 * speed * WARM_UP if queued is None else queued[0]
    at = float(np.interp(begin, grid, way))
    agent = Agent(kernel.VEHICLE, path, at, speed, _HALF, 'ego')
    agent.passages = main_passages(layout, grid, way)
    if queued is not None:
        stand(agent, queued[1])
    return agent
