"""From camera images to network inputs: sizes, geometry, normalisation, refusals."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_perception.geometry.cameras import project
from sim_perception.inference.preprocess import (
    AREA_SLACK,
    KEPT_AREA,
    PreprocessConfig,
    check_image,
    focal_length,
    frame_camera,
    network_size,
    preprocess,
    resize_image,
)
from sim_perception.types import Camera, Frame

CONFIG = PreprocessConfig()


@pytest.mark.parametrize(
    ('size', 'expected'),
    [
        ((640, 192), (640, 192)),
        ((1242, 375), (640, 192)),  # KITTI
        ((1226, 370), (640, 192)),
        ((480, 360), (480, 352)),  # CamVid: kept
        ((640, 480), (384, 288)),
        ((720, 240), (704, 224)),
        ((500, 300), (480, 288)),
        ((370, 500), (352, 480)),
        ((1000, 150), (864, 128)),  # 992x128 would be a sixth too wide
        ((960, 540), (448, 256)),
        ((1920, 1080), (448, 256)),
    ],
)
def test_sizes_of_known_cameras(size, expected):
    assert network_size(*size, CONFIG) == expected


@given(width=st.integers(1, 5000), height=st.integers(1, 5000))
def test_any_size_gives_allowed_sizes(width, height):
    w, h = network_size(width, height, CONFIG)
    assert w > 0
    assert h > 0
    assert w % 32 == h % 32 == 0
    kept = (w, h) == (width // 32 * 32, height // 32 * 32)
    assert w * h <= (KEPT_AREA if kept else AREA_SLACK) * CONFIG.pixels
    if 0.25 < width / height < 5:  # cameras people use
        assert abs(math.log(w / h * height / width)) < math.log(1.1)
        assert w * h > 0.7 * CONFIG.pixels


def test_fixed_size_is_obeyed():
    assert network_size(1242, 375, PreprocessConfig(size=(416, 128))) == (416, 128)


@settings(deadline=None, max_examples=50)
@given(
    width=st.integers(64, 1300),
    height=st.integers(64, 800),
    focal=st.floats(100, 2000),
    x=st.floats(-5, 5),
    y=st.floats(-2, 2),
    z=st.floats(1, 80),
)
def test_resized_camera_projects_to_the_resized_pixel(width, height, focal, x, y, z):
    camera = Camera(width, height, focal, 1.1 * focal, width / 3, height / 2)
    image = np.zeros((height, width, 3), np.uint8)
    resized = preprocess([Frame(0, image, camera)], CONFIG).cameras[0]
    (u, v), _ = project(camera, np.array([x, y, z]))
    (u2, v2), _ = project(resized, np.array([x, y, z]))
    assert math.isclose((u + 0.5) / width, (u2 + 0.5) / resized.width, abs_tol=1e-9)
    assert math.isclose((v + 0.5) / height, (v2 + 0.5) / resized.height, abs_tol=1e-9)


def test_a_blob_lands_where_its_camera_says():
    camera = Camera(800, 240, 500, 500, 390.0, 118.0)
    point = np.array([1.5, -0.4, 6.0])
    (u, v), _ = project(camera, point)
    image = np.zeros((240, 800, 3), np.uint8)
    cv2.circle(image, (round(u * 16), round(v * 16)), 80, (255, 255, 255), -1, cv2.LINE_AA, 4)
    result = preprocess([Frame(0, image, camera)], CONFIG)
    brightness = result.image[0, 0].numpy() - result.image.min().item()
    rows, columns = np.indices(brightness.shape)
    (u2, v2), _ = project(result.cameras[0], point)
    assert abs((columns * brightness).sum() / brightness.sum() - u2) < 0.1
    assert abs((rows * brightness).sum() / brightness.sum() - v2) < 0.1


def test_values_are_normalised_and_channels_stay_in_order():
    image = np.zeros((64, 96, 3), np.uint8)
    image[..., 0], image[..., 1], image[..., 2] = 255, 127, 0
    config = PreprocessConfig(size=(96, 64), std=(64.0, 128.0, 256.0))
    result = preprocess([Frame(0, image)], config).image
    assert result.dtype == torch.float32
    assert result.shape == (1, 3, 64, 96)
    assert result.is_contiguous(memory_format=torch.channels_last)
    for channel, value in enumerate((2.0, 0.0, -127 / 256)):
        assert torch.all(result[0, channel] == value)


def test_shrinking_averages_instead_of_aliasing():
    stripes = np.zeros((64, 256, 3), np.uint8)
    stripes[:, ::2] = 255  # beyond what the small image can show
    small = resize_image(stripes, 64, 32)
    assert np.abs(small.astype(int) - 127).max() <= 1


def test_resizing_leaves_the_input_alone():
    image = np.random.default_rng(0).integers(0, 255, (192, 640, 3), np.uint8)
    before = image.copy()
    preprocess([Frame(0, image)], CONFIG)
    assert np.array_equal(image, before)


@given(width=st.integers(32, 2000), ratio=st.floats(0.5, 2))
def test_unknown_camera_has_the_documented_focal_length(width, ratio):
    config = PreprocessConfig(default_focal_ratio=ratio)
    frame = Frame(0, np.zeros((48, width, 3), np.uint8))
    camera = frame_camera(frame, config)
    assert camera.fx == camera.fy == ratio * width
    assert (camera.cx, camera.cy) == ((width - 1) / 2, 23.5)


def test_focal_is_that_of_the_resized_image():
    camera = Camera(1280, 384, 700.0, 720.0, 640, 192)
    result = preprocess([Frame(0, np.zeros((384, 1280, 3), np.uint8), camera)], CONFIG)
    assert result.cameras[0].width == 640
    assert result.focal.item() == pytest.approx(math.sqrt(350 * 360))
    assert focal_length(result.cameras[0]) == pytest.approx(math.sqrt(350 * 360))


def test_camera_of_another_size_is_refused():
    frame = Frame(0, np.zeros((192, 640, 3), np.uint8), Camera(1242, 375, 700, 700, 620, 187))
    with pytest.raises(ValueError, match=r'image is 640x192 .* calibration is for 1242x375'):
        preprocess([frame], CONFIG)


@pytest.mark.parametrize(
    ('image', 'message'),
    [
        (np.zeros((4, 4), np.uint8), r'shape \(4, 4\)'),
        (np.zeros((4, 4, 4), np.uint8), r'shape \(4, 4, 4\)'),
        (np.zeros((4, 4, 3), np.float32), 'type float32'),
        (np.zeros((0, 4, 3), np.uint8), 'empty'),
        (np.zeros((4, 0, 3), np.uint8), 'empty'),
        ([[0, 0, 0]], 'is a list'),
        (None, 'is a NoneType'),
    ],
)
def test_malformed_images_are_refused(image, message):
    with pytest.raises(ValueError, match=message):
        check_image(image)


def test_batches_are_of_one_size_and_not_empty():
    frames = [Frame(0, np.zeros((32, 64, 3), np.uint8)), Frame(0, np.zeros((32, 32, 3), np.uint8))]
    with pytest.raises(ValueError, match='one size'):
        preprocess(frames, CONFIG)
    with pytest.raises(ValueError, match='no frames'):
        preprocess([], CONFIG)


def test_non_contiguous_images_work():
    image = np.random.default_rng(0).integers(0, 255, (192, 640, 3), np.uint8)
    mirrored = preprocess([Frame(0, image[:, ::-1])], CONFIG).image
    assert torch.equal(mirrored, preprocess([Frame(0, image)], CONFIG).image.flip(-1))


def test_config_round_trip():
    for config in (CONFIG, PreprocessConfig(size=(64, 32), pixels=5000, multiple=16)):
        assert PreprocessConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'zoom': 2}, 'unknown preprocess settings zoom'),
        ({'pixels': 10}, 'pixels >= multiple'),
        ({'size': [100, 64]}, 'multiples of 32'),
        ({'std': [0, 1, 1]}, 'std must be positive'),
        ({'default_focal_ratio': -1}, 'default_focal_ratio'),
    ],
)
def test_wrong_settings_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        PreprocessConfig.from_dict(values)


def test_config_is_hashable_for_the_size_cache():
    assert hash(CONFIG) == hash(replace(CONFIG))
