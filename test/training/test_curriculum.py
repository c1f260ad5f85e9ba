"""The curriculum: what a round does, its table, what is not made twice."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sim_perception.bags.sensors import Sensors
from training.labelling import curriculum as module
from training.labelling.curriculum import LABEL_KEYS, CurriculumJob, curriculum


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, Any]]:
    """Replace the verbs that a round is made of; return what was asked of them."""
    made: list[tuple[str, Any]] = []

    def label(job: Any) -> dict[str, int]:
        made.append(('label', job))
        return {'labels': 10, 'accepted': 4}

    def train(task: str, config: str, overrides: list[str], resume: bool) -> None:
        made.append(('train', overrides))
        output = next(o for o in overrides if o.startswith('output=')).removeprefix('output=')
        (Path(output) / 'checkpoint').mkdir(parents=True)

    def evaluate(data: str, **options: Any) -> dict[str, float]:
        made.append(('evaluate', options))
        return dict.fromkeys(LABEL_KEYS, 0.5) | {'median_yaw_deg': float('nan')}

    monkeypatch.setattr(module, 'label', label)
    monkeypatch.setattr(module, 'crops', lambda job: made.append(('crops', job)))
    monkeypatch.setattr(module, 'train', train)
    monkeypatch.setattr(module, 'evaluate_autolabel', evaluate)
    monkeypatch.setattr(module, 'CropFolder', lambda folders: range(len(folders)))
    found = [(tmp_path / name, Sensors()) for name in 'ab']
    monkeypatch.setattr(module, 'expand_each', lambda bags: found)
    return made


def job(tmp_path: Path, **changes: Any) -> CurriculumJob:
    return CurriculumJob(
        start='start', bags=('bags',), crops=('simulated',), out=str(tmp_path / 'out'),
        data='sim:target:1', **changes,
    )  # fmt: skip


def test_every_round_learns_from_what_the_last_one_labelled(
    calls: list[tuple[str, Any]], tmp_path: Path
) -> None:
    report = curriculum(
        job(tmp_path), json_file=tmp_path / 'table.json', console=Console(quiet=True)
    )
    assert [row['round'] for row in report['rounds']] == [0, 1, 2]
    assert report['rounds'][1]['accepted'] == 8
    assert report['rounds'][2]['learnt_from'] == 2
    networks = [asked.coordinates for name, asked in calls if name == 'label']
    first = str(tmp_path / 'out/round_1/run/checkpoint')
    assert networks == ['start', 'start', first, first]
    overrides = [asked for name, asked in calls if name == 'train']
    assert 'model.init="start"' in overrides[0]
    assert f'model.init={json.dumps(first)}' in overrides[1]
    assert any(f'{tmp_path}/out/round_2/crops' in line for line in overrides[1])
    # No NaN in JSON.
    written = json.loads((tmp_path / 'table.json').read_text())
    assert written['rounds'][0]['labels']['median_yaw_deg'] is None


def test_the_control_trains_as_long_without_labels(
    calls: list[tuple[str, Any]], tmp_path: Path
) -> None:
    console = Console(record=True, width=100, file=io.StringIO())
    report = curriculum(job(tmp_path, control=True), console=console)
    runs = [asked for name, asked in calls if name == 'train']
    labelled, control = runs[::2], runs[1::2]
    assert [asked[1] for asked in control] == [asked[1] for asked in labelled]  # the steps
    assert all('data.crops=["simulated"]' in asked for asked in control)
    # Each goes on from its own kind.
    assert f'model.init={json.dumps(f"{tmp_path}/out/round_1/control/checkpoint")}' in control[1]
    assert f'model.init={json.dumps(f"{tmp_path}/out/round_1/run/checkpoint")}' in labelled[1]
    assert report['rounds'][1]['control']['learnt_from'] == 1
    assert 'control' not in report['rounds'][0]
    assert '2, no labels' in console.export_text()
    scored = [asked['coordinates'] for name, asked in calls if name == 'evaluate']
    assert len(set(map(str, scored))) == 5


def test_a_round_that_is_trained_is_not_trained_again(
    calls: list[tuple[str, Any]], tmp_path: Path
) -> None:
    quiet = Console(quiet=True)
    curriculum(job(tmp_path, rounds=1), console=quiet)
    curriculum(job(tmp_path, rounds=1), console=quiet)
    assert sum(name == 'train' for name, _ in calls) == 1


@pytest.mark.parametrize('changes', [{'mode': 'lidar'}, {'rounds': 0}, {'steps': 0}])
def test_bad_jobs_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match='must be'):
        job(tmp_path, **changes)
