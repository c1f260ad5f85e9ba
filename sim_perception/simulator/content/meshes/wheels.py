"""Wheels of cars and trucks, and where they are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.materials import Slot
from sim_perception.simulator.content.meshes.builder import MeshBuilder, grid_faces
from sim_perception.simulator.content.meshes.car_shape import CarShape
from sim_perception.simulator.content.meshes.classes import class_id

F64 = npt.NDArray[np.float64]


def wheel_places(shape: CarShape) -> list[tuple[float, float, bool]]:
    """Return (x, y, steered) of the four wheel centres."""
    front = shape.length / 2 - shape.front_overhang
    y = shape.width / 2 - 0.12
    return [
        (x, side * y, steered)
        for x, steered in ((front, True), (front - shape.wheelbase, False))
        for side in (-1, 1)
    ]


def wheel(
    radius: float, width: float = 0.21, spokes: int = 5, semantic: str = 'car', side: int = 1
) -> Mesh:
    """Return a wheel about the y axis whose outer face looks along ``side`` times y."""
    builder = MeshBuilder(class_id(semantic))
    segments = 18
    angle = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    profile = np.array(
        [[0.62, -0.5], [0.93, -0.5], [1.0, -0.36], [1.0, 0.36], [0.94, 0.5], [0.66, 0.48]]
    )
    rows = [
        np.column_stack([r * radius * np.sin(angle), np.full(segments, y * width * side),
                         r * radius * np.cos(angle)])
        for r, y in profile
    ]  # fmt: skip
    faces = grid_faces(len(rows), segments, wrap=True)
    faces = faces if side > 0 else faces[:, ::-1]
    stack = np.array(rows)
    builder.add(stack.reshape(-1, 3), faces, Slot.TYRE, occlusion=0.7)
    _rim(builder, stack[-1], radius, width, spokes, side)
    return builder.build()


def _rim(
    builder: MeshBuilder, lip: F64, radius: float, width: float, spokes: int, side: int
) -> None:
    segments = len(lip)
    inner = lip * [0.92, 1.0, 0.92] - [0.0, 0.03 * side, 0.0]
    hub = lip * [0.28, 1.0, 0.28] - [0.0, 0.015 * side, 0.0]
    rows = np.array([lip, inner, hub])
    faces = grid_faces(3, segments, wrap=True)
    faces = faces if side > 0 else faces[:, ::-1]
    kind = np.full((2, segments), int(Slot.RIM))
    phase = (np.arange(segments) * spokes / segments) % 1.0
    kind[1] = np.where(phase < 0.5, Slot.RIM, Slot.PLASTIC)
    builder.add(rows.reshape(-1, 3), faces, np.repeat(kind.ravel(), 2), occlusion=0.8)
    cap = np.concatenate([hub, [[0.0, hub[0, 1], 0.0]]])
    i = np.arange(segments)
    fan = np.stack([np.full(segments, segments), i, (i + 1) % segments], -1)
    fan = fan if side > 0 else fan[:, ::-1]
    builder.add(cap, fan, Slot.RIM)
