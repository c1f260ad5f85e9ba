"""The package builds with colcon into an ament prefix that ros2 run and launch understand."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
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
def test_executables_run_on_the_python_that_has_built_them(prefix: Path) -> None:
    """docs/install.md builds in a virtual environment beside the distribution's own Python."""
    site = next(prefix.glob('lib/python3*/site-packages'))
    environment = {
        **os.environ, 'PYTHONPATH': str(site), 'AMENT_PREFIX_PATH': str(prefix),
        'PATH': f'{Path(sys.executable).parent}:/usr/bin:/bin',
    }  # fmt: skip
    for node in sorted((ROOT / 'scripts').iterdir()):
        program = prefix / 'lib/sim_perception' / node.name
        first = program.read_text().splitlines()[0]
        assert first in (f'#!{sys.executable}', '#!/usr/bin/env python3')
    result = subprocess.run(
        [program, '--help'], cwd=prefix, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


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
        for top in imported(path):
            if top.endswith('_msgs') or top in {'rclpy', 'launch', 'launch_ros', 'tf2_ros'}:
                assert top in declared, f'{path.name} imports {top}, package.xml does not'


def imported(path: Path, *, at_once: bool = False) -> set[str]:
    """Return the top-level names that a file imports, or only those when it is imported itself."""
    names: set[str] = set()
    tree = ast.parse(path.read_text())
    for node in tree.body if at_once else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.split('.')[0] for name in names}


def test_versions_agree() -> None:
    version = ElementTree.parse(ROOT / 'package.xml').getroot().findtext('version')
    assert f"version='{version}'" in (ROOT / 'setup.py').read_text()


def test_requirements_beside_a_distribution_are_those_of_setup_py() -> None:
    """If not: python requirements/distro.py > requirements/distro.txt."""
    script = ROOT / 'requirements/distro.py'
    printed = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert (ROOT / 'requirements/distro.txt').read_text() == printed.stdout
    assert 'requirements/distro.txt' in (ROOT / 'docs/install.md').read_text()


def test_everything_imported_comes_from_the_requirements_or_the_distribution() -> None:
    pip = {
        re.split('[<>=]', line)[0].replace('_', '-').lower()
        for line in (ROOT / 'requirements/distro.txt').read_text().splitlines()
        if not line.startswith('#')
    }
    keys = {
        element.text
        for element in ElementTree.parse(ROOT / 'package.xml').getroot()
        if element.tag == 'exec_depend'
    }
    pip |= {'llvmlite'}  # comes with numba
    owners = packages_distributions()
    for path in [*(ROOT / 'sim_perception').rglob('*.py'), *(ROOT / 'training').rglob('*.py')]:
        outside = imported(path, at_once=True) - set(sys.stdlib_module_names)
        for name in outside - {'sim_perception', 'training'}:
            owner = {one.replace('_', '-').lower() for one in owners.get(name, [])}
            known = name in keys or owner & pip
            assert known, f'{path.relative_to(ROOT)} imports {name}: {owner or "nobody"} has it'
