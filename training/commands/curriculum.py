"""The verb ``curriculum``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import Device, Json


def curriculum(
    bags: Annotated[
        list[str],
        typer.Argument(
            help='Recordings to label: bags or folders; DIR,camera=NAME,lidar=NAME chooses.'
        ),
    ],
    checkpoint: Annotated[Path, typer.Option(help='Coordinates network to begin with.')],
    crops: Annotated[
        list[str], typer.Option(help='Folder of simulated crops to keep; may be repeated.')
    ],
    out: Annotated[Path, typer.Option(help='Folder of the rounds; a second run goes on.')],
    mode: Annotated[str, typer.Option(help='How bags are labelled: mono or fused.')] = 'fused',
    rounds: Annotated[int, typer.Option(help='How often.', min=1)] = 2,
    steps: Annotated[int, typer.Option(help='Of training per round.', min=1)] = 300,
    validation: Annotated[str, typer.Option(help='Folder of crops with truth.')] = '',
    data: Annotated[
        str, typer.Option(help='SPEC of evaluate autolabel that mono labels are scored on.')
    ] = '',
    limit: Annotated[int | None, typer.Option(help='At most so many of its frames.')] = None,
    control: Annotated[
        bool, typer.Option('--control', help='Train as long without labels, too, to compare.')
    ] = False,
    device: Device = 'auto',
    json_file: Json = None,
) -> None:
    """Label recordings of another domain, learn from what is accepted, and again.

    Each round's scores go into one table: the rounds of SDFLabel's curriculum.

    Examples:
        sim-perception curriculum data/drives --checkpoint models/surface_coordinates \
            --crops data/crops/training --out curriculum --json curriculum.json
    """
    from training.labelling.curriculum import CurriculumJob
    from training.labelling.curriculum import curriculum as run

    job = CurriculumJob(
        start=str(checkpoint),
        bags=tuple(bags),
        crops=tuple(crops),
        out=str(out),
        mode=mode,
        rounds=rounds,
        steps=steps,
        validation=validation,
        data=data,
        limit=limit,
        control=control,
        device=device,
    )
    run(job, json_file=json_file)
