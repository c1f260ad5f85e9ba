"""The vehicles that a scene's traffic and its parked ones are drawn from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim_perception.simulator.common.scene import Assets, Instances, Mesh, Scene
from sim_perception.simulator.content.groups.body import Part
from sim_perception.simulator.content.materials import COUNTS, Slot
from sim_perception.simulator.content.meshes import motorbikes, trucks, vehicle
from sim_perception.simulator.content.meshes.car_shape import CarShape, draw_families
from sim_perception.simulator.content.meshes.outfit import lettered, roof_load
from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.street.draws import draw, stream
from sim_perception.simulator.world.large_vehicles import lorry_fleet, towing_fleet
from sim_perception.simulator.world.vehicle_model import Model, centred

_CAR_MODELS, _TRUCK_MODELS, _MOTORBIKES = 14, 3, 5


def build_fleet(scenario: Scenario) -> list[Model]:
    """Draw the vehicle models of a scene."""
    mirrors = scenario.traffic.mirrors_in_boxes
    rng, outfit = stream(scenario, 'fleet'), stream(scenario, 'outfit')
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
        body, parts = _outfitted(vehicle.car_body(shape), shape, scenario, outfit)
        model = centred('car', family, body, vehicle.wheel_places(shape), shape.wheel_radius,
                        (wheel[0], wheel[1]), parts, None if mirrors else shape.width)  # fmt: skip
        models.append(replace(model, shape=shape))
    for k in range(_TRUCK_MODELS):
        family = trucks.FAMILIES[k % len(trucks.FAMILIES)]
        truck = trucks.draw_truck(family, rng)
        wheel = tuple(vehicle.wheel(truck.wheel_radius, 0.3, 8, 'truck', side=s) for s in (-1, 1))
        models.append(centred('truck', family, trucks.truck_body(truck),
                               trucks.truck_wheels(truck), truck.wheel_radius,
                               (wheel[0], wheel[1]), (),
                              None if mirrors else truck.width))  # fmt: skip
    return models + _further(scenario, models)


def _further(scenario: Scenario, cars: list[Model]) -> list[Model]:
    """Draw what comes by shares of its own."""
    rng, traffic = stream(scenario, 'further fleet'), scenario.traffic
    lettering = draw(rng, traffic.lettering)
    models: list[Model] = []
    if scenario.cycles.motorbike_fraction[1] > 0:
        models += _motorbikes(stream(scenario, 'motorbikes'))
    if traffic.lorry_fraction[1] > 0:
        models += lorry_fleet(stream(scenario, 'lorries'), lettering, traffic.mirrors_in_boxes)
    if traffic.trailer_fraction[1] > 0:
        own = [m for m in cars if m.label == 'car']
        models += towing_fleet(own, stream(scenario, 'trailers'), lettering)
    return models


def _outfitted(
    body: Mesh, shape: CarShape, scenario: Scenario, rng: np.random.Generator
) -> tuple[Mesh, tuple[Part, ...]]:
    """Return a car's body, perhaps with a print on its sides, and what is on its roof."""
    traffic, half = scenario.traffic, shape.length / 2
    share = draw(rng, traffic.lettering)
    high = shape.family in ('van', 'microvan')
    if rng.random() < share * (1.0 if high else 0.08):
        slot = Slot.GRAPHIC_0 + int(rng.integers(COUNTS['GRAPHIC']))
        ends = (-half + 0.1, 0.15 * half) if high else (-0.45 * half, 0.4 * half)
        body = lettered(body, ends, (0.45, 0.92 * shape.height), slot)
    open_roof = shape.family not in ('coupe', 'pickup')
    if open_roof and rng.random() < draw(rng, traffic.roof_load_fraction):
        return body, (Part(roof_load(shape, rng), 'wall'),)
    return body, ()


def _motorbikes(rng: np.random.Generator) -> list[Model]:
    models = []
    for _ in range(_MOTORBIKES):
        shape = motorbikes.draw_motorbike(rng)
        top, legs = motorbikes.motorbike_riders(shape, rng)
        wheel = tuple(vehicle.wheel(shape.radius, 0.12, 5, shape.label, s) for s in (-1, 1))
        models.append(centred(shape.label, shape.family, motorbikes.motorbike_body(shape),
                               motorbikes.motorbike_wheels(shape), shape.radius,
                               (wheel[0], wheel[1]),
                               (Part(top, 'top'), Part(legs, 'legs'))))  # fmt: skip
    return models


def ego_body(scenario: Scenario, scene: Scene) -> Scene:
    """Return a scene of nothing but the ego's body, a car of the fleet, in ``base_link``."""
    mesh = next(model for model in build_fleet(scenario) if model.label == 'car').whole()
    one = np.zeros(1, np.int32)
    instances = Instances(one, one - 1, np.full((1, 3), 0.5, np.float32))
    assets = Assets((mesh,), scene.assets.materials, scene.assets.textures)
    return Scene(assets, instances, scene.objects, scene.environment, scene.sensor)
