"""The plan of a street: points, boxes there and back, depth images as clouds, decoding."""

import numpy as np
import pytest
import torch

from sim_perception.geometry.cameras import project
from sim_perception.geometry.lidar_frame import LidarFrame
from sim_perception.geometry.transforms import (
    BODY_T_OPTICAL,
    from_euler,
    invert,
    make_transform,
    transform_points,
)
from sim_perception.inference.detector3d import decode, yaw_of
from sim_perception.inference.plan import depth_frame, plan_points, warm_up_frame
from sim_perception.models.detector3d import GEOMETRY, Detector3dConfig, Detector3dOutput
from sim_perception.types import Box3D, Camera

CAMERA = Camera(320, 96, 186.0, 186.0, 159.5, 47.5)
HEIGHT = 1.6


def pose(yaw=0.0, x=0.0, y=0.0, z=HEIGHT):
    """A level camera, ``level_T_camera``."""
    return from_euler(0, 0, yaw, np.array([x, y, z])) @ BODY_T_OPTICAL


def ground_points(plane, count=4000, seed=0):
    rng = np.random.default_rng(seed)
    plan = rng.uniform([-30, -30], [30, 30], (count, 2))
    return np.concatenate([plan, (plan @ plane[:2] + plane[2])[:, None]], 1)


def frame_on(plane, camera_pose, extra=()):
    points = np.concatenate([ground_points(np.array(plane)), np.reshape(extra, (-1, 3))])
    return LidarFrame(CAMERA, invert(camera_pose), points, camera_pose[:3, 3] + [0, 0, 0.2])


def test_the_plan_starts_below_the_camera_and_looks_where_it_looks():
    spot = transform_points(
        from_euler(0, 0, 0.7, np.array([3.0, -2.0, 0])), np.array([9.0, 1, 0.8])
    )
    seen = plan_points(frame_on((0, 0, 0), pose(0.7, 3.0, -2.0), spot), 60.0)
    high = seen.points[seen.points[:, 2] > 0.5]
    np.testing.assert_allclose(high[:, :3], [[9.0, 1.0, 0.8]], atol=0.02)


def test_heights_are_above_a_ground_that_slopes():
    plane = (0.03, -0.02, 0.4)
    seen = plan_points(frame_on(plane, pose(z=2.0)), 60.0)
    np.testing.assert_allclose(seen.plan.ground, plane, atol=0.01)
    assert np.abs(seen.points[:, 2]).max() < 0.05


def test_boxes_go_to_the_plan_and_back():
    seen = plan_points(frame_on((0.02, 0.01, 0.1), pose(-0.4, 1.0, 2.0)), 60.0)
    boxes = [
        Box3D(from_euler(0, 0, yaw, np.array([8.0 * k, -3.0, 1.0])), (4.0 + k, 1.8, 1.5))
        for k, yaw in enumerate((0.3, -2.9, 3.1))
    ]
    back = seen.plan.boxes(seen.plan.rows(boxes))
    for before, after in zip(boxes, back, strict=True):
        np.testing.assert_allclose(after.parent_T_box, before.parent_T_box, atol=1e-9)
        assert after.size == before.size


def test_pixels_are_where_grid_sample_looks_for_them():
    seen = plan_points(frame_on((0, 0, 0), pose()), 60.0)
    inside = seen.points[seen.points[:, 5] > 0]
    assert len(inside) > 50
    ramp = torch.stack(
        torch.meshgrid(torch.arange(96.0), torch.arange(320.0), indexing='ij')
    ).flip(0)
    grid = torch.from_numpy(inside[None, None, :, 3:5])
    pixels = torch.nn.functional.grid_sample(
        ramp[None], grid, align_corners=False, padding_mode='border'
    )[0, :, 0].T.numpy()
    level = seen.plan.level_T_plan
    points = transform_points(level, inside[:, :3].astype(float))
    expected, _ = project(CAMERA, transform_points(invert(pose()), points))
    clear = (expected > 0).all(1) & (expected < [319, 95]).all(1)
    np.testing.assert_allclose(pixels[clear], expected[clear], atol=0.15)


