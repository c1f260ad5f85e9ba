"""Gives bodies to agents: vehicles, riders and pedestrians as objects with their parts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.meshes import people, trucks, vehicle
from sim_perception.simulator.content.meshes.builder import MeshBuilder
from sim_perception.simulator.content.meshes.car_shape import draw_families
from sim_perception.simulator.content.meshes.classes import class_id
from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.street import gait
from sim_perception.simulator.street.agents import Agent
from sim_perception.simulator.street.draws import draw, stream
from sim_perception.simulator.street.layout import CURB_HEIGHT, Layout
from sim_perception.simulator.street.vehicles import Footprint
from sim_perception.simulator.world.assembly import Assembly, ObjectSpec, planar_pose
from sim_perception.simulator.world.palette import car_color, cloth_color, truck_color

_CAR_MODELS, _TRUCK_MODELS, _PEOPLE = 14, 3, 10


@dataclass(frozen=True)
class Model:
    """A vehicle of the fleet.

    Attributes:
        label: class name.
        family: such as 'suv'.
        body: mesh without wheels, origin on the ground under the box's centre.
        wheels: (x, y, steered) of the wheel centres.
        radius: of the wheels.
        wheel: the two wheel meshes, for the right and the left side.
        size: length, width, height of the tight box.
    """

    label: str
    family: str
    body: Mesh
    wheels: list[tuple[float, float, bool]]
    radius: float
    wheel: tuple[Mesh, Mesh]
    size: tuple[float, float, float]

    @property
    def footprint(self) -> Footprint:
        """What traffic needs to know."""
        tag = 'car' if self.label == 'car' else 'truck'
        return Footprint(tag, (self.size[0] / 2, self.size[1] / 2))

    @property
    def mass(self) -> float:
        """Kilograms, from the volume."""
        volume = self.size[0] * self.size[1] * self.size[2]
        return volume * (115.0 if self.label == 'car' else 170.0)

    def whole(self) -> Mesh:
        """Return body and wheels as one mesh."""
        builder = MeshBuilder()
        builder.add_mesh(self.body)
        for x, y, _ in self.wheels:
            builder.add_mesh(self.wheel[int(y > 0)], planar_pose(x, y, self.radius))
        return builder.build()


def _centred(
    label: str,
    family: str,
    body: Mesh,
    wheels: list[tuple[float, float, bool]],
    radius: float,
    wheel: tuple[Mesh, Mesh],
) -> Model:
    """Move a body so that its tight box is centred over the origin, and measure it."""
    v = body.vertices.astype(float)
    low, high = v.min(0), v.max(0)
    middle = 0.5 * (low[0] + high[0])
    builder = MeshBuilder()
    builder.add_mesh(body, planar_pose(-middle, 0.0))
    width = 2 * max(abs(low[1]), abs(high[1]))
    size = (float(high[0] - low[0]), float(width), float(high[2]))
    moved = [(x - middle, y, steered) for x, y, steered in wheels]
    return Model(label, family, builder.build(), moved, radius, wheel, size)


def build_fleet(scenario: Scenario) -> list[Model]:
    """Draw the vehicle models of a scene."""
    rng = stream(scenario, 'fleet')
    models = []
    populations = scenario.traffic.population
    population = (
        populations[int(rng.integers(len(populations)))]
        if len(populations) > 1
        else populations[0]
    )
    for family in draw_families(population, _CAR_MODELS, rng):
        shape = vehicle.draw_shape(family, rng, scenario.randomisation.shape)
        spokes = 5 + int(shape.lamp * 4)
        wheel = tuple(vehicle.wheel(shape.wheel_radius, spokes=spokes, side=s) for s in (-1, 1))
        models.append(_centred('car', family, vehicle.car_body(shape), vehicle.wheel_places(shape),
                               shape.wheel_radius, (wheel[0], wheel[1])))  # fmt: skip
    for k in range(_TRUCK_MODELS):
        family = trucks.FAMILIES[k % len(trucks.FAMILIES)]
        truck = trucks.draw_truck(family, rng)
        wheel = tuple(vehicle.wheel(truck.wheel_radius, 0.3, 8, 'truck', side=s) for s in (-1, 1))
        models.append(_centred('truck', family, trucks.truck_body(truck),
                               trucks.truck_wheels(truck), truck.wheel_radius,
                               (wheel[0], wheel[1])))  # fmt: skip
    return models


class Population:
    """Adds people and vehicles to an assembly."""

    def __init__(self, scenario: Scenario, assembly: Assembly, fleet: list[Model]) -> None:
        self._scenario, self._assembly, self._fleet = scenario, assembly, fleet
        rng = stream(scenario, 'people')
        self._people = [people.draw_person(rng) for _ in range(_PEOPLE)]

    def add_vehicle(self, model: int, rng: np.random.Generator, mover: int = -1,
                    pose: np.ndarray | None = None) -> None:  # fmt: skip
        """Add a vehicle: moving with turning wheels, or parked as one piece."""
        m = self._fleet[model]
        strength = self._scenario.randomisation.color
        tint = car_color(rng, strength) if m.label == 'car' else truck_color(rng)
        row = self._assembly.add_object(
            ObjectSpec(class_id(m.label), m.family, m.size, m.mass, m.size[2] / 2,
                       np.eye(4) if pose is None else pose, mover)
        )  # fmt: skip
        if mover < 0:
            whole = self._assembly.mesh(('whole', model), m.whole)
            self._assembly.attach(row, whole, tint=tint)
            return
        self._assembly.attach(row, self._assembly.mesh(('body', model), lambda: m.body), tint=tint)
        for x, y, steered in m.wheels:
            side = int(y > 0)
            mesh = self._assembly.mesh(('wheel', model, side), partial(m.wheel.__getitem__, side))
            joint = 'steered' if steered else 'wheel'
            place = planar_pose(x, y, m.radius)
            self._assembly.attach(row, mesh, place, joint=joint, parameter=m.radius)

    def add_walker(self, rng: np.random.Generator, mover: int = -1,
                   pose: np.ndarray | None = None) -> None:  # fmt: skip
        """Add a pedestrian, walking or standing."""
        k = int(rng.integers(len(self._people)))
        person = self._people[k]
        reach = 0.98 * person.scale if mover >= 0 else 0.46 * person.scale
        width = max(0.62, 0.56 * person.girth) * person.scale
        size = (reach, width, 1.79 * person.scale)
        mass = 70 * person.scale**3 * person.girth
        row = self._assembly.add_object(
            ObjectSpec(class_id('pedestrian'), person.family, size, mass, size[2] / 2,
                       np.eye(4) if pose is None else pose, mover)
        )  # fmt: skip
        top, legs = cloth_color(rng), cloth_color(rng)
        mesh = self._assembly.mesh(('torso', k), lambda: people.torso(person))
        self._assembly.attach(row, mesh, tint=top, joint='trunk', parameter=person.scale)
        for name in gait.WALKER_LIMBS:
            mesh = self._assembly.mesh((name, k), partial(people.limb, name, person))
            tint = legs if name in ('thigh', 'shin') else top
            for side in (1, -1):
                self._assembly.attach(row, mesh, tint=tint, joint=f'{name}:{side}',
                                      parameter=person.scale)  # fmt: skip

    def add_rider(self, rng: np.random.Generator, mover: int) -> None:
        """Add a cyclist."""
        adults = [k for k, p in enumerate(self._people) if p.family != 'child'] or [0]
        k = adults[int(rng.integers(len(adults)))]
        person = self._people[k]
        height = gait.SADDLE_HIP[1] + 0.86 * person.scale
        size = (1.78, 0.66, float(height))
        row = self._assembly.add_object(
            ObjectSpec(class_id('cyclist'), 'bicycle', size, 85.0, size[2] / 2, mover=mover)
        )
        top, legs, paint = cloth_color(rng), cloth_color(rng), car_color(rng, 1.0)
        mesh = self._assembly.mesh('bicycle', people.bicycle_frame)
        self._assembly.attach(row, mesh, tint=paint)
        mesh = self._assembly.mesh(('rider', k), lambda: people.rider(person))
        self._assembly.attach(row, mesh, tint=top)
        wheel = self._assembly.mesh('bicycle_wheel', people.bicycle_wheel)
        for x in (-0.53, 0.53):
            self._assembly.attach(row, wheel, planar_pose(x, 0.0, 0.341), joint='wheel',
                                  parameter=0.341)  # fmt: skip
        for name in gait.RIDER_LIMBS:
            mesh = self._assembly.mesh(
                (name, k),
                partial(people.limb, name, person, 'cyclist'),
            )
            for side in (1, -1):
                self._assembly.attach(row, mesh, tint=legs, joint=f'{name}:{side}',
                                      parameter=person.scale)  # fmt: skip

    def add_agents(self, agents: tuple[Agent, ...], models: dict[int, int]) -> None:
        """Add a body for every agent but the ego; ``models`` maps agents' ids to the fleet."""
        rng = stream(self._scenario, 'bodies')
        for mover, agent in enumerate(agents):
            if agent.tag == 'walker':
                self.add_walker(rng, mover)
            elif agent.tag == 'cyclist':
                self.add_rider(rng, mover)
            elif agent.tag != 'ego':
                self.add_vehicle(models[id(agent)], rng, mover)

    def park(self, layout: Layout, gaps: list[float]) -> None:
        """Park vehicles along the curbs, leaving the crossing gaps free."""
        rng = stream(self._scenario, 'parked')
        traffic, section = self._scenario.traffic, layout.section
        density = draw(rng, traffic.parked_density)
        large = draw(rng, traffic.parked_truck_fraction)
        cars = [k for k, m in enumerate(self._fleet) if m.label == 'car']
        tall = [k for k, m in enumerate(self._fleet)
                if m.family in ('van', 'box_truck')
                or (m.family == 'bus' and rng.random() < 0.2)]  # fmt: skip
        for side in (-1, 1):
            width = section.parking_of(side)
            if width == 0:
                continue
            turn = 0.0 if -side * section.hand > 0 else np.pi
            fitting = [k for k in tall if self._fleet[k].size[1] < width + 0.08]
            for a, b in layout.blocks(side):
                s = a + 5 + rng.uniform(0, 4)
                while s < b - 5:
                    pool = fitting if fitting and rng.random() < large else cars
                    k = pool[int(rng.integers(len(pool)))]
                    length, wide, _ = self._fleet[k].size
                    # Leave the crossing gaps and the block's end free.
                    blocked = [g for g in gaps if s - 1.3 < g < s + length + 1.3]
                    if blocked:
                        s = max(blocked) + 1.35
                        continue
                    if s + length > b - 4:
                        break
                    if rng.random() < density:
                        # Wide ones stand close to the curb, mirrors over the sidewalk.
                        d = section.half(side) - max(wide / 2 - 0.08, width / 2)
                        x, y = layout.place(
                            s + length / 2, side * (d + float(rng.normal(0, 0.04)))
                        )
                        yaw = (
                            float(layout.heading(s + length / 2))
                            + turn
                            + float(rng.normal(0, 0.015))
                        )
                        self.add_vehicle(k, rng, pose=planar_pose(float(x), float(y), 0.0, yaw))
                    s += length + float(rng.uniform(0.6, 1.6))

    def stand(self, layout: Layout, walking: int) -> None:
        """Let some people stand at the building side of the sidewalks."""
        rng = stream(self._scenario, 'standing')
        section = layout.section
        for _ in range(int(rng.poisson(0.12 * walking))):
            side = int(rng.choice([-1, 1]))
            s = float(rng.uniform(layout.start + 10, layout.end - 50))
            if layout.near_junction(s, 6.0, side):
                continue
            d = side * (section.half(side) + section.sidewalk + 0.05)
            for k in range(int(rng.integers(1, 4))):
                x, y = layout.place(s + 0.8 * k, d)
                yaw = float(layout.heading(s)) + float(rng.uniform(0, 2 * np.pi))
                self.add_walker(rng, pose=planar_pose(float(x), float(y), CURB_HEIGHT, yaw))


def crossing_gaps(scenario: Scenario, layout: Layout) -> list[float]:
    """Return s where people cross: zebra crossings and places between parked vehicles."""
    rng = stream(scenario, 'gaps')
    gaps = [j.s + end * (j.reach() + 2.1) for j in layout.junctions for end in (-1, 1)]
    s = layout.start + float(rng.uniform(10, 30))
    while s < layout.end - 20:
        if not layout.near_junction(s, 8.0):
            gaps.append(s)
        s += float(rng.uniform(14, 36))
    return sorted(float(g) for g in gaps)
