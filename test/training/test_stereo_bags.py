"""Stereo pairs of recordings as images with depth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from simulated_bags import simulate_bag

from sim_perception.bags.reader import BagReader
from sim_perception.bags.sensors import Sensors
from training.datasets.bags.camera import CameraBags
from training.datasets.bags.stereo import StereoBags
from training.datasets.image_store import DepthStore
from training.datasets.sample import DatasetError
from training.datasets.sources import SourceConfig
from training.datasets.stereo_images import open_stereo

SCENARIO = """
duration_s: 0.3
camera: {width: 320, height: 192}
lidar: null
sensors:
  - {name: stereo/left, kind: camera, xyz: [1, 0.25, 1.5]}
  - {name: stereo/right, kind: camera, xyz: [1, -0.25, 1.5], stereo_with: stereo/left}
"""
BASELINE = 0.5


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate_bag(tmp_path_factory.mktemp('stereo') / 'bag', SCENARIO, seed=1)


def spec(bag: Path, camera: str = 'stereo/left') -> SourceConfig:
    return SourceConfig(spec=f'bag:{bag},camera={camera}')


def test_both_images_of_a_pair_have_the_simulators_depth(bag: Path, tmp_path: Path) -> None:
    images = open_stereo(spec(bag), DepthStore(str(tmp_path)))
    with BagReader(bag) as reader:
        topics = [name for name in reader.topics if name.endswith('ground_truth/depth')]
        assert len(images) == 2 * reader.count(topics[0])
        right = next(name for name in topics if 'right' in name)
        left = next(name for name in topics if name != right)
        for number, topic in ((2, left), (3, right)):
            found, true = images[number], reader.image(topic, 1)
            error = np.abs(found.depth / true - 1)[np.isfinite(found.depth) & (true < 40)]
            assert len(error) > 0.2 * true.size
            assert np.median(error) < 0.03


def test_right_T_left_is_the_place_of_the_cameras(bag: Path) -> None:
    sensors = Sensors(camera='stereo/left')
    pairs = StereoBags(CameraBags([bag], sensors), str(bag), sensors)
    np.testing.assert_allclose(pairs.right_T_left(0)[:3, 3], [-BASELINE, 0, 0], atol=1e-9)
    left, right = pairs[1], pairs.right(1)
    assert left.stamp == right.stamp
    assert left.camera == right.camera
    assert left.name != right.name
    assert (left.image != right.image).any()


def test_a_camera_without_a_right_one_is_refused(bag: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match='which camera is the right one of /stereo/right'):
        open_stereo(spec(bag, 'stereo/right'), DepthStore(str(tmp_path)))
