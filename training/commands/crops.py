"""The verb ``crops``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.commands.complete import scenarios
from training.commands.options import SHAPE_SPACE, ShapeSpace


def crops(
    out: Annotated[Path, typer.Option(help='Folder of the data set; a second run goes on.')],
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            help='Shipped scenario name or YAML file; may be given repeatedly.',
            autocompletion=scenarios,
        ),
    ] = None,
    seeds: Annotated[str, typer.Option(help='Of each scenario, such as 0-99.')] = '0-9',
    frames: Annotated[int, typer.Option(help='Of each scene.', min=1)] = 8,
    labels: Annotated[
        list[Path] | None,
        typer.Option(help='Folder of the verb label: its accepted labels; may be repeated.'),
    ] = None,
    shape: ShapeSpace = SHAPE_SPACE,
    max_range: Annotated[float, typer.Option(help='Metres from the camera.', min=1)] = 60.0,
    workers: Annotated[int, typer.Option(help='Processes.', min=1)] = 1,
) -> None:
    """Cut out cars with masks, object coordinates, pose and shape, to train on. Resumable.

    Examples:
        sim-perception crops --scenario training --seeds 0-59 --out data/crops/training
        sim-perception crops --labels labels --out data/crops/mine
    """
    from training.labelling.crops import CropJob
    from training.labelling.crops import crops as run

    job = CropJob(
        out=str(out),
        scenarios=tuple(scenario or ()),
        seeds=seeds,
        frames=frames,
        labels=tuple(str(folder) for folder in labels or ()),
        shape=str(shape),
        max_range=max_range,
    )
    counts = run(job, workers=workers)
    typer.echo(f'{out}: {counts["crops"]} crops more, {counts["files"]} files')
