"""The verb ``demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sim_perception.viewer.sdk import rerun_sdk
from training.commands.complete import scenarios
from training.commands.options import Device


def demo(
    out: Annotated[Path, typer.Option(help='Folder for pictures, video, bag and figures.')] = Path(
        'demo_output'
    ),
    scenario: Annotated[
        str, typer.Option(help='Shipped scenario name or YAML file.', autocompletion=scenarios)
    ] = 'demo',
    seed: Annotated[int, typer.Option(help='Seed of the scenario.')] = 0,
    seconds: Annotated[float, typer.Option(help='Simulated time to run.', min=1)] = 20.0,
    device: Device = 'auto',
    opened: Annotated[
        bool, typer.Option('--open', help='Show the recording in the viewer at the end.')
    ] = False,
) -> None:
    """Run the live pipeline on the simulator; leave pictures, a video, a bag and figures.

    Examples:
        sim-perception demo
        sim-perception demo --scenario training_city --seconds 40 --out city
        sim-perception demo --open
    """
    from training.demo.demo import demo as run
    from training.viewing.view import View, look

    if opened:
        rerun_sdk()  # said before any work if it is missing
    run(out, scenario=scenario, seed=seed, seconds=seconds, device=device)
    if opened:
        look(View(out / 'bag'), Console())
