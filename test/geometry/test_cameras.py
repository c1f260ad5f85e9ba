from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_perception.geometry.cameras import (
    crop_camera,
    pixel_rays,
    project,
    resize_camera,
    unproject,
)
from sim_perception.geometry.lidar import project_cloud
from sim_perception.types import Camera

CAMERA = Camera(64, 48, 50.0, 55.0, 31.2, 22.9)
DISTORTED = Camera(64, 48, 50.0, 55.0, 31.2, 22.9, (-0.12, 0.03, 0.001, -0.002, 0.0))


@pytest.mark.parametrize('camera', [CAMERA, DISTORTED], ids=['pinhole', 'plumb_bob'])
def test_unproject_then_project_returns_to_the_pixel(camera: Camera) -> None:
    depth = np.random.default_rng(0).uniform(1, 60, (camera.height, camera.width))
    pixels, z = project(camera, unproject(camera, depth))
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    np.testing.assert_allclose(pixels, np.stack([u, v], -1), atol=2e-3)
    np.testing.assert_allclose(z, depth)


def test_projection_agrees_with_opencv() -> None:
    points = np.random.default_rng(1).uniform([-4, -3, 5], [4, 3, 20], (100, 3))
    expected, _ = cv2.projectPoints(
        points, np.zeros(3), np.zeros(3), DISTORTED.matrix, np.array(DISTORTED.distortion)
    )
    np.testing.assert_allclose(project(DISTORTED, points)[0], expected[:, 0], atol=1e-9)


def test_points_behind_the_camera_have_no_pixel() -> None:
    pixels, depth = project(CAMERA, np.array([[0.0, 0.0, -1.0], [0.0, 0.0, 0.0]]))
    assert np.isnan(pixels).all()
    np.testing.assert_array_equal(depth, [-1, 0])


@given(st.integers(8, 200), st.integers(8, 200))
def test_resized_camera_sees_the_image_corners_in_the_same_direction(w: int, h: int) -> None:
    resized = resize_camera(CAMERA, w, h)
    for camera in (CAMERA, resized):
        corner = [(camera.width - 0.5 - camera.cx) / camera.fx, (-0.5 - camera.cy) / camera.fy]
        np.testing.assert_allclose(corner, [(63.5 - 31.2) / 50, (-0.5 - 22.9) / 55])


def test_cropped_camera_has_the_rays_of_the_crop() -> None:
    crop = crop_camera(CAMERA, 10, 7, 20, 15)
    np.testing.assert_allclose(pixel_rays(crop), pixel_rays(CAMERA)[7:22, 10:30])


def test_wrong_depth_size_is_refused() -> None:
    with pytest.raises(ValueError, match='resize the camera'):
        unproject(CAMERA, np.ones((4, 4)))


@pytest.mark.parametrize(('width', 'fx'), [(0, 50.0), (64, 0.0), (64, float('nan'))])
def test_uncalibrated_cameras_are_refused(width: int, fx: float) -> None:
    with pytest.raises(ValueError, match='must be positive'):
        Camera(width, 48, fx, 50.0, 31.0, 23.0)


def test_project_cloud_keeps_the_nearest_point_and_skips_nan() -> None:
    rays = pixel_rays(CAMERA)
    points = np.stack([rays[10, 20] * 9, rays[10, 20] * 4, rays[30, 5] * 7, [np.nan, 0, 1]])
    behind = np.array([[0.0, 0.0, -5.0]])
    image = project_cloud(CAMERA, np.eye(4), np.concatenate([points, behind]))
    assert image.dtype == np.float32
    assert image[10, 20] == 4
    assert image[30, 5] == 7
    assert np.isfinite(image).sum() == 2
