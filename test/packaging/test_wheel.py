"""The wheel and the source distribution hold all that the installed package needs.

They are built and installed without a network: the build's requirements and all dependencies are
those of this environment, which the new one sees.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKED = ('models', 'config', 'launch')
# Without the checkout: a shipped checkpoint, a scenario, a launch file, configs of trainings.
PROBE = """
import sim_perception, training
from sim_perception.models.checkpoint import load_checkpoint
from sim_perception.resources import share_path
from sim_perception.simulator.scenario import load_scenario
from training.engine.config import load_config
loaded = load_checkpoint(share_path('models', 'shape_car'))
print(loaded.name, load_scenario('demo').name, load_config('smoke').task)
print(share_path('launch', 'pipeline.launch.py'), sim_perception.__file__, training.__file__)
"""


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Run a command that must succeed, without this checkout on its path; return its output."""
    inherited = {k: v for k, v in os.environ.items() if k not in ('PYTHONPATH', 'VIRTUAL_ENV')}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=300,
        env={**inherited, 'PIP_NO_INDEX': '1', 'AMENT_PREFIX_PATH': '', **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope='module')
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git knows of this checkout, elsewhere: building leaves folders behind."""
    folder = tmp_path_factory.mktemp('source') / 'sim_perception'
    listed = subprocess.run(
        ['git', 'ls-files', '-co', '--exclude-standard', '-z'],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    if listed.returncode != 0:
        pytest.skip('this is no git checkout')
    for name in filter(None, listed.stdout.split('\0')):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(ROOT / name, folder / name) if _same_disk(folder) else (
                folder / name
            ).write_bytes((ROOT / name).read_bytes())
    return folder


def _same_disk(folder: Path) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    return folder.stat().st_dev == ROOT.stat().st_dev


@pytest.fixture(scope='module')
def archives(source: Path) -> tuple[Path, Path]:
    """The wheel, built from the unpacked source distribution, and the latter."""
    hook = 'from setuptools import build_meta; build_meta.build_{}({!r})'
    dist = source.parent / 'dist'
    run(sys.executable, '-c', hook.format('sdist', str(dist)), cwd=source)
    (packed,) = dist.glob('*.tar.gz')
    with tarfile.open(packed) as archive:
        archive.extractall(source.parent / 'unpacked')
    (unpacked,) = (source.parent / 'unpacked').iterdir()
    run(sys.executable, '-c', hook.format('wheel', str(dist)), cwd=unpacked)
    (wheel,) = dist.glob('*.whl')
    return wheel, packed


def shipped() -> set[str]:
    """Return the files that an installed package looks for below its share."""
    return {
        str(path.relative_to(ROOT))
        for folder in PACKED
        for path in (ROOT / folder).rglob('*')
        if path.is_file() and '__pycache__' not in path.parts
    }


@pytest.mark.slow
def test_archives_hold_models_configuration_and_launch_files(archives: tuple[Path, Path]) -> None:
    wheel, packed = archives
    inside = zipfile.ZipFile(wheel).namelist()
    share = next(name for name in inside if name.endswith('share/sim_perception/package.xml'))
    prefix = share.removesuffix('package.xml')
    assert {name.removeprefix(prefix) for name in inside if name.startswith(prefix)} >= shipped()
    for needed in ('training/configs/smoke.yaml', 'sim_perception/compiled_forms.json'):
        assert needed in inside
    with tarfile.open(packed) as archive:
        names = {name.partition('/')[2] for name in archive.getnames()}
    assert names >= shipped() | {'LICENSE', 'README.md', 'package.xml', 'pyproject.toml'}


@pytest.mark.slow
def test_an_installed_wheel_runs_without_the_checkout(
    archives: tuple[Path, Path], tmp_path: Path
) -> None:
    place = tmp_path / 'clean'
    venv.create(place, with_pip=False, symlinks=True)
    site = Path(sysconfig.get_path('purelib', 'venv', {'base': str(place)}))
    run(
        sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--prefix', place,
        '--ignore-installed', archives[0], cwd=tmp_path,
    )  # fmt: skip
    # What it requires is here already; a path file would see this checkout's editable install too.
    beside = [path for path in sys.path if path.endswith('site-packages')]
    (site / 'beside.pth').write_text('\n'.join(beside) + '\n')
    python = place / 'bin/python'
    told = run(python, '-P' if sys.version_info >= (3, 11) else '-I', '-c', PROBE, cwd=tmp_path)
    assert told.splitlines()[0] == 'shape_pca demo depth_segmentation'
    assert told.splitlines()[1].count(str(place)) == 3
    shown = run(place / 'bin/sim-perception', '--help', cwd=tmp_path)
    assert 'simulate' in shown
    assert 'Label' in shown
