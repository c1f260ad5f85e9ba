"""The verb ``sizes``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from training.commands.complete import scenarios


def sizes(
    scenario: Annotated[
        str, typer.Argument(help='Name of a scenario, or its file.', autocompletion=scenarios)
    ],
    population: Annotated[
        list[str] | None,
        typer.Option(help="Cars of a region in place of the scenario's; may come several times."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help='Scenes.')] = 5,
    seed: Annotated[int, typer.Option(min=0, help='Of the first scene.')] = 0,
    kitti: Annotated[
        Path | None, typer.Option(help='KITTI object folder whose labels are measured too.')
    ] = None,
    write: Annotated[
        Path | None, typer.Option(help='Page whose tables of sizes and content are made anew.')
    ] = None,
) -> None:
    """Print how large a scenario's objects are, beside published sizes and those of labels.

    Examples:
        sim-perception sizes training_narrow --population european --population american
        sim-perception sizes training_narrow --kitti my_labels
    """
    from rich.progress import track

    from training.inspection.sizes import (
        content_markdown,
        kitti_sizes,
        scenario_sizes,
        size_markdown,
        size_rows,
        size_table,
        with_tables,
    )

    seeds, shown = range(seed, seed + count), Console(stderr=True)
    measured = {
        ', '.join(filter(None, (scenario, name))): scenario_sizes(
            scenario, track(seeds, f'scenes {name}', console=shown), name
        )
        for name in population or ['']
    }
    if kitti is not None:
        measured[f'labels of {kitti.name}'] = kitti_sizes(kitti)
    rows = size_rows(measured)
    console = Console()
    console.print(size_table(rows))
    if write is not None:
        tables = {'sizes': size_markdown(rows), 'content': content_markdown()}
        write.write_text(with_tables(write.read_text(), tables))
        console.print(f'wrote {write}')
