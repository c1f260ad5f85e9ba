"""``evaluate permanence``."""

from __future__ import annotations

from typing import Annotated

import typer

from training.commands.options import (
    Checkpoint,
    Device,
    FocalRatio,
    Json,
    Limit,
    Record,
    SecondOpinion,
)

_DATA = (
    'bag:DIR, also a folder of bags or a pattern; or single frames, kitti_object:DIR or '
    'sim:SCENARIO[:SEEDS]; or images without truth, video:FILE or images:DIR, of which it says '
    'how much is found.'
)


def permanence(
    data: Annotated[str, typer.Option(help=_DATA)],
    checkpoint: Checkpoint,
    second_opinion: SecondOpinion = None,
    focal_ratio: FocalRatio = None,
    limit: Limit = None,
    json_file: Json = None,
    device: Device = 'auto',
    record: Record = False,
) -> None:
    """Score what the permanence network sees and recalls, without a tracker.

    Examples:
        sim-perception evaluate permanence --checkpoint models/permanence --data bag:data/streets

        sim-perception evaluate permanence --checkpoint models/permanence \
            --data video:empty_road.mp4 --focal-ratio 0.9
    """
    from training.evaluation.permanence.evaluate import evaluate_permanence
    from training.evaluation.report import report

    scores = evaluate_permanence(
        checkpoint,
        data,
        second_opinion=second_opinion,
        focal_ratio=focal_ratio,
        limit=limit,
        device=device,
    )
    report(scores, json_file=json_file, keep_in=checkpoint if record else None)
