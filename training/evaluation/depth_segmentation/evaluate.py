"""Scores depth, classes and their confidence: ``evaluate depth_segmentation``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from training.datasets.sample import require_truth
from training.evaluation.depth_segmentation.scores import evaluate_engine
from training.evaluation.report import frames_of, record_of
from training.evaluation.specs import open_spec


def evaluate_depth_segmentation(
    checkpoint: Path,
    spec: str,
    *,
    pictures: Path | None = None,
    limit: int | None = None,
    device: str = 'auto',
    crop: float = 1.0,
    prior: str | None = None,
    camera_height: float | None = None,
) -> dict[str, Any]:
    """Score a depth and segmentation checkpoint; return the record.

    With ``crop`` below 1 the network sees the middle of every image, as by a camera of longer
    focal length; ``abs_rel_whole`` is then the error at the same pixels when it sees all, and
    ``camera_change`` by how much the other camera changes it.

    Args:
        checkpoint: checkpoint folder of a depth_segmentation network.
        spec: see ``evaluation.specs``.
        pictures: folder for one PNG per frame, or None.
        limit: greatest number of frames, spread evenly.
        device: ``auto``, ``cpu`` or ``cuda``.
        crop: share of width and height that the network sees.
        prior: data of the same camera whose mean depth is printed as the answer to beat.
        camera_height: above the road, metres, to which depth is scaled; None to leave it.

    Raises:
        DatasetError, BagError: for unusable data.
        CheckpointError: for an unusable checkpoint.
    """
    data = open_spec(spec, limit, crop)
    engine = DepthSegmentationEngine.load(checkpoint, device=device)
    engine.road_scale.camera_height = camera_height
    progress = frames_of(spec)
    known = None if prior is None else open_spec(prior, None, crop)
    scores = evaluate_engine(engine, data, pictures=pictures, track=progress, prior=known)
    require_truth(bool(scores), spec)
    if crop < 1 and 'abs_rel' in scores:
        whole = evaluate_engine(engine, replace(data, crop=1.0, window=crop), track=progress)
        scores['abs_rel_whole'] = whole['abs_rel']
        scores['camera_change'] = scores['abs_rel'] / whole['abs_rel'] - 1
    facts = {} if camera_height is None else {'camera_height': camera_height}
    return record_of(
        'depth_segmentation', spec, scores, frames=len(data), checkpoint=str(checkpoint), **facts
    )
