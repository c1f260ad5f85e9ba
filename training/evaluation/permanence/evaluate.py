"""Scores the permanence network without a tracker: ``evaluate permanence``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sim_perception.inference.permanence import PermanenceEngine
from training.datasets.bags.track_targets import RuleConfig
from training.datasets.sample import DatasetError, require_truth
from training.evaluation.permanence.scores import score_bags
from training.evaluation.report import record_of


def evaluate_permanence(
    checkpoint: Path,
    data: str,
    *,
    device: str = 'auto',
) -> dict[str, Any]:
    """Score the permanence network alone, frame by frame and without a tracker.

    Args:
        checkpoint: its folder.
        data: ``bag:DIR``, also a folder of bags or a pattern, with the truth about all objects.
        device: see ``PermanenceEngine``.

    Returns:
        Those of ``score_bags`` and how they were made.

    Raises:
        DatasetError: for other data, or no bag.
        CheckpointError: for an unusable checkpoint.
    """
    if not data.startswith('bag:'):
        raise DatasetError(f'permanence is scored on bag:DIR, not {data!r}')
    engine = PermanenceEngine.load(checkpoint, device=device)
    scores = score_bags(engine, [data.removeprefix('bag:')], RuleConfig())
    require_truth(scores['seen'] + scores['hidden'] > 0, data)
    frames = int(scores.pop('frames'))
    return record_of('permanence', data, scores, frames=frames, checkpoint=str(checkpoint))
