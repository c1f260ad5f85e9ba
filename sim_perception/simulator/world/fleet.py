"""The vehicles that a scene's traffic and its parked ones are drawn from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.groups.body import Part
from sim_perception.simulator.content.meshes import motorbikes, trucks, vehicle
from sim_perception.simulator.content.meshes.builder import MeshBuilder
from sim_perception.simulator.content.meshes.car_shape import draw_families
from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.street.draws import stream
from sim_perception.simulator.street.vehicles import Footprint
from sim_perception.simulator.world.assembly import planar_pose

_CAR_MODELS, _TRUCK_MODELS, _MOTORBIKES = 14, 3, 5


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
        riders: who sits on it, in the body's frame.
    """

    label: str
    family: str
    body: Mesh
    wheels: list[tuple[float, float, bool]]
    radius: float
    wheel: tuple[Mesh, Mesh]
    size: tuple[float, float, float]
    riders: tuple[Part, ...] = ()

    @property
    def footprint(self) -> Footprint:
        """What traffic needs to know."""
        tag = self.label if self.label in ('car', 'truck') else 'motorbike'
        return Footprint(tag, (self.size[0] / 2, self.size[1] / 2))

    @property
    def mass(self) -> float:
        """Kilograms, from the volume."""
        if self.riders:
            return 220.0
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
    riders: tuple[Part, ...] = (),
) -> Model:
    """Move a body so that its tight box is centred over the origin, and measure it."""
    v = np.concatenate([body.vertices, *(p.mesh.vertices for p in riders)]).astype(float)
    low, high = v.min(0), v.max(0)
    middle = 0.5 * (low[0] + high[0])
    builder = MeshBuilder()
    builder.add_mesh(body, planar_pose(-middle, 0.0))
    width = 2 * max(abs(low[1]), abs(high[1]))
    size = (float(high[0] - low[0]), float(width), float(high[2]))
    moved = [(x - middle, y, steered) for x, y, steered in wheels]
    seated = tuple(Part(_shifted(p.mesh, -middle), p.tint) for p in riders)
    return Model(label, family, builder.build(), moved, radius, wheel, size, seated)


def _shifted(mesh: Mesh, x: float) -> Mesh:
    return replace(mesh, vertices=mesh.vertices + np.array([x, 0, 0], np.float32))


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
    if scenario.cycles.motorbike_fraction[1] > 0:
        models += _motorbikes(stream(scenario, 'motorbikes'))
    return models


def _motorbikes(rng: np.random.Generator) -> list[Model]:
    models = []
    for _ in range(_MOTORBIKES):
        shape = motorbikes.draw_motorbike(rng)
        top, legs = motorbikes.motorbike_riders(shape, rng)
        wheel = tuple(vehicle.wheel(shape.radius, 0.12, 5, shape.label, s) for s in (-1, 1))
        models.append(_centred(shape.label, shape.family, motorbikes.motorbike_body(shape),
                               motorbikes.motorbike_wheels(shape), shape.radius,
                               (wheel[0], wheel[1]),
                               (Part(top, 'top'), Part(legs, 'legs'))))  # fmt: skip
    return models
