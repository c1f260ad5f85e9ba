"""The verb ``demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.commands.complete import scenarios


def demo(
    out: Annotated[Path, typer.Option(help='Folder for pictures, video, bag and figures.')] = Path(
        'demo_output'
    ),
    scenario: Annotated[
        str, typer.Option(help='Shipped scenario name or YAML file.', autocompletion=scenarios)
    ] = 'demo',
    seed: Annotated[int, typer.Option(help='Seed of the scenario.')] = 0,
    seconds: Annotated[float, typer.Option(help='Simulated time to run.', min=1)] = 20.0,
) -> None:
    """Run the live pipeline on the simulator; leave pictures, a video, a bag and figures.

    Examples:
        sim-perception demo
        sim-perception demo --scenario training_city --seconds 40 --out city
    """
    from training.demo.demo import demo as run

    run(out, scenario=scenario, seed=seed, seconds=seconds)
