"""What stands close beside narrow streets: walls, board fences, garages, scaffolds, bridges.

Pieces run along x, centred at the origin on the ground; their street side is -y.
"""

from __future__ import annotations

import numpy as np

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.materials import COUNTS, Slot
from sim_perception.simulator.content.meshes.builder import MeshBuilder
from sim_perception.simulator.content.meshes.classes import class_id
from sim_perception.simulator.content.meshes.vegetation import hedge

#: Kinds of frontage: what lines the back of a sidewalk.
FRONTAGES = ('wall', 'plaster', 'boards', 'hedge', 'retaining', 'garages')


def frontage(kind: str, length: float, height: float, rng: np.random.Generator) -> Mesh:
    """Return a piece of what lines the back of a sidewalk.

    Args:
        kind: of ``FRONTAGES``.
        length: along x, metres.
        height: metres; garages keep their own.
        rng: decides material and details.

    Raises:
        KeyError: for an unknown kind.
    """
    make = {
        'wall': _wall, 'plaster': _plaster, 'boards': _boards, 'retaining': _retaining,
        'garages': _garages, 'hedge': lambda n, h, r: hedge(n, h, float(r.uniform(0.6, 1.2)), r),
    }[kind]  # fmt: skip
    return make(length, height, rng)


def _wall(length: float, height: float, rng: np.random.Generator) -> Mesh:
    """Return a wall of brick, stone or concrete with a coping and perhaps piers."""
    builder = MeshBuilder(class_id('building'))
    slot = Slot.BRICK if rng.random() < 0.65 else Slot.CONCRETE
    builder.box((0, 0, height / 2), (length, 0.28, height), slot, occlusion=0.6)
    builder.box((0, 0, height + 0.04), (length, 0.36, 0.09), Slot.CONCRETE, bottom=True)
    if rng.random() < 0.5:
        for x in np.arange(-length / 2 + 0.25, length / 2, 2.9):
            builder.box((float(x), -0.03, height / 2 + 0.06), (0.42, 0.4, height + 0.12), slot)
    return builder.build()


def _plaster(length: float, height: float, rng: np.random.Generator) -> Mesh:
    """Return a rendered wall, tiled along its top."""
    builder = MeshBuilder(class_id('building'))
    slot = Slot.PLASTER_0 + int(rng.integers(COUNTS['PLASTER']))
    builder.box((0, 0, height / 2), (length, 0.3, height), slot, texel=3.0, occlusion=0.6)
    builder.box((0, 0, 0.15), (length, 0.34, 0.3), Slot.CONCRETE)
    top = Slot.ROOF_TILE if rng.random() < 0.5 else Slot.CONCRETE
    builder.box((0, 0, height + 0.06), (length, 0.46, 0.12), top, bottom=True)
    return builder.build()


def _boards(length: float, height: float, rng: np.random.Generator) -> Mesh:
    """Return a close fence of upright or level boards between posts."""
    builder = MeshBuilder(class_id('fence'))
    upright = rng.random() < 0.5
    step = float(rng.uniform(0.12, 0.2))
    if upright:
        for x in np.arange(-length / 2 + step / 2, length / 2, step):
            lift = float(rng.normal(0, 0.008))
            builder.box((float(x), lift, height / 2), (0.94 * step, 0.03, height), Slot.WOOD)
    else:
        for z in np.arange(step / 2 + 0.05, height, step):
            builder.box((0, float(rng.normal(0, 0.006)), float(z)), (length, 0.03, 0.94 * step),
                        Slot.WOOD, bottom=True)  # fmt: skip
    for x in np.arange(-length / 2, length / 2 + 0.1, 2.0):
        builder.box((float(x), 0.07, height / 2), (0.1, 0.1, height + 0.06), Slot.WOOD)
    return builder.build()


def _retaining(length: float, height: float, rng: np.random.Generator) -> Mesh:
    """Return a retaining wall with the slope that it holds, bushes hanging over its edge."""
    builder = MeshBuilder(class_id('building'))
    slot = Slot.BRICK if rng.random() < 0.5 else Slot.CONCRETE
    builder.box((0, 0.2, height / 2), (length, 0.4, height), slot, texel=2.5, occlusion=0.6)
    half, rise = length / 2, height + float(rng.uniform(0.6, 1.8))
    slope = np.array([[-half, 0.4, height - 0.05], [half, 0.4, height - 0.05],
                      [half, 4.5, rise], [-half, 4.5, rise]])  # fmt: skip
    builder.polygon(slope, Slot.GRASS, uv=slope[:, :2] / 4, semantic=class_id('terrain'))
    back = np.array([[half, 4.5, 0], [-half, 4.5, 0], [-half, 4.5, rise], [half, 4.5, rise]])
    builder.polygon(back, Slot.GRASS, uv=back[:, [0, 2]] / 4, semantic=class_id('terrain'))
    green = hedge(length, float(rng.uniform(0.35, 0.9)), float(rng.uniform(0.5, 1.0)), rng)
    place = np.eye(4)
    place[:3, 3] = 0.0, 0.45, height - 0.1
    builder.add_mesh(green, place)
    return builder.build()


