"""A scenario's world: built once from its seed, then a pure function of time."""

from __future__ import annotations

import numpy as np

from sim_perception.simulator.common.scene import F64, Assets, Scene, WorldState
from sim_perception.simulator.content.materials import Look, build_materials
from sim_perception.simulator.content.meshes.road_details import road_details
from sim_perception.simulator.content.meshes.street import street_meshes
from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.scenario_parts import Ground
from sim_perception.simulator.street.crossings import crossing_gaps
from sim_perception.simulator.street.draws import draw, draw_environment, draw_sensor, stream
from sim_perception.simulator.street.ego import ego_agent, plan_course
from sim_perception.simulator.street.layout import Layout
from sim_perception.simulator.street.lights import draw_lights
from sim_perception.simulator.street.manoeuvres import add_stops
from sim_perception.simulator.street.parking import draw_parking
from sim_perception.simulator.street.parties import accompany, hitch, with_followers
from sim_perception.simulator.street.queues import out_of_the_way, queue_vehicles
from sim_perception.simulator.street.relief import make_relief
from sim_perception.simulator.street.suspension import make_suspension
from sim_perception.simulator.street.traffic import TrafficResult, run_traffic
from sim_perception.simulator.street.vehicles import draw_cyclists, draw_vehicles
from sim_perception.simulator.street.walkers import draw_walkers
from sim_perception.simulator.world.assembly import Assembly, planar_pose
from sim_perception.simulator.world.doors import Doors
from sim_perception.simulator.world.dressing import Dresser
from sim_perception.simulator.world.fleet import build_fleet
from sim_perception.simulator.world.groups import Groups
from sim_perception.simulator.world.own import OwnMeshes
from sim_perception.simulator.world.population import Population
from sim_perception.simulator.world.posing import EGO_SUPPORT, Poser
from sim_perception.simulator.world.roadside import Roadside
from sim_perception.simulator.world.settling import settle
from sim_perception.simulator.world.shopping import Shops
from sim_perception.simulator.world.signals import Signals
from sim_perception.simulator.world.things import Things
from sim_perception.simulator.world.traffic_lights import hang_lamps, place_light_poles


class World:
    """Content and motion of one scenario.

    Attributes:
        scene: everything that does not change.
        layout: the street's plan.
        lights: the junctions' traffic lights, see ``draw_lights``.
        traffic: the agents that move, the ego last.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        environment = draw_environment(scenario)
        season = _season(scenario)
        variety = scenario.randomisation
        self.layout = Layout(scenario)
        wear = draw(stream(scenario, 'paint'), scenario.ground.worn_paint)
        look = Look(
            scenario.domain, season, variety.color, variety.texture, self.layout.rural,
            prints=scenario.traffic.lettering[1] + scenario.roadside.shops[1] > 0,
            details=scenario.ground != Ground() or scenario.relief.bumps_per_km[1] > 0,
            wear=wear,
            fine=draw(stream(scenario, 'asphalt'), scenario.ground.fine_asphalt),
            lamps=draw(stream(scenario, 'lamp glass'), scenario.traffic.lamp_shade),
        )  # fmt: skip
        materials, textures = build_materials(look, stream(scenario, 'look'))
        assembly = Assembly()
        for mesh in street_meshes(self.layout, stream(scenario, 'street')):
            assembly.lay(mesh)
        for mesh in road_details(scenario, self.layout):
            assembly.lay(mesh)
        dresser = Dresser(scenario, self.layout, assembly, season)
        dresser.dress()
        Shops(scenario, self.layout, assembly, season).furnish(dresser.fronts)
        Roadside(scenario, self.layout, assembly, season).dress()
        self.lights = draw_lights(scenario, self.layout)
        poles = (
            place_light_poles(scenario, self.layout, assembly)
            if scenario.traffic.signals
            else None
        )
        own = OwnMeshes(scenario, self.layout, assembly, len(materials))
        self.traffic = _populate(scenario, self.layout, assembly, self.lights, own)
        Things(scenario, self.layout, assembly, season).dress()
        Groups(scenario, self.layout, assembly, season).dress()
        if scenario.meshes:
            own.dress(_start(self.traffic))
        relief = make_relief(scenario, self.layout)
        if relief is not None:
            settle(assembly, relief)
        heads = None if poles is None else hang_lamps(assembly, poles)
        self.scene = Scene(
            Assets(tuple(assembly.meshes), (*materials, *own.materials), textures),
            assembly.instances(),
            assembly.object_facts(),
            environment,
            draw_sensor(scenario),
            heads,
        )
        result = self.traffic
        suspension = make_suspension(scenario, result.paths, result.motion, relief, EGO_SUPPORT)
        signals = None if heads is None else Signals(assembly, result, self.lights, heads)
        self._poser = Poser(
            assembly, result.paths, np.arange(len(result.agents)), result.motion, relief,
            suspension, signals,
        )  # fmt: skip

    def state(self, t: float) -> WorldState:
        """Return where everything is at ``t`` seconds.

        Raises:
            ValueError: for a time before -frame_period or after the duration.
        """
        self._scenario.check_time(t)
        return self._poser.state(t)

    def base(self, t: float) -> F64:
        """Return ``world_T_base`` of the state at ``t``; errors as there."""
        self._scenario.check_time(t)
        return self._poser.base(t)


def _start(traffic: TrafficResult) -> F64:
    """Return the ego's pose on the plan at the beginning."""
    s, v, a = traffic.motion.at(0.0)
    pose = traffic.paths.evaluate(np.arange(len(traffic.agents)), s, v, a)
    x, y = (float(value) for value in pose.position[-1, :2])
    return planar_pose(x, y, 0.0, float(pose.yaw[-1]))


def _season(scenario: Scenario) -> str:
    rng = stream(scenario, 'season')
    return scenario.weather.season[int(rng.integers(len(scenario.weather.season)))]


def _populate(
    scenario: Scenario, layout: Layout, assembly: Assembly, lights: F64, own: OwnMeshes
) -> TrafficResult:
    """Draw vehicles and people, let them move, and give them bodies."""
    fleet = build_fleet(scenario)
    population = Population(scenario, assembly, fleet)
    gaps = crossing_gaps(scenario, layout)
    footprints = [m.footprint for m in fleet]
    course = plan_course(scenario, layout)
    queue, queued = queue_vehicles(scenario, layout, footprints, course.lane)
    ego = ego_agent(layout, course, queued)
    placed = [a for a, _ in queue] + ([] if queued is None and not course.joins else [ego])
    driving = out_of_the_way(own.agents(), placed)
    placed += [a for a, _ in driving]
    parking, kept = draw_parking(scenario, layout, footprints, gaps)
    others = draw_vehicles(scenario, layout, footprints) + parking
    vehicles = queue + out_of_the_way(others, placed)
    hitch(vehicles, footprints)
    add_stops(scenario, [a for a, _ in vehicles])
    walkers = accompany(scenario, draw_walkers(scenario, layout, gaps))
    agents = [a for a, _ in vehicles + driving] + draw_cyclists(scenario, layout) + walkers
    result = with_followers(run_traffic(scenario, [*agents, ego], lights))
    population.add_agents(result.agents, {id(a): k for a, k in vehicles})
    own.add_agents(result.agents, {id(a): k for a, k in driving})
    population.park(layout, gaps, kept, Doors(scenario, layout.section.hand, result))
    population.stand(layout, len(walkers))
    return result
