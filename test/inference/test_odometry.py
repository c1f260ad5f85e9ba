"""Odometry from image to image: poses, frames, velocities, covariances, fresh starts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from scipy.spatial.transform import Rotation

from sim_perception.geometry.transforms import (
    BODY_T_OPTICAL,
    from_euler,
    invert,
    make_transform,
)
from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.inference.preprocess import PreprocessConfig
from sim_perception.models.depth_segmentation import (
    DepthSegmentationConfig,
    DepthSegmentationNet,
)
from sim_perception.odometry.integration import Mounting, VisualOdometry
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Camera, Frame

TENTH = 100_000_000
ON_CAR = Mounting(
    'base_link', make_transform(np.eye(3), (1.5, 0.1, 1.4)) @ np.asarray(BODY_T_OPTICAL)
)


def exact_motion(target, source):
    """Views are the true world_T_camera."""
    return invert(source) @ target


def drive(count, speed=10.0, yaw_rate=0.4):
    """Return world_T_base along an arc at ten frames per second."""
    velocity = np.zeros((4, 4))
    velocity[0, 3], velocity[1, 0], velocity[0, 1] = speed, yaw_rate, -yaw_rate
    step = expm(0.1 * velocity)
    poses = [from_euler(0.02, -0.03, 1.0, (5.0, -3.0, 0.2))]
    for _ in range(count - 1):
        poses.append(poses[-1] @ step)
    return poses


def run(odometry, bases, mounting=ON_CAR, camera='front'):
    return [
        odometry.update(i * TENTH, base @ mounting.body_T_camera, camera, mounting)
        for i, base in enumerate(bases, start=1)
    ]


def test_poses_are_those_of_the_body_relative_to_its_start():
    bases = drive(40)
    first, *estimates = run(VisualOdometry(exact_motion), bases)
    assert first is None
    for base, estimate in zip(bases[1:], estimates, strict=True):
        np.testing.assert_allclose(estimate.start_T_body, invert(bases[0]) @ base, atol=1e-9)


def test_the_twist_is_the_velocity_in_the_bodys_frame():
    *_, last = run(VisualOdometry(exact_motion), drive(5, speed=10.0, yaw_rate=0.4))
    np.testing.assert_allclose(last.twist, [10, 0, 0, 0, 0, 0.4], atol=1e-7)


def test_a_camera_without_a_body_starts_with_its_axis_forward():
    mounting = Mounting.of_camera('camera_optical_frame')
    ahead = make_transform(np.eye(3), (0.2, 0.0, 1.0))  # right 0.2, forward 1
    odometry = VisualOdometry(exact_motion)
    poses = [np.eye(4), ahead, ahead @ ahead]
    *_, last = run(odometry, poses, mounting)
    np.testing.assert_allclose(last.start_T_body[:3, 3], [2, -0.4, 0], atol=1e-9)
    np.testing.assert_allclose(last.twist[:3], [2, 0, 10], atol=1e-9)  # the camera's own axes


def test_covariances_are_proper_and_grow():
    _, *estimates = run(VisualOdometry(exact_motion), drive(30))
    sizes = []
    for estimate in estimates:
        for covariance in (estimate.pose_covariance, estimate.twist_covariance):
            np.testing.assert_allclose(covariance, covariance.T, atol=1e-12)
            assert np.linalg.eigvalsh(covariance).min() > 0
        sizes.append(np.trace(estimate.pose_covariance))
    assert (np.diff(sizes) > 0).all()


def test_the_pose_covariance_is_that_of_many_noisy_drives():
    rng = np.random.default_rng(0)
    steps, drives = 12, 3000
    pose = np.tile(np.eye(4), (drives, 1, 1))
    exact = np.eye(4)
    motion = from_euler(0, 0, 0.05, (1.0, 0.0, 0.0))
    odometry = VisualOdometry(lambda *_: motion)
    body = Mounting('body', make_transform(np.eye(3), (1e-9, 0.0, 0.0)))
    estimate = None
    for i in range(steps + 1):
        estimate = odometry.update((i + 1) * TENTH, None, 'a', body)
        if estimate is None:
            continue
        sigma = np.sqrt(np.diag(estimate.twist_covariance)) * 0.1
        noise = rng.normal(0, sigma, (drives, 6))
        turn = Rotation.from_rotvec(noise[:, 3:]).as_matrix()
        noisy = make_transform(turn @ motion[:3, :3], motion[:3, 3] + noise[:, :3])
        pose, exact = pose @ noisy, exact @ motion
    errors = pose[:, :3, 3] - exact[:3, 3]
    turns = Rotation.from_matrix(pose[:, :3, :3] @ exact[:3, :3].T).as_rotvec()
    sampled = np.cov(np.concatenate([errors, turns], 1).T)
    scale = np.sqrt(np.diag(estimate.pose_covariance))
    np.testing.assert_allclose(
        sampled / np.outer(scale, scale),
        estimate.pose_covariance / np.outer(scale, scale),
        atol=0.1,
    )


@pytest.mark.parametrize(
    ('stamp', 'camera', 'mounting'),
    [
        (10 * TENTH, 'front', ON_CAR),  # not later
        (9 * TENTH, 'front', ON_CAR),  # back in time
        (21 * TENTH, 'front', ON_CAR),  # more than a second later
        (11 * TENTH, 'rear', ON_CAR),
        (11 * TENTH, 'front', Mounting.of_camera('camera')),
        (11 * TENTH, 'front', Mounting('base_link', np.asarray(BODY_T_OPTICAL))),
    ],
)
def test_what_does_not_follow_starts_afresh(stamp, camera, mounting):
    odometry = VisualOdometry(exact_motion)
    assert run(odometry, drive(10))[-1] is not None
    pose = np.eye(4)
    assert odometry.update(stamp, pose, camera, mounting) is None
    ahead = pose @ make_transform(np.eye(3), (0.0, 0.0, 1.0))
    fresh = odometry.update(stamp + TENTH, ahead, camera, mounting)
    assert np.linalg.norm(fresh.start_T_body[:3, 3]) == pytest.approx(1)


def test_reset_forgets_the_past():
    odometry = VisualOdometry(exact_motion)
    run(odometry, drive(3))
    odometry.reset()
    assert odometry.update(4 * TENTH, np.eye(4), 'front', ON_CAR) is None


@pytest.fixture(scope='module', params=['float32', 'bfloat16'])
def engine(request):
    torch.manual_seed(0)
    config = DepthSegmentationConfig(
        depth_channels=(8,), semantic_channels=(8,), ego_motion=True, uncertainty=True
    )
    return DepthSegmentationEngine(
        DepthSegmentationNet(config),
        load_taxonomy(),
        PreprocessConfig(pixels=96 * 64),
        device='cpu',
        precision=request.param,
    )


def test_an_engine_tells_motion_without_a_second_encoder_pass(engine, monkeypatch):
    passes = []
    encoder = engine._backend.net.encoder
    handle = encoder.register_forward_hook(lambda *_: passes.append(1))
    rng = np.random.default_rng(0)
    camera = Camera(120, 80, 90.0, 90.0, 60.0, 40.0)
    frames = [Frame(i, rng.integers(0, 256, (80, 120, 3), np.uint8), camera) for i in range(2)]
    try:
        (first, source), (second, target) = (engine.infer_for_motion(f) for f in frames)
        motion = engine.ego_motion(target, source)
    finally:
        handle.remove()
    assert len(passes) == 2
    assert motion.shape == (4, 4)
    assert motion.dtype == np.float64
    np.testing.assert_allclose(motion[:3, :3] @ motion[:3, :3].T, np.eye(3), atol=1e-6)
    np.testing.assert_array_equal(first.depth, engine.infer(frames[0]).depth)
    np.testing.assert_array_equal(second.segmentation, engine.infer(frames[1]).segmentation)


def test_motion_between_different_cameras_is_refused(engine):
    image = np.zeros((80, 120, 3), np.uint8)
    views = [
        engine.infer_for_motion(Frame(0, image, Camera(120, 80, f, f, 60.0, 40.0)))[1]
        for f in (90.0, 91.0)
    ]
    with pytest.raises(ValueError, match='two views of the same camera'):
        engine.ego_motion(*views)


def test_an_engine_without_the_head_refuses_motion(small_checkpoint):
    engine = DepthSegmentationEngine.load(small_checkpoint, device='cpu')
    assert not engine.predicts_motion
    with pytest.raises(ValueError, match='cannot tell ego-motion'):
        engine.infer_for_motion(Frame(0, np.zeros((8, 8, 3), np.uint8)))
