"""A vehicle of a scene's fleet: its meshes, its box and what it draws."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.groups.body import Part
from sim_perception.simulator.content.meshes.builder import MeshBuilder
from sim_perception.simulator.content.meshes.car_doors import CutDoor, cut_door
from sim_perception.simulator.content.meshes.car_shape import CarShape
from sim_perception.simulator.content.meshes.lorries import LORRIES
from sim_perception.simulator.street.vehicles import Footprint
from sim_perception.simulator.world.assembly import planar_pose


@dataclass(frozen=True)
class Model:
    """A vehicle of the fleet.

    Attributes:
        label: class name.
        family: such as 'suv'.
        body: mesh without wheels, origin on the ground under the box's centre.
        wheels: (x, y, steered) of the wheel centres.
        radius: of the wheels.
        wheel: the two wheel meshes, for the right and the left side.
        size: length, width, height of the tight box.
        parts: who sits on it and what is fixed to it, in the body's frame.
        trailer: what it draws.
        overlap: how far the trailer reaches over it, metres.
        shape: of a car, from which its body was made.
    """

    label: str
    family: str
    body: Mesh
    wheels: list[tuple[float, float, bool]]
    radius: float
    wheel: tuple[Mesh, Mesh]
    size: tuple[float, float, float]
    parts: tuple[Part, ...] = ()
    trailer: Model | None = None
    overlap: float = 0.0
    shape: CarShape | None = None

    @property
    def footprint(self) -> Footprint:
        """What traffic needs to know."""
        length, width, _ = self.size
        tag = self.label if self.label in ('car', 'truck') else 'motorbike'
        if self.family in LORRIES:
            tag = 'lorry'
        if self.trailer is None:
            return Footprint(tag, (length / 2, width / 2))
        towed = self.trailer.size
        whole = length + towed[0] - self.overlap
        return Footprint(
            'towing' if self.label == 'car' else tag,
            (whole / 2, max(width, towed[1]) / 2),
            0.5 * (whole - length),
            0.5 * (whole - towed[0]),
        )

    @property
    def mass(self) -> float:
        """Kilograms, from the volume."""
        if self.label == 'cyclist':
            return 220.0
        volume = self.size[0] * self.size[1] * self.size[2]
        return volume * (115.0 if self.label == 'car' else 170.0)

    def cut_door(self, side: int) -> CutDoor | None:
        """Return the front door of a side and the rest; None where it cannot open."""
        return None if self.shape is None else cut_door(self.body, self.shape, side)

    def whole(self, body: Mesh | None = None) -> Mesh:
        """Return the body, or another one in its place, and the wheels as one mesh."""
        builder = MeshBuilder()
        builder.add_mesh(self.body if body is None else body)
        for x, y, _ in self.wheels:
            builder.add_mesh(self.wheel[int(y > 0)], planar_pose(x, y, self.radius))
        return builder.build()


def centred(
    label: str,
    family: str,
    body: Mesh,
    wheels: list[tuple[float, float, bool]],
    radius: float,
    wheel: tuple[Mesh, Mesh],
    parts: tuple[Part, ...] = (),
    width: float | None = None,
) -> Model:
    """Move a body so that its tight box is centred over the origin, and measure it.

    ``width`` takes the place of the measured one, for boxes that end before the mirrors.
    """
    v = np.concatenate([body.vertices, *(p.mesh.vertices for p in parts)]).astype(float)
    low, high = v.min(0), v.max(0)
    middle = 0.5 * (low[0] + high[0])
    builder = MeshBuilder()
    builder.add_mesh(body, planar_pose(-middle, 0.0))
    width = 2 * max(abs(low[1]), abs(high[1])) if width is None else width
    size = (float(high[0] - low[0]), float(width), float(high[2]))
    moved = [(x - middle, y, steered) for x, y, steered in wheels]
    fixed = tuple(Part(_shifted(p.mesh, -middle), p.tint) for p in parts)
    return Model(label, family, builder.build(), moved, radius, wheel, size, fixed)


def _shifted(mesh: Mesh, x: float) -> Mesh:
    return replace(mesh, vertices=mesh.vertices + np.array([x, 0, 0], np.float32))
