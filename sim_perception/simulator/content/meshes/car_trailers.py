"""What cars tow: caravans, boxes, open trailers, boats."""

from __future__ import annotations

import numpy as np

from sim_perception.simulator.content.materials import Slot
from sim_perception.simulator.content.meshes.builder import MeshBuilder
from sim_perception.simulator.content.meshes.lorry_loads import heap
from sim_perception.simulator.content.meshes.trucks import TruckShape, slab, tail

CAR_TRAILERS = ('caravan', 'box_trailer', 'open_trailer', 'boat_trailer')


def add_car_trailer(builder: MeshBuilder, s: TruckShape) -> None:
    """Add a trailer of ``CAR_TRAILERS``, its drawbar ahead."""
    half, bar = s.length / 2, 1.1
    body = (-half + 0.05, half - bar)
    middle, long = 0.5 * sum(body), body[1] - body[0]
    for y in (-0.25, 0.25):
        builder.tube(np.array([[body[1] - 0.3, 2 * y, 0.42], [half, 0.02 * y, 0.44]]), 0.035,
                     Slot.METAL, sides=5)  # fmt: skip
    builder.tube(np.array([[half - 0.25, 0, 0.05], [half - 0.25, 0, 0.6]]), 0.03, Slot.METAL,
                 sides=5)  # fmt: skip
    tail(builder, s, body[0] - 0.02, 0.5)
    if s.family == 'caravan':
        _caravan(builder, s, body)
    elif s.family == 'box_trailer':
        high = s.height - 0.45
        slot = Slot.PAINTED if s.side % 2 else Slot.WHITE
        builder.box((middle, 0, 0.45 + high / 2), (long, s.width, high), slot, bottom=True)
        for y in (-1, 1):
            builder.box((middle, y * s.width / 2, 0.47), (long, 0.05, 0.08), Slot.METAL)
    elif s.family == 'open_trailer':
        builder.box((middle, 0, 0.5), (long, s.width - 0.3, 0.08), Slot.WOOD, bottom=True)
        side = s.height - 0.5
        for y in (-1, 1):
            builder.box((middle, y * (s.width / 2 - 0.18), 0.5 + side / 2), (long, 0.04, side),
                        Slot.METAL, bottom=True)  # fmt: skip
        for x in body:
            builder.box((x, 0, 0.5 + side / 2), (0.04, s.width - 0.36, side), Slot.METAL,
                        bottom=True)  # fmt: skip
        if s.side % 2:
            heap(builder, body, s.width / 2 - 0.22, s.height - 0.15, s.side)
    else:
        t = np.linspace(0, 1, 6)
        along = body[0] + t * (half - 0.3 - body[0])
        keel = np.stack([along, 0 * t, 0.85 + 0.25 * t**2], -1)
        hull = s.width / 2 * np.array([0.6, 0.9, 1.0, 0.95, 0.6, 0.06])
        builder.tube(keel, np.minimum(hull, 0.75), Slot.WHITE, sides=12)
        builder.box((middle - 0.2, 0, s.height - 0.35), (1.2, s.width * 0.5, 0.7), Slot.GLASS,
                    bottom=True)  # fmt: skip
        builder.box((middle, 0, 0.45), (long, 0.9, 0.1), Slot.METAL, bottom=True)
    for side in (-1, 1):
        builder.box((s.axles[0], side * (s.width / 2 - 0.1), 0.7), (0.85, 0.22, 0.05),
                    Slot.PLASTIC, bottom=True)  # fmt: skip


def _caravan(builder: MeshBuilder, s: TruckShape, x: tuple[float, float]) -> None:
    slab(builder, x, (0.4, 1.1), s.width, Slot.WHITE)
    slab(builder, x, (1.1, s.height - 0.05), s.width * 0.99, Slot.WHITE, 0.25)
    y = s.width / 2 + 0.008
    for side in (-1, 1):
        for a, b in ((x[0] + 0.4, x[0] + 1.5), (x[1] - 1.9, x[1] - 0.8)):
            pane = np.array([[a, side * y, 1.3], [b, side * y, 1.3], [b, side * y, 1.9],
                             [a, side * y, 1.9]])  # fmt: skip
            builder.polygon(pane[::-1] if side > 0 else pane, Slot.GLASS)
        stripe = np.array(
            [
                [x[0] + 0.15, side * y, 0.85],
                [x[1] - 0.5, side * y, 0.85],
                [x[1] - 0.5, side * y, 1.02],
                [x[0] + 0.15, side * y, 1.02],
            ]
        )
        builder.polygon(stripe[::-1] if side > 0 else stripe, Slot.PAINT)
    door = sum(x) / 2
    builder.box((door, -y, 1.3), (0.65, 0.03, 1.7), Slot.WHITE, bottom=True)
    rear = np.array([[x[0] - 0.006, 0.7, 1.4], [x[0] - 0.006, -0.7, 1.4],
                     [x[0] - 0.006, -0.7, 2.0], [x[0] - 0.006, 0.7, 2.0]])  # fmt: skip
    builder.polygon(rear, Slot.GLASS)
