"""Lorries by what they carry, articulated ones, buses with a joint, and what cars tow.

Shapes are drawn as pairs: what drives and, where there is one, what it draws. Origins lie on the
ground under each piece's middle.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.materials import COUNTS, Slot
from sim_perception.simulator.content.meshes.builder import MeshBuilder
from sim_perception.simulator.content.meshes.car_trailers import CAR_TRAILERS, add_car_trailer
from sim_perception.simulator.content.meshes.classes import class_id
from sim_perception.simulator.content.meshes.lorry_loads import LOADS
from sim_perception.simulator.content.meshes.trucks import TruckShape, cab, slab, tail, under

#: Rigid lorries; what tractors draw.
RIGID = ('flatbed', 'tipper', 'tanker', 'mixer', 'refuse', 'curtain', 'box_lorry')
SEMITRAILERS = ('semi_box', 'semi_curtain', 'semi_tank', 'semi_flat', 'semi_container')
#: Everything that can be drawn, with its share among large vehicles; trailers come with tractors.
SHARES = {
    'box_lorry': 0.17, 'curtain': 0.12, 'flatbed': 0.1, 'tipper': 0.11, 'tanker': 0.08,
    'mixer': 0.05, 'refuse': 0.06, 'tractor': 0.21, 'articulated_bus': 0.1,
}  # fmt: skip

#: Families whose vehicles come by a share of their own, trailers apart.
LORRIES = (*RIGID, 'tractor', 'articulated_bus')
#: What is also found parked, where it fits.
PARKED_TOO = (*RIGID, *SEMITRAILERS, *CAR_TRAILERS)
#: How far a semitrailer reaches over its tractor, metres.
OVERLAP = 1.9
_HEIGHTS = {
    'flatbed': (3.0, 3.5), 'tipper': (3.0, 3.6), 'tanker': (3.1, 3.7), 'mixer': (3.6, 3.9),
    'refuse': (3.3, 3.7), 'curtain': (3.4, 4.0), 'box_lorry': (3.1, 3.9), 'tractor': (3.3, 3.9),
}  # fmt: skip
_LENGTHS = {
    'flatbed': (6.2, 9.8), 'tipper': (6.4, 8.6), 'tanker': (7.0, 9.8), 'mixer': (7.6, 9.0),
    'refuse': (7.2, 9.6), 'curtain': (7.0, 10.5), 'box_lorry': (6.5, 10.5), 'tractor': (5.6, 6.4),
}  # fmt: skip


def draw_lorry(family: str, rng: np.random.Generator) -> TruckShape:
    """Draw a lorry of ``RIGID``, or a 'tractor'.

    Raises:
        KeyError: for an unknown family.
    """
    length, height = float(rng.uniform(*_LENGTHS[family])), float(rng.uniform(*_HEIGHTS[family]))
    half = length / 2
    rear = (-half + 1.0, -half + 2.3) if length > 8 or family == 'tractor' else (-half + 1.6,)
    if family == 'tractor':
        rear = (-half + 1.1,) if rng.random() < 0.7 else rear
    return TruckShape(
        family, length, float(rng.uniform(2.4, 2.55)), height, float(rng.uniform(1.8, 2.3)), 0.5,
        (half - 1.35, *rear), int(rng.integers(COUNTS['TRUCK_SIDE'])),
    )  # fmt: skip


def draw_semitrailer(rng: np.random.Generator) -> TruckShape:
    """Draw a semitrailer."""
    family = str(rng.choice(SEMITRAILERS, p=[0.28, 0.3, 0.14, 0.12, 0.16]))
    length = float(rng.choice([rng.uniform(9.5, 12.0), rng.uniform(13.0, 13.7)]))
    half = length / 2
    axles = tuple(-half + 1.2 + 1.31 * k for k in range(int(rng.integers(2, 4))))
    return TruckShape(family, length, float(rng.uniform(2.45, 2.55)), float(rng.uniform(3.6, 4.0)),
                      0.0, 0.5, axles, int(rng.integers(COUNTS['TRUCK_SIDE'])))  # fmt: skip


def draw_bus_rear(front: TruckShape, rng: np.random.Generator) -> TruckShape:
    """Draw the part behind the joint of a bus."""
    length = float(rng.uniform(6.8, 8.2))
    return TruckShape('bus_rear', length, front.width, front.height, 0.0, 0.5,
                      (-length / 2 + 2.6,), front.side)  # fmt: skip


def draw_car_trailer(rng: np.random.Generator) -> TruckShape:
    """Draw what a car tows."""
    family = str(rng.choice(CAR_TRAILERS, p=[0.3, 0.25, 0.35, 0.1]))
    spans = {
        'caravan': ((5.2, 7.4), (2.1, 2.4), (2.5, 2.7)), 'boat_trailer': ((4.8, 6.8), (1.7, 2.2),
                                                                           (1.5, 2.2)),
        'box_trailer': ((3.2, 5.0), (1.5, 2.1), (1.9, 2.5)),
        'open_trailer': ((2.6, 4.4), (1.4, 1.9), (0.9, 1.3)),
    }[family]  # fmt: skip
    length, width, height = (float(rng.uniform(*s)) for s in spans)
    return TruckShape(family, length, width, height, 0.0, 0.32, (-0.08 * length,),
                      int(rng.integers(COUNTS['TRUCK_SIDE'])))  # fmt: skip


def wheels_of(shape: TruckShape) -> list[tuple[float, float, bool]]:
    """Return (x, y, steered) of the wheel centres; trailers do not steer."""
    towed = shape.cab == 0.0
    return [
        (x, side * (shape.width / 2 - 0.17), k == 0 and not towed)
        for k, x in enumerate(shape.axles)
        for side in (-1, 1)
    ]


def lorry_body(shape: TruckShape) -> Mesh:
    """Return a piece without its wheels.

    Raises:
        KeyError: for an unknown family.
    """
    builder = MeshBuilder(class_id('truck'))
    half = shape.length / 2
    if shape.family in CAR_TRAILERS:
        add_car_trailer(builder, shape)
        return builder.build()
    if shape.family == 'bus_rear':
        _bus_rear(builder, shape)
        return builder.build()
    towed = shape.family in SEMITRAILERS
    if not towed:
        cab(builder, shape)
        under(builder, shape)
    else:
        _chassis(builder, shape)
    front = half if towed else half - shape.cab - 0.25
    LOADS[shape.family.removeprefix('semi_')](builder, shape, -half + 0.06, front)
    tail(builder, shape, -half + 0.02, 0.95)
    return builder.build()


def _chassis(builder: MeshBuilder, s: TruckShape) -> None:
    half = s.length / 2
    builder.box((0, 0, 0.95), (s.length - 0.2, 1.0, 0.3), Slot.METAL_DARK, bottom=True,
                occlusion=0.4)  # fmt: skip
    middle, long = 0.5 * (half + s.axles[-1]), half - s.axles[-1] - 4.0
    for side in (-1, 1):
        y = side * (s.width / 2 - 0.05)
        builder.box((middle, y, 0.72), (max(long, 1.0), 0.05, 0.5), Slot.METAL, bottom=True)
        builder.box((half - 2.9, side * 0.6, 0.45), (0.16, 0.16, 0.9), Slot.METAL_DARK,
                    bottom=True)  # fmt: skip


def _bus_rear(builder: MeshBuilder, s: TruckShape) -> None:
    """Add a bus's part behind the joint, the bellows at its front."""
    half, belt, top = s.length / 2, 1.25, s.height - 0.5
    x = (-half + 0.02, half - 0.9)
    slab(builder, x, (0.32, belt), s.width, Slot.PAINT)
    slab(builder, x, (belt, s.height - 0.05), s.width * 0.995, Slot.PAINT)
    for k, at in enumerate(np.linspace(half - 0.9, half + 0.25, 7)):
        wide = s.width - (0.1 if k % 2 else 0.28)
        builder.box((float(at), 0, 0.5 * (0.4 + s.height - 0.15)),
                    (0.16, wide, s.height - 0.55), Slot.PLASTIC, bottom=True)  # fmt: skip
    for side in (-1, 1):
        y = side * (s.width / 2 + 0.006)
        for a, b in pairwise(np.arange(x[0] + 0.4, x[1] - 0.2, 1.45)):
            low = 0.42 if side < 0 and abs(a) < 0.8 else belt
            pane = np.array([[a + 0.05, y, low], [b - 0.05, y, low], [b - 0.05, y, top],
                             [a + 0.05, y, top]])  # fmt: skip
            builder.polygon(pane[::-1] if side > 0 else pane, Slot.GLASS)
    w = s.width / 2
    rear = np.array([[x[0] - 0.006, w - 0.3, 1.6], [x[0] - 0.006, -w + 0.3, 1.6],
                     [x[0] - 0.006, -w + 0.3, top], [x[0] - 0.006, w - 0.3, top]])  # fmt: skip
    builder.polygon(rear, Slot.GLASS)
    tail(builder, s, x[0] - 0.05, 0.7)
    builder.box((-0.1, 0, 0.62), (2 * half - 1.4, s.width * 0.62, 0.4), Slot.PLASTIC, bottom=True,
                occlusion=0.3)  # fmt: skip
