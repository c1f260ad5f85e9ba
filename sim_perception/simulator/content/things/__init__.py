"""Labelled things that stand beside a street: each is a file here and a line in ``THINGS``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.things.wheelchair import wheelchair

__all__ = ['THINGS', 'Thing']


@dataclass(frozen=True)
class Thing:
    """A kind of thing; a scenario's ``things`` says how many there are.

    Attributes:
        category: class name of the taxonomy.
        mass: kilograms.
        make: returns one of its kind: x forward, z up, on the ground, its box's middle over the
            origin.
    """

    category: str
    mass: float
    make: Callable[[np.random.Generator], Mesh]


THINGS: dict[str, Thing] = {
    'wheelchair': Thing('pedestrian', 95.0, wheelchair),
}
