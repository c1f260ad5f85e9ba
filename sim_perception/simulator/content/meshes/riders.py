"""Riders of bicycles in postures: trunk, head and arms in the bicycle's frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.materials import Slot
from sim_perception.simulator.content.meshes.bicycles import Bicycle
from sim_perception.simulator.content.meshes.builder import MeshBuilder, rotate, yaw_matrix
from sim_perception.simulator.content.meshes.classes import class_id
from sim_perception.simulator.content.meshes.figures import Arm, Posture, add_arm, figure
from sim_perception.simulator.content.meshes.people import Person, draw_person, torso
from sim_perception.simulator.street import gait

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RiderStyle:
    """How somebody rides.

    Attributes:
        lean: of the trunk, forward, radians.
        twist: of trunk and head to the left, radians.
        free: the side whose arm does not hold the bar (+1 left, -1 right), 0 for none.
        free_arm: how that arm is held.
        helmet: whether one is worn.
    """

    lean: float
    twist: float
    free: int
    free_arm: Arm
    helmet: bool


_LEANS = {'city': (0.02, 0.25), 'touring': (0.25, 0.5), 'racer': (0.7, 1.0),
          'mountain': (0.3, 0.6)}  # fmt: skip


def draw_style(bicycle: Bicycle, rng: np.random.Generator) -> RiderStyle:
    """Draw how a bicycle is ridden."""
    lean = float(rng.uniform(*_LEANS[bicycle.kind]))
    manner = str(rng.choice(['both', 'round', 'signal', 'hanging', 'phone'],
                            p=[0.58, 0.14, 0.12, 0.1, 0.06]))  # fmt: skip
    twist = float(rng.choice([-0.8, 0.8])) if manner == 'round' else float(rng.normal(0, 0.06))
    free = int(rng.choice([-1, 1])) if manner in ('signal', 'hanging', 'phone') else 0
    arm = {'signal': Arm(0.1, 1.45, 0.05), 'hanging': Arm(0.05, 0.15, 0.1),
           'phone': Arm(0.6, 0.2, 1.9, 0.4)}.get(manner, Arm())  # fmt: skip
    helmet = bool(rng.random() < (0.85 if bicycle.kind == 'racer' else 0.35))
    return RiderStyle(lean, twist, free, arm, helmet)


def styled_rider(person: Person, bicycle: Bicycle, style: RiderStyle) -> Mesh:
    """Return trunk, head and arms of a rider, and a child where a seat is for one.

    Skirts and coats become trousers.
    """
    k = person.scale
    builder = MeshBuilder(class_id('cyclist'))
    dress = 'shorts' if person.dress == 'shorts' else 'trousers'
    person = replace(person, dress=dress, hat=person.hat and not style.helmet)
    hip = np.array([gait.SADDLE_HIP[0], 0.0, gait.SADDLE_HIP[1]])
    turned = np.eye(4)
    turned[:3, :3] = yaw_matrix(0.5 * style.twist)
    turned[:3, 3] = hip
    below = np.eye(4)
    below[2, 3] = -gait.HIP * k
    builder.add_mesh(torso(person, lean=style.lean, label='cyclist'), turned @ below)
    bar_x, bar_z, half = bicycle.bar
    rise = (gait.SHOULDER - gait.HIP) * k
    for side in (1, -1):
        own = np.array([[rise * np.sin(style.lean), side * 0.18 * k, rise * np.cos(style.lean)]])
        at = hip + rotate(own, turned[:3, :3])[0]
        if side == style.free:
            add_arm(builder, person, style.free_arm, side, at, 'cyclist')
        else:
            _reach(builder, person, at, np.array([bar_x - 0.03, side * half, bar_z + 0.02]), side)
    if style.helmet:
        _helmet(builder, person, turned @ below, style.lean)
    if 'child seat' in bicycle.extras:
        _passenger(builder, person)
    return builder.build()


def _reach(builder: MeshBuilder, person: Person, at: F64, grip: F64, side: int) -> None:
    k = person.scale
    elbow = 0.5 * (at + grip) + [-0.03, side * 0.06, -0.08]
    builder.tube(np.array([at, elbow]), np.array([0.052, 0.043]) * k, Slot.CLOTH, sides=8)
    builder.tube(np.array([elbow, grip]), np.array([0.042, 0.032]) * k, Slot.CLOTH, sides=8)
    builder.tube(np.array([np.add(grip, [-0.05, 0, 0]), np.add(grip, [0.05, 0, 0])]), 0.034,
                 Slot.SKIN_0 + person.skin, sides=6)  # fmt: skip


def _helmet(builder: MeshBuilder, person: Person, pose: F64, lean: float) -> None:
    k = person.scale
    up = gait.compose(gait.shift(0.0, 0.0, gait.HIP * k), gait.turn(1, np.array([lean])))[0]
    place = pose @ up
    cap = MeshBuilder(class_id('cyclist'))
    low = (1.655 - gait.HIP) * k
    points = np.array([[0.01, 0, low], [0.005, 0, low + 0.05], [0, 0, low + 0.1],
                       [0, 0, low + 0.125]])  # fmt: skip
    cap.tube(points, np.array([0.122, 0.12, 0.085, 0.03]), Slot.PAINTED, sides=10)
    builder.add_mesh(cap.build(), place)


def _passenger(builder: MeshBuilder, person: Person) -> None:
    """Add a small child in a seat behind the rider."""
    rng = np.random.default_rng([person.hair, person.skin, 3])
    child = replace(draw_person(rng), family='child', height=1.05, dress='trousers', bag='none')
    arms = (Arm(0.6, 0.1, 0.8), Arm(0.6, 0.1, 0.8))
    top, legs, _ = figure(child, Posture(arms, (1.45, 1.45), (0.25, 0.25), (1.2, 1.2), 0.0, 0.86),
                          'cyclist')  # fmt: skip
    pose = np.eye(4)
    pose[:3, 3] = -0.48, 0.0, 0.0
    builder.add_mesh(top, pose)
    builder.add_mesh(legs, pose)
