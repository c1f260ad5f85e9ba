"""The verb ``translate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def translate(
    bag: Annotated[Path, typer.Argument(help='Simulated bag.')],
    checkpoint: Annotated[
        Path, typer.Option(help="A translation checkpoint: a spigan run's folder translator.")
    ],
    out: Annotated[Path, typer.Option(help='New bag; must not exist.')],
    device: Annotated[str, typer.Option(help='auto, cpu or cuda.')] = 'auto',
) -> None:
    """Copy a bag with its camera images in another domain's style and all labels as they are."""
    from training.simulation.translate import translate as run

    count = run(bag, checkpoint, out, device)
    typer.echo(f'{out}: {count} images translated')
