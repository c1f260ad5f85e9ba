"""Masks: their contours draw shapes, and clusters of points part what touches in the image."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from lidar_scenes import (
    CAMERA,
    CAMERA_T_LEVEL,
    CHECKPOINT,
    MadeScene,
    car_state,
    made_scene,
    shape_model,
)

from sim_perception.autolabel.config import LabelConfig
from sim_perception.autolabel.detect import boxes_from_clusters
from sim_perception.autolabel.evidence.contour import with_contour
from sim_perception.autolabel.fit.kernels import evaluate
from sim_perception.autolabel.fit.posed_shape import SHAPE
from sim_perception.autolabel.fit.refine import make_view
from sim_perception.autolabel.modes.lidar import ShapeLabeler
from sim_perception.geometry.boxes import iou_2d
from sim_perception.geometry.lidar_frame import PreparedFrame
from sim_perception.models.shape import decode_mesh


@pytest.fixture(scope='module')
def labeler() -> ShapeLabeler:
    return ShapeLabeler.load(CHECKPOINT)


def mask_of(state: np.ndarray) -> np.ndarray:
    """The pixels of a posed shape, its faces filled one by one."""
    length, width, height = (float(s) for s in np.exp(state[4:7]))
    mesh = decode_mesh(shape_model(), state[SHAPE:], (length, width, height))
    c, s = np.cos(state[3]), np.sin(state[3])
    points = mesh.vertices @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]).T + state[:3]
    seen = points @ CAMERA_T_LEVEL[:3, :3].T + CAMERA_T_LEVEL[:3, 3]
    pixels = seen[:, :2] / seen[:, 2:] * [CAMERA.fx, CAMERA.fy] + [CAMERA.cx, CAMERA.cy]
    mask = np.zeros((CAMERA.height, CAMERA.width), np.uint8)
    for face in mesh.faces:
        cv2.fillConvexPoly(mask, np.round(pixels[face]).astype(np.int32), 1)
    return mask.astype(bool)


def thin(scene: MadeScene, count: int) -> MadeScene:
    """The scene with so many points on the car."""
    rows = np.flatnonzero(scene.on_car)
    keep = ~scene.on_car
    keep[rows[np.linspace(0, len(rows) - 1, count).astype(int)]] = True
    return replace(scene, frame=scene.with_points(scene.frame.points[keep]))


def test_a_mask_helps_where_points_are_few(labeler: ShapeLabeler) -> None:
    with_mask, without = [], []
    for seed in range(4):
        state = car_state(seed, place=(14.0, 2.0), yaw=0.5 + 0.7 * seed)
        scene = thin(made_scene(state), 28)
        wrong = scene.box2d + np.array([-6.0, 4.0, 6.0, -4.0])
        for masks, errors in (([mask_of(state)], with_mask), (None, without)):
            if masks is None:
                (label,) = labeler.label(scene.frame, wrong[None])
            else:
                (label,) = labeler.label_masked(scene.frame, wrong[None], masks)
            assert label.box3d is not None
            offset = label.box3d.parent_T_box[:3, 3] - state[:3]
            size = np.abs(np.array(label.box3d.size) - np.exp(state[4:7]))
            errors.append(float(np.linalg.norm(offset) + size.mean()))
    assert np.mean(with_mask) < np.mean(without)


def test_contours_pull_downhill(labeler: ShapeLabeler) -> None:
    state = car_state(1)
    scene = made_scene(state)
    (label,) = labeler.label(scene.frame, scene.box2d[None])
    (bare,) = labeler.evidence(scene.frame, [label])
    assert bare is not None
    prepared = PreparedFrame(scene.frame, 60.0)
    config = LabelConfig(contour_rays=200)
    drawn = with_contour(bare, prepared, mask_of(state), config)
    assert len(drawn.contour) > 100
    space, weights = labeler._refiner.space, labeler._refiner.weights
    view, size = make_view(CAMERA, CAMERA_T_LEVEL), len(state)

    def part(at: np.ndarray) -> tuple[float, np.ndarray]:
        costs, slopes = [], []
        for evidence in (drawn, bare):
            slope = np.empty(size)
            costs.append(
                evaluate(
                    space, view, evidence, weights, 0.12, at, np.empty((size, size)), slope
                )
            )  # fmt: skip
            slopes.append(slope)
        return costs[0] - costs[1], slopes[0] - slopes[1]

    assert part(state)[0] / 16 < 0.5
    off = state + np.array([0.1, -0.15, 0.08, 0.05, 0.04, -0.03, 0.05, *np.zeros(size - SHAPE)])
    _, slope = part(off)
    found = np.zeros(SHAPE)
    for k in range(SHAPE):
        change = np.zeros(size)
        change[k] = 4e-3
        found[k] = (part(off + change)[0] - part(off - change)[0]) / 8e-3
    # Least distances are found by steps, so that costs are a little rough.
    size_found, size_slope = np.linalg.norm(found), np.linalg.norm(slope[:SHAPE])
    assert found @ slope[:SHAPE] > 0.85 * size_found * size_slope
    np.testing.assert_allclose(size_slope, size_found, rtol=0.35)


def test_a_mask_of_another_size_is_refused(labeler: ShapeLabeler) -> None:
    scene = made_scene(car_state(0))
    with pytest.raises(ValueError, match='a mask is 10x5, the image 640x192'):
        labeler.label_masked(scene.frame, scene.box2d[None], [np.ones((5, 10), bool)])
    with pytest.raises(ValueError, match='1 boxes but 0 masks'):
        labeler.label_masked(scene.frame, scene.box2d[None], [])


def test_cars_that_touch_in_a_loose_segmentation_are_parted() -> None:
    near = made_scene(car_state(0, place=(10.0, 1.8), yaw=0.1))
    far = made_scene(car_state(2, place=(16.5, -0.4), yaw=0.0))
    points = np.concatenate([near.frame.points, far.frame.points[far.on_car]])
    segmentation = np.zeros((CAMERA.height, CAMERA.width), np.uint8)
    for box in (near.box2d, far.box2d):
        x1, y1, x2, y2 = (int(v) for v in box)
        segmentation[y1 - 2 : y2 + 5, x1 - 12 : x2 + 12] = 3
    # One region.
    assert cv2.connectedComponents((segmentation == 3).astype(np.uint8))[0] == 2
    prepared = PreparedFrame(near.with_points(points), 60.0)
    boxes, regions = boxes_from_clusters(segmentation, prepared, 3, LabelConfig())
    assert len(boxes) == 2
    overlap = iou_2d(boxes, np.stack([near.box2d, far.box2d]))
    assert (overlap.max(0) > 0.75).all()
    assert overlap.argmax(0).tolist() == [0, 1]
    assert set(np.unique(regions)) == {-1, 0, 1}
    assert (segmentation[regions >= 0] == 3).all()
    nothing, _ = boxes_from_clusters(segmentation, prepared, 4, LabelConfig())
    assert nothing.shape == (0, 4)
