"""Checkpoint folders: byte-exact round trips, and a clear error for every kind of damage."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from dataclasses import replace

import pytest
import torch
import yaml
from safetensors import safe_open

from sim_perception.models import checkpoint as module
from sim_perception.models.checkpoint import (
    FILES,
    MANIFEST,
    CheckpointError,
    load_checkpoint,
    save_checkpoint,
    update_checkpoint,
)
from sim_perception.models.depth_segmentation import (
    DepthSegmentationConfig,
    DepthSegmentationNet,
)
from sim_perception.taxonomy import load_taxonomy

CONFIG = DepthSegmentationConfig(depth_channels=(8,), semantic_channels=(8,), max_depth=77.0)


@pytest.fixture(scope='module')
def net():
    torch.manual_seed(0)
    return DepthSegmentationNet(CONFIG)


@pytest.fixture(scope='module')
def saved(tmp_path_factory, net):
    return save_checkpoint(
        tmp_path_factory.mktemp('saved') / 'model',
        net,
        taxonomy=load_taxonomy(),
        preprocess={'pixels': 4096},
        metrics={'abs_rel': 0.25},
        card='# Card\n',
    )


@pytest.fixture
def folder(tmp_path, saved):
    return shutil.copytree(saved, tmp_path / 'model')


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def rehash(folder):
    """Make the manifest agree with altered files, as a careless editor would."""
    lines = (folder / MANIFEST).read_text().splitlines()
    names = [line.partition('  ')[2] for line in lines[1:]]
    digests = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names]
    rows = [f'{digest}  {name}' for digest, name in zip(digests, names, strict=True)]
    (folder / MANIFEST).write_text('\n'.join([lines[0], *rows]) + '\n')


def edit_config(folder, **changes):
    config = yaml.safe_load((folder / 'config.yaml').read_text())
    config.update(changes)
    (folder / 'config.yaml').write_text(yaml.safe_dump(config))
    rehash(folder)


def test_round_trip_restores_everything(folder, net):
    loaded = load_checkpoint(folder)
    assert loaded.name == 'depth_segmentation'
    assert loaded.net.config == CONFIG
    assert loaded.taxonomy == load_taxonomy()
    assert loaded.preprocess == {'pixels': 4096}
    assert loaded.metrics == {'abs_rel': 0.25}
    assert loaded.onnx is None
    assert not loaded.net.training
    assert (folder / 'README.md').read_text() == '# Card\n'
    for key, value in net.state_dict().items():
        got = loaded.net.state_dict()[key]
        assert got.dtype == value.dtype
        torch.testing.assert_close(got, value, rtol=1e-3, atol=1e-6)


def test_full_precision_is_exact(tmp_path, net):
    folder = save_checkpoint(tmp_path / 'full', net, taxonomy=load_taxonomy(), half=False)
    loaded = load_checkpoint(folder).net.state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in net.state_dict().items())


def test_saving_what_was_loaded_gives_the_same_bytes(folder, tmp_path):
    loaded = load_checkpoint(folder)
    again = save_checkpoint(
        tmp_path / 'again',
        loaded.net,
        taxonomy=loaded.taxonomy,
        preprocess=loaded.preprocess,
        metrics=loaded.metrics,
        card=(folder / 'README.md').read_text(),
    )
    assert contents(again) == contents(folder)


def test_half_precision_is_for_matrices_only(folder):
    with safe_open(folder / 'model.safetensors', 'pt') as file:
        for key in file.keys():  # noqa: SIM118 - not a dict
            tensor = file.get_tensor(key)
            if tensor.is_floating_point():
                assert tensor.dtype == (torch.float16 if tensor.ndim > 1 else torch.float32)


def test_manifest_is_readable_by_sha256sum(folder):
    header, *lines = (folder / MANIFEST).read_text().splitlines()
    assert header == '# sim_perception checkpoint 1'
    assert sorted(line.split('  ')[1] for line in lines) == sorted(FILES)
    for line in lines:
        digest, name = line.split('  ')
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_saving_again_replaces_and_leaves_nothing_behind(folder, net):
    save_checkpoint(folder, net, taxonomy=load_taxonomy(), metrics={'abs_rel': 0.5})
    assert load_checkpoint(folder).metrics == {'abs_rel': 0.5}
    assert [p.name for p in folder.parent.iterdir()] == ['model']


def test_update_changes_only_what_it_is_given(folder):
    before = contents(folder)
    update_checkpoint(folder, metrics={'miou': 0.4}, extra={'model.onnx': b'graph'})
    after = contents(folder)
    assert json.loads(after['metrics.json']) == {'miou': 0.4}
    for name in ('model.safetensors', 'config.yaml', 'README.md'):
        assert after[name] == before[name]
    assert load_checkpoint(folder).onnx == b'graph'


def test_failed_save_keeps_the_old_checkpoint(folder, net, monkeypatch):
    before = contents(folder)

    def fail(path, data):
        raise OSError('disk full')

    monkeypatch.setattr(module, '_write_durably', fail)
    with pytest.raises(OSError, match='disk full'):
        save_checkpoint(folder, net, taxonomy=load_taxonomy())
    assert contents(folder) == before
    assert [p.name for p in folder.parent.iterdir()] == ['model']


def test_foreign_folder_is_not_overwritten(tmp_path, net):
    (tmp_path / 'thesis.txt').write_text('years of work')
    with pytest.raises(CheckpointError, match='not a checkpoint'):
        save_checkpoint(tmp_path, net, taxonomy=load_taxonomy())
    assert (tmp_path / 'thesis.txt').exists()


def test_classes_must_match_the_taxonomy_when_saving(tmp_path, net):
    fewer = replace(load_taxonomy(), classes=load_taxonomy().classes[:5])
    with pytest.raises(ValueError, match='14 classes, taxonomy has 5'):
        save_checkpoint(tmp_path / 'x', net, taxonomy=fewer)


@pytest.mark.parametrize('name', FILES)
@pytest.mark.parametrize('place', [0.0, 0.5, 0.999])
def test_any_flipped_byte_is_found_and_its_file_named(folder, name, place):
    data = bytearray((folder / name).read_bytes())
    data[int(place * len(data))] ^= 1
    (folder / name).write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match=rf'{name} differs from its hash') as info:
        load_checkpoint(folder)
    assert 'restore it' in str(info.value)


@pytest.mark.parametrize('name', [*FILES, MANIFEST])
def test_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=rf'{name} cannot be read.*restore it'):
        load_checkpoint(folder)


@pytest.mark.parametrize('name', [*FILES, MANIFEST])
def test_truncated_file_is_found(folder, name):
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError):
        load_checkpoint(folder)


def test_missing_folder(tmp_path):
    with pytest.raises(CheckpointError, match='nowhere is not a folder'):
        load_checkpoint(tmp_path / 'nowhere')


def test_other_class_list_is_refused_naming_both(folder):
    expected = replace(load_taxonomy(), classes=tuple(reversed(load_taxonomy().classes)))
    with pytest.raises(CheckpointError, match=r'classes \[road, .*need \[cyclist, '):
        load_checkpoint(folder, taxonomy=expected)
    load_checkpoint(folder, taxonomy=load_taxonomy())


def test_other_network_is_refused(folder):
    with pytest.raises(CheckpointError, match=r"'depth_segmentation' network, need 'detector'"):
        load_checkpoint(folder, network='detector')


def test_other_manifest_version_is_refused(folder):
    text = (folder / MANIFEST).read_text().replace('checkpoint 1', 'checkpoint 2')
    (folder / MANIFEST).write_text(text)
    with pytest.raises(CheckpointError, match='format version 2, this program reads version 1'):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'format_version': 9}, 'format version 9'),
        ({'network': 'transformer'}, "unknown network 'transformer'"),
        ({'model': {'classes': 14, 'wings': 2}}, 'unknown settings .*wings'),
        ({'model': {'classes': 14, 'min_depth': -1}}, 'min_depth'),
        ({'model': {'classes': 9}}, '14 classes but its network has 9'),
        ({'model': {'depth_channels': [16, 8]}}, 'does not fit the network'),
        ({'model': 'big'}, 'config.yaml'),
        ({'taxonomy': {'name': 'x', 'classes': [{'name': 'road'}]}}, 'malformed taxonomy'),
    ],
)
def test_wrong_config_is_refused(folder, changes, message):
    edit_config(folder, **changes)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(folder)


@pytest.mark.parametrize('text', ['', '- a\n', 'a: [', 'network: depth_segmentation\n'])
def test_malformed_config_is_refused(folder, text):
    (folder / 'config.yaml').write_text(text)
    rehash(folder)
    with pytest.raises(CheckpointError, match=r'config\.yaml'):
        load_checkpoint(folder)


def test_weights_that_are_not_safetensors_are_refused(folder):
    (folder / 'model.safetensors').write_bytes(b'\x80\x04pickle')
    rehash(folder)
    with pytest.raises(CheckpointError, match=r'model\.safetensors holds no weights'):
        load_checkpoint(folder)


def test_manifest_cannot_point_outside(folder):
    path = folder / MANIFEST
    path.write_text(path.read_text() + f'{"0" * 64}  ../secret\n')
    with pytest.raises(CheckpointError, match='lists the path'):
        load_checkpoint(folder)


def test_readers_never_see_a_mixture(folder, net):
    """While one thread rewrites the folder, every successful load is a whole checkpoint."""
    done = threading.Event()

    def write():
        for i in range(10):
            save_checkpoint(folder, net, taxonomy=load_taxonomy(), metrics={'i': i}, card=f'{i}')
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        try:
            loaded = load_checkpoint(folder)
        except CheckpointError:
            continue  # caught in the middle of a swap: an error, never wrong contents
        assert loaded.metrics.keys() <= {'i', 'abs_rel'}
    writer.join()
    assert load_checkpoint(folder).metrics == {'i': 9}
