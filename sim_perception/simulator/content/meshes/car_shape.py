"""Dimensions of cars: six families and how a car of each is drawn."""

from __future__ import annotations

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
}  # fmt: skip

#: Names of the car families.
FAMILIES = tuple(_FAMILIES)


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
        tumblehome=float(rng.uniform(0.05, 0.09) if family == 'van' else rng.uniform(0.14, 0.22)),
        roundness=float(rng.uniform(0.0, 1.0)),
        panes=int(family == 'van' and rng.random() < 0.6),
        lamp=float(rng.random()),
        cladding=bool(family in ('suv', 'pickup') and rng.random() < 0.5),
    )
