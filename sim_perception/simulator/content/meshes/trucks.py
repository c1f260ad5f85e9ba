"""Trucks and buses: box truck, articulated lorry, bus. Origin on the ground under the centre."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.materials import COUNTS, Slot
from sim_perception.simulator.content.meshes.builder import MeshBuilder
from sim_perception.simulator.content.meshes.classes import class_id


@dataclass(frozen=True)
class TruckShape:
    """Dimensions of a truck or bus, metres.

    Attributes:
        family: 'box_truck', 'lorry' or 'bus'.
        length, width, height: of the box, without mirrors.
        cab: length of the cab.
        wheel_radius: of all wheels.
        axles: x of each axle, the first steered.
        side: variant of the side's graphics.
    """

    family: str
    length: float
    width: float
    height: float
    cab: float
    wheel_radius: float
    axles: tuple[float, ...]
    side: int


FAMILIES = ('box_truck', 'lorry', 'bus')


def draw_truck(family: str, rng: np.random.Generator) -> TruckShape:
    """Draw a truck of a family.

    Raises:
        KeyError: for an unknown family.
    """
    length = float({'box_truck': rng.uniform(5.8, 8.5), 'lorry': rng.uniform(11, 14),
                    'bus': rng.uniform(10, 12.5)}[family])  # fmt: skip
    height = float({'box_truck': rng.uniform(2.8, 3.6), 'lorry': rng.uniform(3.5, 4.0),
                    'bus': rng.uniform(2.9, 3.3)}[family])  # fmt: skip
    half = length / 2
    axles = {
        'box_truck': (half - 1.15, -half + 1.7),
        'lorry': (half - 1.3, half - 4.6, -half + 1.6, -half + 2.9),
        'bus': (half - 2.4, -half + 3.0),
    }[family]
    return TruckShape(
        family,
        length,
        float(rng.uniform(2.15, 2.5)) if family == 'box_truck' else 2.5,
        height,
        float(rng.uniform(1.7, 2.1)),
        0.42 if family == 'box_truck' else 0.5,
        axles,
        int(rng.integers(COUNTS['TRUCK_SIDE'])),
    )


def truck_body(shape: TruckShape) -> Mesh:
    """Return the body without wheels."""
    builder = MeshBuilder(class_id('truck'))
    if shape.family == 'bus':
        _bus(builder, shape)
    else:
        cab(builder, shape)
        _cargo(builder, shape)
    under(builder, shape)
    return builder.build()


def truck_wheels(shape: TruckShape) -> list[tuple[float, float, bool]]:
    """Return (x, y, steered) of the wheel centres."""
    return [
        (x, side * (shape.width / 2 - 0.17), k == 0)
        for k, x in enumerate(shape.axles)
        for side in (-1, 1)
    ]


def slab(
    builder: MeshBuilder,
    x: tuple[float, float],
    z: tuple[float, float],
    width: float,
    slot: int,
    front_slope: float = 0.0,
) -> None:
    """Add a hull with bevelled vertical edges; the front leans back by ``front_slope``."""
    x0, x1 = x
    bevel = 0.10
    plan = np.array([[x1, -width / 2 + bevel * 2], [x1, width / 2 - bevel * 2],
                     [x1 - bevel * 1.5, width / 2 - bevel * 0.4], [x1 - bevel * 4, width / 2],
                     [x0 + bevel, width / 2], [x0, width / 2 - bevel], [x0, -width / 2 + bevel],
                     [x0 + bevel, -width / 2], [x1 - bevel * 4, -width / 2],
                     [x1 - bevel * 1.5, -width / 2 + bevel * 0.4]])  # fmt: skip
    n = len(plan)
    low = np.column_stack([plan, np.full(n, z[0])])
    high = np.column_stack([plan, np.full(n, z[1])])
    front = plan[:, 0] > x1 - bevel * 1.6
    high[front, 0] -= front_slope
    for k in range(n):
        m = (k + 1) % n
        quad = np.array([low[k], low[m], high[m], high[k]])
        builder.polygon(quad, slot, uv=_wall_uv(quad))
    roof = high * [0.985, 0.93, 1.0] + [0, 0, 0.05]
    for k in range(n):
        m = (k + 1) % n
        builder.polygon(np.array([high[k], high[m], roof[m], roof[k]]), slot)
    builder.polygon(roof, slot)
    builder.polygon(low[::-1], Slot.PLASTIC)


def _wall_uv(quad: np.ndarray) -> np.ndarray:
    along = np.hypot(quad[1, 0] - quad[0, 0], quad[1, 1] - quad[0, 1])
    uv = np.array([[0, 0], [along, 0], [along, 0], [0, 0]], float)
    uv[:, 1] = quad[:, 2]
    return uv / 3.0


def cab(builder: MeshBuilder, s: TruckShape) -> None:
    """Add a driver's cab."""
    half = s.length / 2
    top = min(s.height * 0.86, 2.3 if s.family == 'box_truck' else 3.0)
    x0, x1 = half - s.cab, half - 0.04
    belt = 0.45 * top + 0.35
    slab(builder, (x0, x1), (0.42, belt), s.width * 0.97, Slot.PAINT)
    slope = 0.30 if s.family == 'box_truck' else 0.1
    slab(builder, (x0, x1), (belt, top), s.width * 0.96, Slot.PAINT, slope)
    w = s.width * 0.97 / 2
    lean = slope * 0.9
    screen = np.array([[x1 + 0.008, -w + 0.24, belt + 0.06], [x1 + 0.008, w - 0.24, belt + 0.06],
                       [x1 + 0.012 - lean, w - 0.26, top - 0.14],
                       [x1 + 0.012 - lean, -w + 0.26, top - 0.14]])  # fmt: skip
    builder.polygon(screen, Slot.GLASS)
    for side in (-1, 1):
        y = side * (s.width * 0.96 / 2 + 0.006)
        pane = np.array([[x0 + 0.35, y, belt + 0.04], [x1 - 0.42, y, belt + 0.04],
                         [x1 - 0.48, y, top - 0.25], [x0 + 0.35, y, top - 0.25]])  # fmt: skip
        builder.polygon(pane[::-1] if side > 0 else pane, Slot.GLASS)
        builder.box((x1 - 0.02, side * (s.width / 2 - 0.12), belt + 0.35), (0.12, 0.3, 0.0 + 0.36),
                    Slot.PLASTIC, bottom=True)  # fmt: skip
        builder.box((x1 + 0.005, side * (w - 0.28), 0.78), (0.06, 0.36, 0.2), Slot.HEADLIGHT,
                    bottom=True)  # fmt: skip
        door = (x0 + x1) / 2
        builder.box((door - 0.3, side * (s.width * 0.97 / 2), belt - 0.2), (0.18, 0.04, 0.04),
                    Slot.PLASTIC, bottom=True)  # fmt: skip
    builder.box(
        (x1 + 0.005, 0, belt - 0.28), (0.05, s.width * 0.55, 0.3), Slot.PLASTIC, bottom=True
    )
    builder.box((x1, 0, 0.48), (0.12, s.width * 0.95, 0.24), Slot.PLASTIC, bottom=True)
    _plate(builder, x1 + 0.066, 0.5, 1, s)


