"""The verb ``shape``: learns the shape space of cars from the simulator's cars."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from sim_perception.models.checkpoint import save_checkpoint
from sim_perception.models.shape import ShapeConfig, ShapeModel
from sim_perception.simulator.catalogue import FAMILIES
from sim_perception.taxonomy import load_taxonomy
from sim_perception.visualization import write_picture
from training.datasets.objects.shapes import MIRRORS, CarSample, Solid, draw_cars
from training.engine.command import command_line
from training.evaluation.shape.scores import F_SCORE_DISTANCE, score_shapes
from training.pictures.shapes import draw_members, draw_paths, pairs_of_families
from training.tasks.shape_pca.fit import fit_pca

F64 = npt.NDArray[np.float64]


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
        **MIRRORS,  # type: ignore[arg-type]
    )
    grids = distance_grids(learnt, config, 'learning from cars')
    sizes = np.array([car.size for car in learnt])
    family = np.array([FAMILIES.index(car.family) for car in learnt])
    model, explained = fit_pca(config, grids, sizes, family)
    scores = {'explained': explained, **score_shapes(model, unseen)}
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


def draw_space(model: ShapeModel, folder: Path) -> None:
    """Write ``families.png`` and ``interpolation.png``: typical cars, and paths between them."""
    folder.mkdir(parents=True, exist_ok=True)
    seeds = model.seeds.numpy().astype(np.float64)
    families = np.concatenate([draw_members(model, seeds, turn) for turn in (0.0, 0.6, 2.4)])
    write_picture(folder / 'families.png', families)
    paths = draw_paths(model, seeds, pairs_of_families())
    write_picture(folder / 'interpolation.png', paths)


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
