"""``evaluate surface_coordinates``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import Checkpoint, Device, Json, Limit, Record


def surface_coordinates(
    data: Annotated[Path, typer.Option(help='Folder of crops, made by the verb crops.')],
    checkpoint: Checkpoint = Path('models/surface_coordinates'),
    json_file: Json = None,
    limit: Limit = None,
    device: Device = 'auto',
    record: Record = False,
) -> None:
    """Score masks, object coordinates, size, distance and heading on crops with truth.

    Examples:
        sim-perception evaluate surface_coordinates --data data/crops/training
    """
    from training.evaluation.report import report
    from training.evaluation.surface_coordinates.evaluate import evaluate_surface_coordinates

    scores = evaluate_surface_coordinates(checkpoint, data, limit=limit or 1000, device=device)
    report(scores, json_file=json_file, keep_in=checkpoint if record else None)
