"""The verb ``average``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def average(
    first: Annotated[Path, typer.Argument(help='Checkpoint that the second was trained from.')],
    second: Annotated[Path, typer.Argument(help='Checkpoint folder.')],
    out: Annotated[Path, typer.Option(help='Checkpoint folder to write.')],
    share: Annotated[float, typer.Option(help="The second's share.", min=0, max=1)] = 0.5,
) -> None:
    """Average the weights of a network before and after a training.

    What the training gained is half kept, what it forgot is half restored; often the mean is
    better than both. Calibrate and evaluate it afterwards.

    Examples:
        sim-perception average models/depth_segmentation runs/mine/best --out mean
    """
    from training.engine.averaging import average_checkpoints

    average_checkpoints(first, second, out, share)
    typer.echo(f'{out}: {1 - share:g} of {first} and {share:g} of {second}')
