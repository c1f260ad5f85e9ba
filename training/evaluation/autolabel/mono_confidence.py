"""Calibrates the confidence of labels from images: the expected 3D IoU by what a fit shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sim_perception.autolabel.labeler import load_labeler
from sim_perception.models.checkpoint import load_checkpoint, update_checkpoint
from training.engine.command import command_line
from training.evaluation.autolabel.compare import Compared, Population
from training.evaluation.autolabel.confidence import fit_confidence
from training.evaluation.autolabel.evaluate import (
    CHECKPOINT,
    config_of,
    label_scenes,
    open_scenes,
)

MODE = 'mono'
_NOISES = (0.0, 0.05)


def calibrate_coordinates(
    checkpoint: Path, specs: Sequence[str], limit: int | None = None, shape: Path = CHECKPOINT
) -> dict[str, Any]:
    """Fit the confidence of labels from images, and store it in the network's checkpoint.

    See ``autolabel_confidence.calibrate_labels``, which does the same for labels from LiDAR.

    Args:
        checkpoint: of the coordinates network.
        specs: see ``evaluation.autolabel.evaluate.KINDS``; not the data that labels are scored on.
        limit: at most so many frames of each.
        shape: checkpoint of the shape space.

    Returns:
        What was fitted, as stored.

    Raises:
        DatasetError: for unusable data or too few labels.
        CheckpointError: for an unusable checkpoint.
    """
    rows: list[Compared] = []
    for spec in specs:
        labeler = load_labeler(
            MODE, shape, coordinates=checkpoint, config=config_of(spec), threads=1
        )
        scenes = list(open_scenes(spec, limit)[0])
        for noise in _NOISES:
            rows += label_scenes(labeler, scenes, Population(), box_noise=noise)
    values = asdict(fit_confidence(rows))
    stored = {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}
    loaded = load_checkpoint(checkpoint, network='surface_coordinates')
    metrics = dict(loaded.metrics)
    metrics['confidence'] = {'command': command_line(), 'data': list(specs), 'labels': len(rows)}
    update_checkpoint(
        checkpoint, calibration={**loaded.calibration, MODE: stored}, metrics=metrics
    )
    return stored
