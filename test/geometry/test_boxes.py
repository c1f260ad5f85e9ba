from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely import box as shapely_box

from sim_perception.geometry.boxes import box_corners, box_edges, iou_2d, project_box
from sim_perception.geometry.cameras import project
from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, invert
from sim_perception.types import Box3D, Camera

CAMERA = Camera(640, 192, 370.0, 370.0, 319.5, 95.5)
CAMERA_T_WORLD = invert(from_euler(0, 0, 0, np.array([0, 0, 1.6])) @ BODY_T_OPTICAL)


def car(x: float, y: float, yaw: float) -> Box3D:
    return Box3D(from_euler(0, 0, yaw, np.array([x, y, 0.75])), (4.2, 1.8, 1.5))


def test_edges_join_corners_that_differ_in_one_axis() -> None:
    corners = box_corners(Box3D(np.eye(4), (2.0, 4.0, 6.0)))
    lengths = np.abs(corners[box_edges()[:, 0]] - corners[box_edges()[:, 1]])
    assert (np.count_nonzero(lengths, axis=1) == 1).all()
    assert len({tuple(sorted(edge)) for edge in box_edges().tolist()}) == 12


@given(st.floats(8, 60), st.floats(-8, 8), st.floats(-3, 3))
def test_projected_box_is_tight_around_points_of_the_box(x: float, y: float, yaw: float) -> None:
    box = car(x, y, yaw)
    x1, y1, x2, y2 = project_box(CAMERA, CAMERA_T_WORLD, box) or (0, 0, 0, 0)
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (200, 3)) * box.size
    points = points @ box.parent_T_box[:3, :3].T + box.parent_T_box[:3, 3]
    pixels, _ = project(CAMERA, points @ CAMERA_T_WORLD[:3, :3].T + CAMERA_T_WORLD[:3, 3])
    assert (pixels >= [x1 - 1e-6, y1 - 1e-6]).all()
    assert (pixels <= [x2 + 1e-6, y2 + 1e-6]).all()
    corners, _ = project(
        CAMERA, box_corners(box) @ CAMERA_T_WORLD[:3, :3].T + CAMERA_T_WORLD[:3, 3]
    )
    np.testing.assert_allclose([x1, y1, x2, y2], [*corners.min(0), *corners.max(0)])


def test_box_beside_the_camera_is_clipped_at_the_near_plane() -> None:
    image_box = project_box(CAMERA, CAMERA_T_WORLD, car(1.0, 2.0, 0.0))
    assert image_box is not None
    assert np.isfinite(image_box).all()
    assert image_box[0] < 0


def test_box_behind_the_camera_has_no_image() -> None:
    assert project_box(CAMERA, CAMERA_T_WORLD, car(-10.0, 0.0, 0.3)) is None


def test_iou_agrees_with_shapely() -> None:
    rng = np.random.default_rng(2)
    low = rng.uniform(0, 50, (2, 30, 2))
    boxes = np.concatenate([low, low + rng.uniform(1, 30, (2, 30, 2))], -1)
    expected = [
        [
            shapely_box(*a).intersection(shapely_box(*b)).area
            / shapely_box(*a).union(shapely_box(*b)).area
            for b in boxes[1]
        ]
        for a in boxes[0]
    ]
    np.testing.assert_allclose(iou_2d(boxes[0], boxes[1]), expected, atol=1e-12)


def test_iou_of_empty_boxes_is_zero_not_nan() -> None:
    empty = np.array([[3.0, 3.0, 3.0, 3.0]])
    assert iou_2d(empty, empty) == pytest.approx(0.0)
