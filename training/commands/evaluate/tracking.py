"""``evaluate tracking``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import Camera, Device, Json, Pictures, SecondOpinion


def tracking(
    data: Annotated[
        str,
        typer.Option(
            help='kitti_tracking:DIR or mot:DIR (detections), bag:DIR or '
            'sim:SCENARIO[:SEEDS[:SECONDS]] (images).'
        ),
    ],
    checkpoint: Annotated[
        Path | None, typer.Option(help="Folder of --source network's checkpoint.")
    ] = None,
    second_opinion: SecondOpinion = None,
    source: Annotated[
        str,
        typer.Option(
            help="detections, those that come with the data; network, the checkpoint's, of "
            "images; or oracle, true visible objects with a camera's errors."
        ),
    ] = 'detections',
    detector: Annotated[
        str, typer.Option(help='Of kitti_tracking: pointrcnn (3D boxes) or rrc (image boxes).')
    ] = 'pointrcnn',
    odometry: Annotated[
        str | None,
        typer.Option(
            help="Of kitti_tracking: folder of the camera's poses, such as orbslam3; left out, "
            'the tracker estimates how the camera moves.'
        ),
    ] = None,
    classes: Annotated[
        str, typer.Option(help='Comma-separated, such as car and pedestrian.')
    ] = 'car,pedestrian',
    gap: Annotated[
        int,
        typer.Option(
            help='Take all detections of every object away for so many frames once.', min=0
        ),
    ] = 0,
    json_file: Json = None,
    results: Annotated[
        Path | None, typer.Option(help="Folder for result files in the benchmark's own format.")
    ] = None,
    video: Annotated[Path | None, typer.Option(help='Draw tracks in images as an MP4.')] = None,
    pictures: Pictures = None,
    device: Device = 'auto',
    camera: Camera = '',
) -> None:
    """Score the tracker by TrackEval, and by what becomes of hidden objects.

    Examples:
        sim-perception evaluate tracking --data kitti_tracking:KITTI
        sim-perception evaluate tracking --data sim:training_occlusion:5 --source network \
            --checkpoint models/permanence --video tracks.mp4
    """
    from training.datasets.spec import choose_sensors
    from training.evaluation.report import report
    from training.evaluation.tracking.evaluate import evaluate_tracking

    data = choose_sensors(data, camera)
    scores = evaluate_tracking(
        data,
        classes.split(','),
        source=source,
        checkpoint=checkpoint,
        second_opinion=second_opinion,
        device=device,
        detector=detector,
        odometry=odometry,
        gap=gap,
        results=results,
        video=video,
        pictures=pictures,
    )
    report(scores, json_file=json_file)
