"""Simulated bags as a data set."""

from __future__ import annotations

import pickle
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import yaml
from forks import load_by_forks, one_thread
from simulated_bags import simulate_bag
from torch.utils.data import DataLoader

from sim_perception.bags import topics as t_
from sim_perception.bags.errors import MissingTopicError
from sim_perception.simulator.scenario import parse_scenario
from sim_perception.simulator.simulation import Simulation
from training.datasets.bags.open_bags import OpenBags, expand
from training.datasets.sample import DatasetError, Sample
from training.datasets.simulated.bags import SimulatedBags

SCENARIO = """
domain: clean
duration_s: 0.3
camera: {width: 64, height: 48}
street: {building_density: 0, tree_spacing_m: 200, furniture_density: 0, billboard_density: 0}
lidar: {rings: 4, columns: 32}
"""


@pytest.fixture(scope='module')
def bags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bags of three frames, one with raw, one with compressed images."""
    folder = tmp_path_factory.mktemp('data')
    layers = 'rgb,depth,semantic,instance,flow'
    for seed, image_format in ((1, 'raw'), (2, 'jpeg')):
        path = folder / 'bags' / f'bag_{seed}'
        simulate_bag(path, SCENARIO, seed, layers=layers, image_format=image_format)
    (folder / 'bags' / '.growing.partial').mkdir()
    return folder / 'bags'


def assert_same(a: Sample, b: Sample) -> None:
    assert (a.name, a.index, a.stamp, a.camera) == (b.name, b.index, b.stamp, b.camera)
    np.testing.assert_array_equal(a.image, b.image)
    np.testing.assert_array_equal(a.depth, b.depth)
    np.testing.assert_array_equal(a.semantic, b.semantic)


def test_samples_are_the_simulation(bags: Path) -> None:
    data = SimulatedBags([bags], layers=('instance', 'flow'))
    assert len(data) == 6
    assert [sample.name for sample in data] == [
        f'bag_{bag}_{frame:04d}' for bag in (1, 2) for frame in range(3)
    ]
    simulation = Simulation(parse_scenario({**yaml.safe_load(SCENARIO), 'seed': 1}), 1)
    truth, sample = simulation.camera_frame(0.1), data[1]
    assert sample.camera == simulation.camera
    for mine, true in (
        (sample.image, truth.rgb),
        (sample.depth, truth.depth),
        (sample.semantic, truth.semantic),
        (sample.instance, truth.instance),
        (sample.flow, truth.flow),
    ):
        assert mine is not None
        assert true is not None
        assert mine.dtype == true.dtype
        np.testing.assert_array_equal(mine, true)
    assert sample.normals is None
    assert sample.stamp % 10**9 == 10**8
    assert data[4].image.shape == (48, 64, 3)


def test_loader_workers_open_their_own_readers(bags: Path) -> None:
    data = SimulatedBags([bags])
    here = [data[i] for i in range(6)]  # readers are open before the workers start
    spawned = DataLoader(
        data,
        batch_size=None,
        num_workers=2,
        multiprocessing_context='spawn',
        worker_init_fn=one_thread,
    )
    forked = load_by_forks(partial(SimulatedBags, [bags]), opened=range(6))
    for mine, one, other in zip(here, spawned, forked, strict=True):
        assert_same(mine, one)
        assert_same(mine, other)


def test_data_set_is_small_when_sent_to_a_process(bags: Path) -> None:
    data = SimulatedBags([bags])
    before = data[0]
    sent = pickle.dumps(data)
    assert len(sent) < 5000
    assert_same(pickle.loads(sent)[0], before)


def test_stride_takes_every_other_frame(bags: Path) -> None:
    assert [s.index for s in SimulatedBags([bags / 'bag_1'], stride=2)] == [0, 2]


def test_only_some_readers_stay_open(bags: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('training.datasets.bags.open_bags._MAX_OPEN', 1)
    readers = OpenBags(expand([bags]))
    first = readers[0]
    assert readers[0] is first
    assert readers[1] is not first
    assert readers[0] is not first
    assert readers[0].image(t_.DEPTH.name, 0).shape == (48, 64)


def test_patterns_find_bags_once_and_skip_growing_ones(
    bags: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [bags / 'bag_1', bags / 'bag_2']
    assert expand([bags]) == both
    assert expand([str(bags / 'bag_*'), bags / 'bag_1']) == both
    monkeypatch.chdir(bags.parent)
    assert expand(['bags/bag_*']) == [Path('bags/bag_1'), Path('bags/bag_2')]
    with pytest.raises(DatasetError, match=r'no bag at .*nothing'):
        expand([bags / 'nothing*'])


def test_bag_without_labels_says_so(bags: Path, tmp_path: Path) -> None:
    path = simulate_bag(tmp_path / 'bag', SCENARIO, layers='rgb,depth')
    with pytest.raises(
        MissingTopicError, match=r'/ground_truth/semantic; .*it has .*/depth \(3\)'
    ):
        SimulatedBags([path])
    with pytest.raises(DatasetError, match=r"unknown layers \['heat'\]"):
        SimulatedBags([bags], layers=('heat',))


def test_cut_bag_gives_its_first_frames(bags: Path, tmp_path: Path) -> None:
    shutil.copytree(bags / 'bag_1', tmp_path / 'bag_1')
    file = tmp_path / 'bag_1' / 'bag_1.mcap'
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * 0.5)])
    cut, whole = SimulatedBags([tmp_path / 'bag_1']), SimulatedBags([bags / 'bag_1'])
    assert 1 <= len(cut) < 3
    for number in range(len(cut)):
        assert_same(cut[number], whole[number])
