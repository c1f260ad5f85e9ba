"""The command line: every verb is there, and none makes the others wait for what it imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from training.commands import cli, evaluate
from training.engine.config import CONFIG_FOLDER, ConfigError, load_config
from training.tasks import task_class, task_names

FOLDER = Path(cli.__file__).parent


def test_help_imports_neither_torch_nor_the_simulator() -> None:
    code = (
        'import sys, training.commands.cli\n'
        'heavy = {"torch", "numba", "scipy", "rclpy"} & set(sys.modules)\n'
        'sys.exit(", ".join(heavy) or 0)'
    )
    found = subprocess.run(
        [sys.executable, '-c', code], cwd=FOLDER.parents[1], capture_output=True, text=True
    )
    assert (found.returncode, found.stderr) == (0, '')


@pytest.mark.parametrize(
    ('app', 'folder', 'beside'),
    [(cli.app, FOLDER, {'cli', 'options'}), (evaluate.app, FOLDER / 'evaluate', set())],
)
def test_every_file_is_a_verb_with_help(app, folder: Path, beside: set[str]) -> None:
    files = {path.stem for path in folder.iterdir() if path.suffix == '.py'} - {'__init__'}
    folders = {path.parent.name for path in folder.glob('*/__init__.py')}
    verbs = get_command(app).commands
    assert set(verbs) == (files | folders) - beside
    for verb in verbs:
        result = CliRunner().invoke(app, [verb, '--help'])
        assert result.exit_code == 0
        assert verbs[verb].help


def test_every_method_has_its_task_and_every_config_a_task() -> None:
    assert {name: task_class(name).name for name in task_names()} == {
        name: name for name in task_names()
    }
    configs = {load_config(path.stem).task for path in CONFIG_FOLDER.glob('*.yaml')}
    assert configs == set(task_names())
    with pytest.raises(ConfigError, match=r'unknown task .*known: depth_segmentation, detector3d'):
        task_class('shape_pca')