def _cargo(builder: MeshBuilder, s: TruckShape) -> None:
    half = s.length / 2
    x0 = -half + 0.04
    x1 = half - s.cab - (0.12 if s.family == 'box_truck' else 0.7)
    floor = 0.85 if s.family == 'box_truck' else 1.15
    slot = Slot.TRUCK_SIDE_0 + s.side
    middle, length, height = (x0 + x1) / 2, x1 - x0, s.height - floor
    builder.box((middle, 0, floor + height / 2), (length, s.width, height), slot,
                texel=max(length, height), bottom=True)  # fmt: skip
    for y in (-1, 1):
        for z in (floor, s.height - 0.03):
            builder.box(
                (middle, y * s.width / 2, z), (length, 0.06, 0.08), Slot.METAL, bottom=True
            )
    for hinge in (-0.03, 0.03):
        builder.box((x0 - 0.01, hinge * 10 * s.width / 2.2, floor + height / 2),
                    (0.03, 0.04, height * 0.9), Slot.METAL)  # fmt: skip
    tail(builder, s, x0, floor - 0.12)


def tail(builder: MeshBuilder, s: TruckShape, x: float, z: float) -> None:
    """Add bumper, lamps and plate of a rear end at x and height z."""
    builder.box((x + 0.05, 0, z), (0.1, s.width * 0.96, 0.16), Slot.PLASTIC, bottom=True)
    for side in (-1, 1):
        builder.box((x - 0.015, side * s.width * 0.40, z), (0.03, 0.34, 0.13), Slot.TAILLIGHT,
                    bottom=True)  # fmt: skip
    _plate(builder, x - 0.008, z, -1, s)


