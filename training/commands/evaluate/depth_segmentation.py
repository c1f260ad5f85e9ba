"""``evaluate depth_segmentation``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import (
    Camera,
    Checkpoint,
    Device,
    Json,
    Lidar,
    Limit,
    Pictures,
    Record,
)


def depth_segmentation(
    data: Annotated[
        str,
        typer.Option(
            help='sim:SCENARIO[:SEEDS], camvid:DIR/SPLIT, bag:DIR, kitti_stereo:DIR or '
            'kitti_object:DIR; #0-9 behind the last three takes only those frames.'
        ),
    ],
    checkpoint: Checkpoint,
    json_file: Json = None,
    pictures: Pictures = None,
    limit: Limit = None,
    device: Device = 'auto',
    crop: Annotated[
        float,
        typer.Option(help='Show the network only this share of width and height: another camera.'),
    ] = 1.0,
    prior: Annotated[
        str | None,
        typer.Option(
            help='Data of the same camera, such as what the network trained on: the score of '
            'always answering with its mean depth image is printed as static_abs_rel.'
        ),
    ] = None,
    camera_height: Annotated[
        float | None,
        typer.Option(
            help='Of the camera above the road, metres: scales depth by the road.', min=0.1
        ),
    ] = None,
    record: Record = False,
    beside: Annotated[
        Path | None,
        typer.Option(help='With --record: a checkpoint whose kept scores the card shows as well.'),
    ] = None,
    camera: Camera = '',
    lidar: Lidar = '',
) -> None:
    """Score depth, classes and their confidence, beside naive priors.

    Examples:
        sim-perception evaluate depth_segmentation --checkpoint models/depth_segmentation \
            --data bag:my_drive
        sim-perception evaluate depth_segmentation --checkpoint runs/mine/best \
            --data sim:target:0-3 --json scores.json --pictures pictures
    """
    from training.datasets.spec import choose_sensors
    from training.evaluation.depth_segmentation.evaluate import evaluate_depth_segmentation
    from training.evaluation.report import report

    data = choose_sensors(data, camera, lidar)
    scores = evaluate_depth_segmentation(
        checkpoint,
        data,
        pictures=pictures,
        limit=limit,
        device=device,
        crop=crop,
        prior=prior,
        camera_height=camera_height,
    )
    report(scores, json_file=json_file, keep_in=checkpoint if record else None, beside=beside)
