"""Scores the permanence network without a tracker: ``evaluate permanence``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sim_perception.inference.permanence import PermanenceEngine
from training.datasets.bags.track_targets import RuleConfig
from training.datasets.sample import require_truth
from training.datasets.scenes import open_scenes
from training.evaluation.permanence.frames import THRESHOLD, score_frames
from training.evaluation.permanence.scores import score_bags
from training.evaluation.report import frames_of, record_of


def evaluate_permanence(
    checkpoint: Path,
    data: str,
    *,
    device: str = 'auto',
) -> dict[str, Any]:
    """Score the permanence network alone, frame by frame and without a tracker.

    Args:
        checkpoint: its folder.
        data: ``bag:DIR``, also a folder of bags or a pattern, with the truth about all objects;
            or single frames, ``kitti_object:DIR`` or ``sim:SCENARIO[:SEEDS]``.
        device: see ``PermanenceEngine``.

    Returns:
        Those of ``score_bags``, of ``score_frames`` for single frames, and how they were made.

    Raises:
        DatasetError: for other data, or no bag.
        CheckpointError: for an unusable checkpoint.
    """
    if not data.startswith('bag:'):
        return _on_frames(checkpoint, data, device)
    engine = PermanenceEngine.load(checkpoint, device=device)
    scores = score_bags(engine, [data.removeprefix('bag:')], RuleConfig())
    require_truth(scores['seen'] + scores['hidden'] > 0, data)
    frames = int(scores.pop('frames'))
    return record_of('permanence', data, scores, frames=frames, checkpoint=str(checkpoint))


def _on_frames(checkpoint: Path, data: str, device: str) -> dict[str, Any]:
    engine = PermanenceEngine.load(checkpoint, device=device, threshold=THRESHOLD)
    scenes, count = open_scenes(data)
    scores = score_frames(engine, frames_of(data)(scenes, count))
    require_truth(any(scores[f'{name}_objects'] for name in engine.things), data)
    frames = int(scores.pop('frames'))
    return record_of('permanence', data, scores, frames=frames, checkpoint=str(checkpoint))
