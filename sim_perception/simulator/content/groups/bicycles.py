"""Parked bicycles. They are street furniture, as a bench is: nobody who could be hurt rides them.

Data sets agree: CamVid leaves them without a label, KITTI's cyclists all sit on theirs.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.groups.body import Body, Part, body
from sim_perception.simulator.content.materials import Slot
from sim_perception.simulator.content.meshes.bicycles import draw_bicycle, whole_bicycle
from sim_perception.simulator.content.meshes.builder import MeshBuilder, rotate
from sim_perception.simulator.content.meshes.classes import class_id
from sim_perception.simulator.street import gait

#: Class of what is parked.
PARKED = 'fence'


def single(rng: np.random.Generator) -> list[Body]:
    """Return a bicycle on its stand, across or along the sidewalk."""
    yaw = float(rng.choice([0.0, np.pi / 2, np.pi])) + float(rng.normal(0, 0.3))
    return [_parked(rng, 0.14, (0.0, 0.0, 0.0), yaw)]


def leaning(rng: np.random.Generator) -> list[Body]:
    """Return one to three bicycles along x that lean on a wall at +y."""
    bodies = []
    for k in range(int(rng.integers(1, 4))):
        yaw = np.pi * int(rng.integers(2)) + float(rng.normal(0, 0.05))
        tilt = 0.24 if np.cos(yaw) > 0 else -0.24
        at = (0.35 * k, -0.3 - 0.28 * k, 0.0)
        bodies.append(_parked(rng, -tilt, at, yaw))
    return bodies


def rack(rng: np.random.Generator) -> list[Body]:
    """Return a rack along x with bicycles across it, some places free."""
    bodies = []
    count, pitch = int(rng.integers(4, 9)), float(rng.uniform(0.4, 0.85))
    bodies.append(body([Part(_stands(count, pitch))]))
    for k in range(count):
        for side in (-1, 1) if pitch > 0.7 else (1,):
            if rng.random() < 0.7:
                yaw = np.pi / 2 * float(rng.choice([-1, 1])) + float(rng.normal(0, 0.06))
                at = (k * pitch + 0.13 * side, float(rng.normal(0, 0.08)), 0.0)
                bodies.append(_parked(rng, float(rng.normal(0, 0.06)), at, yaw))
    return bodies


def fallen(rng: np.random.Generator) -> list[Body]:
    """Return a bicycle that lies on the ground."""
    return [_parked(rng, 1.42, (0.0, 0.0, 0.0), float(rng.uniform(0, 2 * np.pi)))]


def _parked(
    rng: np.random.Generator, tilt: float, at: tuple[float, float, float], yaw: float
) -> Body:
    """Return a bicycle on the ground that is tilted to its right, radians."""
    mesh = whole_bicycle(draw_bicycle(rng), PARKED)
    turn = gait.turn(0, np.array([tilt]))[0, :3, :3]
    vertices, normals = rotate(mesh.vertices, turn), rotate(mesh.normals, turn)
    vertices[:, 2] -= vertices[:, 2].min()
    tilted = replace(mesh, vertices=vertices.astype(np.float32),
                     normals=normals.astype(np.float32))  # fmt: skip
    return body([Part(tilted, 'paint')], at, yaw)


def _stands(count: int, pitch: float) -> Mesh:
    builder = MeshBuilder(class_id(PARKED))
    for k in range(count):
        x, angle = k * pitch, np.linspace(0, np.pi, 7)
        arc = np.stack([np.full(7, x), 0.35 * np.cos(angle), 0.55 + 0.25 * np.sin(angle)], -1)
        ends = [np.array([[x, 0.35, 0.0]]), arc, np.array([[x, -0.35, 0.0]])]
        builder.tube(np.concatenate(ends), 0.024, Slot.METAL, sides=6)
    return builder.build()
