"""Lens models agree with OpenCV, are undone exactly, and know where they end."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from sim_perception.geometry.cameras import (
    bin_camera,
    distort_boxes,
    pixel_rays,
    project,
    undistort_boxes,
    unproject,
)
from sim_perception.geometry.lenses import reach
from sim_perception.geometry.rectification import bend, is_bent, lens_text, rectify, restore
from sim_perception.types import Camera

IDEAL = Camera(96, 72, 60.0, 62.0, 47.0, 36.5)
LENSES = {
    'one': replace(IDEAL, distortion=(-0.1,)),
    'plumb_bob': replace(IDEAL, distortion=(-0.25, 0.06, 0.001, -0.002, 0.01)),
    'rational': replace(IDEAL, distortion=(0.4, -0.1, 0.001, 0.0, 0.02, 0.7, -0.05, 0.03)),
    'prism': replace(
        IDEAL, distortion=(0.1, 0.01, 0, 0, 0.02, 0.01, 0.02, 0.03, 1e-3, 1e-3, 2e-3, 1e-3)
    ),
    'tilted': replace(IDEAL, distortion=(0.1, 0.01, *([0.0] * 10), 0.02, -0.03)),
    'fisheye': replace(IDEAL, distortion=(0.08, -0.02, 0.01, -0.002), fisheye=True),
    'pure fisheye': replace(IDEAL, fisheye=True),
}
each_lens = pytest.mark.parametrize('camera', LENSES.values(), ids=LENSES)


@each_lens
def test_projection_is_opencvs(camera: Camera) -> None:
    points = np.random.default_rng(1).uniform([-4, -3, 5], [4, 3, 20], (100, 3))
    zero, d = np.zeros(3), np.array(camera.distortion)
    if camera.fisheye:
        d = np.pad(d, (0, 4 - len(d)))
        expected = cv2.fisheye.projectPoints(points[None], zero, zero, camera.matrix, d)[0][0]
    else:
        d = np.pad(d, (0, max(0, 5 - len(d))))
        expected = cv2.projectPoints(points, zero, zero, camera.matrix, d)[0][:, 0]
    np.testing.assert_allclose(project(camera, points)[0], expected, atol=1e-9)


@each_lens
def test_rays_lead_back_to_their_pixels(camera: Camera) -> None:
    depth = np.random.default_rng(0).uniform(1, 60, (camera.height, camera.width))
    pixels, z = project(camera, unproject(camera, depth))
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    np.testing.assert_allclose(pixels, np.stack([u, v], -1), atol=1e-6)
    np.testing.assert_allclose(z, depth)


def test_where_the_polynomial_turns_around_there_is_no_pixel() -> None:
    barrel = replace(IDEAL, distortion=(-0.3, 0.0, 0.0, 0.0, 0.0))
    edge = 1 / np.sqrt(3 * 0.3)  # of r - .3 r^3
    assert reach(barrel) == pytest.approx(edge, rel=1e-3)
    slopes = np.array([0.5, 0.98 * edge, 1.02 * edge, 2.0, 40.0])
    pixels, _ = project(barrel, np.stack([slopes, 0 * slopes, 1 + 0 * slopes], -1))
    assert np.isfinite(pixels[:2]).all()
    # 2.0 would fall into the middle of the image: a point 63 degrees aside among those ahead
    assert np.isnan(pixels[2:]).all()


def test_a_fisheye_sees_up_to_a_right_angle() -> None:
    wide = Camera(400, 400, 100.0, 100.0, 199.5, 199.5, fisheye=True)
    rays = pixel_rays(wide)
    angle = np.hypot(*(np.indices((400, 400)) - 199.5)) / 100.0
    np.testing.assert_array_equal(np.isfinite(rays).all(-1), angle < np.pi / 2)
    seen = angle < 1.5
    found = np.arctan(np.hypot(rays[..., 0], rays[..., 1]))
    np.testing.assert_allclose(found[seen], angle[seen], atol=1e-9)


def test_binned_pixels_lie_where_their_sensor_pixels_lie() -> None:
    camera = LENSES['plumb_bob']
    binned = bin_camera(camera, 3, 2)
    assert (binned.width, binned.height) == (32, 36)
    rays = pixel_rays(camera)
    np.testing.assert_allclose(pixel_rays(binned)[:, :, 0], (
        (rays[::2, 1::3, 0] + rays[1::2, 1::3, 0]) / 2), atol=2e-3)  # fmt: skip


@each_lens
def test_boxes_go_and_come_back(camera: Camera) -> None:
    boxes = np.array([[40.0, 30, 54, 44], [60, 40, 70, 52], [20, 10, 26, 16]])
    back = distort_boxes(camera, undistort_boxes(camera, boxes))
    np.testing.assert_allclose(back, boxes, atol=0.7)
    assert undistort_boxes(camera, np.zeros((0, 4))).shape == (0, 4)
    np.testing.assert_array_equal(undistort_boxes(IDEAL, boxes), boxes)


def test_a_box_that_reaches_beyond_the_lens_ends_at_its_edge() -> None:
    barrel = replace(IDEAL, distortion=(-0.3, 0.0, 0.0, 0.0, 0.0))
    (box,) = distort_boxes(barrel, np.array([[-500.0, 20, 40, 60]]))
    edge, _ = project(barrel, np.array([[-reach(barrel), 0.0, 1.0]]))
    assert box[0] == pytest.approx(edge[0, 0], abs=1.5)
    assert box[0] < box[2] < 48


def wall(camera: Camera) -> np.ndarray:
    """Return the depth of a slanted wall in a camera's image."""
    return (10 / (1 + 0.3 * pixel_rays(camera)[..., 0])).astype(np.float32)


