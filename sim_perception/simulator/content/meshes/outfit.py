"""What is fixed to vehicles: racks and boxes on roofs, lettering and pictures on their sides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.materials import Slot
from sim_perception.simulator.content.meshes.builder import MeshBuilder, cross, normalise
from sim_perception.simulator.content.meshes.car_shape import CarShape
from sim_perception.simulator.content.meshes.classes import class_id

#: What can be fixed to a roof.
ROOF_LOADS = ('rack', 'box', 'ladder', 'boards', 'bicycle bars', 'light bar', 'taxi sign')
_PRINTABLE = (Slot.PAINT, Slot.PAINTED, Slot.WHITE, Slot.METAL,
              *(Slot.TRUCK_SIDE_0 + k for k in range(4)))  # fmt: skip


def roof_load(shape: CarShape, rng: np.random.Generator) -> Mesh:
    """Return what a car carries on its roof, in the car's frame."""
    builder = MeshBuilder(class_id('car'))
    kind = str(rng.choice(ROOF_LOADS, p=[0.22, 0.24, 0.14, 0.1, 0.1, 0.06, 0.14]))
    half = shape.length / 2
    front = half - shape.hood - shape.windscreen - 0.25
    rear = -half + shape.deck + shape.rear_window + 0.2
    middle, top = 0.5 * (front + rear), shape.height
    if kind == 'taxi sign':
        builder.box((middle, 0, top + 0.08), (0.18, 0.5, 0.16), Slot.LAMP, bottom=True)
        return builder.build()
    if kind == 'light bar':
        builder.box((middle, 0, top + 0.07), (0.28, 0.7 * shape.width, 0.12), Slot.GLASS,
                    bottom=True)  # fmt: skip
        return builder.build()
    span = 0.34 * shape.width
    for x in (middle - 0.22 * (front - rear), middle + 0.22 * (front - rear)):
        builder.box((x, 0, top + 0.05), (0.06, 2 * span, 0.04), Slot.METAL, bottom=True)
        for y in (-span, span):
            builder.box((x, y, top - 0.02), (0.1, 0.05, 0.14), Slot.PLASTIC, bottom=True)
    long = min(front - rear + 0.2, 2.0)
    if kind == 'box':
        wide, high = float(rng.uniform(0.6, 0.9)), float(rng.uniform(0.3, 0.42))
        along = middle + long * np.array([-0.5, -0.46, 0.1, 0.42, 0.5])
        way = np.stack([along, 0 * along, np.full(5, top + 0.08 + high / 2)], -1)
        box = MeshBuilder(class_id('car'))
        box.tube(way, 0.5 * np.array([0.6, 0.96, 1.0, 0.8, 0.3]), Slot.PLASTIC, sides=8)
        mesh = box.build()
        scale = np.array([1.0, wide, high])
        z = top + 0.08 + high / 2
        vertices = ((mesh.vertices - [0, 0, z]) * scale + [0, 0, z]).astype(np.float32)
        builder.add_mesh(replace(mesh, vertices=vertices))
    elif kind == 'ladder':
        for y in (-0.2, 0.2):
            builder.box((middle, y, top + 0.11), (long + 0.8, 0.05, 0.07), Slot.METAL, bottom=True)
        for x in np.arange(middle - long / 2, middle + long / 2, 0.3):
            builder.box((float(x), 0, top + 0.11), (0.04, 0.4, 0.04), Slot.METAL, bottom=True)
    elif kind == 'boards':
        builder.box((middle, -0.1, top + 0.14), (long + 0.5, 0.5, 0.14), Slot.WOOD, bottom=True)
        builder.box((middle, 0.28, top + 0.12), (long + 0.3, 0.16, 0.1), Slot.WHITE, bottom=True)
    elif kind == 'bicycle bars':
        for y in (-0.3, 0.1):
            builder.box((middle, y, top + 0.09), (long * 0.8, 0.05, 0.04), Slot.METAL_DARK,
                        bottom=True)  # fmt: skip
    return builder.build()


def lettered(mesh: Mesh, x: tuple[float, float], z: tuple[float, float], slot: int) -> Mesh:
    """Return a body with a print on both sides; it can be read on either.

    Args:
        mesh: the body.
        x: where the print begins and ends along the body, metres.
        z: its lower and upper edge.
        slot: material of the print.
    """
    corners = mesh.vertices[mesh.faces].astype(float)
    normal = normalise(cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
    middle = corners.mean(1)
    chosen = (
        (np.abs(normal[:, 1]) > 0.8)
        & (middle[:, 0] > x[0]) & (middle[:, 0] < x[1])
        & (middle[:, 2] > z[0]) & (middle[:, 2] < z[1])
        & np.isin(mesh.material, _PRINTABLE)
    )  # fmt: skip
    uv = mesh.uv.copy()
    k = np.unique(mesh.faces[chosen])
    along = (mesh.vertices[k, 0] - x[0]) / (x[1] - x[0])
    uv[k, 0] = np.where(mesh.vertices[k, 1] > 0, 1 - along, along)
    uv[k, 1] = (mesh.vertices[k, 2] - z[0]) / (z[1] - z[0])
    return replace(mesh, uv=uv, material=np.where(chosen, slot, mesh.material).astype(np.int32))
