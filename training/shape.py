"""The verb ``shape``: learns the shape space of cars from the simulator's cars."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track
from scipy.spatial import cKDTree

from sim_perception.models.checkpoint import save_checkpoint
from sim_perception.models.shape import SIZE, ShapeConfig, ShapePca, Surface, decode_mesh
from sim_perception.simulator.meshes.vehicle import FAMILIES
from sim_perception.taxonomy import load_taxonomy
from training.command import command_line
from training.datasets.shapes import CarSample, Solid, draw_cars, sample_surface
from training.shape_pictures import draw_surface
from training.tasks.shape_pca import fit_pca, project

F64 = npt.NDArray[np.float64]

F_SCORE_DISTANCE = 0.05
"""A surface point is right if the other surface is nearer, metres."""


def learn_shape(
    out: Path,
    *,
    cars: int = 160,
    held_out: int = 30,
    components: int = 5,
    spacing: float = 0.1,
    seed: int = 0,
    pictures: Path | None = None,
) -> dict[str, Any]:
    """Learn the shape space, score it on cars that it has not seen, and save it.

    Args:
        out: the checkpoint folder to write.
        cars: how many to learn from.
        held_out: how many to score on.
        components: numbers of a latent.
        spacing: of the grid, metres.
        seed: of the cars.
        pictures: a folder for pictures of members and of paths between them, or None.

    Returns:
        The scores: ``chamfer_m``, ``f_score`` (see ``reconstruction``) and their worst, and
        ``explained``, the share of the variance near the surface.

    Raises:
        ValueError: for fewer cars than numbers to learn.
    """
    if cars <= 2 * components:
        raise ValueError(f'{components} components need more than {2 * components} cars')
    learnt, unseen = draw_cars(cars, seed), draw_cars(held_out, seed + 1)
    mean_size = tuple(float(s) for s in np.mean([car.size for car in learnt], 0).round(3))
    config = ShapeConfig(
        category='car',
        mean_size=mean_size,  # type: ignore[arg-type]
        components=components,
        spacing=spacing,
        seeds=len(FAMILIES),
        # what the simulator's mirrors add to the body
        mirror_scale=0.93,
        mirror_offset=0.33,
    )
    grids = distance_grids(learnt, config, 'learning from cars')
    sizes = np.array([car.size for car in learnt])
    family = np.array([FAMILIES.index(car.family) for car in learnt])
    model, explained = fit_pca(config, grids, sizes, family)
    scores = {'explained': explained, **held_out_scores(model, unseen)}
    record = {
        'task': 'shape',
        'command': command_line(),
        'data': f'{cars} cars of the simulator, seed {seed}; {held_out} held out, seed {seed + 1}',
        **scores,
    }
    save_checkpoint(
        out, model, taxonomy=load_taxonomy(), metrics=record, card=card(config, record)
    )
    if pictures is not None:
        draw_space(model, pictures)
    Console().print_json(json.dumps(record))
    return record


def distance_grids(cars: list[CarSample], config: ShapeConfig, title: str = '') -> F64:
    """Return (B, X, Y, Z) signed distances of cars at the grid's nodes, normalised frame."""
    nodes, mean = config.node_positions(), np.array(config.mean_size)
    jobs = track(cars, description=title, console=Console(stderr=True), disable=not title)
    grids = [Solid(car).distance(nodes.reshape(-1, 3), mean).reshape(config.nodes) for car in jobs]
    # Cars are mirrored, the points on their surface are not quite.
    values = np.array(grids)
    return 0.5 * (values + values[:, :, ::-1])


def held_out_scores(model: ShapePca, cars: list[CarSample]) -> dict[str, float]:
    """Return how well the space's nearest members reconstruct cars; see ``reconstruction``."""
    grids = distance_grids(cars, model.config, 'reconstructing other cars')
    rows = []
    for car, latent in zip(cars, project(model, grids), strict=True):
        x, y, z = (float(s) for s in car.size)
        rows.append(reconstruction(decode_mesh(model, latent, (x, y, z)), Solid(car).points))
    table = np.array(rows)
    return {
        'chamfer_m': float(table[:, 0].mean()),
        'chamfer_worst_m': float(table[:, 0].max()),
        'f_score': float(table[:, 1].mean()),
        'f_score_worst': float(table[:, 1].min()),
    }


def reconstruction(surface: Surface, truth: F64, count: int = 20_000) -> tuple[float, float]:
    """Compare a mesh with (N, 3) points of the true surface.

    Returns:
        The Chamfer distance (mean of both directions' mean distances, metres) and the F-score
        (harmonic mean of both directions' shares within ``F_SCORE_DISTANCE``).
    """
    rng = np.random.default_rng(0)
    points, _ = sample_surface(surface, count, rng)
    truth = truth[rng.permutation(len(truth))[:count]]
    there, back = cKDTree(truth).query(points)[0], cKDTree(points).query(truth)[0]
    shares = [float((d < F_SCORE_DISTANCE).mean()) for d in (there, back)]
    chamfer = 0.5 * float(there.mean() + back.mean())
    return chamfer, 2 * shares[0] * shares[1] / max(sum(shares), 1e-9)


def draw_space(model: ShapePca, folder: Path) -> None:
    """Write ``families.png`` and ``interpolation.png``: typical cars, and paths between them."""
    folder.mkdir(parents=True, exist_ok=True)
    seeds = model.seeds.numpy().astype(np.float64)
    rows = [
        [_drawn(model, seed, turn) for seed in seeds] for turn in (0.0, 0.6, 2.4)
    ]  # fmt: skip
    cv2.imwrite(
        str(folder / 'families.png'), np.concatenate([np.hstack(r) for r in rows])[..., ::-1]
    )
    pairs = [(0, 1), (1, 4), (3, 5), (2, 3)]
    paths = [
        np.hstack([_drawn(model, (1 - t) * seeds[a] + t * seeds[b], 0.6)
                   for t in np.linspace(0, 1, 6)])
        for a, b in pairs
    ]  # fmt: skip
    cv2.imwrite(str(folder / 'interpolation.png'), np.concatenate(paths)[..., ::-1])


def _drawn(model: ShapePca, member: F64, turn: float) -> npt.NDArray[np.uint8]:
    length, width, height = (float(s) for s in np.exp(member[:SIZE]))
    surface = decode_mesh(model, member[SIZE:], (length, width, height), spacing=0.06)
    return draw_surface(surface, turn, width=240, height=140)


def card(config: ShapeConfig, record: dict[str, Any]) -> str:
    """Return the checkpoint's README."""
    length, width, height = config.mean_size
    return f"""# Shapes of cars

A linear space (principal components of signed distances) of car shapes without mirrors, with
the joint Gaussian of size and shape; `sim_perception.models.shape` says how it is meant.

- learnt from: {record['data']}
- mean box: {length:.2f} x {width:.2f} x {height:.2f} m; grid of {config.spacing} m;
  {config.components} components explain {record['explained']:.1%} of what differs near the surface
- held-out cars, nearest member: Chamfer {100 * record['chamfer_m']:.1f} cm (worst
  {100 * record['chamfer_worst_m']:.1f}), F-score at {100 * F_SCORE_DISTANCE:.0f} cm
  {record['f_score']:.3f} (worst {record['f_score_worst']:.3f})
- made by `{record['command']}`

The simulator's cars are the only ones it knows; the prior of size is widened so that others fit.
"""
