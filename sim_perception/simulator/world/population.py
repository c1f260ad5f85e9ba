"""Gives bodies to agents: vehicles, riders and pedestrians as objects with their parts."""

from __future__ import annotations

from functools import partial

import numpy as np

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.meshes import bicycles, people, riders
from sim_perception.simulator.content.meshes.car_doors import CutDoor
from sim_perception.simulator.content.meshes.carrying import LOADS, draw_load, laden_torso
from sim_perception.simulator.content.meshes.classes import class_id
from sim_perception.simulator.content.meshes.lamps import cut_lamps
from sim_perception.simulator.content.meshes.lorries import PARKED_TOO
from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.street import gait
from sim_perception.simulator.street.agents import Agent
from sim_perception.simulator.street.draws import draw, stream
from sim_perception.simulator.street.layout import CURB_HEIGHT, Layout
from sim_perception.simulator.street.parking import Place
from sim_perception.simulator.world.assembly import (
    Assembly,
    Color,
    DoorSwing,
    ObjectSpec,
    planar_pose,
)
from sim_perception.simulator.world.doors import Doors
from sim_perception.simulator.world.palette import (
    car_color,
    cloth_color,
    dull_paint,
    tinted,
    truck_color,
)
from sim_perception.simulator.world.signals import VEHICLE_LAMPS
from sim_perception.simulator.world.vehicle_model import Model

_RIDES = 8


