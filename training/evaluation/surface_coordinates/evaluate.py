"""Scores the coordinates network on crops with truth: ``evaluate surface_coordinates``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from sim_perception.inference.preprocess import PreprocessConfig
from sim_perception.models.checkpoint import load_checkpoint, update_checkpoint
from sim_perception.models.surface_coordinates import SurfaceCoordinatesNet
from training.cards.writer import write_card
from training.datasets.objects.crops import CropFolder
from training.engine.command import command_line
from training.evaluation.surface_coordinates.scores import score_crops


def evaluate_surface_coordinates(
    checkpoint: Path,
    folder: Path,
    *,
    limit: int = 1000,
    json_file: Path | None = None,
    record: bool = False,
) -> dict[str, Any]:
    """Score a network on a folder of crops; see ``score_crops``.

    Args:
        checkpoint: the network.
        folder: made by the verb ``crops``.
        limit: greatest number of crops, spread evenly.
        json_file: where to write the scores, or None.
        record: also keep them in the checkpoint and its card.

    Raises:
        CheckpointError: for an unusable checkpoint.
        DatasetError: if there are no crops.
    """
    loaded = load_checkpoint(checkpoint, network='surface_coordinates')
    net, crops = cast(SurfaceCoordinatesNet, loaded.net), CropFolder([folder])
    scores = score_crops(net, crops, PreprocessConfig.from_dict(loaded.preprocess), limit)
    report: dict[str, Any] = {
        'task': 'surface_coordinates',
        'data': f'crops:{folder}',
        'command': command_line(),
        **scores,
    }
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(report, indent=1) + '\n')
    if record:
        metrics = dict(loaded.metrics)
        metrics['evaluations'] = {**metrics.get('evaluations', {}), report['data']: report}
        update_checkpoint(checkpoint, metrics=metrics, card=write_card(loaded.name, metrics))
    return report
