"""The verb ``resimulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from training.commands.options import (
    SHAPE_SPACE,
    Camera,
    Device,
    Lidar,
    SensorsOnly,
    ShapeSpace,
    Unsure,
)


def resimulate(
    bag: Annotated[Path, typer.Argument(help='Recording with camera, and LiDAR or truth.')],
    out: Annotated[Path, typer.Option(help='Scenario to write (YAML); data go beside it.')],
    labels: Annotated[
        Path | None,
        typer.Option(help="Folder of the verb label; default: the recording's true objects."),
    ] = None,
    shape: ShapeSpace = SHAPE_SPACE,
    segmentation: Annotated[
        Path, typer.Option(help='Checkpoint of depth, classes and motion.')
    ] = Path('models/depth_segmentation'),
    views: Annotated[
        int, typer.Option(help='At most so many places whose view becomes surroundings.', min=1)
    ] = 6,
    spacing: Annotated[float, typer.Option(help='Way between them, metres.')] = 6.0,
    sensors_only: SensorsOnly = False,
    unsure: Unsure = False,
    device: Device = 'auto',
    camera: Camera = '',
    lidar: Lidar = '',
) -> None:
    """Re-create a recording as a scenario, to simulate it in other weather, light or traffic.

    Examples:
        sim-perception resimulate my_drive --labels labels --out again/drive.yaml
        sim-perception simulate --scenario again/drive.yaml --out fog \
            --set weather.fog_density=0.03
    """
    from training.resimulation.resimulate import ResimulateJob, print_summary
    from training.resimulation.resimulate import resimulate as run

    job = ResimulateJob(
        bag,
        out,
        labels,
        shape,
        segmentation,
        views,
        spacing,
        use_truth=not sensors_only,
        unsure=unsure,
        camera=camera,
        lidar=lidar,
        device=device,
    )
    print_summary(run(job), Console())
