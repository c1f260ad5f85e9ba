"""What stands together beside a street: each kind is a function here and a line in ``GROUPS``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sim_perception.simulator.content.groups import bicycles, people
from sim_perception.simulator.content.groups.body import Body

__all__ = ['GROUPS', 'Body', 'Group']

#: Where on the sidewalk: beside the curb, in the middle, at the back, or behind it.
Where = Literal['curb', 'middle', 'back', 'behind']


@dataclass(frozen=True)
class Group:
    """A kind of group.

    Attributes:
        make: returns its bodies; x along the street, -y towards the road, z from the ground.
        where: on the sidewalk.
        share: how often it comes among those that one field of a scenario asks for.
        field: of the scenario: section and name.
    """

    make: Callable[[np.random.Generator], list[Body]]
    where: Where
    share: float
    field: tuple[str, str]


_STANDING, _SEATED = ('people', 'standing_groups_per_km'), ('people', 'seated_per_km')
_PARKED = ('cycles', 'parked_per_km')

GROUPS: dict[str, Group] = {
    'standing': Group(people.standing, 'middle', 0.4, _STANDING),
    'waiting': Group(people.waiting, 'curb', 0.4, _STANDING),
    'dog_owner': Group(people.dog_owner, 'middle', 0.2, _STANDING),
    'bench': Group(people.bench, 'back', 0.6, _SEATED),
    'steps': Group(people.steps, 'back', 0.4, _SEATED),
    'terrace': Group(people.terrace, 'back', 1.0, ('people', 'terraces_per_km')),
    'bicycle': Group(bicycles.single, 'curb', 0.35, _PARKED),
    'leaning_bicycles': Group(bicycles.leaning, 'behind', 0.35, _PARKED),
    'bicycle_rack': Group(bicycles.rack, 'curb', 0.25, _PARKED),
    'fallen_bicycle': Group(bicycles.fallen, 'curb', 0.05, _PARKED),
}
