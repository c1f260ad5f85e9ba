"""What is not installed is named before work begins, with the line that installs it."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import setuptools

from sim_perception import extras
from sim_perception.suggestions import Parser

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let modules be absent."""

    def hide(*names: str) -> None:
        found = importlib.util.find_spec
        monkeypatch.setattr(
            extras, 'find_spec', lambda name: None if name in names else found(name)
        )

    return hide


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What setup.py hands to setuptools."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, 'setup', lambda **options: found.update(options))
    monkeypatch.chdir(ROOT)
    runpy.run_path('setup.py')
    return found


def test_every_known_module_has_an_extra(given: dict[str, Any]) -> None:
    assert set(extras.HOMES.values()) - {'view'} <= set(given['extras_require'])


def test_extras_by_what_people_do(given: dict[str, Any]) -> None:
    found = given['extras_require']
    assert {'sim', 'train', 'label', 'ros', 'all'} <= set(found)
    for name in ('sim', 'train', 'label', 'ros'):
        assert set(found[name]) <= set(found['all'])
    assert found['autolabel'] == found['label']  # its former name


def test_no_extra_asks_for_a_second_opencv(given: dict[str, Any]) -> None:
    """TrackEval and trackers require opencv-python; they come without what they require."""
    wanted = [one for name in given['extras_require'].values() for one in name]
    names = {one.replace('>', '=').split('=')[0].lower() for one in wanted}
    assert not names & {'opencv-python', 'trackeval', 'trackers', 'supervision'}


def test_missing_modules_are_named_with_their_extras(without: Any) -> None:
    without('onnx', 'onnxscript', 'trackeval')
    with pytest.raises(ImportError) as error:
        extras.require('this', 'numpy', 'onnx', 'onnxscript', 'trackeval')
    assert str(error.value) == (
        "this needs onnx, onnxscript, trackeval; install it with: pip install 'sim-perception"
        "[export]' and pip install --no-deps trackeval==1.3.0"
    )
    extras.require('that', 'numpy')


def test_tracks_are_not_scored_without_trackeval(without: Any) -> None:
    from training.evaluation.tracking.evaluate import evaluate_tracking

    without('trackeval')
    with pytest.raises(ImportError, match='evaluate tracking needs trackeval'):
        evaluate_tracking('kitti_tracking:nowhere', ['car'])


def test_two_opencvs_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {'opencv-python': '5.0', 'opencv-python-headless': '4.14'}
    monkeypatch.setattr(extras, '_version', lambda name: there.get(name, ''))
    assert 'pip uninstall -y opencv-python opencv-python-headless' in extras.two_opencvs()
    del there['opencv-python']
    assert extras.two_opencvs() == ''


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return benchmarks by name; only a checkout has them."""
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: importlib.import_module(f'benchmark.{name}')


def test_a_benchmark_measures_what_it_can(
    benchmark: Any, without: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    without('onnx', 'onnxscript', 'onnxruntime')
    module = benchmark('depth_segmentation')
    monkeypatch.setattr(module, 'SIZES', {'640x192': ((96, 64), 96 * 64)})
    options = argparse.Namespace(checkpoint=None, rounds=1, threads=1, clock='cpu')
    figures = module.run(options)
    assert figures['engine_ms_640x192'] > 0
    assert 'onnxruntime_ms_640x192' not in figures
    assert "pip install 'sim-perception[export]'" in figures['skipped_onnxruntime']


def run_benchmark(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-m', 'benchmark', *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_misspelt_benchmarks_are_told_what_was_meant() -> None:
    found = run_benchmark('trackin')
    assert found.returncode == 2
    assert "unknown benchmark 'trackin'; did you mean 'tracking'" in found.stderr


def test_misspelt_options_of_argparse_too(capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser()
    parser.add_argument('--rounds')
    with pytest.raises(SystemExit):
        parser.parse_args(['--ronds', '3'])
    assert "unknown option '--ronds'; did you mean '--rounds'" in capsys.readouterr().err


def test_every_benchmark_has_examples() -> None:
    for path in (ROOT / 'benchmark').glob('[!_]*.py'):
        assert f'python -m benchmark {path.stem}' in path.read_text(), path.stem


def test_a_benchmark_without_a_package_ends_in_words(tmp_path: Path) -> None:
    (tmp_path / 'sitecustomize.py').write_text(
        "import sys\nsys.modules['lightning_fabric'] = None\n"
    )
    environment = {**os.environ, 'PYTHONPATH': str(tmp_path)}
    command = [sys.executable, '-m', 'benchmark', 'training_loop']
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert found.returncode == 2, found.stderr
    assert "pip install 'sim-perception[train]'" in found.stderr
    assert 'Traceback' not in found.stderr