class Population:
    """Adds people and vehicles to an assembly."""

    def __init__(self, scenario: Scenario, assembly: Assembly, fleet: list[Model]) -> None:
        self._scenario, self._assembly = scenario, assembly
        towing = [k for k, m in enumerate(fleet) if m.trailer is not None]
        self._trailers = {k: len(fleet) + n for n, k in enumerate(towing)}
        self._fleet = [*fleet, *(m.trailer for m in fleet if m.trailer is not None)]
        self._cut: dict[int, tuple[Mesh, dict[str, Mesh]]] = {}
        rng, self._more = stream(scenario, 'people'), stream(scenario, 'more people')
        self._paint = stream(scenario, 'dull paint')
        self._dull = draw(self._paint, scenario.traffic.dull_paint)
        self._ride_seed = int(self._more.integers(2**31))
        self._carrying = draw(self._more, scenario.people.carrying)
        self._variety = draw(self._more, scenario.cycles.variety)
        count = round(draw(self._more, scenario.people.individuals))
        self._people = [people.draw_person(rng) for _ in range(count)]
        self._loads = [draw_load(self._more, p.family != 'child') for p in self._people]

    def add_vehicle(self, model: int, rng: np.random.Generator, mover: int = -1,
                    pose: np.ndarray | None = None,
                    opening: tuple[CutDoor, DoorSwing] | None = None) -> None:  # fmt: skip
        """Add a vehicle: moving with turning wheels, or parked, perhaps with an opening door."""
        m, label = self._fleet[model], self._fleet[model].label
        strength = self._scenario.randomisation.color
        tint = truck_color(rng) if label == 'truck' else car_color(rng, strength)
        if label == 'car' and self._dull > 0 and self._paint.random() < self._dull:
            tint = dull_paint(self._paint)
        row = self._assembly.add_object(
            ObjectSpec(class_id(m.label), m.family, m.size, m.mass, m.size[2] / 2,
                       np.eye(4) if pose is None else pose, mover)
        )  # fmt: skip
        if mover < 0:
            self._add_parked(row, model, tint, opening)
            self._add_parts(model, row, rng)
            return
        if self._scenario.traffic.signals:
            self._add_lit_body(row, model, tint)
        else:
            body = self._assembly.mesh(('body', model), lambda: m.body)
            self._assembly.attach(row, body, tint=tint)
        self._add_parts(model, row, rng)
        for x, y, steered in m.wheels:
            side = int(y > 0)
            mesh = self._assembly.mesh(('wheel', model, side), partial(m.wheel.__getitem__, side))
            joint = 'steered' if steered else 'wheel'
            place = planar_pose(x, y, m.radius)
            self._assembly.attach(row, mesh, place, joint=joint, parameter=m.radius)

    def _add_parked(
        self, row: int, model: int, tint: Color, opening: tuple[CutDoor, DoorSwing] | None
    ) -> None:
        """Add a body with its wheels as one piece; a door that opens is one more."""
        m, assembly = self._fleet[model], self._assembly
        if opening is None:
            assembly.attach(row, assembly.mesh(('whole', model), m.whole), tint=tint)
            return
        cut, swing = opening
        rest = assembly.mesh(('doorless', model), lambda: m.whole(cut.body))
        door = assembly.mesh(('door', model), lambda: cut.door)
        assembly.attach(row, rest, tint=tint)
        assembly.attach(row, door, planar_pose(*cut.hinge), tint, door=swing)

    def _add_parts(self, model: int, row: int, rng: np.random.Generator) -> None:
        for n, part in enumerate(self._fleet[model].parts):
            mesh = self._assembly.mesh(('part', model, n), partial(getattr, part, 'mesh'))
            self._assembly.attach(row, mesh, tint=tinted(part.tint, rng))

    def _add_lit_body(self, row: int, model: int, tint: Color) -> None:
        """Add a body whose brake lights and indicators are parts of their own."""
        if model not in self._cut:
            self._cut[model] = cut_lamps(self._fleet[model].body)
        body, lamps = self._cut[model]
        mesh = self._assembly.mesh(('body', model), lambda: body)
        self._assembly.attach(row, mesh, tint=tint)
        for name in lamps:
            mesh = self._assembly.mesh((name, model), partial(lamps.__getitem__, name))
            self._assembly.attach(row, mesh, tint=tint, lamp=VEHICLE_LAMPS[name])

    def add_walker(self, rng: np.random.Generator, mover: int = -1,
                   pose: np.ndarray | None = None) -> None:  # fmt: skip
        """Add a pedestrian, walking or standing."""
        k = int(rng.integers(len(self._people)))
        person = self._people[k]
        reach = 0.98 * person.scale if mover >= 0 else 0.46 * person.scale
        width = max(0.62, 0.56 * person.girth) * person.scale
        size = (reach, width, 1.79 * person.scale)
        mass = 70 * person.scale**3 * person.girth
        load = LOADS[self._loads[k]] if self._more.random() < self._carrying else None
        if load is None:
            mesh = self._assembly.mesh(('torso', k), lambda: people.torso(person))
            local = np.eye(4)
        else:
            mesh = self._assembly.mesh(('laden', k), lambda: laden_torso(person, load))
            size, local = _around(size, self._assembly.meshes[mesh])
        free = [side for side, arm in zip((1, -1), load.arms if load else (None, None),
                                          strict=True) if arm is None]  # fmt: skip
        row = self._assembly.add_object(
            ObjectSpec(class_id('pedestrian'), person.family, size, mass, size[2] / 2,
                       np.eye(4) if pose is None else pose, mover)
        )  # fmt: skip
        top, legs = cloth_color(rng), cloth_color(rng)
        self._assembly.attach(row, mesh, local, top, 'trunk', person.scale)
        for name in gait.WALKER_LIMBS:
            leg = name in ('thigh', 'shin')
            for side in (1, -1) if leg else free:
                mesh = self._assembly.mesh((name, k), partial(people.limb, name, person))
                self._assembly.attach(row, mesh, local, legs if leg else top, f'{name}:{side}',
                                      person.scale)  # fmt: skip

    def add_rider(self, rng: np.random.Generator, mover: int) -> None:
        """Add a cyclist."""
        adults = [k for k, p in enumerate(self._people) if p.family != 'child'] or [0]
        k = adults[int(rng.integers(len(adults)))]
        person = self._people[k]
        height = gait.SADDLE_HIP[1] + 0.86 * person.scale
        size = (1.78, 0.66, float(height))
        if self._more.random() < self._variety:
            self._add_styled_rider(rng, mover, k)
            return
        row = self._assembly.add_object(
            ObjectSpec(class_id('cyclist'), 'bicycle', size, 85.0, size[2] / 2, mover=mover)
        )
        top, legs, paint = cloth_color(rng), cloth_color(rng), car_color(rng, 1.0)
        mesh = self._assembly.mesh('bicycle', people.bicycle_frame)
        self._assembly.attach(row, mesh, tint=paint)
        mesh = self._assembly.mesh(('rider', k), lambda: people.rider(person))
        self._assembly.attach(row, mesh, tint=top)
        self._add_rider_legs(row, k, legs)

    def _add_styled_rider(self, rng: np.random.Generator, mover: int, k: int) -> None:
        """Add a cyclist on one of the scene's bicycles, in a posture of his own."""
        n = int(self._more.integers(_RIDES))
        shape = np.random.default_rng([self._ride_seed, n])
        bicycle = bicycles.draw_bicycle(shape)
        style, person = riders.draw_style(bicycle, shape), self._people[k]
        assembly = self._assembly
        frame = assembly.mesh(('bicycle', n), lambda: bicycles.bicycle_body(bicycle, 'cyclist'))
        trunk = assembly.mesh(
            ('styled rider', n, k), lambda: riders.styled_rider(person, bicycle, style)
        )
        low, high = bounds(assembly.meshes[frame], assembly.meshes[trunk])
        half = max(abs(low[1]), abs(high[1]), 0.18)
        size = (1.78, 2 * float(half), float(high[2]))
        row = assembly.add_object(
            ObjectSpec(class_id('cyclist'), bicycle.kind, size, 85.0, size[2] / 2, mover=mover)
        )
        top, legs, paint = cloth_color(rng), cloth_color(rng), car_color(rng, 1.0)
        assembly.attach(row, frame, tint=paint)
        assembly.attach(row, trunk, tint=top)
        self._add_rider_legs(row, k, legs)

    def _add_rider_legs(self, row: int, k: int, tint: Color) -> None:
        """Add the wheels and the legs that turn the cranks."""
        person, assembly = self._people[k], self._assembly
        wheel = assembly.mesh('bicycle_wheel', people.bicycle_wheel)
        for x in (-bicycles.AXLE, bicycles.AXLE):
            place = planar_pose(x, 0.0, bicycles.AXLE_HEIGHT)
            assembly.attach(row, wheel, place, joint='wheel', parameter=bicycles.AXLE_HEIGHT)
        for name in gait.RIDER_LIMBS:
            mesh = assembly.mesh((name, k), partial(people.limb, name, person, 'cyclist'))
            for side in (1, -1):
                assembly.attach(row, mesh, tint=tint, joint=f'{name}:{side}',
                                parameter=person.scale)  # fmt: skip

    def add_agents(self, agents: tuple[Agent, ...], models: dict[int, int]) -> None:
        """Add the bodies of people and of the fleet; ``models`` maps agents' ids to the fleet."""
        rng = stream(self._scenario, 'bodies')
        for mover, agent in enumerate(agents):
            if agent.tag == 'walker':
                self.add_walker(rng, mover)
            elif agent.tag == 'cyclist':
                self.add_rider(rng, mover)
            elif agent.leader is not None:
                self.add_vehicle(self._trailers[models[id(agent.leader)]], rng, mover)
            elif id(agent) in models:
                self.add_vehicle(models[id(agent)], rng, mover)

    def park(self, layout: Layout, gaps: list[float], kept: list[Place], doors: Doors) -> None:
        """Park vehicles along the curbs, leaving crossing gaps and what is ``kept`` free."""
        rng = stream(self._scenario, 'parked')
        traffic, section = self._scenario.traffic, layout.section
        density = draw(rng, traffic.parked_density)
        large = draw(rng, traffic.parked_truck_fraction)
        cars = [k for k, m in enumerate(self._fleet) if m.label == 'car' and not m.trailer]
        tall = [k for k, m in enumerate(self._fleet)
                if m.family in ('van', 'box_truck')
                or m.family in PARKED_TOO
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
                    taken = [p for p in kept
                             if p.side == side and p.low < s + length and s < p.high]  # fmt: skip
                    if taken:
                        s = max(p.high for p in taken)
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
                        place = planar_pose(float(x), float(y), 0.0, yaw)
                        opening = doors.draw(k, self._fleet[k], place)
                        self.add_vehicle(k, rng, pose=place, opening=opening)
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


def bounds(*meshes: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest corner of meshes in one frame."""
    return (np.min([m.vertices.min(0) for m in meshes], 0).astype(float),
            np.max([m.vertices.max(0) for m in meshes], 0).astype(float))  # fmt: skip


def _around(
    size: tuple[float, float, float], mesh: Mesh
) -> tuple[tuple[float, float, float], np.ndarray]:
    """Return the size of a centred box that holds a mesh too, and the shift that centres both."""
    low, high = bounds(mesh)
    half = 0.5 * np.array(size)
    low, high = np.minimum(low[:2], -half[:2]), np.maximum(high[:2], half[:2])
    top = max(size[2], float(mesh.vertices[:, 2].max()))
    middle = 0.5 * (low + high)
    return (float(high[0] - low[0]), float(high[1] - low[1]), top), planar_pose(*(-middle))
