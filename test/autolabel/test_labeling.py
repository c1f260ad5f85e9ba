"""Labels of made scenes: right where they are accepted, rejected for the right reason else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from lidar_scenes import CAMERA, CAMERA_T_LEVEL, CHECKPOINT, SENSOR, car_state, made_scene

from sim_perception.autolabel.config import LabelConfig
from sim_perception.autolabel.evidence.initialise import rectangle
from sim_perception.autolabel.modes import budget as budget_module
from sim_perception.autolabel.modes.lidar import ShapeLabeler
from sim_perception.autolabel.quality.quality import REASONS
from sim_perception.geometry.boxes import iou_upright
from sim_perception.geometry.lidar_frame import FrameError, LidarFrame, fit_ground
from sim_perception.types import ShapeLabel


@pytest.fixture(scope='module')
def labeler() -> ShapeLabeler:
    return ShapeLabeler.load(CHECKPOINT)


@pytest.mark.parametrize(('seed', 'yaw'), [(0, 0.6), (1, 1.7), (2, -0.9), (3, 2.6)])
def test_a_car_seen_from_any_side_is_labelled(
    labeler: ShapeLabeler, seed: int, yaw: float
) -> None:
    scene = made_scene(car_state(seed, yaw=yaw))
    (label,) = labeler.label(scene.frame, scene.box2d[None])
    assert label.accepted, label.reason
    assert label.box3d is not None
    plan, space = iou_upright(label.box3d, scene.box)
    assert plan > 0.75
    assert space > 0.75
    heading = label.box3d.parent_T_box[:2, 0] @ scene.box.parent_T_box[:2, 0]
    assert abs(heading) > np.cos(np.deg2rad(4))
    assert label.covariance is not None
    assert (np.linalg.eigvalsh(label.covariance) > 0).all()


def test_the_same_input_gives_the_same_label(labeler: ShapeLabeler) -> None:
    scene = made_scene(car_state(0))
    first, second = labeler.label(scene.frame, np.stack([scene.box2d, scene.box2d]))
    assert first.box3d is not None
    assert second.box3d is not None
    np.testing.assert_array_equal(first.box3d.parent_T_box, second.box3d.parent_T_box)
    assert first.confidence == second.confidence


def test_nothing_depends_on_where_the_level_frame_is(labeler: ShapeLabeler) -> None:
    scene = made_scene(car_state(1))
    angle = 2.0
    c, s = np.cos(angle), np.sin(angle)
    new_T_old = np.array([[c, -s, 0, 40], [s, c, 0, -30], [0, 0, 1, 5], [0, 0, 0, 1.0]])

    def moved(points: np.ndarray) -> np.ndarray:
        return points @ new_T_old[:3, :3].T + new_T_old[:3, 3]

    frame = LidarFrame(
        CAMERA,
        CAMERA_T_LEVEL @ np.linalg.inv(new_T_old),
        moved(scene.frame.points),
        moved(SENSOR[None])[0],
    )
    (here,) = labeler.label(scene.frame, scene.box2d[None])
    (there,) = labeler.label(frame, scene.box2d[None])
    assert here.box3d is not None
    assert there.box3d is not None
    back = replace(there.box3d, parent_T_box=np.linalg.inv(new_T_old) @ there.box3d.parent_T_box)
    assert iou_upright(here.box3d, back)[1] > 0.93


def test_mirrors_widen_the_box_only(labeler: ShapeLabeler) -> None:
    scene = made_scene(car_state(0))
    wide = ShapeLabeler.load(CHECKPOINT, LabelConfig(mirrors=True))
    (label,) = wide.label(scene.frame, scene.box2d[None])
    (plain,) = labeler.label(scene.frame, scene.box2d[None])
    assert label.box3d is not None
    assert plain.box3d is not None
    assert label.body_size == plain.box3d.size
    assert label.box3d.size[1] == pytest.approx(0.93 * plain.box3d.size[1] + 0.33)


def only(labeler: ShapeLabeler, frame: LidarFrame, box: np.ndarray) -> ShapeLabel:
    (label,) = labeler.label(frame, box[None])
    assert label.accepted == (label.reason == '')
    assert label.accepted or label.reason in REASONS
    return label


def test_no_points_on_the_object(labeler: ShapeLabeler) -> None:
    scene = made_scene(car_state(0))
    prepared = scene.frame.points
    seen = prepared @ CAMERA_T_LEVEL[:3, :3].T + CAMERA_T_LEVEL[:3, 3]
    u = seen[:, 0] / seen[:, 2] * CAMERA.fx + CAMERA.cx
    away = (u < scene.box2d[0] - 9) | (u > scene.box2d[2] + 9)
    label = only(labeler, scene.with_points(prepared[away]), scene.box2d)
    assert label.reason == 'no_points'


def test_all_points_on_the_ground(labeler: ShapeLabeler) -> None:
    scene = made_scene(car_state(0))
    label = only(labeler, scene.with_points(scene.frame.points[~scene.on_car]), scene.box2d)
    assert label.reason in ('ground_only', 'few_points')


def test_few_points(labeler: ShapeLabeler) -> None:
    scene = made_scene(car_state(0))
    keep = ~scene.on_car
    keep[np.flatnonzero(scene.on_car)[::80]] = True
    label = only(labeler, scene.with_points(scene.frame.points[keep]), scene.box2d)
    assert label.reason in ('few_points', 'ground_only')


def test_no_ground_below_the_sensor(labeler: ShapeLabeler) -> None:
    scene = made_scene(car_state(0))
    label = only(labeler, scene.with_points(scene.frame.points[scene.on_car][::9]), scene.box2d)
    assert not label.accepted


def test_wrong_image_box(labeler: ShapeLabeler) -> None:
    scene = made_scene(car_state(0))
    x1, _, x2, y2 = scene.box2d
    tall = np.array([x1 - 1.5 * (x2 - x1), 5.0, x2 + 1.5 * (x2 - x1), y2])
    assert only(labeler, scene.frame, tall).reason == 'box_mismatch'
    for broken in ([np.nan, 1, 2, 3], [300, 90, 280, 120], [-80, 10, -20, 60]):
        assert only(labeler, scene.frame, np.array(broken, float)).reason == 'bad_box'


def test_a_truck_is_no_car(labeler: ShapeLabeler) -> None:
    state = car_state(0, place=(15.0, 1.0), yaw=0.4)
    state[4:7] = np.log([9.0, 2.5, 3.4])
    state[2] = 1.7
    scene = made_scene(state)
    assert only(labeler, scene.frame, scene.box2d).reason == 'other_class'


def test_nan_points_are_ignored(labeler: ShapeLabeler) -> None:
    scene = made_scene(car_state(0))
    broken = np.concatenate([scene.frame.points, np.full((500, 3), np.nan)])
    (clean,) = labeler.label(scene.frame, scene.box2d[None])
    (label,) = labeler.label(scene.with_points(broken), scene.box2d[None])
    assert clean.box3d is not None
    assert label.box3d is not None
    np.testing.assert_allclose(label.box3d.parent_T_box, clean.box3d.parent_T_box)


@pytest.mark.parametrize(('width', 'kept'), [(400, True), (260, False)])
def test_mostly_beyond_the_border(labeler: ShapeLabeler, width: int, kept: bool) -> None:
    scene = made_scene(car_state(0, place=(9.0, 3.2), yaw=0.0))
    # The middle of the image alone: the car at its left is cut, slightly or by two thirds.
    shift = 0.5 * (CAMERA.width - width)
    frame = replace(scene.frame, camera=replace(CAMERA, width=width, cx=CAMERA.cx - shift))
    limit = np.array([width, CAMERA.height, width, CAMERA.height]) - 1.0
    box = np.clip(scene.box2d - [shift, 0, shift, 0], 0, limit)
    label = only(labeler, frame, box)
    assert label.reason == ('' if kept else 'cut_off')
    unseen = made_scene(car_state(0, place=(5.0, 3.6), yaw=0.0))
    x1, y1, _, y2 = np.clip(unseen.box2d, 0, [CAMERA.width - 1, CAMERA.height - 1] * 2)
    assert only(labeler, unseen.frame, np.array([x1, y1, x1 + 14, y2])).reason == 'no_points'


def test_mirrored_calibration_is_an_error() -> None:
    with pytest.raises(FrameError, match='mirrors'):
        LidarFrame(CAMERA, np.diag([1, -1, 1, 1.0]) @ CAMERA_T_LEVEL, np.zeros((1, 3)), SENSOR)
    with pytest.raises(FrameError, match='undistorted'):
        LidarFrame(replace(CAMERA, distortion=(0.1,)), CAMERA_T_LEVEL, np.zeros((1, 3)), SENSOR)


def test_ground_is_found_under_clutter() -> None:
    rng = np.random.default_rng(0)
    plane = np.array([0.02, -0.01, -0.3])
    flat = rng.uniform(-25, 25, (2000, 2))
    ground = np.column_stack([flat, flat @ plane[:2] + plane[2] + rng.normal(0, 0.02, 2000)])
    boxes = rng.uniform([3, -6, 0], [20, 6, 1.2], (1200, 3))
    found = fit_ground(np.concatenate([ground, boxes]), SENSOR)
    assert found is not None
    assert (np.abs(found - plane) < [0.003, 0.003, 0.03]).all()
    assert fit_ground(boxes + np.array([0, 0, 3.0]), SENSOR) is None


def test_rectangle_of_a_corner() -> None:
    t = np.linspace(0, 1, 60)[:, None]
    corner = np.concatenate([t * [4.0, 0.0], t * [0.0, 1.8]])
    angle = np.deg2rad(21)
    c, s = np.cos(angle), np.sin(angle)
    turned = corner @ np.array([[c, s], [-s, c]])
    found, low, high = rectangle(turned)
    assert found == pytest.approx(angle, abs=np.deg2rad(1.6))
    np.testing.assert_allclose(high - low, [4.0, 1.8], atol=0.15)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match='must be positive'):
        LabelConfig(point_sigma=0.0)
    with pytest.raises(ValueError, match='must not ascend'):
        LabelConfig(last_scale=1.0)


class Slow(ShapeLabeler):
    """Takes the seconds on a clock that stands still else."""

    clock, takes = 0.0, 0.15

    def _label(self, prepared, box):  # type: ignore[no-untyped-def]
        Slow.clock += self.takes
        return self._rejected(box, 'few_points')


@pytest.mark.parametrize(
    ('budget', 'begun'), [(0.1, 1), (0.2, 1), (0.31, 2), (0.5, 3), (np.inf, 9), (0.0, 0)]
)
def test_the_budget_is_kept_within_one_object(
    monkeypatch: pytest.MonkeyPatch, budget: float, begun: int
) -> None:
    monkeypatch.setattr(budget_module.time, 'perf_counter', lambda: Slow.clock)
    scene, labeler = made_scene(car_state(0)), Slow.load(CHECKPOINT)
    start = Slow.clock
    labels = labeler.label(scene.frame, np.tile(scene.box2d, (9, 1)), budget)
    reasons = [label.reason for label in labels]
    assert reasons == ['few_points'] * begun + ['no_time'] * (9 - begun)
    assert Slow.clock - start <= budget + Slow.takes
