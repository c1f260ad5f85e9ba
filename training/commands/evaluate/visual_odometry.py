"""``evaluate visual_odometry``."""

from __future__ import annotations

from typing import Annotated

import typer

from training.commands.options import Checkpoint, Device, Json, Limit, Record


def visual_odometry(
    data: Annotated[
        str,
        typer.Option(
            help='sim:SCENARIO[:SEEDS] or kitti_stereo:DIR; #0-9 behind it takes those frames.'
        ),
    ],
    checkpoint: Checkpoint,
    method: Annotated[
        str,
        typer.Option(
            help="geometric: tracked points, length by the road; learned: the network's head; "
            'fused: both.'
        ),
    ] = 'geometric',
    camera_height: Annotated[
        float | None,
        typer.Option(
            help="Of the camera above the road, metres: fixes the scale. Default: the data's own "
            'where they say it; 0 goes by predicted depth.',
            min=0,
        ),
    ] = None,
    json_file: Json = None,
    limit: Limit = None,
    device: Device = 'auto',
    record: Record = False,
) -> None:
    """Score the camera's motion from frame to frame against true poses.

    Examples:
        sim-perception evaluate visual_odometry --checkpoint models/depth_segmentation \
            --data sim:target:0-3
        sim-perception evaluate visual_odometry --checkpoint models/depth_segmentation \
            --data kitti_stereo:KITTI#28-39 --method fused
    """
    from training.evaluation.report import report
    from training.evaluation.visual_odometry.evaluate import evaluate_visual_odometry

    scores = evaluate_visual_odometry(
        checkpoint, data, method=method, camera_height=camera_height, limit=limit, device=device
    )
    report(scores, json_file=json_file, keep_in=checkpoint if record else None)
