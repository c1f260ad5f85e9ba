"""``evaluate resimulation``."""

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
    SensorsOnly,
    Unsure,
)


def resimulation(
    data: Annotated[Path, typer.Option(help='The recording, a bag.')],
    scenario: Annotated[Path, typer.Option(help='What the verb resimulate made of it.')],
    labels: Annotated[
        Path | None, typer.Option(help='The labels that it was made from; default: the truth.')
    ] = None,
    checkpoint: Checkpoint = Path('models/depth_segmentation'),
    json_file: Json = None,
    limit: Limit = None,
    sensors_only: SensorsOnly = False,
    unsure: Unsure = False,
    device: Device = 'auto',
    camera: Camera = '',
    lidar: Lidar = '',
) -> None:
    """Compare a re-simulation with its recording: boxes in the image, depth.

    Examples:
        sim-perception evaluate resimulation --data my_drive --scenario again/drive.yaml \
            --labels labels
    """
    from sim_perception.bags.sensors import Sensors
    from training.evaluation.report import report
    from training.resimulation.evaluate import evaluate_resimulation

    scores = evaluate_resimulation(
        scenario,
        data,
        labels=labels,
        checkpoint=checkpoint,
        use_truth=not sensors_only,
        unsure=unsure,
        limit=limit,
        sensors=Sensors(camera, lidar),
        device=device,
    )
    report(scores, json_file=json_file)
