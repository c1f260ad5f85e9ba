"""The verb ``evaluate`` of the command line: one command per kind of network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)

Checkpoint = Annotated[Path, typer.Option(help='Checkpoint folder.')]
Json = Annotated[Path | None, typer.Option('--json', help='Write the scores here.')]
Pictures = Annotated[Path | None, typer.Option(help='Write pictures here.')]
Limit = Annotated[int | None, typer.Option(help='At most so many, spread evenly.', min=1)]
Device = Annotated[str, typer.Option(help='auto, cpu or cuda.')]
Record = Annotated[
    bool, typer.Option('--record', help="Keep the scores in the checkpoint's card, too.")
]
Refine = Annotated[
    str,
    typer.Option(
        help='How shapes are fitted: fit, sdflabel (lidar and fused) or photometric (mono); the '
        'last two render and take seconds per object.'
    ),
]


@app.callback()
def evaluate() -> None:
    """Score a checkpoint, or what is built on it, on simulated or real data."""


@app.command('depth_segmentation')
def depth_segmentation(
    data: Annotated[
        str,
        typer.Option(
            help='sim:SCENARIO[:SEEDS], bag:DIR, camvid:DIR/SPLIT or kitti_stereo:DIR[#FRAMES].'
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
    record: Record = False,
    beside: Annotated[
        Path | None,
        typer.Option(help='With --record: a checkpoint whose kept scores the card shows as well.'),
    ] = None,
) -> None:
    """Score depth, classes and their confidence, beside naive priors."""
    from training.evaluation.evaluate import evaluate_depth_segmentation as run

    run(
        checkpoint,
        data,
        json_file=json_file,
        pictures=pictures,
        limit=limit,
        device=device,
        record=record,
        beside=beside,
        crop=crop,
        prior=prior,
    )


@app.command('translation')
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
    """Score whether translated images still show the scene, and how real they look."""
    from training.evaluation.evaluate import evaluate_translation as run

    run(checkpoint, data, judge, real=real, json_file=json_file, limit=limit, device=device)


@app.command('visual_odometry')
def visual_odometry(
    data: Annotated[str, typer.Option(help='sim:SCENARIO[:SEEDS] or kitti_stereo:DIR[#FRAMES].')],
    checkpoint: Checkpoint,
    json_file: Json = None,
    limit: Limit = None,
    device: Device = 'auto',
    record: Record = False,
) -> None:
    """Score the camera's motion from frame to frame against true poses."""
    from training.evaluation.evaluate import evaluate_visual_odometry as run

    run(checkpoint, data, json_file=json_file, limit=limit, device=device, record=record)


@app.command()
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
) -> None:
    """Score the tracker by TrackEval, and by what becomes of hidden objects."""
    from training.evaluation.evaluate import evaluate_tracking as run

    run(
        data,
        classes.split(','),
        source=source,
        checkpoint=checkpoint,
        device=device,
        detector=detector,
        gap=gap,
        json_file=json_file,
        results=results,
        video=video,
        pictures=pictures,
    )


@app.command()
def permanence(
    data: Annotated[str, typer.Option(help='bag:DIR, also a folder of bags or a pattern.')],
    checkpoint: Checkpoint,
    json_file: Json = None,
    device: Device = 'auto',
    record: Record = False,
) -> None:
    """Score what the permanence network sees and recalls, without a tracker."""
    from training.evaluation.evaluate import evaluate_permanence as run

    run(checkpoint, data, json_file=json_file, device=device, record=record)


@app.command('detector3d')
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
) -> None:
    """Score a 3D detector by average precision in plan view and in space."""
    from training.evaluation.detector3d.evaluate import evaluate_detector as run

    run(
        checkpoint,
        data,
        points=points,
        blind=blind,
        json_file=json_file,
        limit=limit,
        device=device,
        record=record,
    )


@app.command('surface_coordinates')
def surface_coordinates(
    data: Annotated[Path, typer.Option(help='Folder of crops, made by the verb crops.')],
    checkpoint: Checkpoint = Path('models/surface_coordinates'),
    json_file: Json = None,
    limit: Limit = None,
    record: Record = False,
) -> None:
    """Score masks, object coordinates, size, distance and heading on crops with truth."""
    from training.evaluation.evaluate import print_scores
    from training.evaluation.surface_coordinates.surface_coordinates import (
        evaluate_surface_coordinates as run,
    )

    report = run(checkpoint, data, limit=limit or 1000, json_file=json_file, record=record)
    print_scores(str(data), {k: v for k, v in report.items() if isinstance(v, float)})


@app.command()
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
) -> None:
    """Score automatic 3D labels against true boxes."""
    from training.evaluation.autolabel.evaluate import evaluate_labels as run

    run(
        data,
        checkpoint=checkpoint,
        mode=mode,
        json_file=json_file,
        pictures=pictures,
        limit=limit,
        box_noise=box_noise,
        coordinates=coordinates,
        refine=refine,
    )


@app.command()
def resimulation(
    data: Annotated[Path, typer.Argument(help='The recording, a bag.')],
    scenario: Annotated[Path, typer.Option(help='What the verb resimulate made of it.')],
    labels: Annotated[
        Path | None, typer.Option(help='The labels that it was made from; default: the truth.')
    ] = None,
    checkpoint: Checkpoint = Path('models/depth_segmentation'),
    json_file: Json = None,
    limit: Limit = None,
    sensors_only: Annotated[
        bool, typer.Option('--sensors-only', help='Ignore the truth of a simulated recording.')
    ] = False,
    unsure: Annotated[
        bool,
        typer.Option('--unsure', help='Use rejected labels, too, that points alone confirm.'),
    ] = False,
) -> None:
    """Compare a re-simulation with its recording: boxes in the image, depth."""
    from training.resimulation.evaluate import evaluate_resimulation as run

    run(
        scenario,
        data,
        labels=labels,
        checkpoint=checkpoint,
        use_truth=not sensors_only,
        unsure=unsure,
        limit=limit,
        json_file=json_file,
    )


@app.command('shape')
def shape(
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(help='Shape space, may be given repeatedly; default: the shipped ones.'),
    ] = None,
    data: Annotated[str, typer.Option(help='Cars of the simulator: cars:SEED.')] = 'cars:1',
    json_file: Json = None,
    pictures: Pictures = None,
    limit: Annotated[int, typer.Option(help='How many cars.', min=1)] = 30,
    record: Record = False,
) -> None:
    """Score how well shape spaces give back cars that they have not seen."""
    from training.evaluation.shape.evaluate import evaluate_shape as run

    run(checkpoint, data, json_file=json_file, pictures=pictures, limit=limit, record=record)
