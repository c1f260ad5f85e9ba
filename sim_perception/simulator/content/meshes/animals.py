"""Animals of the street. No class of the taxonomy is theirs, so they carry none."""

from __future__ import annotations

import numpy as np

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.materials import COUNTS, Slot
from sim_perception.simulator.content.meshes.builder import MeshBuilder
from sim_perception.taxonomy import load_taxonomy


def dog(size: float, seated: bool, rng: np.random.Generator) -> Mesh:
    """Return a dog that looks along x; ``size`` 1 is 0.55 m at the shoulder."""
    builder = MeshBuilder(load_taxonomy().ignore_id)
    slot = int(Slot.HAIR_0) + int(rng.integers(COUNTS['HAIR']))
    back, pitch = 0.47 * size, 0.65 if seated else 0.0
    chest = np.array([0.22, 0, back + (0.1 * size if seated else 0.0)]) * [size, 1, 1]
    rump = chest - np.array([0.5 * np.cos(pitch), 0, 0.55 * np.sin(pitch)]) * size
    builder.tube(np.array([rump, 0.5 * (rump + chest), chest]),
                 np.array([0.1, 0.095, 0.12]) * size, slot)  # fmt: skip
    head = chest + np.array([0.2, 0, 0.2]) * size
    builder.tube(np.array([chest, head]), np.array([0.085, 0.07]) * size, slot)
    builder.tube(np.array([head - [0.05 * size, 0, 0], head + np.array([0.1, 0, -0.01]) * size,
                           head + np.array([0.2, 0, -0.05]) * size]),
                 np.array([0.075, 0.065, 0.03]) * size, slot)  # fmt: skip
    for side in (-1, 1):
        ear = head + np.array([-0.03, 0.05 * side, 0.1]) * size
        builder.tube(np.array([head, ear]), np.array([0.03, 0.012]) * size, slot, sides=5)
        foot = np.array([chest[0], side * 0.08 * size, 0.0])
        builder.tube(np.array([foot, np.add(chest, [0, side * 0.06 * size, -0.02])]),
                     np.array([0.028, 0.05]) * size, slot, sides=6)  # fmt: skip
        hind = np.array([rump[0] + (0.18 * size if seated else 0.0), side * 0.09 * size, 0.0])
        builder.tube(np.array([hind, np.add(rump, [0, side * 0.06 * size, 0])]),
                     np.array([0.028, 0.06]) * size, slot, sides=6)  # fmt: skip
    tail = rump + np.array([-0.25, 0, 0.12]) * size
    builder.tube(np.array([rump, tail]), np.array([0.03, 0.012]) * size, slot, sides=5)
    return builder.build()
