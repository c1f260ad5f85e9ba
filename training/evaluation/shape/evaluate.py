"""How well shape spaces give back cars that they have not seen: ``evaluate shape``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from sim_perception.autolabel.classes import load_shape
from sim_perception.models.checkpoint import CARD, load_checkpoint, update_checkpoint
from sim_perception.visualization import write_picture
from training.datasets.objects.draws import CATEGORIES
from training.evaluation.report import frames_of, record_of
from training.evaluation.shape.scores import (
    F_SCORE_DISTANCE,
    FINE_DISTANCE,
    parse_cars,
    score_shapes,
)
from training.pictures.shapes import draw_paths, pairs_of_families

SHIPPED = (Path('models/shape_car'), Path('models/shape_car_sdf'))
_SECTION = '\n## Cars that it has not seen\n'


def evaluate_shape(
    checkpoints: Sequence[Path] | None = None,
    data: str = 'cars:1',
    *,
    pictures: Path | None = None,
    limit: int = 30,
) -> dict[str, Any]:
    """Score shape spaces on the same objects of their category, and draw ways between members.

    Args:
        checkpoints: shape spaces of any kind; the shipped ones if None.
        data: ``cars:SEED``; seeds that none has learnt from.
        pictures: a folder for ``NAME.png`` per checkpoint, or None.
        limit: how many objects.

    Returns:
        The record; ``shapes`` has by checkpoint what ``score_shapes`` returns.

    Raises:
        DatasetError, CheckpointError: for unusable data or checkpoints.
    """
    count, seed = parse_cars(data, limit)
    shapes = {}
    folders = checkpoints or SHIPPED
    for folder in frames_of(data)(folders, len(folders)):
        model = load_shape(folder)
        drawn = CATEGORIES[model.config.category].draw(count, seed)
        shapes[str(folder)] = score_shapes(model, drawn)
        if pictures is not None:
            pictures.mkdir(parents=True, exist_ok=True)
            seeds = model.seeds.numpy().astype(np.float64)
            picture = draw_paths(model, seeds, pairs_of_families(model.config.category))
            write_picture(pictures / f'{folder.name}.png', picture)
    return record_of('shape', data, {'shapes': shapes}, cars=count)


def print_shapes(record: Mapping[str, Any]) -> None:
    """Print the scores of shape spaces, one a row."""
    keys = list(next(iter(record['shapes'].values())))
    table = Table('shape space', *keys, title=f'{record["cars"]} cars, {record["data"]}')
    for name, scores in record['shapes'].items():
        table.add_row(name, *(f'{scores[key]:.4f}' for key in keys))
    Console().print(table)


def keep_scores(folder: Path, report: Mapping[str, Any]) -> None:
    """Write a checkpoint's own scores into its metrics and card."""
    scores = report['shapes'][str(folder)]
    metrics = dict(load_checkpoint(folder).metrics)
    facts = {'command': report['command'], 'cars': report['cars'], **scores}
    metrics['evaluations'] = {**metrics.get('evaluations', {}), report['data']: facts}
    text = (folder / CARD).read_text().split(_SECTION)[0].rstrip('\n') + '\n'
    text += f"""{_SECTION}
Nearest members of {report['cars']} other cars, seed {report['data'].partition(':')[2]}: Chamfer
{1000 * scores['chamfer_m']:.1f} mm (worst {1000 * scores['chamfer_worst_m']:.1f}; sampling alone
makes {1000 * scores['chamfer_floor_m']:.1f}), F-score at {100 * F_SCORE_DISTANCE:.0f} cm
{scores['f_score']:.3f} (worst {scores['f_score_worst']:.3f}), at {100 * FINE_DISTANCE:.0f} cm
{scores['f_score_fine']:.3f}; by `{report['command']}`.
"""
    update_checkpoint(folder, metrics=metrics, card=text)
