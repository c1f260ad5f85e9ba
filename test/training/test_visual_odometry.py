"""Ego-motion scores by their definitions, and the pairs they are taken over."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from sim_perception.geometry.transforms import from_euler, invert, make_transform
from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.inference.preprocess import PreprocessConfig
from sim_perception.models.depth_segmentation import (
    DepthSegmentationConfig,
    DepthSegmentationNet,
)
from sim_perception.taxonomy import load_taxonomy
from training.datasets.sample import DatasetError
from training.evaluation.visual_odometry.evaluate import (
    evaluate_odometry,
    odometry_errors,
    open_posed,
)

SCENARIO = """
domain: clean
duration_s: 1.0
camera: {width: 64, height: 32, horizontal_fov_deg: 80}
lidar: null
street: {building_density: 0.2, furniture_density: 0.1}
traffic: {vehicles_per_km: 0, pedestrians_per_km: 0, cyclists_per_km: 0}
"""
SHARED = Path('../shared/data/kitti_stereo')


class TrueEngine:
    """Tells the true motion, changed by a function, and counts encoded frames."""

    predicts_motion = True

    def __init__(self, poses, change=lambda motion: motion):
        self.poses, self.change, self.encoded = poses, change, []

    def infer_for_motion(self, frame):
        self.encoded.append(frame.stamp)
        return None, self.poses[round(frame.stamp / 1e8)]

    def ego_motion(self, target, source):
        return self.change(invert(source) @ target)


def drive(count):
    return [
        from_euler(0.0, 0.02 * i, 0.0, np.array([0.1 * i, 0.0, 1.1 * i])) for i in range(count)
    ]


@pytest.fixture
def sequence(tmp_path):
    rng = np.random.default_rng(0)
    for side in ('left', 'right'):
        (tmp_path / side).mkdir()
        for i in range(6):
            image = rng.integers(0, 255, (32, 64), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / side / f'{i:06d}.png'), image)
    rows = [f'P{k}: 50 0 32 {-25 * k} 0 50 16 0 0 0 1 0' for k in (0, 1)]
    (tmp_path / 'calib.txt').write_text('\n'.join(rows) + '\n')
    np.savetxt(tmp_path / 'poses.txt', [pose[:3].ravel() for pose in drive(6)])
    return tmp_path


def test_true_motion_has_no_error_and_every_frame_is_encoded_once(sequence):
    frames = open_posed(f'kitti_stereo:{sequence}')
    engine = TrueEngine(drive(6))
    scores = evaluate_odometry(engine, frames, method='learned')
    assert len(engine.encoded) == 6
    assert scores['pairs'] == 5
    for key in ('translation_error_percent', 'rotation_error_deg', 'speed_error_percent'):
        assert scores[key] == pytest.approx(0, abs=1e-4)
    assert scores['scale_ratio'] == pytest.approx(1)
    assert scores['prior_translation_error_percent'] < 5


def test_errors_are_what_was_put_in(sequence):
    frames = open_posed(f'kitti_stereo:{sequence}')

    def wrong(motion):
        turned = make_transform(from_euler(0.01, 0.0, 0.0, np.zeros(3))[:3, :3], np.zeros(3))
        changed = motion @ turned
        changed[:3, 3] *= 1.2
        return changed

    scores = evaluate_odometry(TrueEngine(drive(6), wrong), frames, method='learned')
    assert scores['translation_error_percent'] == pytest.approx(20)
    assert scores['speed_error_percent'] == pytest.approx(20)
    assert scores['scale_ratio'] == pytest.approx(1.2)
    assert scores['rotation_error_deg'] == pytest.approx(np.degrees(0.01), rel=1e-4)


def test_a_wrong_direction_is_no_wrong_speed():
    true = make_transform(np.eye(3), (0.0, 0.0, 1.0))[None]
    found = make_transform(np.eye(3), (1.0, 0.0, 0.0))[None]
    scores = odometry_errors(found, true, np.array([True]))
    assert scores['speed_error_percent'] == 0
    assert scores['translation_error_percent'] == pytest.approx(100 * np.sqrt(2))


def test_chosen_frames_and_limits(sequence):
    frames = open_posed(f'kitti_stereo:{sequence}#1-2,4-5')
    # 2 and 4 are 0.2 s apart: still neighbours
    assert frames.pairs() == [(1, 2), (2, 4), (4, 5)]
    assert evaluate_odometry(TrueEngine(drive(6)), frames, method='learned', limit=2)['pairs'] == 2


def test_what_does_not_move_or_has_no_poses_is_refused(sequence):
    np.savetxt(sequence / 'poses.txt', [np.eye(4)[:3].ravel()] * 6)
    with pytest.raises(DatasetError, match='does not move between any of 5 pairs'):
        evaluate_odometry(TrueEngine(drive(6)), open_posed(f'kitti_stereo:{sequence}'))
    (sequence / 'poses.txt').unlink()
    with pytest.raises(DatasetError, match='any of 0 pairs'):
        evaluate_odometry(TrueEngine(drive(6)), open_posed(f'kitti_stereo:{sequence}'))
    with pytest.raises(DatasetError, match='is none of: kitti_stereo:DIR'):
        open_posed('camvid:somewhere')


@pytest.fixture(scope='module')
def engine():
    torch.manual_seed(0)
    config = DepthSegmentationConfig(depth_channels=(8,), semantic_channels=(8,), ego_motion=True)
    return DepthSegmentationEngine(
        DepthSegmentationNet(config),
        load_taxonomy(),
        PreprocessConfig(pixels=64 * 64),
        device='cpu',
        precision='float32',
    )


@pytest.mark.slow
def test_simulated_drives_go_forward_and_can_be_scored(engine, tmp_path):
    path = tmp_path / 'tiny.yaml'
    path.write_text(SCENARIO)
    frames = open_posed(f'sim:{path}:0')
    pairs = frames.pairs()
    assert len(pairs) == 10
    motion = frames.truth(pairs[0])
    assert motion[2, 3] > 0.2
    assert abs(motion[0, 3]) < 0.2 * motion[2, 3]
    scores = evaluate_odometry(engine, frames, method='learned', limit=2)
    assert scores['pairs'] == 2
    assert all(np.isfinite(value) for value in scores.values())


@pytest.mark.real_data
def test_real_stereo_sequences_have_poses(engine):
    if not SHARED.is_dir():
        pytest.skip('the development data ../shared/data is absent')
    frames = open_posed(f'kitti_stereo:{SHARED}')
    assert len(frames.pairs()) == 78
    assert (
        evaluate_odometry(engine, frames, method='learned', limit=2)['translation_error_percent']
        > 0
    )
