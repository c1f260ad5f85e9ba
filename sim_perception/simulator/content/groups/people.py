"""People who stay: standing together, waiting, sitting on benches and at café tables."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.groups.body import Body, Part, body
from sim_perception.simulator.content.materials import Slot
from sim_perception.simulator.content.meshes import furniture
from sim_perception.simulator.content.meshes.animals import dog
from sim_perception.simulator.content.meshes.builder import MeshBuilder
from sim_perception.simulator.content.meshes.carrying import LOADS, draw_load
from sim_perception.simulator.content.meshes.classes import class_id
from sim_perception.simulator.content.meshes.figures import Arm, Posture, figure
from sim_perception.simulator.content.meshes.people import Person, draw_person

_BENCH, _CHAIR, _WALL = 0.47, 0.46, 0.52


def standing(rng: np.random.Generator) -> list[Body]:
    """Return two to five people who stand and talk, some with bags, phones or a pram."""
    count = int(rng.integers(2, 6))
    radius = 0.42 + 0.14 * count
    bodies = []
    for k in range(count):
        angle = 2 * np.pi * (k + float(rng.normal(0, 0.07))) / count
        at = (radius * np.cos(angle), radius * np.sin(angle), 0.0)
        person = draw_person(rng)
        bodies.append(_stander(person, at, angle + np.pi + float(rng.normal(0, 0.3)), rng))
    return bodies


def waiting(rng: np.random.Generator) -> list[Body]:
    """Return one or two people who wait, lean on one leg, look at a phone or crouch."""
    bodies = []
    for k in range(int(rng.integers(1, 3))):
        at = (0.8 * k, float(rng.normal(0, 0.15)), 0.0)
        person = draw_person(rng)
        yaw = -np.pi / 2 + float(rng.normal(0, 0.7))
        if rng.random() < 0.15:
            low = Posture((Arm(0.9, 0.1, 0.9), Arm(0.7, 0.1, 0.8)), (1.9, 1.2), (0.1, 0.1),
                          (2.2, 2.0), 0.5)  # fmt: skip
            bodies.append(_person(replace(person, bag='none'), low, at, yaw))
        else:
            bodies.append(_stander(person, at, yaw, rng))
    return bodies


def dog_owner(rng: np.random.Generator) -> list[Body]:
    """Return somebody with a dog on a lead."""
    person = replace(draw_person(rng), family='adult', height=float(rng.uniform(1.6, 1.85)))
    hold = Arm(0.4, 0.12, 0.5)
    bodies = [_person(person, Posture((Arm(), hold)), (0.0, 0.0, 0.0), 0.0)]
    size = float(rng.uniform(0.55, 1.15))
    bodies.append(
        body([Part(dog(size, bool(rng.random() < 0.4), rng))], (0.75, -0.55, 0.0),
             float(rng.normal(0, 0.6)))
    )  # fmt: skip
    return bodies


def bench(rng: np.random.Generator) -> list[Body]:
    """Return a bench facing -y with one to three people on it."""
    seats = [-0.55, 0.0, 0.55]
    taken = sorted(rng.choice(3, int(rng.integers(1, 4)), replace=False).tolist())
    bodies = [body([Part(furniture.bench(rng))])]
    for k in taken:
        at = (seats[k], 0.06, 0.0)
        bodies.append(_sitter(rng, _BENCH, at, -np.pi / 2 + float(rng.normal(0, 0.12))))
    return bodies


def steps(rng: np.random.Generator) -> list[Body]:
    """Return people who sit on a low wall along x and face -y."""
    builder = MeshBuilder(class_id('fence'))
    builder.box((0, 0.16, _WALL / 2), (2.6, 0.36, _WALL), Slot.CONCRETE, bottom=True)
    bodies = [body([Part(builder.build())])]
    for x in (-0.8, 0.0, 0.75):
        if rng.random() < 0.6 or len(bodies) == 1:
            at = (x, 0.08, 0.0)
            bodies.append(_sitter(rng, _WALL, at, -np.pi / 2 + float(rng.normal(0, 0.25))))
    return bodies


def terrace(rng: np.random.Generator) -> list[Body]:
    """Return two or three café tables with chairs, guests and perhaps parasols."""
    bodies: list[Body] = []
    slot = (Slot.WOOD, Slot.METAL_DARK, Slot.PAINTED)[int(rng.integers(3))]
    parasol = rng.random() < 0.5
    for k in range(int(rng.integers(2, 4))):
        x = 1.9 * k
        bodies.append(body([Part(_table(slot))], (x, 0.0, 0.0)))
        if parasol and rng.random() < 0.7:
            bodies.append(body([Part(_parasol(rng))], (x, 0.5, 0.0)))
        for side in (-1, 1):
            yaw = (np.pi if side > 0 else 0.0) + float(rng.normal(0, 0.25))
            at = (x + 0.62 * side, float(rng.normal(0, 0.05)), 0.0)
            bodies.append(body([Part(_chair(slot))], at, yaw))
            if rng.random() < 0.6:
                bodies.append(_sitter(rng, _CHAIR, at, yaw))
    return bodies


def _stander(
    person: Person, at: tuple[float, float, float], yaw: float, rng: np.random.Generator
) -> Body:
    """Return somebody who stands, perhaps with something in the hands."""
    grown = person.family != 'child'
    load = LOADS[draw_load(rng, grown)] if rng.random() < 0.65 else LOADS['folded arms']
    arms = tuple(arm or Arm(float(rng.normal(0.1, 0.15)), 0.12, float(rng.uniform(0.1, 0.6)))
                 for arm in load.arms)  # fmt: skip
    thigh, knee = float(rng.uniform(0, 0.25)), float(rng.uniform(0, 0.35))
    spread = (float(rng.uniform(0.02, 0.16)), float(rng.uniform(0.02, 0.16)))
    posture = Posture((arms[0], arms[1]), (thigh, -0.03), spread, (thigh + knee, 0.0), load.lean)
    made, legs, hands = figure(replace(person, bag='none'), posture)
    builder = MeshBuilder(class_id('pedestrian'))
    builder.add_mesh(made)
    held = [h if a is not None else None for h, a in zip(hands, load.arms, strict=True)]
    load.add(builder, person, (held[0], held[1]))
    return _whole(person, builder.build(), legs, at, yaw)


def _sitter(
    rng: np.random.Generator, seat: float, at: tuple[float, float, float], yaw: float
) -> Body:
    person = replace(draw_person(rng), bag='none')
    knee = float(rng.uniform(1.2, 1.7))
    crossed = 0.25 if rng.random() < 0.3 else 0.0
    reach = float(rng.choice([0.3, 0.7, 1.0]))
    arms = (Arm(reach, 0.1, float(rng.uniform(0.7, 1.6)), 0.3), Arm(0.4, 0.12, 1.0, 0.4))
    spread = (float(rng.uniform(0, 0.25)) - crossed, float(rng.uniform(0, 0.25)))
    thighs = (1.5 + crossed, 1.48)
    posture = Posture(arms, thighs, spread, (knee, float(rng.uniform(1.3, 1.7))),
                      float(rng.uniform(-0.12, 0.3)), seat)  # fmt: skip
    return _person(person, posture, at, yaw, 'seated')


def _person(
    person: Person,
    posture: Posture,
    at: tuple[float, float, float],
    yaw: float,
    family: str | None = None,
) -> Body:
    top, legs, _ = figure(person, posture)
    return _whole(person, top, legs, at, yaw, family)


def _whole(
    person: Person,
    top: Mesh,
    legs: Mesh,
    at: tuple[float, float, float],
    yaw: float,
    family: str | None = None,
) -> Body:
    mass = 70 * person.scale**3 * person.girth
    parts = [Part(top, 'top'), Part(legs, 'legs')]
    return body(parts, at, yaw, 'pedestrian', family or person.family, mass)


def _table(slot: Slot) -> Mesh:
    builder = MeshBuilder(class_id('fence'))
    builder.tube(np.array([[0, 0, 0.72], [0, 0, 0.75]]), 0.36, slot, sides=14)
    builder.tube(np.array([[0, 0, 0.02], [0, 0, 0.72]]), 0.03, Slot.METAL_DARK, sides=6)
    builder.tube(np.array([[0, 0, 0.0], [0, 0, 0.03]]), 0.22, Slot.METAL_DARK, sides=10)
    return builder.build()


def _chair(slot: Slot) -> Mesh:
    """Return a chair that looks along x."""
    builder = MeshBuilder(class_id('fence'))
    builder.box((0, 0, 0.44), (0.42, 0.42, 0.03), slot, bottom=True)
    builder.box((-0.2, 0, 0.74), (0.03, 0.4, 0.26), slot, bottom=True)
    for x in (-0.19, 0.19):
        for y in (-0.18, 0.18):
            top = 0.86 if x < 0 else 0.43
            builder.tube(np.array([[1.1 * x, y, 0], [x, y, top]]), 0.013, Slot.METAL_DARK, sides=4)
    return builder.build()


def _parasol(rng: np.random.Generator) -> Mesh:
    builder = MeshBuilder(class_id('fence'))
    high, radius = float(rng.uniform(2.2, 2.6)), float(rng.uniform(1.0, 1.4))
    builder.tube(np.array([[0, 0, 0], [0, 0, high + 0.35]]), 0.025, Slot.WOOD, sides=6)
    builder.box((0, 0, 0.05), (0.5, 0.5, 0.1), Slot.CONCRETE)
    slot = Slot.PAINTED if rng.random() < 0.6 else Slot.WHITE
    points = np.array([[0, 0, high - 0.02], [0, 0, high], [0, 0, high + 0.4]])
    builder.tube(points, np.array([radius, radius, 0.05]), slot, sides=8)
    return builder.build()
