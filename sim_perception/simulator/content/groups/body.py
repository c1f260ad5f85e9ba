"""What groups are made of: bodies with parts, each an object of its own or background."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.common.scene import Mesh

F64 = npt.NDArray[np.float64]

#: What colours a part's tinted surfaces: clothes above or below the waist, paint, walls' colours.
Tint = Literal['top', 'legs', 'paint', 'wall']


@dataclass(frozen=True)
class Part:
    """A mesh in its body's frame and what tints it."""

    mesh: Mesh
    tint: Tint = 'wall'


@dataclass(frozen=True)
class Body:
    """Something that stands in a group.

    Attributes:
        parts: its meshes; on the ground, the box's middle over the origin.
        pose: 4x4, where it stands in the group's frame.
        category: class name of an object, or '' for background.
        family: of an object.
        mass: of an object, kilograms.
    """

    parts: tuple[Part, ...]
    pose: F64
    category: str = ''
    family: str = ''
    mass: float = 0.0

    @property
    def size(self) -> tuple[float, float, float]:
        """Length, width, height of the tight box."""
        low, high = _bounds(self.parts)
        return float(high[0] - low[0]), float(high[1] - low[1]), float(high[2])


def body(
    parts: list[Part],
    place: tuple[float, float, float] = (0.0, 0.0, 0.0),
    yaw: float = 0.0,
    category: str = '',
    family: str = '',
    mass: float = 0.0,
) -> Body:
    """Return a body whose parts are moved until their box's middle is over the origin.

    Args:
        parts: meshes in one frame, x forward.
        place: of that frame's origin in the group, metres.
        yaw: of that frame, radians.
        category: class name of an object, or '' for background.
        family: of an object.
        mass: of an object, kilograms.
    """
    low, high = _bounds(parts)
    middle = 0.5 * (low + high) * [1.0, 1.0, 0.0]
    moved = tuple(
        Part(replace(p.mesh, vertices=(p.mesh.vertices - middle).astype(np.float32)), p.tint)
        for p in parts
    )
    pose = np.eye(4)
    c, s = np.cos(yaw), np.sin(yaw)
    pose[:2, :2] = [[c, -s], [s, c]]
    pose[:3, 3] = np.array(place) + pose[:3, :3] @ middle
    return Body(moved, pose, category, family, mass)


def _bounds(parts: list[Part] | tuple[Part, ...]) -> tuple[F64, F64]:
    vertices = np.concatenate([p.mesh.vertices for p in parts]).astype(float)
    return vertices.min(0), vertices.max(0)
