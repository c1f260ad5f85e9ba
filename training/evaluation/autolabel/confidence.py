"""Calibrates labels' confidence: the expected 3D IoU by what a fit shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from sim_perception.autolabel.labeler import (
    ALL_FEATURES,
    POINT_FEATURES,
    ConfidenceModel,
    load_labeler,
)
from sim_perception.models.checkpoint import load_checkpoint, update_checkpoint
from training.datasets.sample import DatasetError
from training.datasets.scenes import open_scenes
from training.engine.command import command_line
from training.evaluation.autolabel.compare import Compared, Population
from training.evaluation.autolabel.evaluate import (
    CHECKPOINT,
    config_of,
    label_scenes,
)
from training.evaluation.report import frames_of

F64 = npt.NDArray[np.float64]

_RIDGE = 0.3
_LEAST_LABELS = 30
_IMPORTANCE = 15.0


def fit_confidence(
    rows: Sequence[Compared], names: tuple[str, ...] = ALL_FEATURES
) -> ConfidenceModel:
    """Fit a logistic regression of the 3D IoU on the measures of fits, by cross-entropy.

    The IoU is taken as a probability; few labels get weights that are pulled towards 0. Objects
    of the population count ``_IMPORTANCE`` times as much as others.

    Raises:
        DatasetError: for too few labels.
    """
    fitted = [row for row in rows if row.label.box3d is not None]
    if len(fitted) < _LEAST_LABELS:
        raise DatasetError(
            f'calibrating confidence needs at least {_LEAST_LABELS} fitted objects, got '
            f'{len(fitted)}; give more seeds or frames'
        )
    table = np.array([[row.label.measures[name] for name in names] for row in fitted])
    target = np.array([row.iou_3d for row in fitted])
    importance = np.where([row.counts for row in fitted], _IMPORTANCE, 1.0)
    mean, scale = table.mean(0), np.maximum(table.std(0), 1e-3)
    standard = np.clip((table - mean) / scale, -4, 4)

    def loss(parameters: F64) -> tuple[float, F64]:
        weights, bias = parameters[:-1], parameters[-1]
        logit = standard @ weights + bias
        predicted = 1 / (1 + np.exp(-logit))
        error = importance * (predicted - target)
        cost = importance @ (np.logaddexp(0, logit) - target * logit) + _RIDGE * weights @ weights
        return float(cost), np.append(standard.T @ error + 2 * _RIDGE * weights, error.sum())

    found = minimize(loss, np.zeros(len(names) + 1), jac=True, method='L-BFGS-B').x
    return ConfidenceModel(
        tuple(mean.tolist()),
        tuple(scale.tolist()),
        tuple(found[:-1].tolist()),
        float(found[-1]),
        names,
    )


def calibrate_labels(
    checkpoint: Path, specs: Sequence[str], limit: int | None = None, device: str = 'auto'
) -> dict[str, Any]:
    """Fit the confidence of labels on data with truth, and store it in a checkpoint.

    Objects outside of the evaluation's population count as well, half of the images with boxes
    that are off: where labels fail is what has to be learnt.

    Args:
        checkpoint: a shape space, for labels from LiDAR; or a coordinates network, for labels
            from images.
        specs: see ``datasets.scenes.KINDS``; not the data that labels are scored on.
        limit: at most so many frames of each.
        device: see ``load_labeler``.

    Returns:
        What was fitted, as stored.

    Raises:
        DatasetError: for unusable data or too few labels.
        CheckpointError: for an unusable checkpoint.
    """
    loaded = load_checkpoint(checkpoint)
    images = loaded.name == 'surface_coordinates'
    networks: dict[str, Any] = {'coordinates': checkpoint} if images else {}
    mode, shape = ('mono', CHECKPOINT) if images else ('lidar', checkpoint)
    population = Population(cast(Any, loaded.net).config.category)
    rows: list[Compared] = []
    for spec in specs:
        labeler = load_labeler(
            mode, shape, config=config_of(spec), device=device, threads=1, **networks
        )
        scenes, count = open_scenes(spec, limit)
        seen = list(frames_of(spec)(scenes, count))
        for noise in (0.0, 0.05):
            shown = frames_of(f'{spec}, boxes off by {noise:.0%}')(seen, count)
            rows += label_scenes(labeler, shown, population, box_noise=noise)
    names = ALL_FEATURES if population.kind == 'car' else POINT_FEATURES
    values = asdict(fit_confidence(rows, names))
    fitted: dict[str, Any] = {
        key: list(v) if isinstance(v, tuple) else v for key, v in values.items()
    }
    metrics = dict(loaded.metrics)
    metrics['confidence'] = {'command': command_line(), 'data': list(specs), 'labels': len(rows)}
    calibration = {**loaded.calibration, mode: fitted} if images else fitted
    update_checkpoint(checkpoint, calibration=calibration, metrics=metrics)
    return fitted
