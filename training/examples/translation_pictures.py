"""``python -m training.examples.translation_pictures``: what translators make of simulated images.

One line per image: as simulated, then as each checkpoint translates it:

    python -m training.examples.translation_pictures --data sim:target:500-503 --every 8 \
        --checkpoint runs/a/translator --checkpoint runs/b/translator --out grid.jpg
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from sim_perception.visualization import caption, grid, write_picture
from training.commands.script import run_script
from training.evaluation.specs import open_spec
from training.simulation.translate import Translator


def main(
    data: Annotated[str, typer.Option(help='SPEC of images, as for evaluate.')],
    checkpoint: Annotated[list[Path], typer.Option(help='Folder of a translator; repeat it.')],
    out: Annotated[Path, typer.Option(help='Picture to write.')],
    every: Annotated[int, typer.Option(help='Take each so many-th image.', min=1)] = 8,
    rows: Annotated[int, typer.Option(help='Number of images.', min=1)] = 5,
    width: Annotated[int, typer.Option(help='Of each image, pixels.', min=32)] = 416,
) -> None:
    """Show simulated images beside their translations."""
    translators = [(folder.parent.name, Translator(folder)) for folder in checkpoint]
    panels = []
    for number, sample in enumerate(open_spec(data)):
        if number % every:
            continue
        images = [('simulated', sample.image)]
        images += [(name, translator(sample.image)) for name, translator in translators]
        size = (width, round(width * sample.image.shape[0] / sample.image.shape[1]))
        for name, image in images:
            small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
            panels.append(caption(small, name))
        if len(panels) >= rows * len(images):
            break
    out.parent.mkdir(parents=True, exist_ok=True)
    write_picture(out, grid(panels, 1 + len(translators)))
    typer.echo(f'{out}: {len(panels)} images')


if __name__ == '__main__':
    run_script(main)
