"""Checkpoints and training states that are damaged or hostile: one sentence, nothing allocated.

The manifest of every case fits its files: hashes catch accidents, not lies.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from sim_perception.models.checkpoint import (
    MANIFEST,
    CheckpointError,
    load_checkpoint,
    save_checkpoint,
)
from sim_perception.models.shape import ShapeConfig, ShapePca
from sim_perception.taxonomy import load_taxonomy
from training.engine.state import StateError, load_state, save_state

SECONDS, MEGABYTES = 5.0, 300


@pytest.fixture(scope='module')
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = ShapeConfig(components=2, mean_size=(4.0, 1.6, 1.6), spacing=0.5)
    folder = tmp_path_factory.mktemp('saved') / 'model'
    return save_checkpoint(folder, ShapePca(config), taxonomy=load_taxonomy(), metrics={'a': 1})


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return shutil.copytree(saved, tmp_path / 'model')


def rehash(folder: Path) -> None:
    path = folder / MANIFEST
    header, *lines = path.read_text().splitlines()
    names = [line.partition('  ')[2] for line in lines]
    rows = [f'{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}' for n in names]
    path.write_text('\n'.join([header, *rows]) + '\n')


def refused(folder: Path) -> str:
    """Load; return the message of the error, which must come soon and cheaply."""
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError) as found:
        load_checkpoint(folder)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert time.process_time() - start < SECONDS
    assert grown < MEGABYTES, f'{grown:.0f} MB'
    message = str(found.value)
    assert str(folder) in message
    return message


def test_the_checkpoint_is_right(folder: Path) -> None:
    rehash(folder)
    assert load_checkpoint(folder).name == 'shape_pca'


FILES = ('model.safetensors', 'config.yaml', 'metrics.json', MANIFEST)


@pytest.mark.parametrize('name', FILES)
def test_files_that_are_cut_overwritten_or_absent(folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes()
    rng = np.random.default_rng(len(name))
    for _ in range(6):
        (folder / name).write_bytes(whole[: int(rng.integers(len(whole)))])
        refused(folder)
    for _ in range(6):
        data = bytearray(whole)
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(7))
        (folder / name).write_bytes(data)
        refused(folder)
    (folder / name).unlink()
    refused(folder)
    os.mkfifo(folder / name)
    refused(folder)


CONFIGS: dict[str, dict[str, Any]] = {
    'network_number': {'network': 3},
    'network_list': {'network': ['shape_pca']},
    'network_unknown': {'network': 'cooking'},
    'version': {'format_version': 'one'},
    'model_list': {'model': [1]},
    'model_null': {'model': None},
    'model_text': {'model': {'components': 'two'}},
    'model_nan': {'model': {'components': float('nan')}},
    'model_zero': {'model': {'components': 0}},
    'model_negative': {'model': {'spacing': -1.0}},
    'model_nested': {'model': {'mean_size': {'x': 1}}},
    'model_short': {'model': {'mean_size': [1.0]}},
    'model_unknown': {'model': {'nonsense': 1}},
    'model_huge': {'model': {'components': 10**9}},
    'model_fine': {'model': {'spacing': 0.002}},
    'preprocess_list': {'preprocess': [1]},
    'taxonomy_text': {'taxonomy': 'all'},
    'taxonomy_empty': {'taxonomy': {}},
    'taxonomy_numbers': {'taxonomy': {'name': 'a', 'classes': [1, 2]}},
    'calibration_list': {'calibration': [1, 2]},
}


@pytest.mark.parametrize('name', CONFIGS)
def test_configs_that_lie(folder: Path, name: str) -> None:
    path = folder / 'config.yaml'
    config = yaml.safe_load(path.read_text())
    for key, value in CONFIGS[name].items():
        merge = isinstance(value, dict) and value and key == 'model'
        config[key] = {**config[key], **value} if merge else value
    path.write_text(yaml.safe_dump(config))
    rehash(folder)
    refused(folder)


TEXTS = {
    'deep': b'[' * 5000, 'latin_1': b'a: \xdf', 'list': b'[1]', 'null': b'null', 'number': b'3',
    'empty': b'', 'self': b'&a [*a]', 'python': b'!!python/object:os.system x',
}  # fmt: skip


@pytest.mark.parametrize('name', TEXTS)
@pytest.mark.parametrize('file', ['config.yaml', 'metrics.json'])
def test_texts_that_are_none(folder: Path, file: str, name: str) -> None:
    (folder / file).write_bytes(TEXTS[name])
    rehash(folder)
    assert file in refused(folder)


def header(values: dict[str, Any], length: int | None = None) -> bytes:
    text = json.dumps(values).encode()
    return struct.pack('<Q', len(text) if length is None else length) + text


WEIGHTS = {
    'empty': b'',
    'noise': bytes(range(256)) * 8,
    'pickle': b'\x80\x04\x95' + bytes(64),
    'header_of_2**63': header({}, 2**63),
    'header_of_2**64-1': header({}, 2**64 - 1),
    'header_alone': header({}),
    'header_deep': struct.pack('<Q', 50_000) + b'[' * 50_000,
    'tensor_of_2**60': header({'grid': {'dtype': 'F32', 'shape': [2**60], 'data_offsets': [0, 4]}})
    + bytes(4),
    'tensor_beyond': header({'grid': {'dtype': 'F32', 'shape': [4], 'data_offsets': [0, 16]}}),
    'tensor_backwards': header({'grid': {'dtype': 'F32', 'shape': [1], 'data_offsets': [4, 0]}})
    + bytes(4),
    'tensor_of_nothing': header({'grid': {'dtype': 'X9', 'shape': [1], 'data_offsets': [0, 4]}})
    + bytes(4),
}  # fmt: skip


@pytest.mark.parametrize('name', WEIGHTS)
def test_weights_that_lie(folder: Path, name: str) -> None:
    (folder / 'model.safetensors').write_bytes(WEIGHTS[name])
    rehash(folder)
    assert 'model.safetensors' in refused(folder)


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
def test_weights_that_are_not_finite(folder: Path, value: float) -> None:
    tensors = load_file(folder / 'model.safetensors')
    name = max(tensors, key=lambda key: tensors[key].numel())
    tensors[name].view(-1)[-1] = value
    save_file(tensors, folder / 'model.safetensors')
    rehash(folder)
    message = refused(folder)
    assert f'{name} has values that are not finite' in message


def test_weights_of_another_shape_or_name(folder: Path) -> None:
    tensors = load_file(folder / 'model.safetensors')
    path = folder / 'model.safetensors'
    for changed in (
        {name: value.flatten()[:1] for name, value in tensors.items()},
        {f'x.{name}': value for name, value in tensors.items()},
        {name: torch.cat([value, value]) for name, value in tensors.items()},
        {},
    ):
        save_file(changed, path)
        rehash(folder)
        assert 'does not fit' in refused(folder)


# Training states --------------------------------------------------------------------------


@pytest.fixture
def state(tmp_path: Path) -> Path:
    weights = {'w': torch.ones(3)}
    optimizer = {'state': {0: {'step': torch.tensor(2.0), 'm': torch.ones(3)}},
                 'param_groups': [{'lr': 0.1, 'params': [0]}]}  # fmt: skip
    return save_state(
        tmp_path, 7, model=weights, ema=weights, optimizer=optimizer, extra={}, keep=2
    )


@pytest.mark.parametrize(
    'record',
    [b'', b'[1]', b'null', b'{"version": 1}', b'\xff\xfe', b'{"version": 99}', b'[' * 9999],
)
def test_records_of_states_that_lie(state: Path, record: bytes) -> None:
    assert load_state(state)['step'] == 7
    (state / 'state.json').write_bytes(record)
    with pytest.raises(StateError, match='step_00000007'):
        load_state(state)


@pytest.mark.parametrize('name', ['model', 'ema', 'optimizer'])
def test_tensors_of_states_that_lie(state: Path, name: str) -> None:
    for data in (*WEIGHTS.values(), (state / 'model.safetensors').read_bytes()[:-1]):
        if data == WEIGHTS['header_alone']:
            continue
        (state / f'{name}.safetensors').write_bytes(data)
        with pytest.raises(StateError, match='remove this folder to resume from the one before'):
            load_state(state)


def test_a_full_disk_keeps_the_state_before(state: Path, tmp_path: Path) -> None:
    big = {'w': torch.ones(200_000)}
    optimizer = {'state': {}, 'param_groups': []}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StateError, match=r'step_00000008 cannot be written.*earlier states'):
            save_state(tmp_path, 8, model=big, ema=big, optimizer=optimizer, extra={}, keep=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path / 'states') == ['step_00000007']
    assert load_state(state)['step'] == 7
