"""``evaluate autolabel``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import Camera, Device, Json, Lidar, Limit, Pictures, Refine


def autolabel(
    data: Annotated[
        str,
        typer.Option(
            help='sim:SCENARIO[:SEEDS], bag:DIR, kitti_object:DIR or kitti_like:SCENARIO[:SEEDS].'
        ),
    ],
    checkpoint: Annotated[
        Path | None, typer.Option(help='Shape space; default: the shipped one of cars.')
    ] = None,
    mode: Annotated[
        str, typer.Option(help='What labels are made from: lidar, mono or fused.')
    ] = 'lidar',
    json_file: Json = None,
    pictures: Pictures = None,
    limit: Limit = None,
    box_noise: Annotated[
        float, typer.Option(help='Deviation of the image boxes, share of their sides.')
    ] = 0.0,
    coordinates: Annotated[
        Path | None,
        typer.Option(help='Coordinates network of mono and fused; default: the shipped one.'),
    ] = None,
    refine: Refine = 'fit',
    device: Device = 'auto',
    camera: Camera = '',
    lidar: Lidar = '',
) -> None:
    """Score automatic 3D labels against true boxes.

    Examples:
        sim-perception evaluate autolabel --data sim:target:600-619
        sim-perception evaluate autolabel --data kitti_object:KITTI --mode fused \
            --json scores.json
    """
    from sim_perception.autolabel.labeler import COORDINATES
    from training.datasets.spec import choose_sensors
    from training.evaluation.autolabel.evaluate import CHECKPOINT, evaluate_autolabel
    from training.evaluation.report import frames_of, report

    data = choose_sensors(data, camera, lidar)
    scores = evaluate_autolabel(
        data,
        checkpoint=checkpoint or CHECKPOINT,
        mode=mode,
        pictures=pictures,
        limit=limit,
        box_noise=box_noise,
        coordinates=coordinates or COORDINATES,
        refine=refine,
        device=device,
        track=frames_of(data),
    )
    report(scores, json_file=json_file)
