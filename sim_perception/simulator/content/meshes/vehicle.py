"""Cars: one parametric body for all families, made of the loops of ``car_loops``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.materials import Slot
from sim_perception.simulator.content.meshes.builder import MeshBuilder, grid_faces
from sim_perception.simulator.content.meshes.car_loops import CarLoops
from sim_perception.simulator.content.meshes.car_shape import FAMILIES, CarShape, draw_shape
from sim_perception.simulator.content.meshes.classes import class_id
from sim_perception.simulator.content.meshes.wheels import wheel, wheel_places

__all__ = ['FAMILIES', 'CarShape', 'car_body', 'car_mesh', 'draw_shape', 'wheel', 'wheel_places']

F64 = npt.NDArray[np.float64]


def _mirror(rows: F64) -> F64:
    """Return closed loops (rows, 2 n - 2, 3) from left half loops, counter-clockwise from above.

    The loop starts at the front centre, runs along the left side to the rear centre and back
    along the right side.
    """
    right = rows[:, -2:0:-1] * [1.0, -1.0, 1.0]
    return np.concatenate([rows, right], 1)


def _quads(rows: F64, kind: npt.NDArray[np.int64]) -> tuple[F64, npt.NDArray, npt.NDArray]:
    """Return vertices, outward faces and per-face materials of closed loops.

    Args:
        rows: (R, N, 3) loops, upwards.
        kind: (R - 1, n - 1) material of the left half's quads.
    """
    full = np.concatenate([kind, kind[:, ::-1]], 1)
    loops = _mirror(rows)
    faces = grid_faces(loops.shape[0], loops.shape[1], wrap=True)
    return loops.reshape(-1, 3), faces, np.repeat(full.ravel(), 2)


def car_body(shape: CarShape) -> Mesh:
    """Return a car's body without wheels, its origin on the ground under the box's centre."""
    loops = CarLoops(shape)
    builder = MeshBuilder(class_id('car'))
    under, skin, upper = loops.stacks()
    n = loops.count
    dark = np.full((3, n - 1), int(Slot.PLASTIC))
    _add(builder, under, dark, occlusion=0.25)
    _add(builder, skin, _lower_kinds(loops, len(skin)), ground=True)
    _add(builder, upper, _upper_kinds(loops, len(upper)))
    _details(builder, loops, skin)
    if shape.family == 'pickup':
        _bed(builder, loops)
    return builder.build()


def _add(
    builder: MeshBuilder,
    rows: F64,
    kind: npt.NDArray[np.int64],
    *,
    occlusion: float = 1.0,
    ground: bool = False,
) -> None:
    vertices, faces, material = _quads(rows, kind)
    shade: float | F64 = occlusion
    if ground:
        shade = np.clip(0.45 + 0.9 * vertices[:, 2], 0.45, 1.0)
    builder.add(vertices, faces, material, uv=vertices[:, [0, 2]], occlusion=shade)


def _lower_kinds(loops: CarLoops, rows: int) -> npt.NDArray[np.int64]:
    """Return the materials of the body's quads below the sill."""
    shape, first, last = loops.shape, loops.first_side, loops.last_side
    kind = np.full((rows - 1, loops.count - 1), int(Slot.PAINT))
    for seam in loops.seam[: 2 if shape.family == 'pickup' else 3]:
        kind[1:8, seam] = Slot.PLASTIC
    kind[0, :first] = kind[0, last - 1 :] = Slot.PLASTIC
    if shape.cladding:
        kind[:2, first:last] = Slot.PLASTIC
        kind[0] = Slot.PLASTIC
    style = int(shape.lamp * 3.999)
    grille = 3 if style != 2 else 2
    kind[1:2, :grille] = Slot.PLASTIC
    kind[3 : 5 if style % 2 else 4, : grille - 1 + style // 2] = Slot.PLASTIC
    if style in (1, 3):
        kind[4, :2] = Slot.CHROME if style == 3 else Slot.PLASTIC
    kind[4 : 6 if style < 2 else 5, 3:6] = Slot.HEADLIGHT
    if style == 1:
        kind[4, 2] = Slot.HEADLIGHT
    tall = shape.family not in ('sedan', 'coupe', 'pickup')
    top, reach = (7 if tall and style % 2 else 6), 2 if style < 2 else 3
    kind[4:top, last : last + reach] = Slot.TAILLIGHT
    kind[4:6, last - 1] = Slot.TAILLIGHT
    kind[1, last + 1 :] = Slot.PLASTIC
    return kind


def _upper_kinds(loops: CarLoops, rows: int) -> npt.NDArray[np.int64]:
    """Return the materials of the greenhouse's quads."""
    shape = loops.shape
    kind = np.full((rows - 1, loops.count - 1), int(Slot.PAINT))
    a, c = loops.pillar_a, loops.pillar_c
    glass = slice(1, 3)
    kind[0:1] = Slot.PLASTIC
    kind[glass, : a - 1] = Slot.GLASS
    kind[0, : a - 1] = Slot.PLASTIC
    kind[glass, a + 1 : c] = Slot.GLASS
    seam = loops.seam
    kind[0:3, seam[1]] = Slot.PLASTIC
    kind[glass, seam[2]] = Slot.PLASTIC
    kind[glass, a : seam[0] + 1] = Slot.GLASS
    if shape.panes == 1:
        kind[0:3, seam[1] + 1 : c + 4] = Slot.PAINT
    kind[glass, c + 3 :] = Slot.GLASS
    kind[0:3, c : c + 3] = Slot.PAINT
    kind[0, c + 3 :] = Slot.PAINT
    return kind


def _details(builder: MeshBuilder, loops: CarLoops, skin: F64) -> None:
    """Add mirrors, handles and plates."""
    s = loops.shape
    foot = loops.screen_foot - 0.25 * s.windscreen - 0.15
    for side in (-1, 1):
        y = side * (s.width / 2 * 0.93 + 0.07)
        builder.box((foot, y, s.belt + 0.09), (0.11, 0.19, 0.13), Slot.PAINT, bottom=True)
        builder.box((foot - 0.058, y, s.belt + 0.09), (0.006, 0.16, 0.10), Slot.GLASS, bottom=True)
        for seam in loops.doors[1:2] if s.panes else loops.doors[1:3]:
            builder.box(
                (seam + 0.15, side * (s.width / 2 * 0.985), s.belt - 0.13),
                (0.16, 0.04, 0.028),
                Slot.PAINT if s.lamp > 0.4 else Slot.PLASTIC,
                bottom=True,
            )
    plate = Slot.PLATE_0 + int(s.lamp * 3.99)
    front, rear = skin[2, 0], skin[3, -1]
    for x, z, turn in ((front[0] + 0.008, front[2], 0), (rear[0] - 0.008, rear[2] + 0.05, np.pi)):
        _plate(builder, x, z, turn, plate)


def _plate(builder: MeshBuilder, x: float, z: float, turn: float, slot: int) -> None:
    sign = 1.0 if turn == 0 else -1.0
    y = 0.26 * sign
    corners = np.array(
        [[x, -y, z - 0.055], [x, y, z - 0.055], [x, y, z + 0.055], [x, -y, z + 0.055]]
    )
    builder.polygon(corners, slot, uv=np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]]))


