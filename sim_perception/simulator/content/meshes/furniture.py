"""Things beside the road: lamps, lights, signs, billboards, fences, benches and the like.

Every piece stands on the ground at the origin; signs and billboards face -x, lamps and
traffic lights reach out along -y, fences run along x.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.materials import COUNTS, Slot
from sim_perception.simulator.content.meshes.builder import MeshBuilder
from sim_perception.simulator.content.meshes.classes import class_id

F64 = npt.NDArray[np.float64]


def _pole(builder: MeshBuilder, height: float, radius: float, slot: int, top: float = 0.6) -> None:
    builder.tube(np.array([[0, 0, 0], [0, 0, 0.4], [0, 0, height]]),
                 np.array([radius * 1.25, radius, radius * top]), slot, sides=8,
                 semantic=class_id('pole'))  # fmt: skip


def lamp(rng: np.random.Generator) -> Mesh:
    """Return a street lamp whose arm reaches along -y."""
    builder = MeshBuilder(class_id('pole'))
    slot = Slot.METAL if rng.random() < 0.6 else Slot.METAL_DARK
    height, arm = float(rng.uniform(5.5, 9)), float(rng.uniform(0.0, 2.2))
    _pole(builder, height, float(rng.uniform(0.07, 0.11)), slot)
    if arm > 0.5:
        bend = np.array(
            [[0, 0, height - 0.3], [0, -0.3 * arm, height + 0.25], [0, -arm, height + 0.4]]
        )
        builder.tube(bend, 0.04, slot, sides=6)
        builder.box((0, -arm - 0.25, height + 0.38), (0.22, 0.62, 0.1), slot, bottom=True)
        builder.box((0, -arm - 0.25, height + 0.325), (0.16, 0.5, 0.02), Slot.LAMP, bottom=True)
    else:
        builder.box((0, 0, height + 0.2), (0.3, 0.3, 0.4), Slot.LAMP, bottom=True)
        builder.box((0, 0, height + 0.43), (0.42, 0.42, 0.06), slot, bottom=True)
    return builder.build()


#: Length, width, height of a traffic light's head, metres.
LIGHT_HEAD = (0.2, 0.32, 0.95)


def light_heads(arm: float) -> list[tuple[float, float]]:
    """Return y and the lower end's z of a traffic light's heads, whose middles lie at -0.12, y.

    The arm reaches along -y, or along y if it is negative.
    """
    height = 5.4 if abs(arm) > 1 else 3.3
    heads = [(0.0, 2.5)]
    if abs(arm) > 1:
        heads.append((-arm + float(np.copysign(0.2, arm)), height - 0.55))
    return heads


def light_lamp(lamp: int, arm: float) -> Mesh:
    """Return one lamp, dark, of all heads of a traffic light (0 red, 1 amber, 2 green)."""
    builder = MeshBuilder(class_id('sign'))
    for y, z in light_heads(arm):
        _disc(builder, -0.225, y, z + 0.76 - 0.3 * lamp, 0.11, Slot.LIGHT_OFF)
    return builder.build()


def traffic_light(rng: np.random.Generator, lit: int, arm: float) -> Mesh:
    """Return a traffic light facing -x with one of three lamps lit (0 red, 1 amber, 2 green).

    With ``lit`` -1 it has no lamps: those of ``light_lamp`` belong there.
    """
    builder = MeshBuilder(class_id('pole'))
    slot = Slot.METAL_DARK if rng.random() < 0.5 else Slot.METAL
    height = 5.4 if abs(arm) > 1 else 3.3
    _pole(builder, height, 0.07, slot, 0.85)
    if abs(arm) > 1:
        builder.tube(
            np.array([[0, 0, height - 0.1], [0, -arm, height + 0.1]]), 0.05, slot, sides=6
        )
    lamps = (Slot.LIGHT_RED, Slot.LIGHT_AMBER, Slot.LIGHT_GREEN)
    for y, z in light_heads(arm):
        builder.box((-0.12, y, z + 0.45), LIGHT_HEAD, Slot.PLASTIC, bottom=True,
                    semantic=class_id('sign'))  # fmt: skip
        for k in range(3) if lit >= 0 else ():
            _disc(builder, -0.225, y, z + 0.76 - 0.3 * k, 0.11,
                  lamps[k] if k == lit else Slot.LIGHT_OFF)  # fmt: skip
    return builder.build()


def _disc(
    builder: MeshBuilder, x: float, y: float, z: float, radius: float, slot: int, sides: int = 14
) -> None:
    angle = -np.linspace(0, 2 * np.pi, sides, endpoint=False) + np.pi / sides
    ring = np.column_stack(
        [np.full(sides, x), y + radius * np.cos(angle), z + radius * np.sin(angle)]
    )
    uv = np.column_stack([0.5 - 0.5 * np.cos(angle), 0.5 + 0.5 * np.sin(angle)])
    builder.polygon(ring, slot, uv=uv, semantic=class_id('sign'))


#: Shapes of traffic signs; a shape belongs to the variants of its slot.
SIGN_SIDES = (24, 24, 3, 8, 4, 3, 24, 4)


def sign(variant: int, height: float) -> Mesh:
    """Return a traffic sign facing -x on a post; ``variant`` picks graphic and shape."""
    builder = MeshBuilder(class_id('pole'))
    builder.tube(np.array([[0, 0, 0], [0, 0, height]]), 0.032, Slot.METAL, sides=6)
    sides, z = SIGN_SIDES[variant], height - 0.25
    slot = Slot.SIGN_0 + variant
    radius = {24: 0.32, 3: 0.42, 8: 0.36, 4: 0.42}[sides]
    first = {24: 0.0, 3: np.pi / 2, 8: np.pi / 8, 4: np.pi / 4}[sides]
    angle = first - np.linspace(0, 2 * np.pi, sides, endpoint=False)
    ring = np.column_stack(
        [np.full(sides, -0.045), radius * np.cos(angle), z + radius * np.sin(angle)]
    )
    uv = np.column_stack([0.5 - 0.5 * np.cos(angle), 0.5 + 0.5 * np.sin(angle)])
    builder.polygon(ring, slot, uv=uv, semantic=class_id('sign'))
    back = ring[::-1] + np.array([0.012, 0, 0])
    builder.polygon(back, Slot.SIGN_BACK, semantic=class_id('sign'))
    return builder.build()


def direction_sign(rng: np.random.Generator) -> Mesh:
    """Return a large rectangular sign facing -x on two posts."""
    builder = MeshBuilder(class_id('pole'))
    width, high = float(rng.uniform(1.2, 2.6)), float(rng.uniform(0.7, 1.5))
    for y in (-0.35 * width, 0.35 * width):
        builder.tube(np.array([[0, y, 0], [0, y, 2.0 + high]]), 0.045, Slot.METAL, sides=6)
    slot = Slot.SIGN_0 + int(rng.choice([4, 7]))
    _panel(builder, width, high, 2.0, slot, 'sign')
    return builder.build()


def _panel(
    builder: MeshBuilder, width: float, high: float, z: float, slot: int, label: str
) -> None:
    """Add a thin upright panel facing -x (and plain behind)."""
    h = width / 2
    front = np.array([[-0.07, h, z], [-0.07, -h, z], [-0.07, -h, z + high], [-0.07, h, z + high]])
    builder.polygon(front, slot, uv=np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]]),
                    semantic=class_id(label))  # fmt: skip
    builder.polygon(front[::-1] + np.array([0.02, 0, 0]), Slot.SIGN_BACK, semantic=class_id(label))


def billboard(rng: np.random.Generator) -> Mesh:
    """Return a billboard facing -x, printed on both sides."""
    builder = MeshBuilder(class_id('pole'))
    width, high = float(rng.uniform(2.6, 5.0)), float(rng.uniform(1.8, 3.0))
    foot = float(rng.choice([0.5, 1.2, 2.4]))
    for y in (-0.32 * width, 0.32 * width):
        builder.tube(np.array([[0.05, y, 0], [0.05, y, foot + 0.4 * high]]), 0.09, Slot.METAL_DARK,
                     sides=8)  # fmt: skip
    label = class_id('billboard')
    builder.box((0.05, 0, foot + high / 2), (0.2, width + 0.16, high + 0.16), Slot.METAL_DARK,
                bottom=True, semantic=label)  # fmt: skip
    h = width / 2
    front = np.array([[-0.06, h, foot], [-0.06, -h, foot], [-0.06, -h, foot + high],
                      [-0.06, h, foot + high]])  # fmt: skip
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])
    for turn in (1, -1):
        quad = front if turn > 0 else front * [-1, -1, 1] + [0.1, 0, 0]
        slot = Slot.BILLBOARD_0 + int(rng.integers(COUNTS['BILLBOARD']))
        builder.polygon(quad, slot, uv=uv, semantic=label)
    return builder.build()


def advertising_column(rng: np.random.Generator) -> Mesh:
    """Return a round advertising column."""
    builder = MeshBuilder(class_id('billboard'))
    slot = Slot.BILLBOARD_0 + int(rng.integers(COUNTS['BILLBOARD']))
    builder.tube(np.array([[0, 0, 0.25], [0, 0, 2.8]]), 0.6, slot, sides=16, texel=3.77)
    builder.tube(np.array([[0, 0, 0], [0, 0, 0.26]]), 0.66, Slot.METAL_DARK, sides=16)
    builder.tube(np.array([[0, 0, 2.78], [0, 0, 2.95], [0, 0, 3.2]]), np.array([0.72, 0.7, 0.1]),
                 Slot.METAL_DARK, sides=16)  # fmt: skip
    return builder.build()


#: What ``fence`` makes.
FENCES = ('rail', 'picket', 'mesh', 'wall', 'guard')


def fence(kind: str, length: float, rng: np.random.Generator) -> Mesh:
    """Return a fence or wall along x, centred.

    Args:
        kind: of ``FENCES``.
        length: metres.
        rng: decides height and material.
    """
    builder = MeshBuilder(class_id('fence'))
    height = float(rng.uniform(0.9, 1.5))
    x = np.linspace(-length / 2, length / 2, max(2, int(length / 2.0) + 1))
    if kind == 'wall':
        slot = Slot.BRICK if rng.random() < 0.6 else Slot.CONCRETE
        height = float(rng.uniform(0.6, 2.0))
        builder.box((0, 0, height / 2), (length, 0.25, height), slot, texel=2.0, occlusion=0.65)
        builder.box((0, 0, height + 0.04), (length, 0.32, 0.09), Slot.CONCRETE, bottom=True)
    elif kind == 'guard':
        for p in x:
            builder.box((p, 0.1, 0.35), (0.1, 0.12, 0.7), Slot.METAL)
        for z in (0.48, 0.62):
            builder.box((0, 0, z), (length, 0.06, 0.13), Slot.METAL, bottom=True)
    elif kind == 'picket':
        slot = Slot.WOOD if rng.random() < 0.5 else Slot.WHITE
        for p in np.arange(-length / 2, length / 2, 0.2):
            builder.box((p, 0, height * 0.5), (0.1, 0.025, height), slot)
        for z in (0.3 * height, 0.8 * height):
            builder.box((0, 0.03, z), (length, 0.04, 0.08), slot, bottom=True)
    else:
        slot = Slot.METAL_DARK if rng.random() < 0.7 else Slot.METAL
        for p in x:
            builder.box((p, 0, height / 2), (0.05, 0.05, height), slot)
        rows = (0.15, 0.97) if kind == 'mesh' else (0.1, 0.55, 0.97)
        for z in rows:
            builder.box((0, 0, z * height), (length, 0.035, 0.04), slot, bottom=True)
        if kind == 'mesh':
            for p in np.arange(-length / 2 + 0.14, length / 2, 0.14):
                builder.box((p, 0, height * 0.55), (0.016, 0.016, height * 0.85), slot)
    return builder.build()


def bollard(rng: np.random.Generator) -> Mesh:
    """Return a bollard."""
    builder = MeshBuilder(class_id('pole'))
    slot = Slot.METAL_DARK if rng.random() < 0.6 else Slot.CONCRETE
    points = np.array([[0, 0, 0], [0, 0, 0.8], [0, 0, 0.9]])
    builder.tube(points, np.array([0.07, 0.07, 0.02]), slot,
                 sides=8)  # fmt: skip
    return builder.build()


def delineator(rng: np.random.Generator) -> Mesh:
    """Return a white marker post of a country road, its reflector facing -x."""
    builder = MeshBuilder(class_id('pole'))
    high = float(rng.uniform(0.85, 1.05))
    builder.box((0, 0, high / 2), (0.1, 0.13, high), Slot.WHITE, bottom=False)
    builder.box((0, 0, high - 0.2), (0.11, 0.14, 0.22), Slot.PLASTIC, bottom=True)
    builder.box((-0.055, 0, high - 0.2), (0.012, 0.05, 0.16), Slot.CHROME, bottom=True)
    return builder.build()


def bin_(rng: np.random.Generator) -> Mesh:
    """Return a litter bin."""
    builder = MeshBuilder(class_id('pole'))
    builder.tube(np.array([[0, 0, 0.12], [0, 0, 0.85]]), 0.22, Slot.PAINTED, sides=10)
    builder.tube(np.array([[0, 0, 0.85], [0, 0, 0.98]]), np.array([0.24, 0.12]), Slot.METAL_DARK,
                 sides=10)  # fmt: skip
    return builder.build()


def cabinet(rng: np.random.Generator) -> Mesh:
    """Return a grey street cabinet."""
    builder = MeshBuilder(class_id('pole'))
    w, h = float(rng.uniform(0.6, 1.4)), float(rng.uniform(0.9, 1.5))
    builder.box((0, 0, h / 2), (w, 0.4, h), Slot.PAINTED, bottom=True)
    builder.box((0, 0, h), (w + 0.06, 0.46, 0.05), Slot.METAL, bottom=True)
    return builder.build()


def bench(rng: np.random.Generator) -> Mesh:
    """Return a bench facing -y."""
    builder = MeshBuilder(class_id('fence'))
    for z, y in ((0.45, -0.1), (0.45, 0.1), (0.7, 0.24), (0.85, 0.27)):
        plank = (1.7, 0.16, 0.04) if z < 0.5 else (1.7, 0.03, 0.1)
        builder.box((0, y, z), plank, Slot.WOOD,
                    bottom=True)  # fmt: skip
    for x in (-0.7, 0.7):
        builder.box((x, 0.05, 0.22), (0.06, 0.4, 0.44), Slot.METAL_DARK)
    return builder.build()


def bus_shelter(rng: np.random.Generator) -> Mesh:
    """Return a bus shelter open towards -y."""
    builder = MeshBuilder(class_id('building'))
    for x in (-1.9, 1.9):
        builder.box((x, 0.5, 1.2), (0.08, 0.08, 2.4), Slot.METAL_DARK)
    builder.box((0, 0.05, 2.43), (4.2, 1.4, 0.1), Slot.METAL_DARK, bottom=True)
    builder.box((0, 0.55, 1.3), (3.8, 0.03, 1.9), Slot.WINDOW, bottom=True)
    slot = Slot.BILLBOARD_0 + int(rng.integers(COUNTS['BILLBOARD']))
    builder.box((1.95, -0.05, 1.25), (0.1, 1.1, 1.8), slot, texel=1.8, bottom=True,
                semantic=class_id('billboard'))  # fmt: skip
    builder.box((0, 0.35, 0.48), (2.2, 0.35, 0.05), Slot.METAL, bottom=True)
    return builder.build()


def barrier(rng: np.random.Generator) -> Mesh:
    """Return a road-works barrier facing both ways along y."""
    builder = MeshBuilder(class_id('fence'))
    for z in (0.55, 0.95):
        for k in range(6):
            slot = Slot.LIGHT_RED if k % 2 else Slot.WHITE
            builder.box((-0.75 + 0.3 * k, 0, z), (0.3, 0.05, 0.2), slot, bottom=True)
    for x in (-0.8, 0.8):
        builder.box((x, 0, 0.5), (0.06, 0.3, 1.0), Slot.PLASTIC)
    return builder.build()


def utility_pole(rng: np.random.Generator) -> Mesh:
    """Return a wooden pole with cross arms along x."""
    builder = MeshBuilder(class_id('pole'))
    height = float(rng.uniform(7, 10))
    builder.tube(np.array([[0, 0, 0], [0, 0, height]]), np.array([0.15, 0.1]), Slot.WOOD, sides=8)
    for z in (height - 0.5, height - 1.2)[: int(rng.integers(1, 3))]:
        builder.box((0, 0, z), (0.12, 2.0, 0.12), Slot.WOOD, bottom=True)
        for y in (-0.9, -0.4, 0.4, 0.9):
            builder.box((0, y, z + 0.14), (0.06, 0.06, 0.16), Slot.WHITE)
    return builder.build()
