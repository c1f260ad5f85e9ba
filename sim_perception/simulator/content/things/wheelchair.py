"""A person in a wheelchair."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.materials import Slot
from sim_perception.simulator.content.meshes.builder import MeshBuilder
from sim_perception.simulator.content.meshes.classes import class_id
from sim_perception.simulator.content.meshes.people import draw_person, torso
from sim_perception.simulator.street.gait import HIP

_SEAT, _WHEEL, _CASTER = 0.5, 0.29, 0.09


def wheelchair(rng: np.random.Generator) -> Mesh:
    """Return a person who sits in a wheelchair."""
    # Skirts and coats are shaped for people who stand.
    person = replace(draw_person(rng), dress='trousers', bag='none')
    k = person.scale
    builder = MeshBuilder(class_id('pedestrian'))
    seated = np.eye(4)
    seated[:3, 3] = -0.1, 0.0, _SEAT + 0.08 - HIP * k
    builder.add_mesh(torso(person), seated)
    for side in (-1, 1):
        _leg(builder, k, side)
        _arm(builder, k, side, int(Slot.SKIN_0) + person.skin)
        _wheel(builder, (-0.08, side * 0.31), _WHEEL, 0.018, 20)
        _wheel(builder, (0.34, side * 0.22), _CASTER, 0.016, 12)
    builder.box((0.02, 0, _SEAT - 0.02), (0.44, 0.46, 0.05), Slot.PLASTIC, bottom=True)
    builder.box((-0.24, 0, _SEAT + 0.2), (0.04, 0.44, 0.42), Slot.PLASTIC, bottom=True)
    builder.box((0.02, 0, 0.3), (0.4, 0.34, 0.03), Slot.METAL_DARK, bottom=True)
    mesh = builder.build()
    middle = 0.5 * (mesh.vertices[:, 0].min() + mesh.vertices[:, 0].max())
    vertices = mesh.vertices - np.array([middle, 0.0, mesh.vertices[:, 2].min()], np.float32)
    return replace(mesh, vertices=vertices)


def _leg(builder: MeshBuilder, k: float, side: int) -> None:
    hip = np.array([-0.08, side * 0.1 * k, _SEAT + 0.08])
    knee = hip + np.array([0.42 * k, side * 0.03, 0.02])
    foot = np.array([knee[0] + 0.06, knee[1], 0.17])
    builder.tube(np.array([hip, knee]), np.array([0.088, 0.062]) * k, Slot.CLOTH)
    builder.tube(np.array([knee, foot]), np.array([0.06, 0.042]) * k, Slot.CLOTH)
    x, y = float(foot[0]), float(foot[1])
    builder.box((x + 0.05, y, 0.15), (0.25, 0.09, 0.07), Slot.SHOE, bottom=True)


def _arm(builder: MeshBuilder, k: float, side: int, skin: int) -> None:
    shoulder = np.array([-0.1, side * 0.19 * k, _SEAT + 0.08 + 0.48 * k])
    elbow = shoulder + np.array([-0.03, side * 0.06, -0.27 * k])
    hand = np.array([0.08, side * 0.27, _SEAT + 0.14])
    builder.tube(np.array([shoulder, elbow]), np.array([0.054, 0.044]) * k, Slot.CLOTH)
    builder.tube(np.array([elbow, hand]), np.array([0.042, 0.034]) * k, skin)


def _wheel(
    builder: MeshBuilder, place: tuple[float, float], radius: float, tyre: float, sides: int
) -> None:
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    circle = np.stack([np.sin(angle), np.zeros_like(angle), np.cos(angle)], 1)
    centre = np.array([*place, radius + tyre])
    builder.tube(centre + radius * circle, tyre, Slot.TYRE, sides=5, caps=False)
    for spoke in circle[: sides // 2 : 2] * radius:
        builder.tube(
            np.array([centre - spoke, centre + spoke]), 0.004, Slot.METAL, sides=3, caps=False
        )
