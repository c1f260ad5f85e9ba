"""The verb ``train``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from training.commands.complete import configs, tasks
from training.commands.options import DeviceOfConfig


def train(
    task: Annotated[
        str, typer.Argument(help='Task name, e.g. depth_segmentation.', autocompletion=tasks)
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            help='Changes of the config as key=value, e.g. steps=200 data.max_depth=80.'
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            help='YAML file or shipped config name; default: the task name.',
            autocompletion=configs,
        ),
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="Folder of the run, in place of the config's output.")
    ] = None,
    device: DeviceOfConfig = None,
    resume: Annotated[
        bool, typer.Option('--resume', help='Go on from the newest state of the output folder.')
    ] = False,
    max_minutes: Annotated[
        float | None, typer.Option(help='Save the state and stop after this time.', min=0)
    ] = None,
) -> None:
    """Train a network. For several processes start it with torchrun.

    The output folder gets states (resumable at any time, also after Ctrl-C), a log, TensorBoard
    events, pictures, and in the end the checkpoint folder.

    Examples:
        sim-perception train depth_segmentation --config smoke --out runs/mine steps=50
        sim-perception train guda --config guda_pl --device cuda
        sim-perception train depth_segmentation --config runs/mine/config.yaml --resume
    """
    from training.tasks.train import train as run

    given = {'output': out, 'device': device}
    changes = [f'{key}={json.dumps(value)}' for key, value in given.items() if value is not None]
    run(
        task,
        config or task,
        [*(overrides or ()), *changes],
        resume=resume,
        max_minutes=max_minutes,
    )
