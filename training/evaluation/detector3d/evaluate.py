"""Scores a 3D detector by average precision: ``evaluate detector3d``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from sim_perception.inference.detector3d import Detector3dEngine
from training.datasets.objects.clouds import cloud_source
from training.datasets.sample import DatasetError, require_truth
from training.datasets.scenes import open_scenes
from training.evaluation.detector3d.scores import Source, score_scenes
from training.evaluation.report import frames_of, record_of

#: Low: average precision looks at all recalls.
THRESHOLD = 0.05
POINTS = ('trained', 'lidar', 'depth')
DEPTH_CHECKPOINT = 'models/depth_segmentation'


def source_of(engine: Detector3dEngine, points: str = 'trained', device: str = 'auto') -> Source:
    """Return what gives the points that a detector sees of a frame.

    Args:
        engine: the detector.
        points: ``lidar``, ``depth``, or ``trained`` for what it was trained on.
        device: of the network that predicts depth.
    """
    return cloud_source(
        seen_by(engine, points), _data_of(engine).get('depth_checkpoint', DEPTH_CHECKPOINT), device
    )


def seen_by(engine: Detector3dEngine, points: str = 'trained') -> str:
    """Return what a detector sees, ``lidar`` or ``depth``; see ``source_of``."""
    return str(_data_of(engine).get('points', 'lidar')) if points == 'trained' else points


def _data_of(engine: Detector3dEngine) -> dict[str, Any]:
    found: dict[str, Any] = engine.metrics.get('training', {}).get('config', {}).get('data', {})
    return found


def evaluate_detector3d(
    checkpoint: Path,
    data: str,
    *,
    points: str = 'trained',
    blind: bool = False,
    limit: int | None = None,
    device: str = 'auto',
) -> dict[str, Any]:
    """Score a 3D detector on data with truth; see ``score_scenes``.

    Args:
        checkpoint: its folder.
        data: see ``datasets.scenes.KINDS``.
        points: ``lidar``, ``depth``, or ``trained`` for what it was trained on.
        blind: show it no image.
        limit: at most so many frames, spread evenly.
        device: see ``Detector3dEngine``.

    Raises:
        DatasetError: for unusable data or other ``points``.
        CheckpointError: for an unusable checkpoint.
    """
    if points not in POINTS:
        raise DatasetError(f'unknown --points {points!r}; choose one of {", ".join(POINTS)}')
    engine = Detector3dEngine.load(checkpoint, device=device, threshold=THRESHOLD)
    source = source_of(engine, points, device)
    scenes, count = open_scenes(data, limit, points=seen_by(engine, points) == 'lidar')
    scores = score_scenes(engine, frames_of(data)(scenes, count), source, blind=blind)
    require_truth(any(math.isfinite(v) for k, v in scores.items() if 'ap_' in k), data)
    frames = int(scores.pop('frames'))
    return record_of('detector3d', data, scores, frames=frames, checkpoint=str(checkpoint))
