"""``evaluate permanence``."""

from __future__ import annotations

from typing import Annotated

import typer

from training.commands.options import Checkpoint, Device, Json, Record

_DATA = (
    'bag:DIR, also a folder of bags or a pattern; or single frames, kitti_object:DIR or '
    'sim:SCENARIO[:SEEDS].'
)


def permanence(
    data: Annotated[str, typer.Option(help=_DATA)],
    checkpoint: Checkpoint,
    json_file: Json = None,
    device: Device = 'auto',
    record: Record = False,
) -> None:
    """Score what the permanence network sees and recalls, without a tracker.

    Examples:
        sim-perception evaluate permanence --checkpoint models/permanence --data bag:data/streets
    """
    from training.evaluation.permanence.evaluate import evaluate_permanence
    from training.evaluation.report import report

    scores = evaluate_permanence(checkpoint, data, device=device)
    report(scores, json_file=json_file, keep_in=checkpoint if record else None)
