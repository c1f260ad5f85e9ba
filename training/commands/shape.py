"""The verb ``shape``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def shape(
    out: Annotated[Path, typer.Option(help='Checkpoint folder to write.')] = Path(
        'models/shape_car'
    ),
    cars: Annotated[int, typer.Option(help='Simulated cars to learn from.', min=1)] = 160,
    held_out: Annotated[int, typer.Option(help='Other cars to score on.', min=1)] = 30,
    components: Annotated[int, typer.Option(help='Numbers that describe a shape.', min=1)] = 5,
    spacing: Annotated[float, typer.Option(help='Of the distance grid, metres.')] = 0.1,
    seed: Annotated[int, typer.Option(help='Of the cars.')] = 0,
    pictures: Annotated[Path | None, typer.Option(help='Folder for pictures.')] = None,
) -> None:
    """Learn the shape space of cars, which labelling needs, from the simulator's cars.

    Examples:
        sim-perception shape --out runs/shape_car --pictures shapes
    """
    from training.tasks.shape_pca.learn import learn_shape

    learn_shape(
        out,
        cars=cars,
        held_out=held_out,
        components=components,
        spacing=spacing,
        seed=seed,
        pictures=pictures,
    )
