"""Collects meshes, objects and instances while a scene is built, and poses them later."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.common.scene import Instances, Mesh, Objects
from sim_perception.simulator.content.meshes.builder import yaw_matrix

F64 = npt.NDArray[np.float64]
Color = tuple[float, float, float]
#: How a background piece meets uneven ground: as part of it, upright, tilted with it, or as its
#: shape suggests.
Stance = Literal['ground', 'upright', 'tilted', 'auto']

WHITE: Color = (1.0, 1.0, 1.0)


def planar_pose(x: float, y: float, z: float = 0.0, yaw: float = 0.0) -> F64:
    """Return the 4x4 pose at (x, y, z) turned by ``yaw`` about z."""
    pose = np.eye(4)
    pose[:3, :3] = yaw_matrix(yaw)
    pose[:3, 3] = x, y, z
    return pose


@dataclass
class ObjectSpec:
    """One labelled object while it is collected.

    Attributes:
        class_id: of the taxonomy.
        family: such as 'sedan'.
        size: length, width, height of the tight box.
        mass: kilograms.
        box_height: height of the box's centre above the object's ground frame, metres.
        pose: fixed world pose of the ground frame, for things that never move.
        mover: row in the motion, or -1.
    """

    class_id: int
    family: str
    size: tuple[float, float, float]
    mass: float
    box_height: float
    pose: F64 = field(default_factory=lambda: np.eye(4))
    mover: int = -1


@dataclass(frozen=True)
class Lamp:
    """What makes a part light up.

    Attributes:
        glow: linear RGB radiance while it is lit.
        name: 'brake', 'left' or 'right' of its object, or of a traffic light what it shows.
        junction: of a traffic light, -1 for a vehicle's lamp.
        main: whether the traffic light is the main street's.
    """

    glow: Color
    name: str
    junction: int = -1
    main: bool = True


@dataclass(frozen=True)
class DoorSwing:
    """When a door opens, and how far.

    Attributes:
        opens, closes: when it begins to, seconds.
        angle: to the left about its hinge where it is open, radians.
    """

    LASTS: ClassVar[float] = 1.4
    opens: float
    closes: float
    angle: float

    def at(self, time: float) -> float:
        """Return the angle at a time, seconds."""
        begun = np.clip((time - np.array([self.opens, self.closes])) / self.LASTS, 0.0, 1.0)
        opened, closed = begun * begun * (3 - 2 * begun)
        return float(self.angle * (opened - closed))


@dataclass
class PartSpec:
    """One instance while it is collected.

    Attributes:
        mesh: index of the mesh.
        object: row of its object, or -1.
        tint: linear RGB.
        local: 4x4 pose in the object's ground frame, or in the world for background.
        joint: how it moves in the object's frame: 'rigid', 'wheel', 'steered' (a wheel),
            'trunk', or a limb of ``gait`` and its side as in 'thigh:1'.
        parameter: radius of wheels, body scale of limbs.
        stance: how a background piece meets uneven ground.
        lamp: what makes it light up, or None.
        door: how a door moves about the z axis of its place, or None.
    """

    mesh: int
    object: int
    tint: Color
    local: F64
    joint: str = 'rigid'
    parameter: float = 0.0
    stance: Stance = 'auto'
    lamp: Lamp | None = None
    door: DoorSwing | None = None


class Assembly:
    """The growing lists of a scene."""

    def __init__(self) -> None:
        self.meshes: list[Mesh] = []
        self.objects: list[ObjectSpec] = []
        self.parts: list[PartSpec] = []
        self._known: dict[Hashable, int] = {}

    def mesh(self, key: Hashable, make: Callable[[], Mesh]) -> int:
        """Return the index of the mesh called ``key``, making it the first time."""
        if key not in self._known:
            self._known[key] = len(self.meshes)
            self.meshes.append(make())
        return self._known[key]

    def add_mesh(self, mesh: Mesh) -> int:
        """Add a mesh that is used once."""
        self.meshes.append(mesh)
        return len(self.meshes) - 1

    def add_object(self, spec: ObjectSpec) -> int:
        """Add a labelled object and return its row."""
        self.objects.append(spec)
        return len(self.objects) - 1

    def place(
        self,
        mesh: int,
        pose: F64,
        tint: Color = WHITE,
        stance: Stance = 'auto',
        lamp: Lamp | None = None,
    ) -> int:
        """Add a background instance at a world pose and return its row."""
        self.parts.append(PartSpec(mesh, -1, tint, pose, stance=stance, lamp=lamp))
        return len(self.parts) - 1

    def lay(self, mesh: Mesh) -> None:
        """Add a mesh in world coordinates that is part of the ground."""
        self.place(self.add_mesh(mesh), np.eye(4), stance='ground')

    def attach(
        self,
        object_row: int,
        mesh: int,
        local: F64 | None = None,
        tint: Color = WHITE,
        joint: str = 'rigid',
        parameter: float = 0.0,
        lamp: Lamp | None = None,
        door: DoorSwing | None = None,
    ) -> None:
        """Add an instance that belongs to an object."""
        pose = np.eye(4) if local is None else local
        self.parts.append(
            PartSpec(mesh, object_row, tint, pose, joint, parameter, lamp=lamp, door=door)
        )

    def instances(self) -> Instances:
        """Return the static facts of all instances."""
        return Instances(
            mesh=np.array([p.mesh for p in self.parts], np.int32),
            object=np.array([p.object for p in self.parts], np.int32),
            tint=np.array([p.tint for p in self.parts], np.float32).reshape(-1, 3),
        )

    def object_facts(self) -> Objects:
        """Return the static facts of all objects; ids count from 1."""
        specs = self.objects
        return Objects(
            id=np.arange(1, len(specs) + 1, dtype=np.uint16),
            class_id=np.array([s.class_id for s in specs], np.uint8),
            size=np.array([s.size for s in specs], np.float32).reshape(-1, 3),
            mass=np.array([s.mass for s in specs], np.float32),
            family=tuple(s.family for s in specs),
        )
