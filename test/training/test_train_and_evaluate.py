"""Simulate, train, resume and evaluate with a tiny network; and what the commands refuse."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from sim_perception.models.checkpoint import load_checkpoint
from training.commands import cli
from training.datasets.sample import DatasetError
from training.datasets.simulated.rendered import parse_seeds
from training.engine.config import ConfigError, load_config
from training.engine.state import list_states, load_state
from training.evaluation.depth_segmentation.evaluate import (
    evaluate_depth_segmentation as evaluate,
)
from training.evaluation.report import report
from training.evaluation.specs import open_spec
from training.tasks.train import train

SCENARIO = """
domain: clean
duration_s: 1.0
camera: {width: 160, height: 96, horizontal_fov_deg: [60, 90]}
lidar: null
street: {building_density: 0.2, furniture_density: 0.1}
traffic: {vehicles_per_km: 20, pedestrians_per_km: 10, cyclists_per_km: 0}
"""


def run(*arguments: str):
    return CliRunner().invoke(cli.app, list(arguments))


def error_of(monkeypatch, capsys, *arguments: str) -> str:
    monkeypatch.setattr('sys.argv', ['training', *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code != 0
    captured = capsys.readouterr()
    return ' '.join((captured.err + captured.out).split())


@pytest.fixture(scope='module')
def scenario(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('scenario') / 'tiny.yaml'
    path.write_text(SCENARIO)
    return path


@pytest.fixture(scope='module')
def bag(scenario) -> Path:
    out = scenario.with_name('bag')
    result = run(
        *('simulate', '--scenario', str(scenario), '--out', str(out), '--frame-rate', '4'),
        *('--layers', 'rgb,depth,semantic', '--workers', '1'),
    )
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope='module')
def checkpoint(bag) -> Path:
    return train('depth_segmentation', 'smoke', overrides(bag, bag.with_name('run')))


def overrides(bag: Path, output: Path) -> list[str]:
    return [f'data.bags=["{bag}"]', f'output={output}', 'steps=4', 'device=cpu']


def test_training_resumes_bit_for_bit_with_the_real_network(bag, checkpoint, tmp_path):
    changes = overrides(bag, tmp_path / 'parts')
    train('depth_segmentation', 'smoke', changes, max_minutes=0)
    assert list_states(tmp_path / 'parts')[-1].name == 'step_00000001'
    train('depth_segmentation', 'smoke', changes, resume=True)
    straight = load_state(list_states(checkpoint.parent)[-1])
    parts = load_state(list_states(tmp_path / 'parts')[-1])
    assert straight['step'] == parts['step'] == 4
    for part in ('model', 'ema'):
        assert straight[part].keys() == parts[part].keys()
        for name, value in straight[part].items():
            assert torch.equal(value, parts[part][name]), name
    with pytest.raises(ConfigError, match='other settings of: steps'):
        train('depth_segmentation', 'smoke', [*changes, 'steps=6'], resume=True)


def test_the_run_folder_says_how_it_was_made(checkpoint):
    run_folder = checkpoint.parent
    assert 'loss' in (run_folder / 'train.log').read_text()
    assert list(run_folder.glob('pictures/prediction_*.png'))
    assert list(run_folder.glob('tensorboard/events*'))
    again = load_config(run_folder / 'config.yaml')
    assert again.model['depth_channels'] == [16, 16]
    loaded = load_checkpoint(checkpoint)
    assert loaded.metrics['training']['step'] == 4
    assert loaded.metrics['training']['config']['task'] == 'depth_segmentation'
    card = (checkpoint / 'README.md').read_text()
    assert 'no label of any real image' in card.replace('\n', ' ')
    settings = yaml.safe_load(card.split('```yaml')[1].split('```')[0])
    assert settings['task'] == 'depth_segmentation'


def test_a_run_can_start_from_a_checkpoint(bag, checkpoint, tmp_path):
    changes = [*overrides(bag, tmp_path / 'next'), f'model.init={checkpoint}']
    folder = train(
        'depth_segmentation', 'smoke', [*changes, 'steps=1', 'optimizer.learning_rate=1.0e-12']
    )
    before, after = load_checkpoint(checkpoint).net, load_checkpoint(folder).net
    for name, value in before.state_dict().items():
        torch.testing.assert_close(after.state_dict()[name], value, rtol=0, atol=2e-3)
    card = (folder / 'README.md').read_text()
    assert 'Run 1 of 2: 4 steps' in card
    assert 'Run 2 of 2: 1 steps' in card
    with pytest.raises(ConfigError, match=r'model\.init'):
        train('depth_segmentation', 'smoke', [*changes, f'model.init={tmp_path}'])


def test_evaluation_on_simulated_data(scenario, bag, checkpoint, tmp_path):
    for spec in (f'sim:{scenario}:0', f'bag:{bag}'):
        scores = evaluate(checkpoint, spec, pictures=tmp_path / 'pictures', limit=2)
        report(scores, json_file=tmp_path / 'scores.json', keep_in=checkpoint)
        assert json.loads((tmp_path / 'scores.json').read_text()) == scores
        assert scores['frames'] == 2
        assert {'abs_rel', 'rmse', 'delta1', 'abs_rel_median_scaled', 'miou'} <= scores.keys()
        assert 0 < scores['oracle_abs_rel'] <= scores['oracle_constant_abs_rel']
        assert 0 <= scores['iou_road'] <= 1
        assert f'| `{spec}` | 2 |' in (checkpoint / 'README.md').read_text()
        kept = load_checkpoint(checkpoint).metrics['evaluations'][spec]
        assert kept['abs_rel'] == scores['abs_rel']
    assert len(list((tmp_path / 'pictures').glob('*.png'))) == 4


def test_evaluation_on_camvid_like_folders(checkpoint, tmp_path):
    images, labels = tmp_path / 'val', tmp_path / 'valannot'
    images.mkdir()
    labels.mkdir()
    rng = np.random.default_rng(0)
    for i in range(2):
        cv2.imwrite(str(images / f'{i}.png'), rng.integers(0, 255, (64, 96, 3), dtype=np.uint8))
        truth = np.full((64, 96), 11, np.uint8)
        truth[:32] = 3
        cv2.imwrite(str(labels / f'{i}.png'), truth)
    scores = evaluate(checkpoint, f'camvid:{images}')
    assert {key for key in scores if key.startswith('iou_')} == {'iou_road'}
    assert scores['miou'] == scores['iou_road']
    assert 'abs_rel' not in scores
    (labels / '1.png').unlink()
    with pytest.raises(DatasetError, match='no labels'):
        evaluate(checkpoint, f'camvid:{images}')


def test_evaluation_on_stereo_pairs(checkpoint, tmp_path):
    sequence = tmp_path / '00'
    texture = np.random.default_rng(1).integers(0, 255, (96, 300), dtype=np.uint8)
    texture = cv2.GaussianBlur(texture, (0, 0), 1.2)
    for side, shift in (('left', 0), ('right', 20)):
        (sequence / side).mkdir(parents=True)
        cv2.imwrite(str(sequence / side / '000000.png'), texture[:, 20 + shift : 260 + shift])
    focal, baseline = 200.0, 0.5
    rows = [f'P{k}: {focal} 0 120 {-focal * baseline * k} 0 {focal} 48 0 0 0 1 0' for k in (0, 1)]
    (sequence / 'calib.txt').write_text('\n'.join(rows) + '\n')
    (sample,) = open_spec(f'kitti_stereo:{tmp_path}')
    assert np.nanmedian(sample.depth) == pytest.approx(focal * baseline / 20, rel=0.01)
    scores = evaluate(checkpoint, f'kitti_stereo:{tmp_path}')
    assert scores['oracle_constant_abs_rel'] < 0.05
    assert 'miou' not in scores


def test_seeds_and_specs():
    assert parse_seeds('7') == [7]
    assert parse_seeds('0-2,9') == [0, 1, 2, 9]
    for text in ('', 'a', '3-1', '1-'):
        with pytest.raises(DatasetError, match='seeds'):
            parse_seeds(text)
    for spec, complaint in (
        ('nothing', 'none of'),
        ('oxen:field', 'is none of: sim:SCENARIO'),
        ('sim:no_such_scenario', 'no_such_scenario'),
        ('camvid:/no/such/folder', 'not a folder'),
        ('kitti_stereo:/no/such/folder', 'no KITTI stereo'),
    ):
        with pytest.raises(DatasetError, match=complaint):
            open_spec(spec)


def test_commands_refuse_bad_input_in_one_message(monkeypatch, capsys, tmp_path):
    def refused(*arguments: str) -> str:
        return error_of(monkeypatch, capsys, *arguments)

    assert 'unknown key' in refused('train', 'depth_segmentation', 'nonsense=1')
    told = refused('train', 'depth_segmentation', '--config', 'no_such')
    assert 'known: ' in told
    assert 'or give a YAML file' in told
    assert 'is for task' in refused('train', 'cooking', '--config', 'smoke')
    assert 'key=value' in refused('train', 'depth_segmentation', 'steps')
    message = refused('train', 'depth_segmentation', f'data.bags=["{tmp_path}"]')
    assert 'no bag at' in message
    late = ('train', 'depth_segmentation', f'output={tmp_path / "late"}')
    message = refused(*late, 'validation.data={road: "bag:nowhere"}')
    assert 'there is no bag at nowhere' in message
    evaluation = ('evaluate', 'depth_segmentation', '--checkpoint', str(tmp_path), '--data')
    assert 'MANIFEST' in refused(*evaluation, 'sim:clean:0')
    assert 'none of' in refused(*evaluation, 'what')
    assert 'no_such' in refused('simulate', '--scenario', 'no_such', '--out', str(tmp_path / 'x'))


def test_every_kind_of_evaluation_has_its_own_options():
    for task, own in (('depth_segmentation', '--crop'), ('tracking', '--gap')):
        output = run('evaluate', task, '--help').output
        assert own in output
        others = {'--crop', '--gap', '--box-noise'} - {own}
        assert not any(option in output for option in others)
    result = run('evaluate', 'cooking')
    assert result.exit_code == 2
    assert "unknown verb 'cooking'" in result.output


def test_help_names_every_verb():
    output = run('--help').output
    for verb in ('simulate', 'inspect', 'train', 'evaluate', 'export'):
        assert verb in output
        assert run(verb, '--help').exit_code == 0


@pytest.mark.real_data
@pytest.mark.parametrize(
    ('spec', 'key'),
    [
        ('bag:../shared/data/kitti_drive', 'abs_rel'),
        ('kitti_stereo:../shared/data/kitti_stereo', 'abs_rel'),
        ('camvid:../shared/data/camvid/val', 'miou'),
    ],
)
def test_evaluation_reads_the_real_data(checkpoint, spec, key):
    if not Path('../shared/data').is_dir():
        pytest.skip('the development data ../shared/data is absent')
    assert evaluate(checkpoint, spec, limit=2)[key] >= 0


def test_a_failed_row_of_a_table_names_its_command(monkeypatch, capsys, tmp_path):
    table = tmp_path / 'table.yaml'
    row = '{name: a, config: smoke, overrides: ["data.bags=[nowhere]"]}'
    table.write_text(f'title: Nothing\nrows: [{row}]\n')
    said = error_of(monkeypatch, capsys, 'ablate', str(table), '--out', str(tmp_path / 'runs'))
    assert 'failed:' in said
    assert 'training train depth_segmentation --config smoke' in said
    assert 'foresaw' not in said
