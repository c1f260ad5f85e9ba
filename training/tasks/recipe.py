"""``recipe``: trains one stage after the other, each from the best weights of the one before."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from pydantic import Field

from training.engine.command import VerbError, run_verb
from training.engine.config import (
    CONFIG_FOLDER,
    ConfigError,
    Section,
    load_config,
    load_section,
)
from training.engine.state import newest_step

logger = logging.getLogger('training')

RECIPE_FOLDER = CONFIG_FOLDER / 'recipes'
#: No more than this is lost when the machine stops.
SAVE_MINUTES = 5.0
#: A stage that dies this often without a new saved state is given up.
TRIES = 3


class Stage(Section):
    """One training run of a recipe."""

    name: str
    """Of the run's folder."""
    config: str
    """Shipped config or file."""
    overrides: list[str] = Field(default_factory=list)
    """Changes of the config as ``key=value``. Without ``model.init`` among them a stage starts
    from the best weights of the stage before, the first one as its config says."""


class Recipe(Section):
    """Stages that make a network, in order."""

    about: str = ''
    overrides: list[str] = Field(default_factory=list)
    """Changes for all stages, before the stage's own."""
    stages: list[Stage] = Field(min_length=1)


def load_recipe(name: str) -> Recipe:
    """Read a shipped recipe by name, or a YAML file.

    Raises:
        ConfigError: if there is none, or it is malformed.
    """
    recipe = load_section(Recipe, name, RECIPE_FOLDER)
    names = [stage.name for stage in recipe.stages]
    if len(set(names)) < len(names):
        raise ConfigError(f'{name}: two stages have one name, and would share a folder')
    return recipe


def run_recipe(
    name: str, runs: Path, max_minutes: float | None = None, device: str | None = None
) -> Path | None:
    """Train the stages that are not finished; the same command again goes on where it stopped.

    Args:
        name: shipped recipe or YAML file.
        runs: folder for one run folder per stage.
        max_minutes: stop, resumable, after this time.
        device: in place of the configs' own.

    Returns:
        The last stage's best checkpoint, or None if the time was over before.

    Raises:
        ConfigError: for a bad recipe or config.
        VerbError: if a stage fails again and again without getting on.
    """
    recipe = load_recipe(name)
    end = None if max_minutes is None else time.monotonic() + 60 * max_minutes
    before: Path | None = None
    for stage in recipe.stages:
        folder = runs / stage.name
        changes = [*recipe.overrides, *stage.overrides]
        if before is not None and not any(c.startswith('model.init=') for c in changes):
            changes.append(f'model.init={before}')
        changes += [f'output={folder}', f'checkpoint.every_minutes={SAVE_MINUTES}']
        changes += [] if device is None else [f'device={device}']
        steps = load_config(stage.config, changes).steps
        if newest_step(folder) < steps:
            left = None if end is None else (end - time.monotonic()) / 60
            if left is not None and left <= 0:
                return None
            _train(stage, folder, changes, left)
        if newest_step(folder) < steps:
            logger.info('%s stopped at step %d of %d', stage.name, newest_step(folder), steps)
            return None
        before = best_weights(folder)
    return before


def best_weights(folder: Path) -> Path:
    """Return a run's best checkpoint, or its last one where none was chosen."""
    best = folder / 'best'
    return best if best.is_dir() else folder / 'checkpoint'


def _train(stage: Stage, folder: Path, changes: list[str], minutes: float | None) -> None:
    """Train a stage; start it again when it dies, as long as it gets on."""
    limit = [] if minutes is None else ['--max-minutes', f'{minutes:.2f}']
    task = load_config(stage.config, changes).task
    tries, reached = 0, newest_step(folder)
    while True:
        try:
            run_verb('train', task, '--config', stage.config, '--resume', *limit, *changes)
            return
        except VerbError as error:
            tries = 1 if newest_step(folder) > reached else tries + 1
            reached = newest_step(folder)
            if tries >= TRIES:
                raise
            logger.warning('%s died after step %d and is resumed: %s', stage.name, reached, error)
