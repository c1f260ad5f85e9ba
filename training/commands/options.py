"""Options that several verbs have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Checkpoint = Annotated[Path, typer.Option(help='Checkpoint folder.')]
Json = Annotated[Path | None, typer.Option('--json', help='Write the scores here.')]
Pictures = Annotated[Path | None, typer.Option(help='Write pictures here.')]
Limit = Annotated[int | None, typer.Option(help='At most so many, spread evenly.', min=1)]
SecondOpinion = Annotated[
    Path | None,
    typer.Option(
        help='Checkpoint of depth and classes: a permanence network doubts people where it sees '
        'none.'
    ),
]
FocalRatio = Annotated[
    float | None, typer.Option(help='Focal length / width where it is not known.', min=0.1)
]
_DEVICE = typer.Option(
    help='What networks run on: cpu, cuda, or auto, which is a GPU where there is one.'
)
Device = Annotated[str, _DEVICE]
DeviceOfConfig = Annotated[str | None, _DEVICE]
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
Camera = Annotated[
    str,
    typer.Option(
        '--camera',
        help='Of a recording with several cameras: an image topic, or parts of its name such as '
        'left or front/left.',
    ),
]
Lidar = Annotated[
    str, typer.Option('--lidar', help='Of a recording with several LiDARs: a cloud topic.')
]
SensorsOnly = Annotated[
    bool, typer.Option('--sensors-only', help='Ignore the truth of a simulated recording.')
]
Unsure = Annotated[
    bool, typer.Option('--unsure', help='Use rejected labels, too, that points alone confirm.')
]
ShapeSpace = Annotated[Path, typer.Option('--shape', help='Checkpoint of the shape space.')]
SHAPE_SPACE = Path('models/shape_car')
