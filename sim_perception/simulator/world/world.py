"""A scenario's world: built once from its seed, then a pure function of time."""

from __future__ import annotations

import numpy as np

from sim_perception.simulator.common.scene import Assets, Scene, WorldState
from sim_perception.simulator.content.materials import Look, build_materials
from sim_perception.simulator.content.meshes.street import street_meshes
from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.street.draws import draw_environment, draw_sensor, stream
from sim_perception.simulator.street.layout import Layout
from sim_perception.simulator.street.traffic import TrafficResult, run_traffic
from sim_perception.simulator.street.vehicles import draw_cyclists, draw_vehicles, ego_agent
from sim_perception.simulator.street.walkers import draw_walkers
from sim_perception.simulator.world.assembly import Assembly
from sim_perception.simulator.world.dressing import Dresser
from sim_perception.simulator.world.population import Population, build_fleet, crossing_gaps
from sim_perception.simulator.world.posing import Poser
from sim_perception.simulator.world.roadside import Roadside
from sim_perception.simulator.world.things import Things


class World:
    """Content and motion of one scenario.

    Attributes:
        scene: everything that does not change.
        layout: the street's plan.
        traffic: the agents that move, the ego last.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        environment = draw_environment(scenario)
        season = _season(scenario)
        variety = scenario.randomisation
        self.layout = Layout(scenario)
        look = Look(scenario.domain, season, variety.color, variety.texture, self.layout.rural)
        materials, textures = build_materials(look, stream(scenario, 'look'))
        assembly = Assembly()
        for mesh in street_meshes(self.layout, stream(scenario, 'street')):
            assembly.place(assembly.add_mesh(mesh), np.eye(4))
        Dresser(scenario, self.layout, assembly, season).dress()
        Roadside(scenario, self.layout, assembly, season).dress()
        self.traffic = _populate(scenario, self.layout, assembly)
        Things(scenario, self.layout, assembly, season).dress()
        self.scene = Scene(
            Assets(tuple(assembly.meshes), materials, textures),
            assembly.instances(),
            assembly.object_facts(),
            environment,
            draw_sensor(scenario),
        )
        result = self.traffic
        self._poser = Poser(assembly, result.paths, np.arange(len(result.agents)), result.motion)

    def state(self, t: float) -> WorldState:
        """Return where everything is at ``t`` seconds.

        Raises:
            ValueError: for a time before -frame_period or after the duration.
        """
        self._scenario.check_time(t)
        return self._poser.state(t)


def _season(scenario: Scenario) -> str:
    rng = stream(scenario, 'season')
    return scenario.weather.season[int(rng.integers(len(scenario.weather.season)))]


def _populate(scenario: Scenario, layout: Layout, assembly: Assembly) -> TrafficResult:
    """Draw vehicles and people, let them move, and give them bodies."""
    fleet = build_fleet(scenario)
    population = Population(scenario, assembly, fleet)
    gaps = crossing_gaps(scenario, layout)
    vehicles = draw_vehicles(scenario, layout, [m.footprint for m in fleet])
    walkers = draw_walkers(scenario, layout, gaps)
    agents = [a for a, _ in vehicles] + draw_cyclists(scenario, layout) + walkers
    result = run_traffic(scenario, [*agents, ego_agent(scenario, layout)], layout)
    population.add_agents(result.agents, {id(a): k for a, k in vehicles})
    population.park(layout, gaps)
    population.stand(layout, len(walkers))
    return result
