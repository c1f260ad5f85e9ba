"""The verb ``shape``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def shape(
    out: Annotated[Path, typer.Option(help='Checkpoint folder to write.')] = Path(
        'models/shape_car'
    ),
    category: Annotated[
        str, typer.Option(help='What to learn: car, truck, pedestrian or cyclist.')
    ] = 'car',
    cars: Annotated[int, typer.Option(help='Simulated objects to learn from.', min=1)] = 160,
    held_out: Annotated[int, typer.Option(help='Other ones to score on.', min=1)] = 30,
    components: Annotated[int, typer.Option(help='Numbers that describe a shape.', min=1)] = 5,
    spacing: Annotated[
        float | None, typer.Option(help='Of the distance grid, metres; default: by category.')
    ] = None,
    seed: Annotated[int, typer.Option(help='Of the objects.')] = 0,
    pictures: Annotated[Path | None, typer.Option(help='Folder for pictures.')] = None,
) -> None:
    """Learn a shape space, which labelling needs, from the simulator's objects.

    Examples:
        sim-perception shape --out runs/shape_car --pictures shapes
        sim-perception shape --category cyclist --components 4 --out runs/shape_cyclist
    """
    from training.tasks.shape_pca.learn import learn_shape

    learn_shape(
        out,
        category=category,
        cars=cars,
        held_out=held_out,
        components=components,
        spacing=spacing,
        seed=seed,
        pictures=pictures,
    )
