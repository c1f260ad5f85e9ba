"""People in postures: a standing, seated or riding body of two meshes, clothes above and below."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.meshes.builder import MeshBuilder
from sim_perception.simulator.content.meshes.classes import class_id
from sim_perception.simulator.content.meshes.people import Person, limb, torso
from sim_perception.simulator.street import gait

F64 = npt.NDArray[np.float64]
#: Values of the left and the right side.
Pair = tuple[float, float]

_SIDES = (1, -1)
_SOLE = 0.485
#: Half the thickness of a thigh, which lies between a seat and the hips.
_THIGH = 0.08


@dataclass(frozen=True)
class Arm:
    """How an arm is held: radians from hanging down.

    Attributes:
        forward: of the upper arm.
        out: of the upper arm, away from the body.
        elbow: bend.
        across: turn of the forearm towards the other side.
    """

    forward: float = 0.03
    out: float = 0.09
    elbow: float = 0.15
    across: float = 0.0


@dataclass(frozen=True)
class Posture:
    """How a body is held, radians; all zero is standing straight.

    Attributes:
        arms: left and right.
        thigh: forward, left and right.
        spread: of the thighs, outwards.
        knee: bend.
        lean: of the trunk, forward.
        seat: height of what is sat on, metres; None for standing on the lower foot.
    """

    arms: tuple[Arm, Arm] = (Arm(), Arm())
    thigh: Pair = (0.0, 0.0)
    spread: Pair = (0.04, 0.04)
    knee: Pair = (0.0, 0.0)
    lean: float = 0.0
    seat: float | None = None


def shoulder(person: Person, side: int, lean: float = 0.0, hip: float = gait.HIP) -> F64:
    """Return a shoulder's place above the hips' middle, metres.

    Args:
        person: whose.
        side: +1 left, -1 right.
        lean: of the trunk, forward, radians.
        hip: height of the hips at scale 1.
    """
    k, rise = person.scale, (gait.SHOULDER - gait.HIP) * person.scale
    place = [rise * np.sin(lean), side * gait.SHOULDER_Y * k, hip * k + rise * np.cos(lean)]
    return np.array(place)


def arm_poses(person: Person, arm: Arm, side: int, at: F64) -> tuple[F64, F64, F64]:
    """Return the 4x4 poses of upper arm and forearm and the (3,) place of the hand."""
    k = person.scale
    upper = gait.compose(
        gait.shift(*at.tolist()),
        gait.compose(_turn(0, side * arm.out), _turn(1, -arm.forward)),
    )
    fore = gait.compose(
        gait.compose(upper, gait.shift(0.0, 0.0, -gait.UPPER_ARM * k)),
        gait.compose(_turn(0, -side * arm.across), _turn(1, -arm.elbow)),
    )
    hand = fore[0] @ np.array([0.0, 0.0, -0.31 * k, 1.0])
    return upper[0], fore[0], hand[:3]


def add_arm(
    builder: MeshBuilder, person: Person, arm: Arm, side: int, at: F64, label: str = 'pedestrian'
) -> F64:
    """Add an arm that hangs from a shoulder at ``at`` and return the hand's place."""
    upper, fore, hand = arm_poses(person, arm, side, at)
    builder.add_mesh(limb('arm', person, label), upper)
    builder.add_mesh(limb('forearm', person, label), fore)
    return hand


def figure(
    person: Person, posture: Posture, label: str = 'pedestrian'
) -> tuple[Mesh, Mesh, tuple[F64, F64]]:
    """Return a body in a posture, looking along x, its soles or its seat's foot on the ground.

    Args:
        person: whose; skirts and coats become trousers where a thigh is raised.
        posture: how.
        label: class name.

    Returns:
        The meshes above and below the waist, which are tinted apart, and the places of the left
        and the right hand.
    """
    if max(posture.thigh) > 0.7:
        person = replace(person, dress='trousers')
    k = person.scale
    legs = MeshBuilder(class_id(label))
    poses = [_leg(k, posture, n, side) for n, side in enumerate(_SIDES)]
    if posture.seat is None:
        soles = [shin[2, 3] - _SOLE * k * max(float(shin[2, 2]), 0.3) for _, shin in poses]
        hip = -min(soles)
    else:
        hip = posture.seat + _THIGH * k
    lift = np.eye(4)
    lift[2, 3] = hip
    for thigh, shin in poses:
        legs.add_mesh(limb('thigh', person, label), lift @ thigh)
        legs.add_mesh(limb('shin', person, label), lift @ shin)
    top = MeshBuilder(class_id(label))
    seat = np.eye(4)
    seat[2, 3] = hip - gait.HIP * k
    top.add_mesh(torso(person, lean=posture.lean, label=label), seat)
    hands = tuple(
        add_arm(top, person, posture.arms[n], side,
                shoulder(person, side, posture.lean, hip / k), label)
        for n, side in enumerate(_SIDES)
    )  # fmt: skip
    return top.build(), legs.build(), (hands[0], hands[1])


def _leg(k: float, posture: Posture, n: int, side: int) -> tuple[F64, F64]:
    """Return the 4x4 poses of thigh and shin below hips at height 0."""
    hip = gait.shift(0.0, side * gait.HIP_Y * k, 0.0)
    turned = gait.compose(_turn(0, side * posture.spread[n]), _turn(1, -posture.thigh[n]))
    thigh = gait.compose(hip, turned)
    knee = gait.compose(gait.shift(0.0, 0.0, -gait.THIGH * k), _turn(1, posture.knee[n]))
    return thigh[0], gait.compose(thigh, knee)[0]


def _turn(axis: int, angle: float) -> F64:
    return gait.turn(axis, np.array([angle]))
