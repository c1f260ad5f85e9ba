"""The table of the ways to fit: which objects, and what is said of them."""

from __future__ import annotations

import numpy as np
import pytest

from sim_perception.geometry.lidar_frame import LidarFrame
from sim_perception.geometry.transforms import from_euler
from sim_perception.types import Box3D, Camera, ShapeLabel
from training.datasets.objects.label_scenes import LabelScene, TrueObject
from training.evaluation.autolabel import refiners
from training.evaluation.autolabel.compare import compare
from training.evaluation.autolabel.refiners import pick_objects, summary

CAMERA = Camera(320, 120, 180.0, 180.0, 159.5, 59.5)
SIZE = (4.0, 1.8, 1.5)


def car(x: float, *, points: int = 100, width: float = 60.0) -> TrueObject:
    return TrueObject(
        'car', Box3D(from_euler(0, 0, 0, (x, 0, 0)), SIZE), (10, 10, 10 + width, 50), 0, 0, points
    )


def street(name: str, *cars: TrueObject) -> LabelScene:
    frame = LidarFrame(CAMERA, np.eye(4), np.zeros((0, 3)), np.zeros(3))
    return LabelScene(name, frame, np.zeros((120, 320, 3), np.uint8), cars)


def test_one_object_per_frame_that_counts_and_is_large_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scenes = [
        street('empty', car(10, points=3)),
        street('two', car(12), car(13)),
        street('small', car(14, width=8), car(15)),
        street('late', car(16)),
    ]
    monkeypatch.setattr(refiners, 'open_scenes', lambda spec, limit: (iter(scenes), 4))
    found = [thing.box3d.parent_T_box[0, 3] for _, thing in pick_objects('sim:made', 2)]
    assert found == [12, 15]


def test_objects_without_a_fit_count_as_missed() -> None:
    scene, truth = street('one', car(10)), car(10)
    exact = ShapeLabel(1, (0, 0, 1, 1), True, '', 0.9, truth.box3d)
    missed = ShapeLabel(1, (0, 0, 1, 1), False, 'no_points', 0.0)
    rows = [compare(scene, label, truth) for label in (exact, missed, missed)]
    found = summary(rows)
    assert found['objects'] == 3
    assert found['median_iou_3d'] == 0
    assert found['share_3d_50'] == pytest.approx(1 / 3)
    assert found['median_translation_m'] == pytest.approx(0, abs=1e-6)