@each_lens
def test_rectified_layers_show_what_the_pinhole_sees(camera: Camera) -> None:
    inner = (slice(20, -20), slice(24, -24))
    straight = rectify(camera, wall(camera), np.nan)
    np.testing.assert_allclose(straight[inner], wall(IDEAL)[inner], rtol=0.01)
    back = restore(camera, wall(IDEAL), np.nan)
    known = np.isfinite(back)
    assert known[inner].all()
    np.testing.assert_allclose(back[known], wall(camera)[known], rtol=0.02)
    labels = rectify(camera, np.full((72, 96), 7, np.uint8), 255)
    assert set(np.unique(labels)) <= {7, 255}


def test_what_a_fisheye_sees_beyond_the_pinhole_is_unknown() -> None:
    camera = LENSES['pure fisheye']
    back = restore(camera, wall(IDEAL), np.nan)
    rays = pixel_rays(camera)
    pixels, _ = project(IDEAL, rays)
    outside = ((pixels < -0.5) | (pixels > [95.5, 71.5])).any(-1)
    assert outside.any()
    assert np.isnan(back[outside]).all()
    assert np.isfinite(back[~outside]).all()


def test_rectifying_nothing_is_free_and_wrong_sizes_are_refused() -> None:
    image = np.zeros((72, 96, 3), np.uint8)
    assert rectify(IDEAL, image) is image
    with pytest.raises(ValueError, match='image is 96x70 but its calibration is for 96x72'):
        rectify(LENSES['plumb_bob'], image[:70])


def test_how_much_a_lens_bends_decides_what_networks_see() -> None:
    assert bend(IDEAL) == 0
    slight = replace(IDEAL, distortion=(-0.01, 0.0, 0.0, 0.0, 0.0))
    corner, _ = project(slight, np.array([[48 / 60, -36.5 / 62, 1.0]]))
    expected = np.hypot(*(corner[0] - [95, 0])) / 96
    assert bend(slight) == pytest.approx(expected, rel=0.05)
    assert not is_bent(slight)
    assert is_bent(LENSES['plumb_bob'])
    assert 'images stay' in lens_text(slight)
    assert 'rectified for the network' in lens_text(LENSES['fisheye'])
    assert 'equidistant' in lens_text(LENSES['fisheye'])
    wide = Camera(400, 400, 100.0, 100.0, 199.5, 199.5, fisheye=True)
    assert bend(wide) == float('inf')


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'cx': float('nan')}, 'cx must be finite'),
        ({'cy': float('inf')}, 'cy must be finite'),
        ({'fx': float('inf')}, 'fx must be finite'),
        ({'distortion': (0.1, float('nan'))}, 'distortion must be finite'),
        ({'distortion': (0.1,) * 15}, 'at most 14'),
        ({'distortion': (0.1,) * 5, 'fisheye': True}, 'at most 4'),
    ],
)
def test_impossible_cameras_are_refused(changes: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(IDEAL, **changes)
