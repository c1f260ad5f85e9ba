"""Colours of cars, clothes and painted things, linear RGB."""

from __future__ import annotations

import numpy as np

from sim_perception.simulator.world.assembly import Color

_CARS = np.array(
    [[0.78, 0.78, 0.76], [0.70, 0.71, 0.72], [0.40, 0.41, 0.43], [0.22, 0.23, 0.24],
     [0.03, 0.03, 0.035], [0.05, 0.05, 0.055], [0.42, 0.02, 0.025], [0.30, 0.03, 0.03],
     [0.02, 0.06, 0.28], [0.05, 0.12, 0.32], [0.10, 0.16, 0.22], [0.03, 0.10, 0.06],
     [0.32, 0.26, 0.18], [0.55, 0.40, 0.05], [0.50, 0.15, 0.02], [0.12, 0.09, 0.07]]
)  # fmt: skip
_CAR_WEIGHTS = np.array([5, 4, 4, 4, 5, 4, 2, 1, 2, 2, 1, 1, 1, 0.5, 0.5, 0.7])
#: The first of them have no colour.
_DULL = 6
_TRUCKS = np.array([[0.75, 0.75, 0.74], [0.5, 0.05, 0.03], [0.05, 0.1, 0.4], [0.6, 0.45, 0.05],
                    [0.1, 0.3, 0.12], [0.3, 0.3, 0.32]])  # fmt: skip


def _jitter(rng: np.random.Generator, color: np.ndarray) -> Color:
    rgb = np.clip(color * rng.uniform(0.75, 1.2) * rng.uniform(0.92, 1.08, 3), 0.005, 0.9)
    return float(rgb[0]), float(rgb[1]), float(rgb[2])


def car_color(rng: np.random.Generator, strength: float) -> Color:
    """Return a car paint; ``strength`` 1 mixes in any colour at all."""
    if rng.random() < 0.35 * strength:
        return _any(rng)
    k = int(rng.choice(len(_CARS), p=_CAR_WEIGHTS / _CAR_WEIGHTS.sum()))
    return _jitter(rng, _CARS[k])


def dull_paint(rng: np.random.Generator) -> Color:
    """Return a car paint without colour: white, silver, grey or black."""
    weights = _CAR_WEIGHTS[:_DULL]
    return _jitter(rng, _CARS[int(rng.choice(_DULL, p=weights / weights.sum()))])


def truck_color(rng: np.random.Generator) -> Color:
    """Return a truck or bus paint."""
    return _jitter(rng, _TRUCKS[int(rng.integers(len(_TRUCKS)))])


def cloth_color(rng: np.random.Generator) -> Color:
    """Return a colour of clothes: often dark or dull, sometimes bright."""
    if rng.random() < 0.3:
        return _any(rng)
    base = np.array([[0.03, 0.03, 0.04], [0.08, 0.09, 0.12], [0.05, 0.07, 0.16],
                     [0.25, 0.24, 0.22],
                     [0.18, 0.12, 0.08], [0.5, 0.48, 0.45], [0.12, 0.15, 0.09]])  # fmt: skip
    return _jitter(rng, base[int(rng.integers(len(base)))])


def wall_color(rng: np.random.Generator) -> Color:
    """Return a colour of painted doors, shutters, awnings and sheet metal."""
    if rng.random() < 0.4:
        return _any(rng)
    grey = rng.uniform(0.15, 0.65)
    return _jitter(rng, np.array([grey, grey * 0.98, grey * 0.94]))


def tinted(tint: str, rng: np.random.Generator) -> Color:
    """Return a colour for a part that says what tints it."""
    if tint in ('top', 'legs'):
        return cloth_color(rng)
    return car_color(rng, 1.0) if tint == 'paint' else wall_color(rng)


def _any(rng: np.random.Generator) -> Color:
    hue, value, purity = rng.random(), rng.uniform(0.08, 0.65), rng.uniform(0.4, 0.95)
    wheel = np.clip(np.abs(((hue * 6 + np.array([0, 4, 2])) % 6) - 3) - 1, 0, 1)
    rgb = value * (1 - purity * (1 - wheel))
    return float(rgb[0]), float(rgb[1]), float(rgb[2])