def test_points_far_beside_the_image_and_behind_are_dropped():
    seen = plan_points(frame_on((0, 0, 0), pose()), 60.0)
    slope = np.abs(seen.points[:, 1] / seen.points[:, 0])
    assert (seen.points[:, 0] > 0).all()
    assert slope.max() < (0.6 * CAMERA.width) / CAMERA.fx + 1e-3


def test_without_ground_the_level_frame_is_taken_for_it():
    camera = pose()
    frame = LidarFrame(CAMERA, invert(camera), np.array([[9.0, 0, 0.7]]), camera[:3, 3])
    np.testing.assert_allclose(plan_points(frame, 60.0).points[0, :3], [9.0, 0, 0.7], atol=1e-6)
    empty = LidarFrame(CAMERA, invert(camera), np.zeros((0, 3)), camera[:3, 3])
    assert plan_points(empty, 60.0).points.shape == (0, 6)


def test_a_camera_that_looks_down_is_refused():
    down = make_transform(np.diag([1.0, -1.0, -1.0]), np.array([0, 0, 5.0]))
    with pytest.raises(ValueError, match='straight up or down'):
        plan_points(LidarFrame(CAMERA, invert(down), np.zeros((0, 3)), down[:3, 3]), 60.0)


def test_a_depth_image_is_the_cloud_that_it_was_drawn_from():
    depth = np.full((96, 320), np.nan)
    depth[49::2, 1::2] = 12.0
    depth[51, 11] = -1.0
    frame = depth_frame(depth, CAMERA, invert(pose(0.2)))
    pixels, z = project(CAMERA, transform_points(frame.camera_T_level, frame.points))
    np.testing.assert_allclose(z, 12.0)
    assert len(z) == np.isfinite(depth).sum() - 1
    np.testing.assert_allclose(pixels % 2, 1.0, atol=1e-9)
    np.testing.assert_allclose(frame.sensor, [0, 0, HEIGHT])
    with pytest.raises(ValueError, match='depth is 10x5, its camera 320x96'):
        depth_frame(np.ones((5, 10)), CAMERA, invert(pose()))


def test_the_warm_up_street_has_ground():
    assert len(plan_points(warm_up_frame(), 60.0).points) > 1000


def test_yaw_is_that_of_both_its_descriptions():
    yaw = np.linspace(-3.1, 3.1, 50)
    axis = 0.4 * np.stack([np.sin(2 * yaw), np.cos(2 * yaw)], 1)
    # the heading alone may be far off, but not by more than a right angle
    heading = np.stack([np.sin(yaw + 1.2), np.cos(yaw + 1.2)], 1)
    error = yaw_of(axis, heading) - yaw
    np.testing.assert_allclose(np.sin(error), 0, atol=1e-9)
    np.testing.assert_allclose(np.cos(error), 1, atol=1e-9)


def test_only_peaks_above_the_threshold_are_decoded_best_first():
    config = Detector3dConfig()
    heat = torch.full((1, 1, *config.shape), -9.0)
    heat[0, 0, 10, 20], heat[0, 0, 10, 21], heat[0, 0, 40, 5] = 1.0, 0.5, 2.0
    maps = [torch.zeros(1, count, *config.shape) for count in GEOMETRY.values()]
    output = Detector3dOutput(heat, *maps)
    thing, score, rows = decode(output, config, 0.5)
    assert thing.tolist() == [0, 0]
    np.testing.assert_allclose(score, 1 / (1 + np.exp([-2.0, -1.0])), rtol=1e-6)
    np.testing.assert_allclose(rows[:, :2], [[40.5 * 0.8, -28.8 + 5.5 * 0.8], [8.4, -12.4]])
    assert len(decode(output, config, 0.95)[1]) == 0
