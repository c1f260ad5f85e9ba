"""The verb ``evaluate``: scores a checkpoint on any data."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from training.datasets.sample import Sample
from training.evaluation.scoring import evaluate_engine
from training.evaluation.specs import open_spec


def evaluate(
    checkpoint: Path,
    spec: str,
    *,
    json_file: Path | None = None,
    pictures: Path | None = None,
    limit: int | None = None,
    device: str = 'auto',
) -> dict[str, Any]:
    """Score a checkpoint, print a table, and write the scores as JSON.

    Args:
        checkpoint: checkpoint folder of a depth_segmentation network.
        spec: see ``evaluation.specs``.
        json_file: where to write the scores, or None.
        pictures: folder for one PNG per frame, or None.
        limit: greatest number of frames, spread evenly.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        DatasetError, BagError: for unusable data.
        CheckpointError: for an unusable checkpoint.
    """
    data = open_spec(spec, limit)
    engine = DepthSegmentationEngine.load(checkpoint, device=device)

    def progress(frames: Iterable[Sample], total: int) -> Iterator[Sample]:
        yield from track(frames, description=spec, total=total, console=Console(stderr=True))

    scores = evaluate_engine(engine, data, pictures=pictures, track=progress)
    record = {
        'task': 'depth_segmentation',
        'data': spec,
        'frames': len(data),
        'checkpoint': str(checkpoint),
        'command': 'python -m training ' + ' '.join(sys.argv[1:]),
        **scores,
    }
    print_scores(spec, scores)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(record, indent=2) + '\n')
    return record


def print_scores(title: str, scores: dict[str, float]) -> None:
    """Print scores by name."""
    table = Table(title=title)
    table.add_column('score')
    table.add_column('value', justify='right')
    for name, value in scores.items():
        table.add_row(name, f'{value:.4f}')
    Console().print(table)
