"""The methods to train: each a folder whose ``task.py`` has the task of the folder's name."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from sim_perception.suggestions import unknown
from training.engine.config import ConfigError, TrainConfig
from training.engine.task import Task


def task_names() -> list[str]:
    """Return the names of all tasks."""
    return sorted(path.parent.name for path in Path(__file__).parent.glob('*/task.py'))


def task_class(name: str) -> type[Task]:
    """Return the task of a name.

    Raises:
        ConfigError: for an unknown one.
    """
    if name not in task_names():
        raise ConfigError(unknown('task', name, task_names()))
    module = import_module(f'{__name__}.{name}.task')
    kinds = (value for value in vars(module).values() if isinstance(value, type))
    (found,) = (
        kind for kind in kinds if issubclass(kind, Task) and vars(kind).get('name') == name
    )
    return found


def build_task(config: TrainConfig) -> Task:
    """Return the configured task.

    Raises:
        ConfigError: for an unknown task or settings it does not take.
    """
    return task_class(config.task)(config)
