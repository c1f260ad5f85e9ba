"""The verb ``train``."""

from __future__ import annotations

from typing import Annotated

import typer


def train(
    task: Annotated[str, typer.Argument(help='Task name, e.g. depth_segmentation.')],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            help='Changes of the config as key=value, e.g. steps=200 data.max_depth=80.'
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(help='YAML file or shipped config name; default: the task name.'),
    ] = None,
    resume: Annotated[
        bool, typer.Option('--resume', help='Go on from the newest state of the output folder.')
    ] = False,
    max_minutes: Annotated[
        float | None, typer.Option(help='Save the state and stop after this time.', min=0)
    ] = None,
) -> None:
    """Train a network. For several processes start it with torchrun.

    The output folder gets states (resumable at any time, also after Ctrl-C), a log, TensorBoard
    events, pictures, and in the end the checkpoint folder. Example:

    python -m training train depth_segmentation --config smoke output=runs/mine steps=50
    """
    from training.tasks.train import train as run

    run(task, config or task, overrides or [], resume=resume, max_minutes=max_minutes)
