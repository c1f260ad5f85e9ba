"""What is fixed to the fronts of buildings: shop windows with boards, awnings, posters, signs.

Pieces run along x, centred at the origin on the ground; the wall is at y = 0, the street at -y.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.materials import COUNTS, Slot
from sim_perception.simulator.content.meshes.builder import MeshBuilder
from sim_perception.simulator.content.meshes.classes import class_id

_UNIT_UV = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])


def shop_front(width: float, height: float, rng: np.random.Generator) -> Mesh:
    """Return one shop: windows on a low wall, a door, a board with its name, pilasters.

    Args:
        width: along x, metres.
        height: to the board's upper edge, metres.
        rng: decides.
    """
    builder = MeshBuilder(class_id('building'))
    frame = (Slot.PAINTED, Slot.METAL_DARK, Slot.WOOD, Slot.WHITE)[int(rng.integers(4))]
    riser, board = float(rng.uniform(0.08, 0.6)), float(rng.uniform(0.45, 0.85))
    head = height - board
    builder.box((0, -0.02, head / 2), (width, 0.04, head), Slot.PLASTIC)
    door = float(rng.choice([-0.5, 0.5])) * (width - 1.3) if width > 2.5 else 0.0
    for low, high in _between(-width / 2 + 0.15, width / 2 - 0.15, door):
        middle, wide = (low + high) / 2, high - low
        builder.box((middle, -0.1, riser / 2), (wide, 0.2, riser), frame, occlusion=0.6)
        builder.box((middle, -0.06, (riser + head) / 2), (wide, 0.04, head - riser), Slot.WINDOW)
        for x in np.linspace(low, high, max(2, round(wide / 1.5) + 1)):
            builder.box((float(x), -0.1, (riser + head) / 2), (0.07, 0.1, head - riser), frame)
        if rng.random() < 0.4 and head - riser > 1.4:
            _sheet(builder, rng, middle + float(rng.uniform(-0.3, 0.3)) * wide,
                   riser + float(rng.uniform(0.5, 0.9)), 0.5, -0.085)  # fmt: skip
    builder.box((door, -0.04, 1.08), (0.95, 0.05, 2.16), Slot.GLASS)
    for x in (door - 0.5, door + 0.5):
        builder.box((x, -0.1, head / 2), (0.08, 0.14, head), frame)
    builder.box((door, -0.1, 2.2), (1.0, 0.14, 0.1), frame, bottom=True)
    builder.box((0, -0.14, head + board / 2), (width - 0.02, 0.28, board), frame, bottom=True)
    half, low, high = width / 2 - 0.08, head + 0.04, height - 0.04
    face = np.array([[-half, -0.285, low], [half, -0.285, low], [half, -0.285, high],
                     [-half, -0.285, high]])  # fmt: skip
    builder.polygon(face, Slot.GRAPHIC_0 + int(rng.integers(COUNTS['GRAPHIC'])), uv=_UNIT_UV)
    for x in (-width / 2, width / 2):
        builder.box((x, -0.13, height / 2), (0.3, 0.26, height), frame, occlusion=0.6)
    return builder.build()


def awning(width: float, height: float, rng: np.random.Generator) -> Mesh:
    """Return an awning below a board at ``height``, closed at its sides or open."""
    builder = MeshBuilder(class_id('building'))
    half, out = width / 2 - 0.25, float(rng.uniform(0.9, 1.7))
    high = height - float(rng.uniform(0.55, 0.8))
    low = max(high - float(rng.uniform(0.35, 0.7)), 2.1)
    slot = Slot.PAINTED if rng.random() < 0.75 else Slot.WHITE
    cloth = np.array([[-half, -out, low], [half, -out, low], [half, -0.1, high],
                      [-half, -0.1, high]])  # fmt: skip
    builder.polygon(cloth, slot, double_sided=True)
    edge = cloth[:2] - [0, 0, 0.2]
    valance = np.array([edge[0], edge[1], cloth[1], cloth[0]])
    printed = rng.random() < 0.35
    builder.polygon(valance, Slot.GRAPHIC_0 if printed else slot, uv=_UNIT_UV, double_sided=True)
    if rng.random() < 0.4:
        for x in (-half, half):
            side = np.array([[x, -out, low], [x, -0.1, low], [x, -0.1, high]])
            builder.polygon(side, slot, double_sided=True)
    for x in (-half + 0.15, half - 0.15):
        arm = np.array([[x, -0.05, low - 0.15], [x, -out, low]])
        builder.tube(arm, 0.018, Slot.METAL, sides=4)
    return builder.build()


def projecting_sign(width: float, height: float, rng: np.random.Generator) -> Mesh:
    """Return a sign that stands out from the wall above a shop's board."""
    builder = MeshBuilder(class_id('building'))
    x = float(rng.uniform(-0.4, 0.4)) * width
    size, z = float(rng.uniform(0.5, 0.9)), height + float(rng.uniform(0.3, 0.7))
    builder.box((x, -0.2 - size / 2, z), (0.12, size, size), Slot.METAL_DARK, bottom=True)
    slot = Slot.GRAPHIC_0 + int(rng.integers(COUNTS['GRAPHIC']))
    for sign in (-1, 1):
        y = np.array([-0.2 - size, -0.2]) if sign < 0 else np.array([-0.2, -0.2 - size])
        face = np.array([[x + sign * 0.065, a, z + b] for a, b in
                         ((y[1], -size / 2), (y[0], -size / 2), (y[0], size / 2),
                          (y[1], size / 2))])  # fmt: skip
        builder.polygon(face, slot, uv=_UNIT_UV, double_sided=True)
    builder.box((x, -0.12, z), (0.05, 0.24, 0.05), Slot.METAL_DARK, bottom=True)
    return builder.build()


def posters(width: float, height: float, rng: np.random.Generator) -> Mesh:
    """Return a row of bills on a wall."""
    builder = MeshBuilder(class_id('billboard'))
    x = -width / 2 + 0.6
    while x < width / 2 - 0.4:
        size = float(rng.uniform(0.6, 1.3))
        _sheet(builder, rng, x, float(rng.uniform(0.9, 1.3)), size, -0.02)
        x += size * float(rng.uniform(0.75, 1.6))
    return builder.build()


def _between(low: float, high: float, door: float) -> list[tuple[float, float]]:
    """Return the pieces of a front that a door leaves for windows."""
    pieces = [(low, door - 0.55), (door + 0.55, high)]
    return [(a, b) for a, b in pieces if b - a > 0.4]


def _sheet(
    builder: MeshBuilder, rng: np.random.Generator, x: float, z: float, size: float, y: float
) -> None:
    high = size * float(rng.uniform(1.0, 1.5))
    quad = np.array([[x - size / 2, y, z], [x + size / 2, y, z], [x + size / 2, y, z + high],
                     [x - size / 2, y, z + high]])  # fmt: skip
    slot = Slot.BILLBOARD_0 + int(rng.integers(COUNTS['BILLBOARD']))
    builder.polygon(quad, slot, uv=_UNIT_UV)


#: What is fixed to fronts: each takes width, height and random numbers.
SHOP_PARTS: dict[str, Callable[[float, float, np.random.Generator], Mesh]] = {
    'shop_front': shop_front, 'awning': awning, 'projecting_sign': projecting_sign,
    'posters': posters,
}  # fmt: skip
