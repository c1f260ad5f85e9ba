"""Scenarios, configs, tables, labels and benchmark files that are wrong: one line, exit status 2.

Every case goes through the command line's ``main``, in this process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from simulated_bags import write_pictures

from sim_perception.autolabel.records import RecordError, from_json, read_frame
from sim_perception.files import (
    FileError,
    natural_key,
    parse_yaml,
    read_json,
    read_yaml,
    safe_name,
)
from training.commands import cli

SECONDS = 10.0
assert torch  # imported here, not within a case's time
Refused = Callable[..., str]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a verb that must end with exit status 2 and one message, which is returned."""

    def run(*arguments: object) -> str:
        monkeypatch.setattr(sys, 'argv', ['training', *map(str, arguments)])
        start = time.process_time()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert time.process_time() - start < SECONDS
        told = capsys.readouterr().err
        assert stop.value.code == 2, told
        assert told.count('error:') == 1
        assert 'Traceback' not in told
        return told.partition('error:')[2].strip()

    return run


DEEP = 'street: ' + '[' * 5000 + ']' * 5000
DEEP_BLOCK = '\n'.join(' ' * n + 'a:' for n in range(300))
BOMB = 'a0: &a0 [1,1,1,1,1,1,1,1,1]\n' + ''.join(
    f'a{i}: &a{i} [{",".join([f"*a{i - 1}"] * 9)}]\n' for i in range(1, 12)
)
BROKEN: dict[str, bytes] = {
    'latin_1': 'name: Straße\n'.encode('latin-1'),
    'utf_16': 'name: a\n'.encode('utf-16'),
    'utf_16_be': 'name: a\n'.encode('utf-16-be'),
    'utf_32': 'name: a\n'.encode('utf-32'),
    'zero_bytes': bytes(64),
    'noise': bytes(range(128, 256)),
    'control': b'name: \x07\n',
    'deep': DEEP.encode(),
    'deep_block': DEEP_BLOCK.encode(),
    'unclosed': b'a: [1, 2',
    'open_brackets': b'[' * 100_000,
    'tabs': b'a:\n\t- b',
    'repeated': b'name: a\nseed: 1\nname: b\n',
    'repeated_inside': b'camera: {width: 64, width: 65}\n',
    'bomb': BOMB.encode(),
    'self': b'a: &a [*a]',
    'unknown_alias': b'a: *b',
    'python': b'a: !!python/object/apply:os.system ["true"]',
    'date': b'a: 2020-99-99',
    'long_number': b'a: ' + b'9' * 5000,
    'list_key': b'? [1, 2]\n: 3',
    'list': b'[1, 2]',
    'text': b'no mapping',
    'number': b'3',
}


