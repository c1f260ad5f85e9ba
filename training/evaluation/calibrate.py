"""The verbs ``evaluate autolabel`` and ``calibrate``, as the command line calls them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sim_perception.autolabel.labeler import COORDINATES
from sim_perception.models.checkpoint import load_checkpoint
from training.evaluation.autolabel.evaluate import CHECKPOINT, evaluate_autolabel
from training.evaluation.report import frames_of, print_scores


def evaluate_labels(
    data: str,
    *,
    checkpoint: Path | None = None,
    mode: str = 'lidar',
    json_file: Path | None = None,
    pictures: Path | None = None,
    limit: int | None = None,
    box_noise: float = 0.0,
    coordinates: Path | None = None,
    refine: str = 'fit',
) -> dict[str, Any]:
    """Score automatic labels and print the table; see ``evaluation.autolabel``.

    Raises:
        DatasetError: for unusable data, an unknown mode or way to fit.
        CheckpointError: for an unusable checkpoint.
    """
    report = evaluate_autolabel(
        data,
        checkpoint=checkpoint or CHECKPOINT,
        mode=mode,
        json_file=json_file,
        pictures=pictures,
        limit=limit,
        box_noise=box_noise,
        coordinates=coordinates or COORDINATES,
        refine=refine,
        track=frames_of(data),
    )
    print_scores(data, {key: value for key, value in report.items() if isinstance(value, float)})
    return report


def calibrate_any(checkpoint: Path, data: Sequence[str], *, limit: int | None = None) -> None:
    """Fit a checkpoint's confidence, whatever it holds.

    Raises:
        DatasetError: for unusable data.
        CheckpointError: for an unusable checkpoint.
    """
    name = load_checkpoint(checkpoint).name
    if name == 'surface_coordinates':
        from training.evaluation.autolabel.mono_confidence import calibrate_coordinates

        calibrate_coordinates(checkpoint, data, limit)
        return
    if name in ('shape_pca', 'shape_sdf'):
        from training.evaluation.autolabel.confidence import calibrate_labels

        calibrate_labels(checkpoint, data, limit)
        return
    from training.evaluation.depth_segmentation.calibrate import calibrate

    calibrate(checkpoint, data, limit=limit)
