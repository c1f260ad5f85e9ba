"""Everything that streets are made of, one of each kind: for tables and for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.groups import GROUPS
from sim_perception.simulator.content.meshes import (
    bicycles,
    buildings,
    carrying,
    frontage,
    furniture,
    lorries,
    motorbikes,
    people,
    trucks,
    vehicle,
)
from sim_perception.simulator.content.meshes.builder import MeshBuilder
from sim_perception.simulator.content.meshes.car_trailers import CAR_TRAILERS
from sim_perception.simulator.content.meshes.outfit import ROOF_LOADS
from sim_perception.simulator.content.meshes.vegetation import HABITS
from sim_perception.simulator.content.meshes.woods import WOODS
from sim_perception.simulator.content.shops import SHOP_PARTS
from sim_perception.simulator.content.things import THINGS


@dataclass(frozen=True)
class Kinds:
    """Kinds of content that belong together.

    Attributes:
        title: what they are.
        names: of the kinds.
        field: of the scenario that asks for them.
        make: returns one of a kind; None where they only come on something else.
    """

    title: str
    names: tuple[str, ...]
    field: str
    make: Callable[[str, np.random.Generator], Mesh] | None = None

    def faces(self, seed: int = 1) -> tuple[int, int] | None:
        """Return the smallest and the largest number of triangles of a kind."""
        if self.make is None:
            return None
        counts = [len(self.make(n, np.random.default_rng(seed)).faces) for n in self.names]
        return min(counts), max(counts)


def kinds() -> Iterator[Kinds]:
    """Yield all kinds."""
    yield Kinds('car families', vehicle.FAMILIES, 'traffic.population', _car)
    yield Kinds('lorries and buses', (*trucks.FAMILIES, *lorries.LORRIES),
                'traffic.truck_fraction, traffic.lorry_fraction', _truck)  # fmt: skip
    yield Kinds('semitrailers', lorries.SEMITRAILERS, 'traffic.lorry_fraction', _semitrailer)
    yield Kinds('trailers of cars', CAR_TRAILERS, 'traffic.trailer_fraction', _car_trailer)
    yield Kinds('roof loads', ROOF_LOADS, 'traffic.roof_load_fraction')
    yield Kinds('motorcycles', motorbikes.MOTORBIKES, 'cycles.motorbike_fraction', _motorbike)
    yield Kinds('bicycles', bicycles.BICYCLES, 'traffic.cyclists_per_km, cycles.variety', _bicycle)
    yield Kinds('fixed to bicycles', bicycles.EXTRAS, 'cycles.variety')
    yield Kinds('carried, pushed and held', tuple(carrying.LOADS), 'people.carrying', _laden)
    yield Kinds('groups', tuple(GROUPS), 'people.*_per_km, cycles.parked_per_km', _group)
    yield Kinds('things', tuple(THINGS), 'things', lambda n, r: THINGS[n].make(r))
    yield Kinds('frontages', frontage.FRONTAGES, 'roadside.frontage',
                lambda n, r: frontage.frontage(n, 4.0, 2.0, r))  # fmt: skip
    yield Kinds('parts of shop fronts', tuple(SHOP_PARTS), 'roadside.shops',
                lambda n, r: SHOP_PARTS[n](6.0, 3.4, r))  # fmt: skip
    yield Kinds('trees', HABITS, 'street.tree_spacing_m, weather.season')
    yield Kinds('wood edges', tuple(WOODS), 'street.land_use')
    yield Kinds('buildings', ('town block', 'house', 'hall', 'tower'),
                'street.land_use, street.building_density', _building)  # fmt: skip
    yield Kinds('street furniture', tuple(_FURNITURE),
                'street.furniture_density, street.billboard_density',
                lambda n, r: _FURNITURE[n](r))  # fmt: skip
    yield Kinds('fences', furniture.FENCES, 'street.land_use',
                lambda n, r: furniture.fence(n, 8.0, r))  # fmt: skip
    yield Kinds('at the road', tuple(_ROADSIDE), 'roadside.*_per_km',
                lambda n, r: _ROADSIDE[n](r))  # fmt: skip
    yield Kinds('details of the road', _GROUND, 'ground, relief.bumps_per_km')
    yield Kinds('what moves or switches', _EVENTS, 'ego, traffic')


_FURNITURE: dict[str, Callable[[np.random.Generator], Mesh]] = {
    'lamp': furniture.lamp,
    'traffic light': lambda r: furniture.traffic_light(r, 0, 4.0),
    'sign': lambda r: furniture.sign(0, 2.5),
    'direction sign': furniture.direction_sign,
    'billboard': furniture.billboard,
    'advertising column': furniture.advertising_column,
    'utility pole': furniture.utility_pole,
    'bus shelter': furniture.bus_shelter,
    'bench': furniture.bench,
    'bin': furniture.bin_,
    'cabinet': furniture.cabinet,
    'bollard': furniture.bollard,
    'barrier': furniture.barrier,
    'delineator': furniture.delineator,
}
_ROADSIDE: dict[str, Callable[[np.random.Generator], Mesh]] = {
    'bridge': lambda r: frontage.bridge((-9.0, 9.0), 8.0, 4.6, r),
    'scaffold': lambda r: frontage.scaffold(8.0, 9.0, r),
    'wheeled bins': lambda r: frontage.wheeled_bins(3, r),
}
_GROUND = (
    'curbs of any height', 'lowered curbs', 'lawn strips', 'gravel paths', 'tram rails',
    'crossings', 'raised crossings', 'arrows', 'patches', 'seams', 'covers', 'puddles',
    'worn paint', 'fine asphalt', 'speed bumps',
)  # fmt: skip
_EVENTS = (
    'queue at a light', 'stop and go', 'lane change', 'pulling in', 'pulling out', 'turning ego',
    'traffic lights', 'brake lights', 'indicators', 'opening doors',
)  # fmt: skip


def _building(name: str, rng: np.random.Generator) -> Mesh:
    if name == 'hall':
        return buildings.hall(18.0, 12.0, rng)
    make = {'town block': buildings.town_block, 'house': buildings.house,
            'tower': buildings.tower}[name]  # fmt: skip
    return make(12.0, 10.0, {'town block': 4, 'house': 2, 'tower': 10}[name], rng)


def _car(name: str, rng: np.random.Generator) -> Mesh:
    return vehicle.car_body(vehicle.draw_shape(name, rng))


def _truck(name: str, rng: np.random.Generator) -> Mesh:
    if name in trucks.FAMILIES or name == 'articulated_bus':
        return trucks.truck_body(trucks.draw_truck('bus' if 'bus' in name else name, rng))
    return lorries.lorry_body(lorries.draw_lorry(name, rng))


def _of_family(
    draw: Callable[[np.random.Generator], trucks.TruckShape], name: str, rng: np.random.Generator
) -> Mesh:
    shape = draw(rng)
    while shape.family != name:
        shape = draw(rng)
    return lorries.lorry_body(shape)


_semitrailer = partial(_of_family, lorries.draw_semitrailer)
_car_trailer = partial(_of_family, lorries.draw_car_trailer)


def _motorbike(name: str, rng: np.random.Generator) -> Mesh:
    shape = motorbikes.draw_motorbike(rng)
    while shape.family != name:
        shape = motorbikes.draw_motorbike(rng)
    return _joined(motorbikes.motorbike_body(shape), *motorbikes.motorbike_riders(shape, rng))


def _bicycle(name: str, rng: np.random.Generator) -> Mesh:
    return bicycles.whole_bicycle(bicycles.draw_bicycle(rng, name), 'cyclist')


def _laden(name: str, rng: np.random.Generator) -> Mesh:
    return carrying.laden_torso(people.draw_person(rng), carrying.LOADS[name])


def _group(name: str, rng: np.random.Generator) -> Mesh:
    return _joined(*(p.mesh for b in GROUPS[name].make(rng) for p in b.parts))


def _joined(*meshes: Mesh) -> Mesh:
    builder = MeshBuilder()
    for mesh in meshes:
        builder.add_mesh(mesh)
    return builder.build()