def _plate(builder: MeshBuilder, x: float, z: float, sign: int, s: TruckShape) -> None:
    y = 0.26 * sign
    corners = np.array([[x, -y, z - 0.06], [x, y, z - 0.06], [x, y, z + 0.06], [x, -y, z + 0.06]])
    builder.polygon(corners, Slot.PLATE_0 + s.side % COUNTS['PLATE'],
                    uv=np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]]))  # fmt: skip


def _bus(builder: MeshBuilder, s: TruckShape) -> None:
    half = s.length / 2
    low, belt = 0.32, 1.25
    x = (-half + 0.02, half - 0.04)
    slab(builder, x, (low, belt), s.width, Slot.PAINT)
    slab(builder, x, (belt, s.height - 0.05), s.width * 0.995, Slot.PAINT, 0.12)
    top = s.height - 0.5
    for side in (-1, 1):
        y = side * (s.width / 2 + 0.006)
        edges = np.arange(x[0] + 0.45, x[1] - 1.6, 1.45)
        for a, b in pairwise(edges):
            pane = np.array([[a + 0.05, y, belt], [b - 0.05, y, belt], [b - 0.05, y, top],
                             [a + 0.05, y, top]])  # fmt: skip
            builder.polygon(pane[::-1] if side > 0 else pane, Slot.GLASS)
        for a, b in ((x[1] - 1.55, x[1] - 0.5), (-0.7, 0.6)):
            if side < 0:
                pane = np.array([[a, y - 0.004, 0.42], [b, y - 0.004, 0.42], [b, y - 0.004, top],
                                 [a, y - 0.004, top]])  # fmt: skip
                builder.polygon(pane, Slot.GLASS)
        builder.box((x[1] - 0.1, side * (s.width / 2 + 0.1), 2.2), (0.14, 0.16, 0.4), Slot.PLASTIC,
                    bottom=True)  # fmt: skip
        builder.box((x[1] - 0.02, side * 0.92, 0.75), (0.08, 0.38, 0.2), Slot.HEADLIGHT,
                    bottom=True)  # fmt: skip
    w = s.width / 2
    screen = np.array([[x[1] + 0.006, -w + 0.24, belt - 0.15],
                       [x[1] + 0.006, w - 0.24, belt - 0.15],
                       [x[1] - 0.09, w - 0.24, s.height - 0.45],
                       [x[1] - 0.09, -w + 0.24, s.height - 0.45]])  # fmt: skip
    builder.polygon(screen, Slot.GLASS)
    builder.box((x[1] - 0.06, 0, s.height - 0.26), (0.12, 1.5, 0.26), Slot.PLASTIC, bottom=True)
    rear = np.array([[x[0] - 0.006, w - 0.3, 1.6], [x[0] - 0.006, -w + 0.3, 1.6],
                     [x[0] - 0.006, -w + 0.3, top], [x[0] - 0.006, w - 0.3, top]])  # fmt: skip
    builder.polygon(rear, Slot.GLASS)
    tail(builder, s, x[0] - 0.05, 0.7)


def under(builder: MeshBuilder, s: TruckShape) -> None:
    """Add frame, wheel arches and guards below a body."""
    half = s.length / 2
    builder.box((-0.1, 0, 0.62), (2 * half - 0.6, s.width * 0.62, 0.4), Slot.PLASTIC, bottom=True,
                occlusion=0.3)  # fmt: skip
    r = s.wheel_radius * 1.16
    for x in s.axles:
        for side in (-1, 1):
            angle = np.linspace(0, np.pi, 10)
            y = side * (s.width / 2 + 0.004)
            arch = np.column_stack([x + r * np.cos(angle), np.full(10, y),
                                    s.wheel_radius * 0.96 + r * np.sin(angle)])  # fmt: skip
            if s.family == 'bus' or x == s.axles[0]:
                builder.polygon(arch if side < 0 else arch[::-1], Slot.PLASTIC)
    if s.family != 'bus':
        for side in (-1, 1):
            middle = 0.5 * (s.axles[0] + s.axles[1])
            length = max(abs(s.axles[0] - s.axles[1]) - 2.2 * r, 0.6)
            builder.box((middle, side * s.width * 0.45, 0.6), (length, 0.06, 0.4), Slot.METAL_DARK,
                        bottom=True)  # fmt: skip
