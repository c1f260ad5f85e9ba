"""Draws lorries of all kinds, articulated ones, and cars with trailers for a scene's fleet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.materials import COUNTS, Slot
from sim_perception.simulator.content.meshes import lorries, trucks, vehicle
from sim_perception.simulator.content.meshes.outfit import lettered
from sim_perception.simulator.content.meshes.trucks import TruckShape
from sim_perception.simulator.world.vehicle_model import Model, centred

_LORRIES, _TOWING = 7, 4


def lorry_fleet(rng: np.random.Generator, lettering: float, mirrors: bool = True) -> list[Model]:
    """Draw lorries and articulated buses.

    Args:
        rng: decides.
        lettering: share of them with a print on their sides.
        mirrors: whether their boxes reach to their mirrors.
    """
    names = list(lorries.SHARES)
    weight = np.array(list(lorries.SHARES.values()))
    drawn = []
    for family in rng.choice(names, _LORRIES, replace=False, p=weight / weight.sum()):
        if family == 'articulated_bus':
            bus = replace(trucks.draw_truck('bus', rng), family='articulated_bus')
            front = _truck(bus, rng, lettering, mirrors)
            rear = _truck(lorries.draw_bus_rear(bus, rng), rng, lettering)
            drawn.append(replace(front, trailer=rear, overlap=0.35))
            continue
        model = _truck(lorries.draw_lorry(str(family), rng), rng, lettering, mirrors)
        if family == 'tractor':
            trailer = _truck(lorries.draw_semitrailer(rng), rng, lettering)
            model = replace(model, trailer=trailer, overlap=lorries.OVERLAP)
        drawn.append(model)
    return drawn


def towing_fleet(cars: list[Model], rng: np.random.Generator, lettering: float) -> list[Model]:
    """Draw cars with trailers from a scene's cars."""
    strong = [m for m in cars if m.size[0] > 3.6]
    return [
        replace(strong[int(rng.integers(len(strong)))],
                trailer=_truck(lorries.draw_car_trailer(rng), rng, 0.5 * lettering))
        for _ in range(_TOWING if strong else 0)
    ]  # fmt: skip


def _truck(
    shape: TruckShape, rng: np.random.Generator, lettering: float, mirrors: bool = True
) -> Model:
    wheel = tuple(
        vehicle.wheel(shape.wheel_radius, min(0.3, 0.6 * shape.wheel_radius), 8, 'truck', s)
        for s in (-1, 1)
    )
    bus = shape.family == 'articulated_bus'
    body = trucks.truck_body(shape) if bus else lorries.lorry_body(shape)
    if rng.random() < lettering:
        body = printed(body, shape, rng)
    return centred('truck', shape.family, body, lorries.wheels_of(shape), shape.wheel_radius,
                   (wheel[0], wheel[1]), (), None if mirrors else shape.width)  # fmt: skip


def printed(body: Mesh, shape: TruckShape, rng: np.random.Generator) -> Mesh:
    """Return a body with a print over its load's sides."""
    half = shape.length / 2
    slot = Slot.GRAPHIC_0 + int(rng.integers(COUNTS['GRAPHIC']))
    front = half - shape.cab - 0.1 if 'bus' not in shape.family else half - 0.8
    low = (
        0.5 if 'bus' in shape.family or (shape.axles[0] < 0 and shape.wheel_radius < 0.4) else 1.1
    )
    return lettered(body, (-half, front), (low, shape.height), slot)
