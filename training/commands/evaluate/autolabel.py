"""``evaluate autolabel``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import Json, Limit, Pictures, Refine


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
    from training.evaluation.calibrate import evaluate_labels as run

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
