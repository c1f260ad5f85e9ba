"""Lets what was placed on the plan settle on uneven ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.transforms import invert
from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.materials import Slot
from sim_perception.simulator.content.meshes.builder import MeshBuilder
from sim_perception.simulator.content.meshes.classes import class_id
from sim_perception.simulator.content.meshes.drape import drape
from sim_perception.simulator.street.relief import Relief
from sim_perception.simulator.street.stance import Support, poses, stance
from sim_perception.simulator.world.assembly import Assembly, ObjectSpec, PartSpec, planar_pose

F64 = npt.NDArray[np.float64]

#: What is this high above a mesh's lowest point still touches the ground, metres.
_FOOT = 0.5
#: Buildings are deeper and higher than this, metres.
_DEEP, _HIGH = 4.6, 2.2
#: Pieces with a shorter foot stand upright, longer ones lie along the ground, metres.
_SHORT = 2.0
#: Plinths come in steps of this height, metres.
_STEP = 0.5


@dataclass(frozen=True)
class _Foot:
    """Where a mesh touches the ground: x and y of its lowest and highest corner, and its shape."""

    low: F64
    high: F64
    building: bool

    def corners(self) -> F64:
        """Return the (4, 3) corners, at height 0."""
        (x0, y0), (x1, y1) = self.low, self.high
        return np.array([[x0, y0, 0], [x1, y0, 0], [x1, y1, 0], [x0, y1, 0]], float)


def settle(assembly: Assembly, relief: Relief) -> None:
    """Move everything that never moves from the plan onto the ground."""
    feet: dict[int, _Foot] = {}
    for part in list(assembly.parts):
        if part.object >= 0:
            continue
        if part.stance == 'ground':
            assembly.meshes[part.mesh] = drape(assembly.meshes[part.mesh], relief)
            continue
        foot = feet.setdefault(part.mesh, _foot(assembly.meshes[part.mesh]))
        _settle_piece(assembly, part, foot, relief)
    for spec in assembly.objects:
        if spec.mover < 0:
            spec.pose = _standing(spec.pose, support_of([spec]), relief)


def support_of(specs: list[ObjectSpec], axles: dict[int, tuple[float, float]] | None = None
               ) -> Support:  # fmt: skip
    """Return where objects touch the ground.

    Args:
        specs: the objects; people stand upright, riders do not roll.
        axles: x of the rear and the front axle by row, where known.
    """
    size = np.array([s.size for s in specs], float).reshape(-1, 3)
    kind = np.array([s.class_id for s in specs], int)
    upright = kind == class_id('pedestrian')
    rolls = ~upright & (kind != class_id('cyclist'))
    middle, base = np.zeros(len(specs)), 0.29 * size[:, 0]
    for row, (rear, front) in (axles or {}).items():
        middle[row], base[row] = (front + rear) / 2, (front - rear) / 2
    return Support(middle, np.where(upright, 0.0, base), np.where(rolls, 0.42 * size[:, 1], 0.0))


def _standing(pose: F64, support: Support, relief: Relief) -> F64:
    """Return a pose of the plan on the ground; how it leans on the plan stays."""
    place = pose[None, :3, 3]
    yaw = np.array([np.arctan2(pose[1, 0], pose[0, 0])])
    x, y, z = (float(v) for v in pose[:3, 3])
    upright = planar_pose(x, y, z, float(yaw[0]))
    ground = poses(place, yaw, stance(relief, place, yaw, support))[0]
    return np.asarray(ground @ invert(upright) @ pose)


def _foot(mesh: Mesh) -> _Foot:
    vertices = mesh.vertices.astype(float)
    low, high = vertices.min(0), vertices.max(0)
    touching = vertices[vertices[:, 2] <= low[2] + _FOOT]
    extent = high - low
    building = extent[1] > _DEEP and extent[0] > _SHORT and extent[2] > _HIGH
    shown = (mesh.semantic == class_id('building')).mean() > 0.5
    return _Foot(touching.min(0)[:2], touching.max(0)[:2], bool(building and shown))


def _settle_piece(assembly: Assembly, part: PartSpec, foot: _Foot, relief: Relief) -> None:
    """Lift one piece; what is long lies along the ground, houses get a plinth."""
    pose = part.local
    corners = foot.corners() @ pose[:3, :3].T + pose[:3, 3]
    ground = relief.lifted(corners)
    if part.stance == 'auto' and foot.building:
        part.local = pose.copy()
        part.local[2, 3] = 0.5 * (ground.mean() + ground.max())
        _underpin(assembly, part, foot, float(part.local[2, 3] - ground.min()))
        return
    size = foot.high - foot.low
    long = size.max() > _SHORT
    if part.stance == 'upright' or (part.stance == 'auto' and not long):
        part.local = pose.copy()
        # No corner of the foot may show above the ground.
        part.local[2, 3] = ground.min()
        return
    rolls = part.stance == 'tilted'
    middle = 0.5 * (foot.low + foot.high)
    support = Support(
        np.array([middle[0]]), np.array([max(0.45 * size[0], 0.1)]),
        np.array([0.45 * size[1] if rolls else 0.0]),
    )  # fmt: skip
    part.local = _standing(pose, support, relief)


def _underpin(assembly: Assembly, part: PartSpec, foot: _Foot, drop: float) -> None:
    """Fill what is open below a house with a plinth."""
    if drop < 0.02:
        return
    depth = float(np.ceil((drop + 0.1) / _STEP) * _STEP)

    def plinth() -> Mesh:
        builder = MeshBuilder(class_id('building'))
        (x0, y0), (x1, y1) = foot.low, foot.high
        size = (float(x1 - x0), float(y1 - y0), depth)
        centre = (float(x0 + x1) / 2, float(y0 + y1) / 2, -depth / 2)
        builder.box(centre, size, Slot.CONCRETE)
        return builder.build()

    mesh = assembly.mesh(('plinth', part.mesh, depth), plinth)
    assembly.place(mesh, part.local, part.tint, 'upright')
