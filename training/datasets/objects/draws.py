"""Objects of the simulator to learn shape spaces from, a way to draw them for each category."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from sim_perception.models.shape import Surface
from sim_perception.simulator.catalogue import FAMILIES, Mesh, person, vehicles
from training.datasets.objects.shapes import MIRRORS, ShapeSample, car_sample, centred

FAMILY_SHARE = {
    'sedan': 0.15, 'hatchback': 0.23, 'wagon': 0.11, 'suv': 0.12, 'van': 0.06, 'pickup': 0.04,
    'city': 0.12, 'mpv': 0.07, 'microvan': 0.04, 'coupe': 0.03, 'kei': 0.03,
}  # fmt: skip
"""How often each family is drawn: all regions, small cars as often as in European cities."""
_FAST = 1.0
_SHELL = {'pedestrian': 0.04, 'cyclist': 0.025}


@dataclass(frozen=True)
class Category:
    """How a category's shapes are drawn and kept.

    Attributes:
        draw: (how many, seed) -> samples; the same for the same arguments.
        families: names of its kinds, of which each gives a fit a seed.
        spacing: of the space's grid, metres.
        margin: of the grid beyond the box, metres.
        mirrored: whether its two sides are alike.
        mirrors: fields of ``ShapeConfig`` about wing mirrors.
    """

    draw: Callable[[int, int], list[ShapeSample]]
    families: tuple[str, ...]
    spacing: float
    margin: float = 0.5
    mirrored: bool = True
    mirrors: dict[str, float] = field(default_factory=dict)


def draw_cars(count: int, seed: int) -> list[ShapeSample]:
    """Draw cars of all families in the shares of ``FAMILY_SHARE``; same seed, same cars."""
    rng = np.random.default_rng([seed, count])
    share = np.array([FAMILY_SHARE[family] for family in FAMILIES])
    families = rng.choice(len(FAMILIES), count, p=share / share.sum())
    return [car_sample(FAMILIES[k], int(rng.integers(2**31))) for k in families]


def draw_trucks(count: int, seed: int) -> list[ShapeSample]:
    """Draw lorries and buses in one piece, as they are in ``training_city``."""
    drawn: list[ShapeSample] = []
    scene = 1000 * seed
    while len(drawn) < count:
        models = vehicles('training_city', scene)
        whole = [m for m in models if m.label == 'truck' and m.trailer is None]
        drawn += [_sample('truck', model.whole()) for model in whole]
        scene += 1
    order = np.random.default_rng(seed).permutation(len(drawn))
    return [drawn[k] for k in sorted(order[:count])]


def draw_people(category: str, count: int, seed: int) -> list[ShapeSample]:
    """Draw pedestrians from standing to walking fast, or riders of bicycles."""
    rng = np.random.default_rng([seed, count])
    speeds = rng.uniform(0.0, _FAST, count)
    seeds = rng.integers(2**31, size=count)
    return [
        _sample(category, person(category, int(own), float(speed)), _SHELL[category])
        for own, speed in zip(seeds, speeds, strict=True)
    ]


def _sample(family: str, mesh: Mesh, shell: float = 0.0) -> ShapeSample:
    return centred(family, Surface(mesh.vertices, mesh.faces), shell)


CATEGORIES = {
    'car': Category(draw_cars, FAMILIES, 0.1, mirrors=MIRRORS),
    'truck': Category(draw_trucks, ('truck',), 0.2),
    'pedestrian': Category(
        partial(draw_people, 'pedestrian'), ('pedestrian',), 0.05, margin=0.4, mirrored=False
    ),
    'cyclist': Category(
        partial(draw_people, 'cyclist'), ('cyclist',), 0.05, margin=0.4, mirrored=False
    ),
}
