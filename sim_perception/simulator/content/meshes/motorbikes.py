"""Motorcycles and scooters with their riders. Origin on the ground under the wheels' middle."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.materials import Slot
from sim_perception.simulator.content.meshes.builder import MeshBuilder
from sim_perception.simulator.content.meshes.classes import class_id
from sim_perception.simulator.content.meshes.figures import Arm, Posture, figure
from sim_perception.simulator.content.meshes.people import Person, draw_person

MOTORBIKES = ('motorcycle', 'scooter', 'tourer')


@dataclass(frozen=True)
class MotorbikeShape:
    """Dimensions of a motorcycle, metres.

    Attributes:
        family: of ``MOTORBIKES``.
        wheelbase: between the axles.
        radius: of the wheels.
        seat: height of the saddle.
        box: whether a top box is carried.
        screen: whether a wind screen stands in front.
        label: class name.
    """

    family: str
    wheelbase: float
    radius: float
    seat: float
    box: bool
    screen: bool
    label: str = 'cyclist'


def draw_motorbike(rng: np.random.Generator, label: str = 'cyclist') -> MotorbikeShape:
    """Draw a motorcycle or a scooter."""
    family = str(rng.choice(MOTORBIKES, p=[0.35, 0.45, 0.2]))
    scooter = family == 'scooter'
    return MotorbikeShape(
        family,
        float(rng.uniform(1.2, 1.36) if scooter else rng.uniform(1.36, 1.52)),
        float(rng.uniform(0.22, 0.26) if scooter else rng.uniform(0.29, 0.32)),
        float(rng.uniform(0.72, 0.8)),
        bool(rng.random() < (0.45 if scooter else 0.3)),
        bool(rng.random() < 0.4 or family == 'tourer'),
        label,
    )


def motorbike_body(s: MotorbikeShape) -> Mesh:
    """Return the machine without wheels."""
    builder = MeshBuilder(class_id(s.label))
    rear, front = -s.wheelbase / 2, s.wheelbase / 2
    r, seat = s.radius, s.seat
    head = np.array([front - 0.24, 0, seat + 0.12])
    for y in (-0.09, 0.09):
        builder.tube(
            np.array([[front, y, r], np.add(head, [0, y, 0.05])]), 0.026, Slot.METAL, sides=6
        )
        builder.tube(np.array([[rear, y, r], [rear + 0.5, y, r + 0.04]]), 0.03, Slot.METAL_DARK,
                     sides=6)  # fmt: skip
    grips = [(0, -0.34, 0.14), (0.1, 0, 0.1), (0, 0.34, 0.14)]
    builder.tube(np.add(head, grips), 0.018, Slot.PLASTIC, sides=6)
    builder.box((front - 0.14, 0, seat + 0.13), (0.14, 0.2, 0.18), Slot.HEADLIGHT, bottom=True)
    guard = np.linspace(0.3, np.pi - 0.7, 7)
    for x in (rear, front):
        arc = np.stack([x - (r + 0.03) * np.cos(guard), 0 * guard,
                        r + (r + 0.03) * np.sin(guard)], -1)  # fmt: skip
        builder.tube(arc, 0.06, Slot.PAINT, sides=6)
    if s.family == 'scooter':
        builder.box((0.06, 0, 0.3), (0.6, 0.36, 0.1), Slot.PAINT, bottom=True)
        builder.box((front - 0.24, 0, 0.58), (0.1, 0.42, 0.58), Slot.PAINT, bottom=True)
        hump = np.array([[rear - 0.22, 0, 0.62], [rear + 0.05, 0, 0.5], [rear + 0.42, 0, 0.5]])
        builder.tube(hump, np.array([0.12, 0.22, 0.19]), Slot.PAINT, sides=10)
    else:
        tank = np.array([[-0.1, 0, seat + 0.02], [0.12, 0, seat + 0.06], [0.38, 0, seat]])
        builder.tube(tank, np.array([0.12, 0.18, 0.12]), Slot.PAINT, sides=10)
        builder.box((0.08, 0, 0.42), (0.46, 0.34, 0.36), Slot.METAL_DARK, bottom=True)
        pipe = np.array([[0.1, -0.2, 0.3], [rear + 0.1, -0.2, 0.34], [rear - 0.25, -0.2, 0.42]])
        builder.tube(pipe, np.array([0.03, 0.05, 0.06]), Slot.CHROME, sides=8)
        builder.tube(np.array([[rear - 0.1, 0, seat], [rear + 0.3, 0, seat - 0.04]]),
                     np.array([0.06, 0.12]), Slot.PAINT, sides=8)  # fmt: skip
    builder.box((rear + 0.26, 0, seat - 0.02), (0.68, 0.26, 0.1), Slot.PLASTIC, bottom=True)
    builder.box((rear - 0.2, 0, seat - 0.1), (0.05, 0.18, 0.08), Slot.TAILLIGHT, bottom=True)
    _plate(builder, rear - 0.26, seat - 0.25)
    if s.box:
        builder.box((rear - 0.12, 0, seat + 0.22), (0.38, 0.42, 0.34), Slot.PLASTIC, bottom=True)
    if s.family == 'tourer':
        for y in (-0.3, 0.3):
            builder.box((rear + 0.02, y, 0.55), (0.46, 0.2, 0.34), Slot.PAINT, bottom=True)
    if s.screen:
        x, z = front - 0.12, seat + 0.22
        pane = np.array([[x, -0.2, z], [x, 0.2, z], [x - 0.16, 0.15, z + 0.34],
                         [x - 0.16, -0.15, z + 0.34]])  # fmt: skip
        builder.polygon(pane, Slot.GLASS, double_sided=True)
    return builder.build()


def motorbike_wheels(s: MotorbikeShape) -> list[tuple[float, float, bool]]:
    """Return (x, y, steered) of the wheels."""
    return [(s.wheelbase / 2, 0.0, True), (-s.wheelbase / 2, 0.0, False)]


def motorbike_riders(s: MotorbikeShape, rng: np.random.Generator) -> tuple[Mesh, Mesh]:
    """Return who rides: one, sometimes two people; meshes above and below the waist."""
    top, legs = MeshBuilder(class_id(s.label)), MeshBuilder(class_id(s.label))
    back = -s.wheelbase / 2 + 0.38
    for k in range(2 if rng.random() < 0.15 else 1):
        person = replace(draw_person(rng), dress='trousers', hat=False, family='adult',
                         height=float(np.clip(rng.normal(1.74, 0.07), 1.55, 1.92)))  # fmt: skip
        reach = Arm(0.95, 0.3, 0.35, 0.35) if k == 0 else Arm(0.5, 0.2, 0.9, 0.5)
        fold = (1.15, 1.15), (1.35, 1.35)
        if s.family == 'scooter' and k == 0:
            fold = (1.3, 1.3), (1.25, 1.25)
        posture = Posture((reach, reach), fold[0], (0.28, 0.28), fold[1],
                          float(rng.uniform(0.05, 0.4)), s.seat + 0.03)  # fmt: skip
        above, below, _ = figure(person, posture, s.label)
        pose = np.eye(4)
        pose[0, 3] = back - 0.36 * k
        top.add_mesh(above, pose)
        legs.add_mesh(below, pose)
        _full_helmet(top, person, posture, pose)
    return top.build(), legs.build()


def _full_helmet(builder: MeshBuilder, person: Person, posture: Posture, pose: np.ndarray) -> None:
    k = person.scale
    seat = posture.seat or 0.0
    rise = (1.62 - 0.9) * k
    x = float(pose[0, 3]) + rise * np.sin(posture.lean) + 0.02
    z = seat + 0.08 * k + rise * np.cos(posture.lean)
    heights = np.array([-0.13, -0.06, 0.03, 0.1, 0.145])
    points = np.stack([np.full(5, x), np.zeros(5), z + heights], -1)
    builder.tube(points, np.array([0.1, 0.135, 0.14, 0.11, 0.03]), Slot.PAINTED, sides=12)
    builder.box((x + 0.1, 0, z - 0.01), (0.1, 0.18, 0.09), Slot.GLASS, bottom=True)


def _plate(builder: MeshBuilder, x: float, z: float) -> None:
    plate = np.array([[x, 0.1, z - 0.07], [x, -0.1, z - 0.07], [x, -0.1, z + 0.07],
                      [x, 0.1, z + 0.07]])  # fmt: skip
    builder.polygon(plate, Slot.PLATE_0, uv=np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]]),
                    double_sided=True)  # fmt: skip