def _bed(builder: MeshBuilder, loops: CarLoops) -> None:
    """Add the walls of a pickup's bed."""
    s, half = loops.shape, loops.shape.length / 2
    top = s.belt + 0.03
    floor = s.deck_height - 0.12
    front, back = loops.rear_foot + 0.05, -half + 0.12
    middle, length, height = 0.5 * (front + back), front - back, top - floor
    z = 0.5 * (top + floor)
    for side in (-1, 1):
        builder.box((middle, side * (s.width / 2 * 0.93 - 0.04), z), (length, 0.08, height),
                    Slot.PAINT, bottom=True)  # fmt: skip
    builder.box((back + 0.03, 0, z), (0.06, s.width * 0.84, height), Slot.PAINT, bottom=True)
    builder.box((middle, 0, floor + 0.14), (length - 0.1, s.width * 0.86, 0.02), Slot.PLASTIC)


def car_mesh(family: str, shape: CarShape | None = None, seed: int = 0) -> tuple[Mesh, CarShape]:
    """Return a whole car with its wheels, as used for shape learning and parked cars.

    Args:
        family: one of ``FAMILIES``.
        shape: dimensions, or None to draw them from ``seed``.
        seed: of the drawn dimensions.
    """
    shape = draw_shape(family, np.random.default_rng(seed)) if shape is None else shape
    shape = replace(shape, family=family)
    builder = MeshBuilder(class_id('car'))
    builder.add_mesh(car_body(shape))
    spokes = 5 + int(shape.lamp * 4)
    for x, y, _ in wheel_places(shape):
        pose = np.eye(4)
        pose[:3, 3] = x, y, shape.wheel_radius
        builder.add_mesh(wheel(shape.wheel_radius, spokes=spokes, side=1 if y > 0 else -1), pose)
    return builder.build(), shape
