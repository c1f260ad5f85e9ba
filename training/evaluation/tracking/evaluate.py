"""Scores the tracker on recorded detections or on images: ``evaluate tracking``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sim_perception.extras import require
from training.datasets.sample import DatasetError
from training.evaluation.report import frames_of
from training.evaluation.tracking.network import evaluate_images
from training.evaluation.tracking.recorded import evaluate_detections


def evaluate_tracking(
    data: str,
    classes: Sequence[str],
    *,
    source: str = 'detections',
    checkpoint: Path | None = None,
    second_opinion: Path | None = None,
    device: str = 'auto',
    detector: str = 'pointrcnn',
    odometry: str | None = None,
    gap: int = 0,
    results: Path | None = None,
    video: Path | None = None,
    pictures: Path | None = None,
) -> dict[str, Any]:
    """Score the tracker; return the record.

    Args:
        data: recorded detections (``recorded.evaluate_detections``) or images
            (``datasets.tracking_truth``).
        classes: to score.
        source: ``detections`` of the data, or of images ``network`` or ``oracle``.
        checkpoint: of the network.
        second_opinion, device: see ``PermanenceEngine.load``.
        detector: of KITTI's detections, see ``recorded.evaluate_detections``.
        odometry: of KITTI's recordings, see ``recorded.evaluate_detections``.
        gap: of recorded detections, see ``recorded.evaluate_detections``.
        results: folder for result files of recorded detections, or None.
        video: MP4 to draw tracks in images into, or None.
        pictures: folder for one PNG per image, or None.

    Raises:
        DatasetError: for unusable data, an unknown class, an option that does not fit the
            source.
        ImportError: without TrackEval, before anything is tracked.
        CheckpointError: for an unusable checkpoint.
    """
    require('evaluate tracking', 'trackeval')
    if source == 'detections':
        if video is not None or pictures is not None:
            raise DatasetError('--video and --pictures need images: --source network or oracle')
        return evaluate_detections(
            data,
            classes=classes,
            gap=gap,
            results=results,
            detector=detector,
            odometry=odometry,
        )
    if gap or results is not None or odometry is not None:
        raise DatasetError('--gap, --results and --odometry are for --source detections')
    return evaluate_images(
        data,
        source=source,
        checkpoint=checkpoint,
        second_opinion=second_opinion,
        classes=classes,
        device=device,
        video=video,
        pictures=pictures,
        track=frames_of(data),
    )
