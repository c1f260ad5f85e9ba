"""Calibrations of every kind that drivers publish become the right camera, or one sentence."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from sim_perception.bags import messages
from sim_perception.bags.calibration import camera_of, is_rectified
from sim_perception.bags.errors import MessageError
from sim_perception.bags.typestore import serialize, typestore
from sim_perception.geometry.cameras import project
from sim_perception.types import Camera

STAMP = 1_700_000_000_000_000_000
EIGHT = (0.1, -0.2, 0.001, 0.002, 0.03, 0.2, -0.1, 0.01)
POINTS = np.array([[1.0, 0.3, 5.0], [2.0, -1.0, 5.0]])


def info(camera: Camera | None = None, **changes: Any) -> Any:
    """Return a CameraInfo, as it comes out of a bag."""
    camera = camera or Camera(160, 96, 93.0, 94.0, 79.5, 47.5)
    message = messages.camera_info_message(camera, STAMP, 'c')
    for name, value in changes.items():
        setattr(message, name, np.array(value, float) if isinstance(value, tuple) else value)
    return typestore().deserialize_cdr(serialize(message), message.__msgtype__)


@pytest.mark.parametrize(
    ('distortion', 'fisheye'),
    [
        ((), False),
        ((0.1, -0.2, 0.001, 0.002, 0.03), False),
        (EIGHT, False),
        ((*EIGHT, 0.001, 0.002, 0.003, 0.004, 0.01, -0.01), False),
        ((0.1, 0.02, -0.03, 0.01), True),
    ],
)
def test_cameras_survive(distortion: tuple[float, ...], fisheye: bool) -> None:
    camera = Camera(640, 192, 500.5, 501.25, 320.5, 96.25, distortion, fisheye)
    message = info(camera)
    assert camera_of(message) == camera
    np.testing.assert_array_equal(message.p.reshape(3, 4)[:, :3], camera.matrix)


@pytest.mark.parametrize('model', ['plumb_bob', 'rational_polynomial', ''])
def test_eight_coefficients_are_eight_whatever_the_model_is_called(model: str) -> None:
    message = info(d=EIGHT, distortion_model=model)
    camera = camera_of(message)
    k = camera.matrix
    expected, _ = cv2.projectPoints(POINTS, np.zeros(3), np.zeros(3), k, np.array(EIGHT))
    np.testing.assert_allclose(project(camera, POINTS)[0], expected[:, 0], atol=1e-9)


def test_a_fisheye_is_one() -> None:
    d = (0.1, 0.02, -0.03, 0.01)
    camera = camera_of(info(d=d, distortion_model='equidistant'))
    zero = np.zeros(3)
    expected, _ = cv2.fisheye.projectPoints(POINTS[None], zero, zero, camera.matrix, np.array(d))
    np.testing.assert_allclose(project(camera, POINTS)[0], expected[0], atol=1e-9)


def test_zeros_behind_the_coefficients_do_not_count() -> None:
    plain = camera_of(info(d=(0.1, -0.2, 0.001, 0.002)))
    assert plain.distortion == (0.1, -0.2, 0.001, 0.002, 0.0)
    assert camera_of(info(d=(0.1, -0.2, 0.001, 0.002, *([0.0] * 10)))) == plain
    assert camera_of(info(d=(0.0,) * 8)).is_ideal
    assert camera_of(info(d=(0.0,) * 4, distortion_model='equidistant')).is_ideal
    assert camera_of(info(d=())).is_ideal


BENT = {'d': (-0.3, 0.1, 0.0, 0.0, 0.0)}
P = (80.0, 0, 78.0, 0, 0, 81.0, 46.0, 0, 0, 0, 1, 0)


def test_of_rectified_images_p_is_the_truth() -> None:
    rectified = Camera(160, 96, 80.0, 81.0, 78.0, 46.0)
    raw = camera_of(info(**BENT, p=P))
    assert (raw.fx, raw.distortion) == (93.0, (-0.3, 0.1, 0.0, 0.0, 0.0))
    assert camera_of(info(**BENT, p=P), rectified=True) == rectified
    # nothing is left to rectify
    assert camera_of(info(p=P)) == rectified
    # the right camera of a pair: its frame is its own
    right = (*P[:3], -40.0, *P[4:])
    assert camera_of(info(p=right), rectified=True) == rectified
    # drivers of cameras that rectify themselves and leave K empty
    assert camera_of(info(p=P, k=(0.0,) * 9), rectified=True) == rectified
    # drivers that leave P empty
    unset = info(**BENT, p=(0.0,) * 12)
    assert camera_of(unset, rectified=True) == Camera(160, 96, 93.0, 94.0, 79.5, 47.5)


@pytest.mark.parametrize(
    ('topic', 'expected'),
    [
        ('/camera/image_rect', True),
        ('/camera/image_rect_color/compressed', True),
        ('/zed/left/image_rect_gray', True),
        ('/cam/rectified/image', True),
        ('/camera/infra1/image_rect_raw', True),
        ('/camera/image_raw', False),
        ('/director/image', False),
        ('/rectangle/image_raw', False),
    ],
)
def test_names_of_rectified_topics(topic: str, expected: bool) -> None:
    assert is_rectified(topic) is expected


def region(x: int, y: int, width: int, height: int) -> Any:
    roi = info().roi
    roi.x_offset, roi.y_offset, roi.width, roi.height = x, y, width, height
    return roi


def test_region_and_binning_are_applied_to_k_and_to_p() -> None:
    binned = camera_of(info(binning_x=2, binning_y=3))
    assert (binned.width, binned.height, binned.fx, binned.fy) == (80, 32, 46.5, 94.0 / 3)
    assert binned.cx == pytest.approx((79.5 + 0.5) / 2 - 0.5)
    part = camera_of(info(roi=region(10, 20, 100, 51), binning_x=2, binning_y=2))
    assert (part.width, part.height) == (50, 25)
    # half a pixel is lost at the bottom, which changes no focal length
    assert (part.fx, part.fy) == (46.5, 47.0)
    assert part.cx == pytest.approx((79.5 - 10 + 0.5) / 2 - 0.5)
    of_p = camera_of(info(**BENT, p=P, roi=region(10, 20, 100, 50)), rectified=True)
    assert (of_p.fx, of_p.cx, of_p.cy) == (80.0, 68.0, 26.0)


def test_an_image_of_the_whole_sensor_is_neither_binned_nor_a_region() -> None:
    message = info(roi=region(10, 20, 100, 50), binning_x=2, binning_y=2)
    assert camera_of(message, size=(160, 96)) == camera_of(info())
    assert camera_of(message, size=(50, 25)) == camera_of(message)


def test_a_pixel_of_a_binned_region_is_where_its_sensor_pixels_are() -> None:
    message = info(roi=region(16, 8, 64, 40), binning_x=4, binning_y=4, **BENT)
    whole, part = camera_of(info(**BENT)), camera_of(message)
    pixels, _ = project(whole, POINTS)
    expected = (pixels - [16, 8] + 0.5) / 4 - 0.5
    np.testing.assert_allclose(project(part, POINTS)[0], expected, atol=1e-9)


NAN = float('nan')


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'k': (0.0,) * 9}, r'no focal length \(K is zero\); is the camera calibrated'),
        ({'k': (-5.0, 0, 79, 0, 94, 47, 0, 0, 1)}, 'no focal length'),
        ({'k': (5.0, 0, 79, 0, -94, 47, 0, 0, 1), 'p': (0.0,) * 12}, 'must be positive'),
        ({'width': 0}, 'size must be positive'),
        ({'k': (NAN, 0, 79, 0, 94, 47, 0, 0, 1)}, 'numbers in K; calibrate'),
        ({'k': (93, 0, NAN, 0, 94, 47, 0, 0, 1)}, 'numbers in K; calibrate'),
        ({'k': (93, 0, 79, 0, float('inf'), 47, 0, 0, 1)}, 'numbers in K; calibrate'),
        ({'p': (NAN,) * 12}, 'numbers in P; calibrate'),
        ({'d': (0.1, NAN, 0, 0, 0)}, 'numbers in D; calibrate'),
        ({'d': (0.1, float('-inf'), 0, 0, 0)}, 'numbers in D; calibrate'),
        ({'d': (0.1,) * 15}, '15 distortion coefficients; plumb_bob has at most 14'),
        ({'d': (0.1,) * 5, 'distortion_model': 'equidistant'}, 'equidistant has at most 4'),
        ({'d': (0.1,) * 5, 'distortion_model': 'omni'}, "distortion model 'omni' is not known"),
        ({'width': 2**32 - 1, 'height': 2**32 - 1}, 'is the message damaged'),
        ({'roi': region(100, 0, 100, 50)}, r'100x50 at \(100, 0\)'),
        ({'binning_x': 1000}, 'leaves nothing'),
    ],
)
def test_calibrations_that_cannot_be_used_say_why(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(MessageError, match=words):
        camera_of(info(**changes))
