"""``evaluate detector3d``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import Camera, Checkpoint, Device, Json, Lidar, Limit, Record


def detector3d(
    data: Annotated[str, typer.Option(help='sim:SCENARIO[:SEEDS], bag:DIR or kitti_object:DIR.')],
    checkpoint: Checkpoint = Path('models/detector3d'),
    points: Annotated[
        str,
        typer.Option(
            help="What it sees: 'lidar', 'depth' (predicted), or 'trained', what it learnt from."
        ),
    ] = 'trained',
    blind: Annotated[
        bool, typer.Option('--blind', help='Show it no image, where it can do without.')
    ] = False,
    json_file: Json = None,
    limit: Limit = None,
    device: Device = 'auto',
    record: Record = False,
    camera: Camera = '',
    lidar: Lidar = '',
) -> None:
    """Score a 3D detector by average precision in plan view and in space.

    Examples:
        sim-perception evaluate detector3d --data sim:target:600-604
        sim-perception evaluate detector3d --data kitti_object:KITTI \
            --checkpoint runs/mine/checkpoint
    """
    from training.datasets.spec import choose_sensors
    from training.evaluation.detector3d.evaluate import evaluate_detector3d
    from training.evaluation.report import report

    data = choose_sensors(data, camera, lidar)
    scores = evaluate_detector3d(
        checkpoint, data, points=points, blind=blind, limit=limit, device=device
    )
    report(scores, json_file=json_file, keep_in=checkpoint if record else None)
