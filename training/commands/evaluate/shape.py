"""``evaluate shape``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import Json, Pictures, Record


def shape(
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(help='Shape space, may be given repeatedly; default: the shipped ones.'),
    ] = None,
    data: Annotated[str, typer.Option(help='Cars of the simulator: cars:SEED.')] = 'cars:1',
    json_file: Json = None,
    pictures: Pictures = None,
    limit: Annotated[int, typer.Option(help='How many cars.', min=1)] = 30,
    record: Record = False,
) -> None:
    """Score how well shape spaces give back cars that they have not seen.

    Examples:
        sim-perception evaluate shape --pictures shapes
        sim-perception evaluate shape --checkpoint runs/shape_car --limit 10 --json shapes.json
    """
    from sim_perception.files import write_json
    from training.evaluation.shape.evaluate import evaluate_shape, keep_scores, print_shapes

    scores = evaluate_shape(checkpoint, data, pictures=pictures, limit=limit)
    print_shapes(scores)
    if json_file is not None:
        write_json(json_file, scores)
    for folder in map(Path, scores['shapes'] if record else ()):
        keep_scores(folder, scores)
