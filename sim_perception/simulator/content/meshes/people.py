"""Pedestrians and cyclists: rigid parts that the gait moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.materials import COUNTS, Slot
from sim_perception.simulator.content.meshes.builder import MeshBuilder, grid_faces
from sim_perception.simulator.content.meshes.classes import class_id
from sim_perception.simulator.street import gait

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Person:
    """One person's build and dress.

    Attributes:
        family: 'adult', 'child' or 'elderly'.
        height: metres.
        girth: 1 is average.
        skin, hair: variants.
        dress: 'trousers', 'shorts', 'skirt' or 'coat'.
        bag: 'none', 'backpack' or 'bag'.
        hat: whether a hat is worn.
    """

    family: str
    height: float
    girth: float
    skin: int
    hair: int
    dress: str
    bag: str
    hat: bool

    @property
    def scale(self) -> float:
        """Body height over 1.75 m."""
        return self.height / 1.75


def draw_person(rng: np.random.Generator) -> Person:
    """Draw a person."""
    family = str(rng.choice(['adult', 'adult', 'adult', 'adult', 'elderly', 'child']))
    height = rng.uniform(1.1, 1.5) if family == 'child' else rng.normal(1.72, 0.08)
    return Person(
        family=family,
        height=float(np.clip(height, 1.05, 1.98)),
        girth=float(np.clip(rng.normal(1.05, 0.12), 0.85, 1.4)),
        skin=int(rng.integers(COUNTS['SKIN'])),
        hair=int(rng.integers(COUNTS['HAIR'])),
        dress=str(rng.choice(['trousers', 'trousers', 'shorts', 'skirt', 'coat'])),
        bag=str(rng.choice(['none', 'none', 'backpack', 'bag'])),
        hat=bool(rng.random() < 0.2),
    )


def _rings(
    builder: MeshBuilder, rows: list[tuple[float, float, float, float]], slot: int, sides: int = 10
) -> None:
    """Add a closed stack of ellipses (z, x offset, x radius, y radius), upwards."""
    table = np.array([(rows[0][0], rows[0][1], 1e-4, 1e-4), *rows,
                      (rows[-1][0], rows[-1][1], 1e-4, 1e-4)])  # fmt: skip
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    vertices = np.stack(
        np.broadcast_arrays(
            table[:, 1:2] + table[:, 2:3] * np.cos(angle),
            table[:, 3:4] * np.sin(angle),
            table[:, 0:1],
        ),
        -1,
    )
    uv = np.stack(np.broadcast_arrays(angle / 6.28 * 1.0, table[:, 0:1] * 1.0), -1)
    builder.add(vertices.reshape(-1, 3), grid_faces(len(table), sides, wrap=True), slot,
                uv=uv.reshape(-1, 2))  # fmt: skip


def torso(person: Person, *, lean: float = 0.0, label: str = 'pedestrian') -> Mesh:
    """Return trunk and head in the ground frame of a standing person at rest.

    Args:
        person: whose.
        lean: forward lean about the hips, radians.
        label: class name.
    """
    k, g = person.scale, person.girth
    builder = MeshBuilder(class_id(label))
    trunk = [(0.86, 0, 0.10, 0.145), (0.93, 0, 0.12, 0.165), (1.05, 0, 0.105, 0.145),
             (1.20, 0, 0.115, 0.165), (1.34, 0, 0.115, 0.195), (1.42, 0, 0.09, 0.165),
             (1.475, 0, 0.06, 0.075)]  # fmt: skip
    if person.dress == 'coat':
        trunk = [(0.52, 0, 0.16, 0.215), (0.7, 0, 0.15, 0.20), *trunk[1:]]
    elif person.dress == 'skirt':
        trunk = [(0.58, 0, 0.19, 0.24), (0.78, 0, 0.15, 0.19), *trunk[1:]]
    _rings(builder, [(z * k, x, rx * k * g, ry * k * g) for z, x, rx, ry in trunk], Slot.CLOTH)
    skin, hair = Slot.SKIN_0 + person.skin, Slot.HAIR_0 + person.hair
    _rings(builder, [(1.46 * k, 0.0, 0.055 * k, 0.055 * k), (1.56 * k, 0.01, 0.05 * k, 0.05 * k)],
           skin, 8)  # fmt: skip
    big = 1.12 if person.family == 'child' else 1.0
    _ball(builder, (0.02, 0.0, 1.635 * k), (0.098 * big, 0.078 * big, 0.118 * big), skin)
    hair_radius = (0.106 * big, 0.087 * big, 0.11 * big)
    _ball(builder, (-0.002, 0.0, 1.662 * k), hair_radius, hair, low=-0.15)
    if person.hat:
        _rings(builder, [(1.69 * k, 0.01, 0.15, 0.13), (1.70 * k, 0.01, 0.11, 0.095),
                         (1.79 * k, 0.0, 0.085, 0.08)], Slot.CLOTH)  # fmt: skip
    if person.bag == 'backpack':
        builder.box((-0.17 * k * g, 0, 1.2 * k), (0.16 * k, 0.28 * k, 0.42 * k), Slot.PLASTIC,
                    bottom=True)  # fmt: skip
    elif person.bag == 'bag':
        builder.box((0.0, 0.24 * k * g, 0.84 * k), (0.3 * k, 0.1 * k, 0.26 * k), Slot.SHOE,
                    bottom=True)  # fmt: skip
    mesh = builder.build()
    if lean == 0.0:
        return mesh
    tilted = MeshBuilder(class_id(label))
    hip = gait.HIP * k
    pose = gait.compose(
        gait.shift(0.0, 0.0, hip),
        gait.compose(gait.turn(1, np.array([lean])), gait.shift(0, 0, -hip)),
    )
    tilted.add_mesh(mesh, pose[0])
    return tilted.build()


def _ball(
    builder: MeshBuilder,
    centre: tuple[float, float, float],
    radius: tuple[float, float, float],
    slot: int,
    low: float = -1.0,
) -> None:
    """Add an ellipsoid, or its upper part from the latitude whose sine is ``low``."""
    lat = np.linspace(np.arcsin(low), np.pi / 2, 6)[:, None]
    lon = np.linspace(0, 2 * np.pi, 10, endpoint=False)[None]
    ball = np.stack(
        np.broadcast_arrays(np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)), -1
    )
    builder.add((ball * radius + centre).reshape(-1, 3), grid_faces(6, 10, wrap=True), slot,
                uv=ball[..., :2].reshape(-1, 2))  # fmt: skip


# Rings of limbs at scale 1: height below the joint, x offset, x and y radius.
_LIMBS: dict[str, list[tuple[float, float, float, float]]] = {
    'thigh': [(-0.44, 0, 0.058, 0.058), (-0.25, 0, 0.072, 0.072), (0.0, 0, 0.088, 0.085),
              (0.06, 0, 0.07, 0.075)],
    'shin': [(-0.42, -0.01, 0.038, 0.038), (-0.2, -0.012, 0.054, 0.052),
             (0.0, 0, 0.056, 0.055), (0.03, 0, 0.05, 0.05)],
    'arm': [(-0.30, 0, 0.042, 0.042), (-0.12, 0, 0.05, 0.05), (0.0, 0, 0.058, 0.055),
            (0.04, 0, 0.04, 0.04)],
    'forearm': [(-0.25, 0, 0.03, 0.032), (-0.1, 0, 0.04, 0.042), (0.02, 0, 0.042, 0.042)],
}  # fmt: skip


def limb(name: str, person: Person, label: str = 'pedestrian') -> Mesh:
    """Return a limb's mesh, hanging down from its joint at the origin.

    Raises:
        KeyError: for an unknown limb.
    """
    k, g = person.scale, 0.5 + 0.5 * person.girth
    bare = person.dress in ('shorts', 'skirt')
    skin = int(Slot.SKIN_0) + person.skin
    builder = MeshBuilder(class_id(label))
    kind = name.removeprefix('pedal_')
    rows = _LIMBS[kind]
    sleeve = {
        'shin': skin if bare else Slot.CLOTH,
        'forearm': skin if person.dress != 'coat' else Slot.CLOTH,
    }.get(kind, Slot.CLOTH)
    if kind == 'thigh' and person.dress == 'skirt':
        sleeve = skin
    _rings(builder, [(z * k, x, rx * k * g, ry * k * g) for z, x, rx, ry in rows], sleeve, 8)
    if kind == 'shin':
        _ball(builder, (0.055 * k, 0.0, -0.445 * k), (0.135 * k, 0.045 * k, 0.04 * k), Slot.SHOE)
    if kind == 'forearm':
        _ball(builder, (0.01, 0.0, -0.30 * k), (0.035 * k, 0.022 * k, 0.06 * k), skin)
    return builder.build()


def bicycle_frame() -> Mesh:
    """Return a bicycle without wheels; wheels turn about (+-0.53, 0, 0.34)."""
    builder = MeshBuilder(class_id('cyclist'))
    rear, front, bracket = (-0.53, 0.0, 0.34), (0.53, 0.0, 0.34), (0.05, 0.0, 0.30)
    seat, head = (-0.14, 0.0, 0.88), (0.40, 0.0, 0.86)
    for a, b in ((rear, seat), (rear, bracket), (bracket, seat), (bracket, head), (seat, head),
                 (front, (0.38, 0.0, 0.98))):  # fmt: skip
        builder.tube(np.array([a, b]), 0.019, Slot.PAINT, sides=6, caps=False)
    builder.tube(np.array([(0.40, -0.27, 1.02), (0.40, 0.27, 1.02)]), 0.015, Slot.PLASTIC, sides=6)
    builder.box((-0.17, 0, 0.92), (0.26, 0.14, 0.06), Slot.PLASTIC, bottom=True)
    builder.box((-0.23, 0, 0.78), (0.03, 0.06, 0.06), Slot.TAILLIGHT, bottom=True)
    return builder.build()


def bicycle_wheel() -> Mesh:
    """Return a bicycle wheel about the y axis with its spokes."""
    builder = MeshBuilder(class_id('cyclist'))
    angle = np.linspace(0, 2 * np.pi, 23)
    circle = np.column_stack([0.32 * np.sin(angle), 0 * angle, 0.32 * np.cos(angle)])
    builder.tube(circle, 0.021, Slot.TYRE, sides=5, caps=False)
    for k in range(6):
        a = k * np.pi / 6
        tip = np.array([0.31 * np.sin(a), 0.0, 0.31 * np.cos(a)])
        side = np.array([np.cos(a), 0.0, -np.sin(a)]) * 0.004
        quad = np.array([-tip - side, -tip + side, tip + side, tip - side])
        builder.polygon(quad, Slot.METAL, double_sided=True)
    return builder.build()


def rider(person: Person) -> Mesh:
    """Return a cyclist's trunk, head and arms on the handlebar, in the bicycle's frame."""
    k = person.scale
    builder = MeshBuilder(class_id('cyclist'))
    hip_x, hip_z = gait.SADDLE_HIP
    lean = 0.42
    pose = np.eye(4)
    pose[:3, 3] = hip_x, 0.0, hip_z - gait.HIP * k
    builder.add_mesh(torso(person, lean=lean, label='cyclist'), pose)
    rise = (gait.SHOULDER - gait.HIP) * k
    shoulder = np.array([hip_x + rise * np.sin(lean), 0.0, hip_z + rise * np.cos(lean)])
    for side in (-1, 1):
        a = shoulder + np.array([0, side * 0.17 * k, 0])
        hand = np.array([0.38, side * 0.24, 1.05])
        elbow = 0.5 * (a + hand) + [-0.02, side * 0.05, -0.07]
        builder.tube(np.array([a, elbow]), np.array([0.05, 0.042]) * k, Slot.CLOTH, sides=8)
        builder.tube(np.array([elbow, hand]), np.array([0.042, 0.032]) * k,
                     Slot.SKIN_0 + person.skin, sides=8)  # fmt: skip
    return builder.build()
