"""How well shape spaces give back cars that they have not seen: ``evaluate shape``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares
from scipy.spatial import cKDTree

from sim_perception.models.shape import ShapeModel, Surface, decode_mesh
from training.datasets.objects.shapes import (
    ShapeSample,
    Solid,
    distance_samples,
    sample_surface,
)
from training.datasets.sample import DatasetError
from training.datasets.spec import Kinds, Spec

F64 = npt.NDArray[np.float64]

F_SCORE_DISTANCE = 0.05
"""A surface point is right if the other surface is nearer, metres."""
FINE_DISTANCE = 0.03
"""The same, where differences show."""
_SPACING = 0.05
_SAMPLES = 3000
_NEAR = 0.2
_COUNT = 100_000


def parse_cars(spec: str, count: int) -> tuple[int, int]:
    """Return how many cars a SPEC ``cars:SEED`` names, and their seed, for ``draw_cars``.

    Raises:
        DatasetError: for another SPEC.
    """
    opener, parts = KINDS.find(spec)
    return opener(parts, count)


def _cars(spec: Spec, count: int) -> tuple[int, int]:
    if not spec.rest.isdigit():
        raise DatasetError(f'seed {spec.rest!r} of cars:SEED is no number, such as cars:1')
    return count, int(spec.rest)


KINDS = Kinds({'cars': ('cars:SEED, such as cars:1', _cars)})


def nearest_member(model: ShapeModel, car: ShapeSample, seed: int = 0) -> F64:
    """Return the (K,) latent whose distances are nearest to a car's.

    Least squares over places about the car, errors weighted by exp(-|distance| / .2 m), from the
    category's mean; what DeepSDF (section 4.2) does by gradient descent.
    """
    points, wanted = distance_samples(car, model.config, _SAMPLES, seed)
    weight = np.exp(-np.abs(wanted) / _NEAR)

    def error(latent: F64) -> F64:
        return weight * (model.jacobian(points, latent)[0] - wanted)

    def slope(latent: F64) -> F64:
        return weight[:, None] * model.jacobian(points, latent)[1]

    start = np.zeros(model.config.components)
    return cast(F64, least_squares(error, start, slope, max_nfev=25, xtol=1e-4).x)


def score_shapes(model: ShapeModel, cars: Sequence[ShapeSample]) -> dict[str, float]:
    """Return how well a space's nearest members give back cars.

    ``chamfer_m``, ``f_score`` and ``f_score_fine`` (see ``reconstruction``) are means over cars,
    ``*_worst`` those of the worst car; ``chamfer_floor_m`` is the Chamfer distance of two samples
    of the same true surface: what sampling alone makes.
    """
    rows = []
    for car in cars:
        x, y, z = (float(s) for s in car.size)
        truth = Solid(car).points
        mesh = decode_mesh(model, nearest_member(model, car), (x, y, z), spacing=_SPACING)
        floor = compare(Solid(car, seed=1).points, truth)[0]
        rows.append([*reconstruction(mesh, truth), floor])
    table = np.array(rows)
    return {
        'chamfer_m': float(table[:, 0].mean()),
        'chamfer_worst_m': float(table[:, 0].max()),
        'f_score': float(table[:, 1].mean()),
        'f_score_worst': float(table[:, 1].min()),
        'f_score_fine': float(table[:, 2].mean()),
        'chamfer_floor_m': float(table[:, 3].mean()),
    }


def reconstruction(
    surface: Surface, truth: F64, count: int = _COUNT
) -> tuple[float, float, float]:
    """Compare a mesh with (N, 3) points of the true surface; see ``compare``."""
    points, _ = sample_surface(surface, count, np.random.default_rng(0))
    return compare(points, truth)


def compare(points: F64, truth: F64) -> tuple[float, float, float]:
    """Compare (N, 3) and (M, 3) points of two surfaces.

    Returns:
        The Chamfer distance (mean of both directions' mean distances, metres) and the F-scores
        (harmonic mean of both directions' shares within a distance) of ``F_SCORE_DISTANCE`` and
        ``FINE_DISTANCE``.
    """
    there, back = cKDTree(truth).query(points)[0], cKDTree(points).query(truth)[0]
    scores = []
    for least in (F_SCORE_DISTANCE, FINE_DISTANCE):
        shares = [float((d < least).mean()) for d in (there, back)]
        scores.append(2 * shares[0] * shares[1] / max(sum(shares), 1e-9))
    return 0.5 * float(there.mean() + back.mean()), scores[0], scores[1]
