"""The verb ``ablate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.commands.complete import ablations
from training.commands.options import DeviceOfConfig


def ablate(
    name: Annotated[
        str,
        typer.Argument(
            help='Shipped ablation, e.g. guda, or a YAML file.', autocompletion=ablations
        ),
    ],
    out: Annotated[Path, typer.Option(help='Folder of the run folders.')] = Path('runs/ablation'),
    table: Annotated[
        Path | None, typer.Option(help='Markdown file for the table; JSON goes beside it.')
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help='Only this row; may be given repeatedly.')
    ] = None,
    device: DeviceOfConfig = None,
) -> None:
    """Train and score the rows of a comparison, and write its table. Resumable.

    Examples:
        sim-perception ablate guda --table ablation_guda.md
        sim-perception ablate simulator --only clean --out runs/ablation
    """
    from training.evaluation.ablation import ablate as run

    run(name, out, table, only, device)
