"""``evaluate translation``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import Device, Json, Limit


def translation(
    data: Annotated[str, typer.Option(help='Simulated frames: sim:SCENARIO[:SEEDS] or bag:DIR.')],
    checkpoint: Annotated[Path, typer.Option(help="A spigan run's folder translator.")],
    judge: Annotated[
        Path, typer.Option(help='Depth and segmentation checkpoint that looks at the images.')
    ],
    real: Annotated[
        str | None, typer.Option(help='Images to come near to, e.g. camvid:DIR/SPLIT.')
    ] = None,
    json_file: Json = None,
    limit: Limit = None,
    device: Device = 'auto',
) -> None:
    """Score whether translated images still show the scene, and how real they look.

    Examples:
        sim-perception evaluate translation --checkpoint runs/spigan/translator \
            --data sim:clean:0-3 --judge models/depth_segmentation --real camvid:CAMVID/train
    """
    from training.evaluation.report import report
    from training.evaluation.translation.evaluate import evaluate_translation

    scores = evaluate_translation(checkpoint, data, judge, real=real, limit=limit, device=device)
    report(scores, json_file=json_file)
