"""The verb ``recipe``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.commands.complete import recipes
from training.commands.options import DeviceOfConfig


def recipe(
    name: Annotated[
        str,
        typer.Argument(help='Shipped recipe, e.g. depth, or a YAML file.', autocompletion=recipes),
    ],
    out: Annotated[Path, typer.Option(help='Folder of the run folders.')] = Path('runs/recipe'),
    max_minutes: Annotated[
        float | None, typer.Option(help='Save and stop after this time.', min=0)
    ] = None,
    device: DeviceOfConfig = None,
) -> None:
    """Train the stages of a recipe, one after the other. The same command again goes on.

    Every stage starts from the best weights of the one before. What is finished is not done
    again, a stage that dies is resumed, and at most five minutes are lost when the machine stops.

    Examples:
        sim-perception recipe depth_segmentation
        sim-perception recipe my_recipe.yaml --out runs/mine --max-minutes 60
    """
    from training.tasks.recipe import run_recipe

    found = run_recipe(name, out, max_minutes, device)
    typer.echo(f'checkpoint: {found}' if found else 'not finished; the same command goes on')
