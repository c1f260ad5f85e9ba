"""Bicycles: frames of several kinds and what is fixed to them, without and with wheels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.materials import Slot
from sim_perception.simulator.content.meshes.builder import MeshBuilder
from sim_perception.simulator.content.meshes.classes import class_id
from sim_perception.simulator.content.meshes.people import bicycle_wheel

#: Half the distance between the axles and their height, metres.
AXLE, AXLE_HEIGHT = 0.53, 0.341
#: Kinds of bicycle: the bar's x, height and half width, and whether the frame is a low step's.
_BARS = {
    'city': (0.27, 1.12, 0.28, True),
    'touring': (0.38, 1.03, 0.27, False),
    'racer': (0.52, 0.90, 0.21, False),
    'mountain': (0.43, 1.02, 0.33, False),
}
BICYCLES = tuple(_BARS)
EXTRAS = ('mudguards', 'rack', 'basket', 'panniers', 'child seat', 'crate')


@dataclass(frozen=True)
class Bicycle:
    """A bicycle: its kind of ``BICYCLES`` and what of ``EXTRAS`` is fixed to it."""

    kind: str
    extras: tuple[str, ...]

    @property
    def bar(self) -> tuple[float, float, float]:
        """Where the hands hold on: x, height, half width, metres."""
        x, high, wide, _ = _BARS[self.kind]
        return x, high, wide


def draw_bicycle(rng: np.random.Generator, kind: str | None = None) -> Bicycle:
    """Draw a bicycle, of a kind if one is given."""
    kind = kind or str(rng.choice(BICYCLES))
    chance = {'mudguards': 0.8, 'rack': 0.75, 'basket': 0.35, 'panniers': 0.25,
              'child seat': 0.15, 'crate': 0.15}  # fmt: skip
    share = {'city': 1.0, 'touring': 0.8, 'mountain': 0.25, 'racer': 0.0}[kind]
    return Bicycle(kind, tuple(e for e in EXTRAS if rng.random() < share * chance[e]))


def bicycle_body(bicycle: Bicycle, label: str) -> Mesh:
    """Return a bicycle without wheels; wheels turn about (+-0.53, 0, 0.341).

    Args:
        bicycle: which.
        label: class name.
    """
    builder = MeshBuilder(class_id(label))
    bar_x, bar_z, half, step = _BARS[bicycle.kind]
    rear, front = np.array([-AXLE, 0, AXLE_HEIGHT]), np.array([AXLE, 0, AXLE_HEIGHT])
    bracket, seat, head = (
        np.array(p) for p in ((0.05, 0, 0.3), (-0.14, 0, 0.88), (0.41, 0, 0.84))
    )
    low = np.array([-0.02, 0, 0.5]) if step else seat
    neck = np.array([0.43, 0, 0.66]) if step else head
    stem = np.array([bar_x, 0, bar_z])
    for a, b, radius in ((rear, seat, 0.013), (rear, bracket, 0.014), (bracket, seat, 0.019),
                         (bracket, neck, 0.021), (low, neck, 0.019), (front, head, 0.017),
                         (head, stem, 0.015)):  # fmt: skip
        builder.tube(np.array([a, b]), radius, Slot.PAINT, sides=6, caps=False)
    _bars(builder, bicycle.kind, bar_x, bar_z, half)
    builder.box((-0.17, 0, 0.925), (0.26, 0.14, 0.06), Slot.PLASTIC, bottom=True)
    builder.tube(np.array([[0.05, -0.02, 0.3], [0.05, 0.02, 0.3]]), 0.1, Slot.METAL_DARK, sides=10)
    builder.box((-0.27, 0, 0.76), (0.04, 0.06, 0.06), Slot.TAILLIGHT, bottom=True)
    builder.box((0.47, 0, 0.8), (0.05, 0.06, 0.06), Slot.HEADLIGHT, bottom=True)
    for extra in bicycle.extras:
        _fix(builder, extra)
    return builder.build()


def _bars(builder: MeshBuilder, kind: str, x: float, z: float, half: float) -> None:
    for side in (-1, 1):
        if kind == 'racer':
            way = [(x - 0.08, 0, z + 0.04), (x - 0.06, side * half, z + 0.04),
                   (x + 0.04, side * half, z + 0.02), (x + 0.05, side * half, z - 0.1),
                   (x - 0.05, side * half, z - 0.13)]  # fmt: skip
        elif kind == 'city':
            way = [(x + 0.1, 0, z - 0.05), (x + 0.08, side * 0.2, z), (x - 0.12, side * half, z)]
        else:
            way = [(x, 0, z), (x - 0.03, side * half, z)]
        builder.tube(np.array(way, float), 0.014, Slot.PLASTIC, sides=5)


def _fix(builder: MeshBuilder, extra: str) -> None:
    if extra == 'mudguards':
        angle = np.linspace(0.1, np.pi * 0.85, 8)
        for x, sign in ((-AXLE, -1), (AXLE, -1)):
            arc = np.stack([x + sign * 0.36 * np.cos(angle), 0 * angle,
                            AXLE_HEIGHT + 0.36 * np.sin(angle)], -1)  # fmt: skip
            builder.tube(arc, 0.026, Slot.METAL_DARK, sides=5)
    elif extra == 'rack':
        builder.box((-0.5, 0, 0.74), (0.36, 0.12, 0.02), Slot.METAL_DARK, bottom=True)
        for side in (-1, 1):
            stay = np.array([[-0.5, side * 0.05, 0.73], [-AXLE, side * 0.05, AXLE_HEIGHT]])
            builder.tube(stay, 0.008, Slot.METAL_DARK, sides=4, caps=False)
    elif extra == 'basket':
        builder.box((0.58, 0, 0.92), (0.26, 0.34, 0.22), Slot.WOOD, bottom=True)
    elif extra == 'crate':
        builder.box((-0.5, 0, 0.88), (0.36, 0.3, 0.24), Slot.PAINTED, bottom=True)
    elif extra == 'panniers':
        for side in (-1, 1):
            builder.box((-0.52, side * 0.15, 0.56), (0.32, 0.14, 0.34), Slot.PAINTED, bottom=True)
    else:
        builder.box((-0.46, 0, 0.84), (0.28, 0.28, 0.06), Slot.PLASTIC, bottom=True)
        builder.box((-0.6, 0, 1.06), (0.06, 0.3, 0.44), Slot.PLASTIC, bottom=True)


def whole_bicycle(bicycle: Bicycle, label: str) -> Mesh:
    """Return a bicycle on its wheels, upright, x forward."""
    builder = MeshBuilder(class_id(label))
    builder.add_mesh(bicycle_body(bicycle, label))
    wheel = replace_label(bicycle_wheel(), label)
    for x in (-AXLE, AXLE):
        pose = np.eye(4)
        pose[:3, 3] = x, 0.0, AXLE_HEIGHT
        builder.add_mesh(wheel, pose)
    return builder.build()


def replace_label(mesh: Mesh, label: str) -> Mesh:
    """Return a mesh whose faces are all of one class."""
    return replace(mesh, semantic=np.full(len(mesh.semantic), class_id(label), np.uint8))
