"""Fits what makes a checkpoint's confidence hold, whatever it holds: ``calibrate``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sim_perception.models.checkpoint import load_checkpoint


def calibrate_any(
    checkpoint: Path,
    data: Sequence[str],
    *,
    second_opinion: Path | None = None,
    limit: int | None = None,
    device: str = 'auto',
) -> None:
    """Fit a checkpoint's confidence, whatever it holds; see the functions for each.

    Raises:
        DatasetError: for unusable data.
        CheckpointError: for an unusable checkpoint.
        ValueError: for a device that is not there, or a second opinion for another network than
            permanence.
    """
    network = load_checkpoint(checkpoint).name
    if network == 'permanence':
        from training.evaluation.permanence.calibrate import calibrate_scores

        calibrate_scores(
            checkpoint, data, second_opinion=second_opinion, limit=limit, device=device
        )
        return
    if second_opinion is not None:
        raise ValueError(f'{checkpoint} is of kind {network}; only permanence has second opinions')
    if network in ('shape_pca', 'shape_sdf', 'surface_coordinates'):
        from training.evaluation.autolabel.confidence import calibrate_labels

        calibrate_labels(checkpoint, data, limit, device)
        return
    from training.evaluation.depth_segmentation.calibrate import calibrate

    calibrate(checkpoint, data, limit=limit, device=device)
