"""The verb ``convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from training.commands.options import Camera, Lidar

FORMATS = 'coco, kitti, nuscenes, mot, yolo, datumaro, mcap, bag, meshes'


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            help='Folder that `label` wrote, or a simulated bag with its truth '
            '(--layers rgb,instance,objects,lidar).'
        ),
    ],
    out: Annotated[Path, typer.Option(help='Folder of the data set, new or empty.')],
    to: Annotated[str, typer.Option('--to', help=f'Comma-separated formats: {FORMATS}.')],
    classes: Annotated[
        str, typer.Option(help='Comma-separated classes, such as car,pedestrian; default: all.')
    ] = '',
    min_visibility: Annotated[
        float,
        typer.Option(
            help='Of bags: objects of which less is seen are left out; MOT keeps them, with '
            'their visibility.',
            min=0.0,
            max=1.0,
        ),
    ] = 0.1,
    shape: Annotated[
        Path | None,
        typer.Option(help="Of labels: their shape space, where it isn't where `label` found it."),
    ] = None,
    camera: Camera = '',
    lidar: Lidar = '',
) -> None:
    """Write labels, or the truth of a simulated bag, as data sets that other tools read.

    Examples:
        sim-perception convert labels --to coco,yolo --out labels_coco
        sim-perception convert drive --to mot --classes pedestrian --out drive_mot
    """
    from sim_perception.bags.sensors import Sensors
    from training.labelling.convert import Conversion
    from training.labelling.convert import convert as run

    job = Conversion(
        source,
        out,
        split_names(to),
        split_names(classes),
        Sensors(camera, lidar),
        min_visibility,
        shape,
    )
    frames, labels = run(job, Console(stderr=True))
    Console().print(f'{frames} frames with {labels} labels in {out}: {", ".join(job.formats)}')


def split_names(text: str) -> tuple[str, ...]:
    """Return names separated by commas."""
    return tuple(name.strip() for name in text.split(',') if name.strip())
