"""The verb ``train``: config in, checkpoint folder out."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from rich.logging import RichHandler

from sim_perception.files import mapping, read_json
from sim_perception.locks import locked
from training.engine.command import command_line
from training.engine.config import ConfigError, TrainConfig, load_config
from training.engine.loop import fit
from training.engine.stopping import StopRequest
from training.tasks import build_task


def train(
    task: str,
    config: str,
    overrides: Sequence[str] = (),
    *,
    resume: bool = False,
    max_minutes: float | None = None,
) -> Path:
    """Train a task; return its checkpoint folder.

    Args:
        task: task name; must be the config's own.
        config: shipped name or file.
        overrides: ``key=value`` changes of the config.
        resume: go on from the newest saved state of the output folder.
        max_minutes: stop, resumable, after this time.

    Raises:
        ConfigError: for a bad config.
        StateError: if the output folder cannot be used or resumed.
        BusyError: if another training writes into it.
        KeyboardInterrupt: after Ctrl-C, once the state is saved.
    """
    logger = logging.getLogger('training')
    if not logger.handlers and int(os.environ.get('RANK', '0')) == 0:
        logger.addHandler(RichHandler(show_path=False, rich_tracebacks=True))
    logger.setLevel(logging.INFO)
    settings = load_config(config, overrides)
    if settings.task != task:
        raise ConfigError(f'config {config!r} is for task {settings.task!r}, not {task!r}')
    first = int(os.environ.get('RANK', '0')) == 0
    stop = StopRequest(max_minutes)
    with locked(settings.output) if first else nullcontext():
        if resume:
            check_same_run(settings)
        folder = fit(
            settings,
            build_task(settings),
            resume=resume,
            stop=stop,
            command=command_line(),
        )
    logger.info('checkpoint: %s', folder)
    if stop.interrupted:
        raise KeyboardInterrupt
    return folder


# What may change between the parts of a run without changing its samples or steps.
FREE_KEYS = {'output', 'notes', 'workers', 'checkpoint', 'log', 'validation', 'device'}


def check_same_run(config: TrainConfig) -> None:
    """Refuse to resume a run under settings that would make it another run.

    Raises:
        ConfigError: naming the settings that differ.
    """
    from training.engine.state import list_states

    states = list_states(config.output)
    if not states:
        return
    state = states[-1] / 'state.json'
    saved = mapping(read_json(state), state).get('config', {})
    now = config.model_dump(mode='json')
    changed = [key for key in now if key not in FREE_KEYS and saved.get(key) != now[key]]
    if changed:
        raise ConfigError(
            f'{config.output} was started with other settings of: {", ".join(changed)}; '
            f'use its own config ({config.output / "config.yaml"}) or another output=FOLDER'
        )
