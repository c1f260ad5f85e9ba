"""What can be started has one source, ``sim_perception/nodes``; nothing else disagrees with it."""

from __future__ import annotations

import importlib
import os
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import setuptools

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = 'sim_perception'
NODES = sorted(path.stem for path in (ROOT / PACKAGE / 'nodes').glob('[!_]*.py'))
SCRIPT = '''#!/usr/bin/env python3
"""Start the {name} node; what ros2 run and launch find in lib/sim_perception."""

import sys

from sim_perception.nodes.{name} import main

if __name__ == '__main__':
    sys.exit(main())
'''


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What setup.py hands to setuptools."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, 'setup', lambda **options: given.update(options))
    monkeypatch.chdir(ROOT)
    runpy.run_path('setup.py')
    return given


def test_every_node_has_a_script_for_ros2_run() -> None:
    """Copy another of scripts/ and change the name in it, where one is missing."""
    assert sorted(os.listdir(ROOT / 'scripts')) == NODES
    for name in NODES:
        path = ROOT / 'scripts' / name
        assert path.read_text() == SCRIPT.format(name=name)
        assert os.access(path, os.X_OK), f'chmod +x {path}'


def test_setup_installs_an_entry_point_and_a_script_of_every_node(
    metadata: dict[str, Any],
) -> None:
    points = metadata['entry_points']['console_scripts']
    nodes = [f'{name} = {PACKAGE}.nodes.{name}:main' for name in NODES]
    assert points == ['sim-perception = training.__main__:main', *nodes]
    installed = dict(metadata['data_files'])[f'lib/{PACKAGE}']
    assert installed == [f'scripts/{name}' for name in NODES]


def test_this_environment_can_start_every_node() -> None:
    folder = Path(sys.prefix) / 'lib' / PACKAGE
    if not folder.is_dir():
        pytest.skip('the package is not installed into this environment as make setup does it')
    missing = [name for name in NODES if not os.access(folder / name, os.X_OK)]
    assert not missing, f'{missing} not in {folder}; run make setup'


def test_every_node_has_a_main_a_launch_file_and_a_word_in_the_readme() -> None:
    pytest.importorskip('rclpy', reason='no ROS 2 installed')
    launch_files = {path.name for path in (ROOT / 'launch').iterdir()}
    readme = (ROOT / 'README.md').read_text()
    for name in NODES:
        assert callable(importlib.import_module(f'{PACKAGE}.nodes.{name}').main)
        assert f'{name}.launch.py' in launch_files
        assert name in readme, f'README does not mention {name}'
