"""What people carry, pull or push: how the arms hold it, and its shape in the person's frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.materials import Slot
from sim_perception.simulator.content.meshes.builder import MeshBuilder, grid_faces
from sim_perception.simulator.content.meshes.classes import class_id
from sim_perception.simulator.content.meshes.figures import Arm, add_arm, shoulder
from sim_perception.simulator.content.meshes.people import Person, torso

F64 = npt.NDArray[np.float64]
Hands = tuple[F64 | None, F64 | None]

_HANGING = Arm(0.02, 0.12, 0.08)


@dataclass(frozen=True)
class Load:
    """Something that a person has with them.

    Attributes:
        arms: how the left and the right arm hold it; None for an arm that swings freely.
        add: adds its shape, given the person and the hands' places.
        lean: of the trunk, forward, radians.
    """

    arms: tuple[Arm | None, Arm | None]
    add: Callable[[MeshBuilder, Person, Hands], None]
    lean: float = 0.0


def _phone(builder: MeshBuilder, person: Person, hands: Hands) -> None:
    x, y, z = _right(hands)
    builder.box((x + 0.02, y, z + 0.05), (0.015, 0.075, 0.15), Slot.PLASTIC, bottom=True)


def _umbrella(builder: MeshBuilder, person: Person, hands: Hands) -> None:
    x, y, z = _right(hands)
    foot, top = np.array([x, y, z - 0.12]), np.array([x - 0.03, y + 0.1, 2.02 * person.scale])
    builder.tube(np.array([foot, top]), 0.009, Slot.METAL_DARK, sides=4)
    angle = np.linspace(0, 2 * np.pi, 9)
    rings = []
    for radius, sink in ((0.02, -0.02), (0.28, 0.06), (0.5, 0.22)):
        # The ribs' ends hang lower than the cloth between them is drawn.
        ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(9)], -1) * radius
        rings.append(top + ring - [0.0, 0.0, sink])
    canopy = np.array(rings).reshape(-1, 3)
    faces = grid_faces(3, 9)
    builder.add(canopy, faces[:, ::-1], Slot.PAINTED)
    builder.add(canopy - [0, 0, 0.008], faces, Slot.PAINTED, occlusion=0.5)


def _bags(builder: MeshBuilder, person: Person, hands: Hands) -> None:
    for hand, slot in zip(hands, (Slot.WHITE, Slot.PAINTED), strict=True):
        if hand is not None:
            x, y, z = (float(v) for v in hand)
            builder.box((x, y, z - 0.28), (0.32, 0.14, 0.38), slot, bottom=True)
            for dx in (-0.07, 0.07):
                strap = np.array([[x + dx, y, z - 0.1], [x, y, z]])
                builder.tube(strap, 0.006, slot, sides=3, caps=False)


def _handbag(builder: MeshBuilder, person: Person, hands: Hands) -> None:
    x, y, z = _right(hands)
    builder.box((x - 0.02, y - 0.02, z - 0.16), (0.34, 0.12, 0.26), Slot.SHOE, bottom=True)


def _suitcase(builder: MeshBuilder, person: Person, hands: Hands) -> None:
    x, y, z = _right(hands)
    centre = np.array([x - 0.3, y, 0.36])
    builder.box((x - 0.32, y, 0.38), (0.26, 0.42, 0.6), Slot.PAINTED, bottom=True)
    for dy in (-0.1, 0.1):
        handle = np.array([np.add(centre, [0.05, dy, 0.3]), [x, y + 0.4 * dy, z]])
        builder.tube(handle, 0.01, Slot.METAL, sides=4, caps=False)
        _wheel(builder, (x - 0.36, y + 1.7 * dy, 0.045), 0.045)


def _trolley(builder: MeshBuilder, person: Person, hands: Hands) -> None:
    """Add a wheeled walking frame."""
    for hand in hands:
        if hand is not None:
            x, y, z = (float(v) for v in hand)
            for dx in (-0.12, 0.28):
                builder.tube(np.array([[x, y, z], [x + dx, y, 0.08]]), 0.014, Slot.METAL, sides=5)
                _wheel(builder, (x + dx, y, 0.08), 0.08)
    x, _, z = _right(hands)
    builder.box((x + 0.1, 0, 0.55 * z), (0.26, 0.36, 0.2), Slot.PLASTIC, bottom=True)


def _pram(builder: MeshBuilder, person: Person, hands: Hands) -> None:
    x, _, z = _right(hands)
    deck = x + 0.42
    builder.box((deck, 0, 0.56), (0.74, 0.4, 0.2), Slot.PAINTED, bottom=True)
    angle = np.linspace(0.05, 0.75 * np.pi, 6)
    rim = np.array([-np.cos(angle), np.zeros(6), np.sin(angle)]).T * [0.34, 0, 0.42]
    rows = np.array([np.add(rim, [deck - 0.02, dy, 0.64]) for dy in (-0.2, 0.2)])
    faces = grid_faces(2, 6)
    builder.add(rows.reshape(-1, 3), faces[:, ::-1], Slot.PAINTED)
    builder.add(rows.reshape(-1, 3), faces, Slot.PLASTIC, occlusion=0.5)
    builder.tube(np.array([[deck - 0.1, 0.1, 0.7], [deck + 0.25, 0.05, 0.69]]), 0.07, Slot.WHITE)
    builder.tube(np.array([[deck - 0.2, 0, 0.7], [deck - 0.12, 0, 0.74]]), 0.08,
                 Slot.SKIN_0 + person.skin, sides=6)  # fmt: skip
    for dy in (-0.23, 0.23):
        builder.tube(np.array([[x, dy * 0.9, z], [deck + 0.34, dy, 0.2]]), 0.013, Slot.METAL,
                     sides=5)  # fmt: skip
        builder.tube(np.array([[deck + 0.2, dy, 0.5], [deck - 0.3, dy, 0.2]]), 0.013, Slot.METAL,
                     sides=5)  # fmt: skip
        _wheel(builder, (deck - 0.3, dy, 0.17), 0.17)
        _wheel(builder, (deck + 0.36, dy, 0.12), 0.12)
    builder.tube(np.array([[x, -0.24, z], [x, 0.24, z]]), 0.016, Slot.PLASTIC, sides=5)


def _buggy(builder: MeshBuilder, person: Person, hands: Hands) -> None:
    """Add a push-chair with a child in it."""
    x, _, z = _right(hands)
    deck = x + 0.45
    builder.box((deck, 0, 0.38), (0.36, 0.34, 0.06), Slot.PAINTED, bottom=True)
    builder.box((deck - 0.2, 0, 0.64), (0.08, 0.36, 0.52), Slot.PAINTED, bottom=True)
    builder.box((deck - 0.06, 0, 0.93), (0.4, 0.38, 0.04), Slot.PAINTED, bottom=True)
    builder.tube(np.array([[deck - 0.1, 0, 0.4], [deck - 0.1, 0, 0.7]]), np.array([0.11, 0.08]),
                 Slot.CLOTH)  # fmt: skip
    skin = Slot.SKIN_0 + person.skin
    builder.tube(np.array([[deck - 0.1, 0, 0.7], [deck - 0.09, 0, 0.78], [deck - 0.1, 0, 0.88]]),
                 np.array([0.05, 0.085, 0.05]), skin, sides=8)  # fmt: skip
    for dy in (-0.07, 0.07):
        leg = np.array([[deck - 0.05, dy, 0.44], [deck + 0.18, dy, 0.43], [deck + 0.22, dy, 0.24]])
        builder.tube(leg, 0.045, Slot.CLOTH, sides=6)
    for dy in (-0.22, 0.22):
        builder.tube(np.array([[x, dy * 0.9, z], [deck + 0.3, dy, 0.12]]), 0.013, Slot.METAL_DARK,
                     sides=5)  # fmt: skip
        builder.tube(np.array([[deck + 0.15, dy, 0.42], [deck - 0.3, dy, 0.1]]), 0.013,
                     Slot.METAL_DARK, sides=5)  # fmt: skip
        _wheel(builder, (deck - 0.3, dy, 0.1), 0.1)
        _wheel(builder, (deck + 0.32, dy, 0.1), 0.1)


def _child(builder: MeshBuilder, person: Person, hands: Hands) -> None:
    """Add a small child on the arm."""
    x, y, z = _right(hands)
    x, y = x + 0.02, y + 0.08
    builder.tube(np.array([[x, y, z - 0.05], [x, y, z + 0.28]]), np.array([0.12, 0.09]),
                 Slot.PAINTED)  # fmt: skip
    builder.tube(np.array([[x, y, z + 0.28], [x, y, z + 0.38], [x, y, z + 0.48]]),
                 np.array([0.05, 0.085, 0.05]), Slot.SKIN_0 + person.skin, sides=8)  # fmt: skip
    builder.tube(np.array([[x, y, z], [x + 0.05, y - 0.1, z - 0.25]]), 0.05, Slot.SHOE, sides=6)


def _wheel(builder: MeshBuilder, centre: tuple[float, float, float], radius: float) -> None:
    x, y, z = centre
    axle = np.array([[x, y - 0.02, z], [x, y + 0.02, z]])
    builder.tube(axle, radius, Slot.TYRE, sides=12)


def _right(hands: Hands) -> tuple[float, float, float]:
    hand = hands[1] if hands[1] is not None else hands[0]
    assert hand is not None
    return float(hand[0]), float(hand[1]), float(hand[2])


_PUSH = Arm(0.5, 0.05, 0.75)

#: Everything that people can have with them, by name.
LOADS: dict[str, Load] = {
    'phone': Load((None, Arm(0.55, 0.12, 1.75, 0.5)), _phone),
    'call': Load((None, Arm(0.5, 0.3, 2.4, 0.3)), _phone),
    'umbrella': Load((None, Arm(0.35, 0.12, 1.9, 0.2)), _umbrella),
    'shopping': Load((_HANGING, _HANGING), _bags),
    'one bag': Load((None, _HANGING), _bags),
    'handbag': Load((None, _HANGING), _handbag),
    'suitcase': Load((None, Arm(-0.35, 0.14, 0.1)), _suitcase),
    'pram': Load((_PUSH, _PUSH), _pram, 0.08),
    'buggy': Load((_PUSH, _PUSH), _buggy, 0.06),
    'walking frame': Load((Arm(0.3, 0.08, 0.6), Arm(0.3, 0.08, 0.6)), _trolley, 0.16),
    'child': Load((None, Arm(0.25, 0.2, 1.7, 0.6)), _child),
    'folded arms': Load((Arm(0.35, 0.05, 1.7, 1.0), Arm(0.35, 0.05, 1.6, 1.0)), lambda *_: None),
    'pockets': Load((Arm(-0.2, 0.2, 0.65, 0.3), Arm(-0.2, 0.2, 0.65, 0.3)), lambda *_: None),
}
#: What is met on sidewalks, with its share.
SHARES = {
    'phone': 0.17, 'call': 0.07, 'umbrella': 0.07, 'shopping': 0.09, 'one bag': 0.14,
    'handbag': 0.12, 'suitcase': 0.06, 'pram': 0.06, 'buggy': 0.06, 'walking frame': 0.03,
    'child': 0.03, 'folded arms': 0.03, 'pockets': 0.07,
}  # fmt: skip


def draw_load(rng: np.random.Generator, grown: bool = True) -> str:
    """Draw a name of ``LOADS``; children have light things only."""
    names = list(SHARES)
    weight = np.array([SHARES[n] if grown or n in ('phone', 'one bag', 'pockets') else 0.0
                       for n in names])  # fmt: skip
    return names[int(rng.choice(len(names), p=weight / weight.sum()))]


def laden_torso(person: Person, load: Load, label: str = 'pedestrian') -> Mesh:
    """Return trunk, head, the arms that hold the load, and the load."""
    builder = MeshBuilder(class_id(label))
    builder.add_mesh(torso(person, lean=load.lean, label=label))
    hands: list[F64 | None] = [None, None]
    for n, side in enumerate((1, -1)):
        arm = load.arms[n]
        if arm is not None:
            at = shoulder(person, side, load.lean)
            hands[n] = add_arm(builder, person, arm, side, at, label)
    load.add(builder, person, (hands[0], hands[1]))
    return builder.build()
