"""The driver's door, cut out of a car's body so that it can open."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.materials import Slot
from sim_perception.simulator.content.meshes.builder import MeshBuilder, grid_faces, part_of
from sim_perception.simulator.content.meshes.car_loops import CarLoops
from sim_perception.simulator.content.meshes.car_shape import CarShape
from sim_perception.simulator.content.meshes.classes import class_id

F64 = npt.NDArray[np.float64]

#: Thickness of a door below and beside its pane, metres.
_THICK, _THIN = 0.09, 0.04
#: How far a pane may stand before the hinge, metres; it would swing into the car.
_BEFORE = 0.12


@dataclass(frozen=True)
class CutDoor:
    """A car's door and the body that it leaves.

    Attributes:
        body: without the door, with what is seen through the hole.
        door: in the frame of its hinge, whose axes are the body's while it is closed.
        hinge: x and y of the vertical axis in the body's frame, metres.
        reach: from the hinge to the door's far edge, metres.
    """

    body: Mesh
    door: Mesh
    hinge: tuple[float, float]
    reach: float


def cut_door(body: Mesh, shape: CarShape, side: int) -> CutDoor | None:
    """Cut the front door of a side out of a body that ``car_body`` made of a shape.

    Body and closed door look together as the body did. None for bodies whose front pane reaches
    far before the door's hinge, as those of vans do.

    Args:
        body: may have been moved or printed on since.
        shape: its dimensions.
        side: +1 for the left door, -1 for the right one.
    """
    front, rear, panes, first_detail = _edges(shape, side)
    v = body.vertices.astype(float)
    a, b = v[front], v[rear]
    sill = len(front) - panes
    hinge = np.array([a[0, 0], a[sill - 5, 1] - 0.02 * side, 0.0])
    if a[:, 0].max() > hinge[0] + _BEFORE:
        return None
    moves = np.zeros(len(v), bool)
    moves[front] = moves[rear] = True
    # The mirror and the handle are on the door.
    x = v[first_detail:, 0]
    moves[first_detail:] = (
        (x > b[:, 0].min()) & (x < hinge[0] + 0.3) & (side * v[first_detail:, 1] > 0)
    )
    chosen = np.asarray(moves[body.faces].all(1))
    door = MeshBuilder(class_id('car'))
    door.add_mesh(part_of(body, chosen))
    _line(door, a, b, sill, side)
    hollow = MeshBuilder(class_id('car'))
    hollow.add_mesh(part_of(body, ~chosen))
    _furnish(hollow, a, b, sill, side)
    closed = door.build()
    return CutDoor(
        hollow.build(),
        replace(closed, vertices=(closed.vertices - hinge).astype(np.float32)),
        (float(hinge[0]), float(hinge[1])),
        float(hinge[0] - b[:, 0].min()),
    )


def _edges(
    shape: CarShape, side: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int, int]:
    """Return the vertices of the door's front and rear edge, upwards.

    Then how many of them are beside the pane, and the first vertex of the body's details.
    """
    loops = CarLoops(shape)
    under, skin, upper = loops.stacks()
    ring = 2 * loops.count - 2
    rows = len(under) + np.concatenate([np.arange(1, len(skin)), len(skin) + np.arange(4)])
    columns = np.array([loops.seam[0] + 1, loops.seam[1]])
    columns = columns if side > 0 else ring - columns
    front, rear = (rows * ring + c for c in columns)
    return front, rear, 4, (len(under) + len(skin) + len(upper)) * ring


def _line(builder: MeshBuilder, a: F64, b: F64, sill: int, side: int) -> None:
    """Add the inner side of a door and its rim; ``sill`` is the first row of the pane."""
    inward = np.where(np.arange(len(a)) < sill, _THICK, _THIN)[:, None] * [0.0, -side, 0.0]
    inner_a, inner_b = a + inward, b + inward
    kind = np.full(len(a) - 1, int(Slot.PLASTIC))
    kind[sill + 1 :] = Slot.GLASS
    _strip(builder, inner_b, inner_a, kind, side)
    _rim(builder, a, b, inner_a, inner_b, Slot.PAINT, side)


def _furnish(builder: MeshBuilder, a: F64, b: F64, sill: int, side: int) -> None:
    """Add what is seen through the hole of a door: the frame, a dark cabin and a seat."""
    frame_a, frame_b = a - [0.0, 0.06 * side, 0.0], b - [0.0, 0.06 * side, 0.0]
    _rim(builder, a, b, frame_a, frame_b, Slot.PAINT, -side)
    deep_a, deep_b = (e * [1.0, 0.0, 1.0] + [0.0, 0.02 * side, 0.0] for e in (a, b))
    _rim(builder, frame_a, frame_b, deep_a, deep_b, Slot.PLASTIC, -side, 0.35)
    _strip(builder, deep_a, deep_b, np.full(len(a) - 1, int(Slot.PLASTIC)), side, 0.25)
    x, floor, top = float(b[0, 0]) + 0.12, float(a[0, 2]), float(a[sill, 2])
    y = 0.45 * float(a[sill - 5, 1])
    for centre, size in (
        ((x + 0.36, y, floor + 0.22), (0.5, 0.48, 0.14)),
        ((x + 0.04, y, 0.5 * (floor + top) + 0.22), (0.14, 0.46, top - floor)),
        ((x, y, top + 0.3), (0.09, 0.26, 0.16)),
    ):
        builder.box(centre, size, Slot.METAL_DARK, bottom=True, occlusion=0.6)


def _rim(
    builder: MeshBuilder, a: F64, b: F64, inner_a: F64, inner_b: F64, slot: int, side: int,
    occlusion: float = 0.7,
) -> None:  # fmt: skip
    """Join an outline, front edge and rear edge, to another one around its four sides."""
    kind = np.full(len(a) - 1, int(slot))
    _strip(builder, a, inner_a, kind, -side, occlusion)
    _strip(builder, inner_b, b, kind, -side, occlusion)
    for k, turn in ((0, 1), (-1, -1)):
        edge = np.stack([a[k], b[k]]), np.stack([inner_a[k], inner_b[k]])
        _strip(builder, *edge, kind[:1], side * turn, occlusion)


def _strip(
    builder: MeshBuilder, a: F64, b: F64, kind: npt.NDArray[np.integer], side: int,
    occlusion: float = 0.7,
) -> None:  # fmt: skip
    """Add the surface between two edges of equal points."""
    faces = grid_faces(len(a), 2)
    vertices = np.stack([a, b], 1).reshape(-1, 3)
    builder.add(vertices, faces[:, ::side], np.repeat(kind, 2), uv=vertices[:, [0, 2]],
                occlusion=occlusion)  # fmt: skip
