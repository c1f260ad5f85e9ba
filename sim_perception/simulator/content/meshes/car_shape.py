"""Dimensions of cars: families, how a car of each is drawn, and which drive in which region."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CarShape:
    """Dimensions of a car, metres; runs and lengths are horizontal.

    Attributes:
        family: name of the family.
        length, width, height: of the tight body, without mirrors.
        wheelbase, front_overhang: places of the axles.
        wheel_radius, clearance: of wheels and underside.
        nose: height of the bonnet's front edge.
        belt: height of the window sill.
        hood: from the nose to the windscreen's foot.
        windscreen, rear_window: run of the panes.
        deck: boot or bed behind the rear window's foot.
        deck_height: of the boot's rear edge.
        tumblehome: inward lean of the side panes, fraction of the half width.
        roundness: 0 boxy to 1 rounded plan view.
        panes: opaque rear side (van) when 1, else glass.
        lamp: style of the lamps, 0 to 1.
        cladding: unpainted sills and arches.
    """

    family: str
    length: float
    width: float
    height: float
    wheelbase: float
    front_overhang: float
    wheel_radius: float
    clearance: float
    nose: float
    belt: float
    hood: float
    windscreen: float
    rear_window: float
    deck: float
    deck_height: float
    tumblehome: float
    roundness: float
    panes: int
    lamp: float
    cladding: bool


#: Ranges per family: length, width, height, then fractions (see ``draw_shape``).
_FAMILIES: dict[str, dict[str, tuple[float, float]]] = {
    'sedan': {'length': (4.4, 4.95), 'width': (1.76, 1.9), 'height': (1.40, 1.49),
              'hood': (0.25, 0.285), 'windscreen': (0.15, 0.18), 'rear_window': (0.12, 0.16),
              'deck': (0.10, 0.15), 'belt': (0.62, 0.66), 'nose': (0.47, 0.53),
              'wheel': (0.30, 0.34), 'clearance': (0.16, 0.2)},
    'hatchback': {'length': (3.6, 4.35), 'width': (1.64, 1.82), 'height': (1.43, 1.55),
                  'hood': (0.19, 0.24), 'windscreen': (0.15, 0.19), 'rear_window': (0.07, 0.13),
                  'deck': (0.0, 0.02), 'belt': (0.60, 0.65), 'nose': (0.48, 0.54),
                  'wheel': (0.28, 0.33), 'clearance': (0.16, 0.2)},
    'wagon': {'length': (4.5, 4.95), 'width': (1.76, 1.9), 'height': (1.43, 1.54),
              'hood': (0.24, 0.28), 'windscreen': (0.14, 0.17), 'rear_window': (0.05, 0.10),
              'deck': (0.0, 0.01), 'belt': (0.60, 0.64), 'nose': (0.47, 0.52),
              'wheel': (0.31, 0.34), 'clearance': (0.16, 0.2)},
    'suv': {'length': (4.2, 4.95), 'width': (1.8, 1.98), 'height': (1.62, 1.85),
            'hood': (0.21, 0.26), 'windscreen': (0.11, 0.15), 'rear_window': (0.04, 0.09),
            'deck': (0.0, 0.01), 'belt': (0.61, 0.65), 'nose': (0.52, 0.58),
            'wheel': (0.35, 0.39), 'clearance': (0.22, 0.28)},
    'van': {'length': (4.4, 5.5), 'width': (1.83, 2.02), 'height': (1.82, 2.35),
            'hood': (0.10, 0.16), 'windscreen': (0.10, 0.15), 'rear_window': (0.01, 0.04),
            'deck': (0.0, 0.005), 'belt': (0.52, 0.58), 'nose': (0.42, 0.48),
            'wheel': (0.31, 0.36), 'clearance': (0.17, 0.22)},
    'pickup': {'length': (5.0, 5.5), 'width': (1.83, 1.98), 'height': (1.74, 1.88),
               'hood': (0.22, 0.25), 'windscreen': (0.10, 0.13), 'rear_window': (0.01, 0.03),
               'deck': (0.26, 0.34), 'belt': (0.61, 0.64), 'nose': (0.54, 0.58),
               'wheel': (0.36, 0.40), 'clearance': (0.24, 0.3)},
    'city': {'length': (2.95, 3.75), 'width': (1.5, 1.66), 'height': (1.42, 1.56),
             'hood': (0.15, 0.21), 'windscreen': (0.15, 0.20), 'rear_window': (0.06, 0.12),
             'deck': (0.0, 0.02), 'belt': (0.59, 0.64), 'nose': (0.47, 0.54),
             'wheel': (0.26, 0.30), 'clearance': (0.15, 0.19)},
    'mpv': {'length': (4.1, 4.75), 'width': (1.70, 1.84), 'height': (1.57, 1.74),
            'hood': (0.15, 0.20), 'windscreen': (0.16, 0.21), 'rear_window': (0.05, 0.09),
            'deck': (0.0, 0.01), 'belt': (0.57, 0.62), 'nose': (0.46, 0.52),
            'wheel': (0.30, 0.34), 'clearance': (0.16, 0.2)},
    'microvan': {'length': (3.9, 4.5), 'width': (1.66, 1.84), 'height': (1.74, 1.9),
                 'hood': (0.17, 0.22), 'windscreen': (0.10, 0.14), 'rear_window': (0.01, 0.04),
                 'deck': (0.0, 0.005), 'belt': (0.54, 0.59), 'nose': (0.46, 0.52),
                 'wheel': (0.29, 0.33), 'clearance': (0.16, 0.2)},
    'coupe': {'length': (3.9, 4.6), 'width': (1.68, 1.88), 'height': (1.24, 1.4),
              'hood': (0.27, 0.33), 'windscreen': (0.14, 0.18), 'rear_window': (0.14, 0.20),
              'deck': (0.07, 0.13), 'belt': (0.63, 0.67), 'nose': (0.46, 0.52),
              'wheel': (0.30, 0.34), 'clearance': (0.13, 0.17)},
    'kei': {'length': (3.25, 3.42), 'width': (1.45, 1.5), 'height': (1.5, 1.84),
            'hood': (0.11, 0.17), 'windscreen': (0.10, 0.16), 'rear_window': (0.02, 0.06),
            'deck': (0.0, 0.01), 'belt': (0.56, 0.61), 'nose': (0.46, 0.52),
            'wheel': (0.26, 0.29), 'clearance': (0.15, 0.19)},
}  # fmt: skip

#: Names of the car families.
FAMILIES = tuple(_FAMILIES)

#: How often each family is met by region. Europe is weighted after the small cars of its cities:
#: about 4.0 x 1.68 m in the mean, where North America has 4.7 x 1.86 m.
POPULATIONS: dict[str, dict[str, float]] = {
    'european': {'city': 0.32, 'hatchback': 0.36, 'wagon': 0.07, 'sedan': 0.05, 'suv': 0.04,
                 'mpv': 0.06, 'microvan': 0.03, 'coupe': 0.03, 'van': 0.04},
    'american': {'sedan': 0.31, 'suv': 0.31, 'pickup': 0.14, 'hatchback': 0.07, 'mpv': 0.06,
                 'van': 0.05, 'coupe': 0.04, 'wagon': 0.02},
    'asian': {'kei': 0.24, 'city': 0.14, 'hatchback': 0.20, 'sedan': 0.20, 'mpv': 0.08,
              'suv': 0.08, 'microvan': 0.03, 'van': 0.03},
}  # fmt: skip
#: Families with upright sides.
_UPRIGHT = ('van', 'microvan', 'kei')
_GENERIC = ('sedan', 'hatchback', 'wagon', 'suv', 'van', 'pickup')


def draw_families(population: str, count: int, rng: np.random.Generator) -> Iterator[str]:
    """Draw the families of a street's cars, each when it is asked for.

    Args:
        population: of ``POPULATIONS``, or 'generic': every one of six families once, then
            saloons, hatchbacks and some others.
        count: how many cars.
        rng: decides.

    Raises:
        KeyError: for an unknown population.
    """
    if population == 'generic':
        yield from _GENERIC[:count]
        others = ['sedan', 'sedan', 'hatchback', 'hatchback', 'suv', 'wagon']
        for _ in range(count - len(_GENERIC)):
            yield str(rng.choice(others))
        return
    shares = POPULATIONS[population]
    weights = np.array(list(shares.values()))
    for _ in range(count):
        yield str(rng.choice(list(shares), p=weights / weights.sum()))


def draw_shape(family: str, rng: np.random.Generator, variety: float = 1.0) -> CarShape:
    """Draw a car of a family.

    Args:
        family: one of ``FAMILIES``.
        rng: decides the dimensions.
        variety: how far they stray from the family's middle, 0 to 1.

    Raises:
        KeyError: for an unknown family.
    """
    spans = _FAMILIES[family]
    d = {
        key: 0.5 * (low + high) + 0.5 * variety * (high - low) * float(rng.uniform(-1, 1))
        for key, (low, high) in spans.items()
    }
    length, height = d['length'], d['height']
    belt = d['belt'] * height
    overhang = float(rng.uniform(0.165, 0.19)) * length
    return CarShape(
        family=family,
        length=length,
        width=d['width'],
        height=height,
        wheelbase=float(rng.uniform(0.575, 0.62)) * length,
        front_overhang=overhang,
        wheel_radius=d['wheel'],
        clearance=d['clearance'],
        nose=d['nose'] * height,
        belt=belt,
        hood=d['hood'] * length,
        windscreen=d['windscreen'] * length,
        rear_window=d['rear_window'] * length,
        deck=d['deck'] * length,
        deck_height=0.5 * height if family == 'pickup' else belt + float(rng.uniform(0.0, 0.06)),
        tumblehome=float(
            rng.uniform(0.05, 0.09) if family in _UPRIGHT else rng.uniform(0.14, 0.22)
        ),
        roundness=float(rng.uniform(0.0, 1.0)),
        panes=int(family in ('van', 'microvan') and rng.random() < 0.6),
        lamp=float(rng.random()),
        cladding=bool(family in ('suv', 'pickup') and rng.random() < 0.5),
    )
