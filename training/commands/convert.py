"""The verb ``convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from training.commands.options import Camera, Lidar

FORMATS = 'coco, kitti, nuscenes, mot, yolo, datumaro, mcap, bag, meshes'


def convert(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help='Folders that `label` wrote, simulated bags with their truth '
            '(--layers rgb,instance,objects,lidar), or folders of such: one data set of all.'
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
        str,
        typer.Option(
            help="Of labels: their shape spaces, where they aren't where `label` found them."
        ),
    ] = '',
    camera: Camera = '',
    lidar: Lidar = '',
) -> None:
    """Write labels, or the truth of simulated bags, as a data set that other tools read.

    Examples:
        sim-perception convert labels --to coco,yolo --out labels_coco
        sim-perception convert drive --to mot --classes pedestrian --out drive_mot
        sim-perception convert data/drives more_labels --to coco,mcap --out all_of_them
    """
    from sim_perception.bags.sensors import Sensors
    from training.labelling.convert import Conversion
    from training.labelling.convert import convert as run

    job = Conversion(
        tuple(sources),
        out,
        split_names(to),
        split_names(classes),
        Sensors(camera, lidar),
        min_visibility,
        shape,
    )
    done = run(job, Console(stderr=True))
    frames = [frame for recording in done for frame in recording.frames]
    labels = sum(len(frame.accepted) for frame in frames)
    of = f' of {len(done)} recordings' if len(done) > 1 else ''
    text = f'{len(frames)} frames{of} with {labels} labels in {out}: {", ".join(job.formats)}'
    Console().print(text)


def split_names(text: str) -> tuple[str, ...]:
    """Return names separated by commas."""
    return tuple(name.strip() for name in text.split(',') if name.strip())
