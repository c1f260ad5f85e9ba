"""``evaluate flicker``."""

from __future__ import annotations

from typing import Annotated

import typer

from training.commands.options import Checkpoint, Device, FocalRatio, Json, Limit, Record


def flicker(
    data: Annotated[str, typer.Option(help='bag:DIR, video:FILE, images:DIR, kitti_stereo:DIR.')],
    checkpoint: Checkpoint,
    rate: Annotated[
        float | None, typer.Option(help='Images per second of an image folder.', min=0.1)
    ] = None,
    focal_ratio: FocalRatio = None,
    json_file: Json = None,
    limit: Limit = None,
    device: Device = 'auto',
    record: Record = False,
) -> None:
    """Score how depth trembles from frame to frame of a video; no truth is needed.

    Examples:
        sim-perception evaluate flicker --checkpoint models/depth_segmentation \
            --data video:my_drive.mp4
    """
    from training.datasets.sources import SourceConfig
    from training.engine.config import validated
    from training.evaluation.depth_segmentation.flicker import evaluate_flicker
    from training.evaluation.report import report

    given = {'spec': data, 'rate': rate, 'focal_ratio': focal_ratio}
    source = validated(SourceConfig, given, 'the options')
    scores = evaluate_flicker(checkpoint, source, limit=limit, device=device)
    report(scores, json_file=json_file, keep_in=checkpoint if record else None)
