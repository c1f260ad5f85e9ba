"""The verb ``shape``: learns the shape space of a category from the simulator's objects."""

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
from sim_perception.suggestions import unknown
from sim_perception.taxonomy import load_taxonomy
from sim_perception.visualization import write_picture
from training.datasets.objects.draws import CATEGORIES
from training.datasets.objects.shapes import ShapeSample, Solid
from training.engine.command import command_line
from training.evaluation.shape.scores import F_SCORE_DISTANCE, score_shapes
from training.pictures.shapes import draw_members, draw_paths, pairs_of_families
from training.tasks.shape_pca.fit import fit_pca

F64 = npt.NDArray[np.float64]


def learn_shape(
    out: Path,
    *,
    category: str = 'car',
    cars: int = 160,
    held_out: int = 30,
    components: int = 5,
    spacing: float | None = None,
    seed: int = 0,
    pictures: Path | None = None,
) -> dict[str, Any]:
    """Learn the shape space, score it on objects that it has not seen, and save it.

    Args:
        out: the checkpoint folder to write.
        category: of ``CATEGORIES``.
        cars: how many objects to learn from.
        held_out: how many to score on.
        components: numbers of a latent.
        spacing: of the grid, metres; None for the category's own.
        seed: of the objects.
        pictures: a folder for pictures of members and of paths between them, or None.

    Returns:
        The scores: ``chamfer_m``, ``f_score`` (see ``reconstruction``) and their worst, and
        ``explained``, the share of the variance near the surface.

    Raises:
        ValueError: for an unknown category, or fewer objects than numbers to learn.
    """
    if category not in CATEGORIES:
        raise ValueError(unknown('category', category, CATEGORIES))
    if cars <= 2 * components:
        raise ValueError(f'{components} components need more than {2 * components} objects')
    kind = CATEGORIES[category]
    learnt, unseen = kind.draw(cars, seed), kind.draw(held_out, seed + 1)
    mean_size = tuple(float(s) for s in np.mean([car.size for car in learnt], 0).round(3))
    config = ShapeConfig(
        category=category,
        mean_size=mean_size,  # type: ignore[arg-type]
        components=components,
        spacing=spacing or kind.spacing,
        margin=kind.margin,
        seeds=len(kind.families),
        **kind.mirrors,  # type: ignore[arg-type]
    )
    grids = distance_grids(learnt, config, f'learning {category}', mirrored=kind.mirrored)
    sizes = np.array([car.size for car in learnt])
    family = np.array([kind.families.index(one.family) for one in learnt])
    model, explained = fit_pca(config, grids, sizes, family)
    scores = {'explained': explained, **score_shapes(model, unseen)}
    record = {
        'task': 'shape',
        'command': command_line(),
        'data': f'{cars} of the simulator, seed {seed}; {held_out} held out, seed {seed + 1}',
        **scores,
    }
    save_checkpoint(
        out, model, taxonomy=load_taxonomy(), metrics=record, card=card(config, record)
    )
    if pictures is not None:
        draw_space(model, pictures)
    Console().print_json(json.dumps(record))
    return record


def distance_grids(
    cars: list[ShapeSample], config: ShapeConfig, title: str = '', *, mirrored: bool = True
) -> F64:
    """Return (B, X, Y, Z) signed distances of objects at the grid's nodes, normalised frame."""
    nodes, mean = config.node_positions(), np.array(config.mean_size)
    jobs = track(cars, description=title, console=Console(stderr=True), disable=not title)
    grids = [Solid(car).distance(nodes.reshape(-1, 3), mean).reshape(config.nodes) for car in jobs]
    values = np.array(grids)
    if not mirrored:
        return values
    # Cars have two equal sides, the points on their surface not quite.
    return 0.5 * (values + values[:, :, ::-1])


def draw_space(model: ShapeModel, folder: Path) -> None:
    """Write ``families.png`` and ``interpolation.png``: typical cars, and paths between them."""
    folder.mkdir(parents=True, exist_ok=True)
    seeds = model.seeds.numpy().astype(np.float64)
    families = np.concatenate([draw_members(model, seeds, turn) for turn in (0.0, 0.6, 2.4)])
    write_picture(folder / 'families.png', families)
    paths = draw_paths(model, seeds, pairs_of_families(model.config.category))
    write_picture(folder / 'interpolation.png', paths)


def card(config: ShapeConfig, record: dict[str, Any]) -> str:
    """Return the checkpoint's README."""
    length, width, height = config.mean_size
    without = ' without mirrors' if config.mirror_offset else ''
    return f"""# Shapes: {config.category}

A linear space (principal components of signed distances) of {config.category} shapes{without},
with the joint Gaussian of size and shape;
`sim_perception.models.shape` says how it is meant.

- learnt from: {record['data']}
- mean box: {length:.2f} x {width:.2f} x {height:.2f} m; grid of {config.spacing} m;
  {config.components} components explain {record['explained']:.1%} of what differs near the surface
- held-out ones, nearest member: Chamfer {100 * record['chamfer_m']:.1f} cm (worst
  {100 * record['chamfer_worst_m']:.1f}), F-score at {100 * F_SCORE_DISTANCE:.0f} cm
  {record['f_score']:.3f} (worst {record['f_score_worst']:.3f})
- made by `{record['command']}`

The simulator's objects are the only ones it knows; the prior of size is widened so that others
fit.
"""
