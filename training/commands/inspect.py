"""The verb ``inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from training.commands.options import Camera, Lidar


def inspect(
    source: Annotated[
        str,
        typer.Argument(
            help='A path, or bag:DIR, video:FILE, images:DIR, camvid:DIR/SPLIT or '
            'kitti_stereo:DIR; with #0-27 at the end only those frames of each sequence.'
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help='The picture; default: the name of the source with .png.')
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help='Rows of the picture.')] = 6,
    verify: Annotated[bool, typer.Option(help='Read every message of a bag.')] = False,
    focal_ratio: Annotated[
        float | None, typer.Option(help='Focal length / image width, if not calibrated.')
    ] = None,
    calibration: Annotated[
        str,
        typer.Option(
            help="File of the camera, if the source has none: camera_info YAML, or kalibr's "
            'camchain.yaml#cam0.'
        ),
    ] = '',
    speed: Annotated[
        float | None, typer.Option(help='Constant speed in m/s, if not recorded.')
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help='Images per second of a folder of images.')
    ] = None,
    gap: Annotated[float, typer.Option(help='Seconds between the frames of a clip.')] = 0.1,
    camera: Camera = '',
    lidar: Lidar = '',
) -> None:
    """Print what a source holds and is usable for, and draw a sheet of its frames.

    Examples:
        sim-perception inspect my_drive
        sim-perception inspect my_drive.mp4 --focal-ratio 0.9 --out my_drive.png
        sim-perception inspect bag:my_drive --camera front --verify
    """
    from sim_perception.visualization import write_picture
    from training.datasets.sources import KINDS, SourceConfig, guess_spec
    from training.datasets.spec import choose_sensors
    from training.engine.config import validated
    from training.inspection.inspect import inspect as run

    console = Console()
    given = {
        'focal_ratio': focal_ratio,
        'calibration': calibration,
        'speed': speed,
        'rate': rate,
        'gap_s': gap,
    }
    spec = choose_sensors(guess_spec(source), camera, lidar)
    config = validated(SourceConfig, {'spec': spec, **given}, 'the options')
    sheet = run(config, frames, verify, console)
    out = out or Path(f'{Path(KINDS.find(config.spec)[1].path).stem}.png')
    out.parent.mkdir(parents=True, exist_ok=True)
    write_picture(out, sheet)
    console.print(f'wrote {out}')