@pytest.mark.parametrize('name', BROKEN)
def test_scenarios_that_are_no_yaml(name: str, refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / 'bad.yaml'
    path.write_bytes(BROKEN[name])
    message = refused('simulate', '--scenario', path, '--out', tmp_path / 'out')
    assert str(path) in message
    assert os.listdir(tmp_path) == ['bad.yaml']


@pytest.mark.parametrize('name', BROKEN)
def test_configs_that_are_no_yaml(name: str, refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / 'bad.yaml'
    path.write_bytes(BROKEN[name])
    assert str(path) in refused('train', 'depth_segmentation', '--config', path)


@pytest.mark.parametrize('name', ['latin_1', 'deep', 'bomb', 'repeated', 'list', 'python'])
def test_ablations_that_are_no_yaml(name: str, refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / 'bad.yaml'
    path.write_bytes(BROKEN[name])
    assert str(path) in refused('ablate', path, '--runs', tmp_path / 'runs')


WRONG_SCENARIOS = {
    'unknown': ('nonsense: 1', 'nonsense'),
    'type': ('camera: 3', 'camera'),
    'text_number': ('duration_s: long', 'duration_s'),
    'nan': ('duration_s: .nan', 'duration_s'),
    'inf': ('duration_s: .inf', 'duration_s'),
    'negative': ('camera: {width: -5}', 'camera.width'),
    'huge': ('camera: {width: 1000000000}', 'camera.width'),
    'null': ('camera: null', 'camera'),
    'no_name': ("name: ''", 'name'),
    'number_name': ('name: 3', 'name'),
    'drive': ('replay: {drive: nowhere}', 'replay.drive'),
}


@pytest.mark.parametrize('name', WRONG_SCENARIOS)
def test_scenarios_with_wrong_values(name: str, refused: Refused, tmp_path: Path) -> None:
    text, field = WRONG_SCENARIOS[name]
    path = tmp_path / 'bad.yaml'
    path.write_text(text)
    assert field in refused('simulate', '--scenario', path, '--out', tmp_path / 'out')


WRONG_CHANGES = ['steps', 'steps=[', 'steps=', 'steps=-1', 'steps=many', 'nonsense=1',
                 'optimizer=3', 'optimizer.learning_rate=.nan', 'base=nowhere', 'steps.deeper=1',
                 'notes=' + '[' * 3000, 'seed=1.5', 'batch_size=null']  # fmt: skip


@pytest.mark.parametrize('change', WRONG_CHANGES)
def test_changes_of_configs_that_are_wrong(change: str, refused: Refused, tmp_path: Path) -> None:
    message = refused(
        'train', 'depth_segmentation', change, f'output={tmp_path}/run', '--config', 'smoke'
    )
    assert change.split('=')[0].split('.')[0] in message
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('change', ['x', 'weather.rain=[', 'camera=3', 'name=' + '{a: ' * 2000])
def test_changes_of_scenarios_that_are_wrong(
    change: str, refused: Refused, tmp_path: Path
) -> None:
    arguments = ('--scenario', 'clean', '--out', tmp_path / 'out', '--set', change)
    assert change.split('=')[0] in refused('simulate', *arguments)


@pytest.mark.parametrize('name', ['../outside', '/tmp/outside', '..', '.hidden', 'a/b', '~root'])
def test_names_of_scenarios_stay_in_the_output(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.simulation.plans import plan_bags

    path = tmp_path / 'named.yaml'
    path.write_text(f'name: {name!r}\nduration_s: 0.1')
    for plan in plan_bags(str(path), 0, tmp_path / 'out', count=2):
        assert plan.path.parent == tmp_path / 'out'
        assert not plan.path.name.startswith('.')
        assert plan.path.resolve().parent == (tmp_path / 'out').resolve()


@pytest.mark.parametrize('name', ['../row', 'a/b', '..', '', '~'])
def test_names_of_ablations_stay_in_the_runs(name: str, refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / 'table.yaml'
    path.write_text(json.dumps({'title': 't', 'rows': [{'name': name, 'config': 'smoke'}]}))
    assert 'rows.0.name' in refused('ablate', path, '--runs', tmp_path / 'runs')


# Labels -----------------------------------------------------------------------------------

LABEL = {
    'format': 1, 'name': 'a_00001', 'stamp': 5,
    'camera': {'width': 64, 'height': 48, 'fx': 50.0, 'fy': 50.0, 'cx': 31.5, 'cy': 23.5,
               'distortion': []},
    'camera_T_level': [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
    'world_T_level': None, 'level_frame': 'base_link', 'camera_frame': 'c', 'world_frame': 'odom',
    'labels': [],
}  # fmt: skip
WRONG_LABELS = {
    'outside': {'name': '../../outside'},
    'absolute': {'name': '/etc/passwd'},
    'number_name': {'name': 3},
    'no_name': {'name': ''},
    'other_format': {'format': 99},
    'camera_text': {'camera': 'front'},
    'camera_null': {'camera': None},
    'camera_lacks': {'camera': {'width': 3}},
    'pose_text': {'camera_T_level': 'here'},
    'pose_short': {'camera_T_level': [[1, 0], [0, 1]]},
    'pose_nan': {'camera_T_level': [[float('nan')] * 4] * 4},
    'world_inf': {'world_T_level': [[float('inf')] * 4] * 4},
    'labels_number': {'labels': 3},
    'labels_of_numbers': {'labels': [1, 2]},
    'labels_null': {'labels': None},
    'stamp_text': {'stamp': 'now'},
    'unknown': {'nonsense': 1},
}


def test_the_label_is_right() -> None:
    assert from_json(dict(LABEL)).name == 'a_00001'


@pytest.mark.parametrize('name', WRONG_LABELS)
def test_labels_with_wrong_values(name: str, tmp_path: Path) -> None:
    path = tmp_path / 'a_00001.json'
    path.write_text(json.dumps({**LABEL, **WRONG_LABELS[name]}))
    with pytest.raises(RecordError, match=r'a_00001\.json is no labelled frame'):
        read_frame(path)


@pytest.mark.parametrize(
    'data', [b'', b'[' * 100_000, b'\xff\xfe{', b'3', b'[]', b'null', b'{"a": ' + b'9' * 5000]
)
def test_labels_that_are_no_json(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / 'a.json'
    path.write_bytes(data)
    with pytest.raises(RecordError, match=r'a\.json is no labelled frame'):
        read_frame(path)


# Benchmark folders ------------------------------------------------------------------------

KITTI_TEXTS = {
    'latin_1': 'Car ß'.encode('latin-1'),
    'noise': bytes(range(128, 256)),
    'words': b'Car one two three\n',
    'short': b'Car 0 0 0\n',
    'zero_bytes': bytes(100),
}


@pytest.mark.parametrize('name', KITTI_TEXTS)
def test_kitti_files_that_are_wrong(name: str, refused: Refused, tmp_path: Path) -> None:
    labels = tmp_path / 'label_02'
    labels.mkdir()
    (labels / '0000.txt').write_bytes(KITTI_TEXTS[name])
    message = refused('evaluate', 'tracking', '--data', f'kitti_tracking:{tmp_path}')
    assert str(labels / '0000.txt') in message


@pytest.mark.parametrize('name', ['latin_1', 'noise', 'zero_bytes', 'utf_16'])
def test_mot_files_that_are_wrong(name: str, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / 'seqinfo.ini').write_bytes(BROKEN[name])
    message = refused('evaluate', 'tracking', '--data', f'mot:{tmp_path}')
    assert str(tmp_path / 'seqinfo.ini') in message


# Files themselves -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('option', 'value'),
    [
        (f'--{name}', v)
        for name in ('rate', 'gap', 'speed', 'focal-ratio')
        for v in ('inf', 'nan', '-1')
    ]
    + [('--rate', '1e30'), ('--rate', '1e-30')],
)
def test_options_without_end(option: str, value: str, refused: Refused, tmp_path: Path) -> None:
    write_pictures(tmp_path)
    told = refused('inspect', tmp_path, '--rate', 10, option, value)
    assert option[2:].replace('-', '_') in told
    assert 'pydantic' not in told


def test_pictures_that_cannot_be_written(refused: Refused, tmp_path: Path) -> None:
    write_pictures(tmp_path)
    (tmp_path / 'folder.png').mkdir()
    for name, told in (('x.weird', 'no name of a picture'), ('folder.png', 'cannot be written')):
        assert told in refused('inspect', f'{tmp_path}#0-1', '--out', tmp_path / name)


def test_pipes_devices_and_folders_are_no_texts(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe.yaml')
    for path in (tmp_path / 'pipe.yaml', tmp_path, Path('/dev/zero')):
        with pytest.raises(FileError, match=str(path)):
            read_yaml(path)
    sparse = tmp_path / 'sparse.json'
    with sparse.open('wb') as file:
        file.truncate(1 << 40)
    with pytest.raises(FileError, match=r'1099511627776 bytes, the most are'):
        read_json(sparse)


def test_byte_order_marks_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / 'marked.json'
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(path) == read_yaml(path) == {'a': 1}


def test_shared_values_are_fine() -> None:
    shared = parse_yaml('a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}', 'here')
    assert shared == {'a': {'x': 1}, 'b': {'x': 1}, 'c': {'x': 1, 'y': 2}}


def test_safe_names() -> None:
    for name in ('a', 'S#1', '50%_crop', 'Straße', 'run 1', 'x-2.0'):
        assert safe_name(name) == name
    wild = [
        '../a',
        '..',
        '.',
        '',
        '/',
        'a/b',
        'a\\b',
        '~',
        'a\nb',
        '\0',
        ' a',
        'x' * 999,
        'ü' * 99,
    ]
    made = [safe_name(name) for name in wild]
    assert len(set(made)) == len(made)
    for name in made:
        assert Path(name).name == name
        assert not name.startswith(('.', '~'))
        assert len(name.encode()) < 120
        assert safe_name(name) == name


def test_names_sort_as_people_count() -> None:
    names = ['frame10', 'frame2', 'a', 'frame1', '10', '9', 'frame2b', 'frame02']
    assert sorted(names, key=natural_key) == [
        '9', '10', 'a', 'frame1', 'frame02', 'frame2', 'frame2b', 'frame10',
    ]  # fmt: skip