def _garages(length: float, height: float, rng: np.random.Generator) -> Mesh:
    """Return a row of garages with their doors to the street."""
    builder = MeshBuilder(class_id('building'))
    high = float(rng.uniform(2.3, 2.7))
    slot = Slot.PLASTER_0 + int(rng.integers(COUNTS['PLASTER']))
    builder.box((0, 2.8, high / 2), (length, 5.6, high), slot, texel=3.0, occlusion=0.7)
    builder.box((0, 2.75, high + 0.06), (length + 0.15, 5.9, 0.14), Slot.ROOF, bottom=True)
    count = max(1, int(length / 3.0))
    door = (Slot.PAINTED, Slot.WOOD, Slot.WHITE)[int(rng.integers(3))]
    for k in range(count):
        x = (k + 0.5) * length / count - length / 2
        builder.box((x, -0.02, 1.02), (2.35, 0.08, 2.04), door, bottom=True)
    return builder.build()


def scaffold(length: float, height: float, rng: np.random.Generator) -> Mesh:
    """Return a scaffold of tubes and planks, part of it behind sheeting."""
    builder = MeshBuilder(class_id('building'))
    depth = 1.0
    xs = np.linspace(-length / 2, length / 2, max(2, int(length / 2.5) + 1))
    for x in xs:
        for y in (0.0, depth):
            builder.tube(np.array([[x, y, 0], [x, y, height]]), 0.03, Slot.METAL, sides=5)
    for z in np.arange(2.1, height + 0.1, 2.0):
        builder.box((0, depth / 2, float(z)), (length, depth, 0.05), Slot.WOOD, bottom=True)
        for rail in (0.5, 1.0):
            line = np.array([[-length / 2, 0, z + rail], [length / 2, 0, z + rail]])
            builder.tube(line, 0.025, Slot.METAL, sides=4)
    if rng.random() < 0.5:
        low = 2.1 * int(rng.integers(0, 2)) + 0.1
        sheet = (Slot.WHITE, Slot.PAINTED)[int(rng.integers(2))]
        builder.box((0, -0.06, (low + height) / 2), (length, 0.02, height - low), sheet,
                    bottom=True)  # fmt: skip
    return builder.build()


def bridge(span: tuple[float, float], width: float, clearance: float,
           rng: np.random.Generator) -> Mesh:  # fmt: skip
    """Return a bridge across the street: its deck along y, abutments at both ends of the span.

    Args:
        span: y of the faces of the right and the left abutment, metres.
        width: of the deck, along x.
        clearance: height of its underside.
        rng: decides material, thickness and parapets.
    """
    builder = MeshBuilder(class_id('building'))
    slot = Slot.CONCRETE if rng.random() < 0.7 else Slot.BRICK
    right, left = span
    deck = float(rng.uniform(0.7, 1.5))
    middle, long = 0.5 * (left + right), left - right + 24.0
    builder.box((0, middle, clearance + deck / 2), (width, long, deck), slot, bottom=True,
                texel=3.0)  # fmt: skip
    for y, out in ((right, -1), (left, 1)):
        builder.box((0, y + out * 6.0, clearance / 2), (width, 12.0, clearance), slot, texel=3.0,
                    occlusion=0.45)  # fmt: skip
    top = clearance + deck
    for x in (-width / 2 + 0.12, width / 2 - 0.12):
        if rng.random() < 0.5:
            builder.box((x, middle, top + 0.5), (0.24, long, 1.0), slot)
        else:
            for y in np.arange(middle - long / 2, middle + long / 2, 1.6):
                builder.box((x, float(y), top + 0.5), (0.06, 0.06, 1.0), Slot.METAL)
            for z in (0.35, 0.7, 1.05):
                builder.box((x, middle, top + z), (0.05, long, 0.06), Slot.METAL, bottom=True)
    return builder.build()


def wheeled_bins(count: int, rng: np.random.Generator) -> Mesh:
    """Return wheeled bins in a row along x."""
    builder = MeshBuilder(class_id('pole'))
    for k in range(count):
        x = (k - (count - 1) / 2) * 0.72 + float(rng.normal(0, 0.03))
        slot = (Slot.PAINTED, Slot.PLASTIC, Slot.METAL_DARK)[int(rng.integers(3))]
        yaw = float(rng.normal(0, 0.12))
        builder.box((x, 0, 0.54), (0.56, 0.66, 0.92), slot, yaw=yaw, bottom=True)
        builder.box((x, -0.02, 1.03), (0.6, 0.74, 0.07), slot, yaw=yaw, bottom=True)
    return builder.build()
