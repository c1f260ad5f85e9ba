"""Scores the permanence network without a tracker: ``evaluate permanence``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from sim_perception.inference.permanence import PermanenceEngine
from sim_perception.tracking.config import network_config
from training.datasets.bags.track_targets import RuleConfig
from training.datasets.sample import require_truth
from training.datasets.scenes import open_scenes
from training.datasets.sources import KINDS, SourceConfig, open_images
from training.evaluation.permanence.frames import (
    SCORES,
    THRESHOLD,
    score_frames,
    score_unlabelled,
)
from training.evaluation.permanence.scores import score_bags
from training.evaluation.report import frames_of, record_of
from training.evaluation.specs import evenly


def evaluate_permanence(
    checkpoint: Path,
    data: str,
    *,
    second_opinion: Path | None = None,
    focal_ratio: float | None = None,
    limit: int | None = None,
    device: str = 'auto',
) -> dict[str, Any]:
    """Score the permanence network alone, frame by frame and without a tracker.

    Args:
        checkpoint: its folder.
        data: ``bag:DIR``, also a folder of bags or a pattern, with the truth about all objects,
            where the scores count that the tracker looks at; or single frames,
            ``kitti_object:DIR`` or ``sim:SCENARIO[:SEEDS]``; or images without truth,
            ``video:FILE`` or ``images:DIR``.
        second_opinion, device: see ``PermanenceEngine.load``.
        focal_ratio: focal length / image width of images whose camera is not known.
        limit: greatest number of images, spread evenly; of bags the greatest number of bags.

    Returns:
        Those of ``score_bags``, of ``score_frames`` for single frames, of ``score_unlabelled`` for
        images without truth, and how they were made.

    Raises:
        DatasetError: for other data, or no bag.
        CheckpointError: for an unusable checkpoint.
    """
    kind = data.partition(':')[0]
    load = partial(PermanenceEngine.load, checkpoint, device=device, second_opinion=second_opinion)
    if kind == 'bag':
        engine = load(threshold=network_config().min_score)
        bags = [data.removeprefix('bag:')]
        scores = score_bags(engine, bags, RuleConfig(), limit, track=frames_of(data))
        require_truth(scores['seen'] + scores['hidden'] > 0, data)
    elif kind in KINDS:
        engine = load(threshold=min(SCORES))
        scores = _of_unlabelled(engine, SourceConfig(spec=data, focal_ratio=focal_ratio), limit)
    else:
        engine = load(threshold=THRESHOLD)
        scenes, count = open_scenes(data, limit, points=False)
        scores = score_frames(engine, frames_of(data)(scenes, count))
        require_truth(any(scores[f'{name}_objects'] for name in engine.things), data)
    frames = int(scores.pop('frames'))
    return record_of('permanence', data, scores, frames=frames, checkpoint=str(checkpoint))


def _of_unlabelled(
    engine: PermanenceEngine, source: SourceConfig, limit: int | None
) -> dict[str, float]:
    images = open_images(source)
    chosen = evenly(len(images), limit)
    progress = frames_of(source.spec)
    return score_unlabelled(engine, progress((images[i] for i in chosen), len(chosen)))
