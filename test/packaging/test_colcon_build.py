"""The package builds with colcon into an ament prefix that ros2 run and launch understand."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip('colcon_core', reason='colcon comes with the test extras')
    pytest.importorskip('colcon_ros', reason='colcon-ros comes with the test extras')
    work = tmp_path_factory.mktemp('colcon')
    command = [
        sys.executable, '-m', 'colcon', '--log-base', str(work / 'log'), 'build',
        '--base-paths', str(ROOT), '--packages-select', 'sim_perception',
        '--build-base', str(work / 'build'), '--install-base', str(work / 'install'),
    ]  # fmt: skip
    result = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    return work / 'install' / 'sim_perception'


@pytest.mark.slow
def test_prefix_has_the_index_share_and_executables(prefix: Path) -> None:
    share = prefix / 'share'
    assert (share / 'ament_index/resource_index/packages/sim_perception').is_file()
    for folder in ('launch', 'config', 'models'):
        assert any((share / 'sim_perception' / folder).rglob('*')), f'{folder} is not installed'
    for launch_file in (ROOT / 'launch').glob('*.launch.py'):
        assert (share / 'sim_perception/launch' / launch_file.name).is_file()
    for node in (ROOT / 'scripts').iterdir():
        installed = prefix / 'lib/sim_perception' / node.name
        assert os.access(installed, os.X_OK), f'{installed} is not executable'


@pytest.mark.slow
def test_installed_package_imports_and_finds_its_share_without_the_checkout(prefix: Path) -> None:
    site = next(prefix.glob('lib/python3*/site-packages'))
    code = (
        'import sim_perception, training; from sim_perception.taxonomy import load_taxonomy;'
        'print(sim_perception.__file__, len(load_taxonomy()))'
    )
    environment = {**os.environ, 'PYTHONPATH': str(site), 'AMENT_PREFIX_PATH': str(prefix)}
    result = subprocess.run(
        [sys.executable, '-c', code], cwd=prefix, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert str(site) in result.stdout
    assert result.stdout.split()[-1] == '14'


def test_package_xml_declares_what_the_rim_imports() -> None:
    root = ElementTree.parse(ROOT / 'package.xml').getroot()
    assert root.get('format') == '3'
    assert root.findtext('export/build_type') == 'ament_python'
    declared = {element.text for element in root.iter() if element.tag.endswith('depend')}
    for path in [*(ROOT / 'sim_perception').rglob('*.py'), *(ROOT / 'launch').glob('*.py')]:
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for top in {name.split('.')[0] for name in names}:
                if top.endswith('_msgs') or top in {'rclpy', 'launch', 'launch_ros', 'tf2_ros'}:
                    assert top in declared, f'{path.name} imports {top}, package.xml does not'


def test_versions_agree() -> None:
    version = ElementTree.parse(ROOT / 'package.xml').getroot().findtext('version')
    assert f"version='{version}'" in (ROOT / 'setup.py').read_text()
