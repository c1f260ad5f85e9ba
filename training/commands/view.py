"""The verb ``view``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def view(
    bag: Annotated[Path, typer.Argument(help='Recording: a folder, .mcap or .db3.')],
    labels: Annotated[
        Path | None, typer.Option(help='Folder that `label` has written of this recording.')
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help='Write a .rrd file, which `rerun FILE` opens.')
    ] = None,
    web: Annotated[
        bool,
        typer.Option('--web', help='A page on this machine, also where a window could be opened.'),
    ] = False,
    port: Annotated[int, typer.Option(help='Of the page.', min=1, max=65535)] = 9090,
    start: Annotated[
        float, typer.Option(help='Seconds to skip after the first image or scan.', min=0)
    ] = 0.0,
    duration: Annotated[
        float | None, typer.Option(help='Seconds to show; default: to the end.', min=0)
    ] = None,
    points: Annotated[
        int, typer.Option(help='Points of a cloud to show; of more, every n-th.', min=1)
    ] = 30_000,
) -> None:
    """Look into a recording: camera, depth, classes, points, boxes, tracks, labels, diagnostics.

    In a window of rerun where there is a display, else on a page of a web server that is for this
    machine alone (from another one: `ssh -L`, see docs/viewer.md); Ctrl-C ends the page.

    Examples:
        sim-perception view demo_output/bag
        sim-perception view my_drive --labels labels --start 10 --duration 20
        sim-perception view my_drive --out my_drive.rrd
    """
    from training.viewing.view import View, look

    show = 'web' if web else 'auto'
    look(View(bag, labels, out, show, port, start, duration, points), Console())
