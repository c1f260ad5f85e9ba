"""What shells are told when a word is to be completed: the shipped names."""

from __future__ import annotations

from pathlib import Path

from sim_perception.resources import share_path

_TRAINING = Path(__file__).parents[1]


def scenarios(incomplete: str) -> list[str]:
    """Return the shipped scenarios that begin with a word."""
    return _files(share_path('config', 'scenarios'), incomplete)


def configs(incomplete: str) -> list[str]:
    """Return the shipped configs of trainings."""
    return _files(_TRAINING / 'configs', incomplete)


def recipes(incomplete: str) -> list[str]:
    """Return the shipped recipes."""
    return _files(_TRAINING / 'configs/recipes', incomplete)


def ablations(incomplete: str) -> list[str]:
    """Return the shipped ablations."""
    return _files(_TRAINING / 'configs/ablations', incomplete)


def tasks(incomplete: str) -> list[str]:
    """Return the tasks that can be trained."""
    found = (path.parent.name for path in (_TRAINING / 'tasks').glob('*/task.py'))
    return sorted(name for name in found if name.startswith(incomplete))


def _files(folder: Path, incomplete: str) -> list[str]:
    return sorted(path.stem for path in folder.glob(f'{incomplete}*.yaml'))
