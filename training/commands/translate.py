"""The verb ``translate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import Device


def translate(
    bag: Annotated[Path, typer.Argument(help='Simulated bag.')],
    checkpoint: Annotated[
        Path, typer.Option(help="A translation checkpoint: a spigan run's folder translator.")
    ],
    out: Annotated[Path, typer.Option(help='New bag; must not exist.')],
    device: Device = 'auto',
) -> None:
    """Copy a bag with its camera images in another domain's style and all labels as they are.

    Examples:
        sim-perception translate data/train/bag_0 --checkpoint runs/spigan/translator \
            --out translated
    """
    from training.simulation.translate import translate as run

    count = run(bag, checkpoint, out, device)
    typer.echo(f'{out}: {count} images translated')
