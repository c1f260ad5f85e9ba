"""What vehicles do besides going on: halting for a moment."""

from __future__ import annotations

from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.street import traffic_kernel as kernel
from sim_perception.simulator.street.agents import Agent, arc_length
from sim_perception.simulator.street.draws import draw, stream

#: Halts keep this far from stop lines and junctions, metres.
_CLEAR = 9.0
#: Shortest and longest halt, seconds.
_HALT = (1.5, 6.0)


def add_stops(scenario: Scenario, agents: list[Agent]) -> None:
    """Let vehicles halt for a moment here and there, not in or close to junctions."""
    rng = stream(scenario, 'stops')
    per_km = draw(rng, scenario.traffic.stops_per_km)
    if per_km <= 0:
        return
    for agent in agents:
        if agent.kind != kernel.VEHICLE:
            continue
        end = float(arc_length(agent.path)[-1]) - _CLEAR
        s = agent.start + agent.half[0] + 12.0 + rng.exponential(1000 / per_km)
        while s < end:
            if all(s < p[0] - _CLEAR or s > p[1] + _CLEAR for p in agent.passages):
                agent.halts.append((float(s), float(rng.uniform(*_HALT))))
            s += 12.0 + rng.exponential(1000 / per_km)
