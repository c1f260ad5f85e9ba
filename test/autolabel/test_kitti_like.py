"""The stress test: what it breaks, and that labels stand it."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('typer', reason='training is not installed')
from lidar_scenes import CHECKPOINT, car_state, made_scene

from sim_perception.autolabel.config import KITTI
from sim_perception.autolabel.modes.lidar import ShapeLabeler
from sim_perception.geometry.boxes import iou_upright, project_box
from sim_perception.types import Box3D
from training.datasets.kitti.like import SHRINK, kitti_like
from training.datasets.objects.label_scenes import LabelScene, TrueObject, points_in_box


def scene(seed: int, yaw: float) -> LabelScene:
    made = made_scene(car_state(seed, place=(12.0 + seed, 1.0), yaw=yaw), noise=0.0)
    length, width, height = made.box.size
    wide = Box3D(made.box.parent_T_box, (length, 0.93 * width + 0.33, height))
    points = points_in_box(made.frame.points, wide)
    thing = TrueObject('car', wide, tuple(made.box2d.tolist()), 0.0, 0.0, points, '1')
    return LabelScene(f'made_{seed}', made.frame, np.zeros((192, 640, 3), np.uint8), (thing,))


def test_it_is_the_same_each_time_and_breaks_what_it_says() -> None:
    whole = scene(0, 0.5)
    one, two = kitti_like(whole), kitti_like(whole)
    np.testing.assert_array_equal(one.frame.points, two.frame.points)
    (before,), (after,) = whole.objects, one.objects
    # Without mirrors, small, with fewer points, and boxed as its 3D box is.
    assert after.box3d.size[0] == pytest.approx(SHRINK * before.box3d.size[0], rel=0.06)
    assert after.box3d.size[1] < SHRINK * before.box3d.size[1]
    assert 20 < after.points < before.points
    corners = project_box(one.frame.camera, one.frame.camera_T_level, after.box3d)
    assert corners is not None
    off = np.abs(np.array(after.box2d) - corners)
    assert 0 < off.max() < 0.03 * (corners[2] - corners[0]) + 2
    turn = one.frame.camera_T_level[:3, :3] @ whole.frame.camera_T_level[:3, :3].T
    assert 0 < np.degrees(np.arccos((np.trace(turn) - 1) / 2)) < 4


def test_labels_stand_it() -> None:
    labeler = ShapeLabeler.load(CHECKPOINT, KITTI)
    overlaps = []
    for seed, yaw in enumerate((0.3, 1.2, 2.0, 2.9, -0.4, -1.4)):
        hard = kitti_like(scene(seed, yaw))
        (label,) = labeler.label(hard.frame, np.array([hard.objects[0].box2d]))
        assert label.box3d is not None
        overlaps.append(iou_upright(label.box3d, hard.objects[0].box3d)[1])
    assert np.median(overlaps) > 0.7
    assert min(overlaps) > 0.5
