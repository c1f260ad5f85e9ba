"""The whole tracker on hand-made scenes: identities through occlusions, bad input, bounds."""

from __future__ import annotations

import numpy as np
import pytest
from tracked_scenes import (
    CAR,
    CAR_SIZE,
    CONFIG,
    NOTHING,
    PERIOD,
    WALKER,
    WALKER_SIZE,
    Array,
    arrays,
    boxes,
    reported_ids,
    run,
    seen_from,
    straight,
)

from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, invert
from sim_perception.tracking.config import TrackerConfig, image_config, street_classes
from sim_perception.tracking.detections import DetectionArrays, from_detections
from sim_perception.tracking.occlusion import BoxView
from sim_perception.tracking.steps.sources import StampError
from sim_perception.tracking.tracker import Tracker
from sim_perception.tracking.tracks import to_tracks
from sim_perception.tracking.views import DepthView, LidarView
from sim_perception.types import Box3D, Camera, Detection

CAMERA = Camera(640, 192, 370.0, 370.0, 319.5, 95.5)
CAMERA_T_SENSOR = invert(from_euler(0, 0, 0, np.array([0.0, 0.0, 1.6])) @ BODY_T_OPTICAL)


def test_an_identity_survives_two_seconds_without_detections() -> None:
    path = straight(10, -5, 8, 1)
    frames = [NOTHING if 20 <= n < 40 else arrays(boxes([path], n / 10)) for n in range(50)]
    seen = run(Tracker(CONFIG), frames)
    assert reported_ids(seen[19]) == reported_ids(seen[40]) == [1]
    assert all(not reported_ids(frame) for frame in seen[20:40])
    lost = seen[39].tracks[0]
    np.testing.assert_allclose(lost['mean'][:2], path(3.9)[:2], atol=0.3)
    grown = [frame.tracks['cov'][0, 0, 0] for frame in seen[19:40]]
    assert (np.diff(grown) > 0).all()
    assert seen[45].tracks['cov'][0, 0, 0] < grown[-1]


def test_two_walkers_keep_their_ids_where_their_paths_cross() -> None:
    paths = [straight(12, -3, 0, 1.2), straight(12.9, 3, 0, -1.2)]
    frames = [arrays(boxes(paths, n / 10, WALKER_SIZE), WALKER) for n in range(50)]
    seen = run(Tracker(CONFIG), frames)
    for frame in seen[10:]:
        order = np.argsort(frame.tracks['mean'][:, 0])
        assert frame.tracks['id'][order].tolist() == [1, 2]


def test_irregular_frames_are_taken_by_their_stamps() -> None:
    path = straight(10, 0, 10, 0)
    tracker = Tracker(CONFIG)
    times = np.cumsum(np.random.default_rng(0).uniform(0.03, 0.4, 60))
    for t in times:
        frame = tracker.step(round(1e9 * t), arrays(boxes([path], t)))
    assert frame.tracks['id'].tolist() == [1]
    assert frame.tracks['mean'][0, 2] == pytest.approx(10, abs=0.2)


def test_velocity_class_age_and_covariance_come_out() -> None:
    seen = run(Tracker(CONFIG), [arrays(boxes([straight(5, 2, 6, 3)], n / 10)) for n in range(20)])
    (track,) = to_tracks(seen[-1].tracks, Tracker(CONFIG).class_ids, seen[-1].stamp)
    np.testing.assert_allclose(track.velocity, [6, 3, 0], atol=0.3)
    assert (track.class_id, track.class_probabilities[CAR]) == (CAR, pytest.approx(1.0))
    assert (track.age, track.lost_for, track.detected) == (pytest.approx(1.9), 0.0, True)
    assert track.box3d is not None
    np.testing.assert_allclose(track.box3d.size, CAR_SIZE)
    assert np.linalg.eigvalsh(track.covariance[np.ix_([0, 1, 3, 4], [0, 1, 3, 4])]).min() > 0


def test_ids_go_on_after_a_reset_and_after_a_long_silence() -> None:
    tracker = Tracker(CONFIG)
    car = arrays(boxes([straight(10, 0, yaw=0)], 0))
    tracker.step(0, car)
    tracker.reset()
    assert tracker.step(0, car).tracks['id'].tolist() == [2]
    late = tracker.step(round(1e9 * (CONFIG.max_gap + 1)), car)
    assert late.restarted
    assert late.tracks['id'].tolist() == [3]


def test_a_given_pose_makes_parked_cars_stand_still() -> None:
    parked = boxes([straight(20, 4, yaw=0.1), straight(35, -4, yaw=3.0)], 0)
    tracker = Tracker(CONFIG)
    for n in range(20):
        pose = (0.9 * n, 0.02 * n, 0.01 * n)
        frame = tracker.step(
            n * PERIOD,
            arrays(seen_from(parked, pose)),
            tracking_T_sensor=from_euler(0, 0, pose[2], np.array([*pose[:2], 0.0])),
        )
    np.testing.assert_allclose(frame.tracks['mean'][:, :2], parked[:, :2], atol=1e-6)
    np.testing.assert_allclose(frame.tracks['mean'][:, 2:], 0, atol=1e-6)


# Ego-motion ---------------------------------------------------------------------------------


@pytest.mark.parametrize('speed', [0.0, 5.0, 14.0, 25.0])
def test_ego_motion_is_recovered_from_parked_cars(speed: float) -> None:
    rng = np.random.default_rng(1)
    parked = [straight(8.0 * n, side * 5, yaw=0.0) for n in range(30) for side in (-1, 1)]
    oncoming = straight(200, 2, -12, 0)
    config = TrackerConfig(classes=CONFIG.classes, ego_motion=True)
    tracker = Tracker(config)
    pose = np.zeros(3)
    for n in range(60):
        t = n / 10
        rows = seen_from(boxes([*parked, oncoming], t), pose)
        rows[:, :2] += rng.normal(0, 0.05, (len(rows), 2))
        rows[:, 3] += rng.normal(0, 0.02, len(rows))
        rows = rows[(rows[:, 0] > 2) & (rows[:, 0] < 50)]
        found = tracker.step(n * PERIOD, arrays(rows)).tracking_T_sensor
        off = np.hypot(*(found[:2, 3] - pose[:2]))
        assert off < 0.01 * speed * t + 0.3
        turn = 0.01 * np.cos(t)
        middle = pose[2] + turn / 2
        pose += [speed / 10 * np.cos(middle), speed / 10 * np.sin(middle), turn]
    assert np.arctan2(found[1, 0], found[0, 0]) == pytest.approx(pose[2] - turn, abs=0.02)


def test_without_ego_motion_the_sensor_stands_still() -> None:
    seen = run(
        Tracker(CONFIG), [arrays(boxes([straight(20, 0, -5, 0)], n / 10)) for n in range(9)]
    )
    np.testing.assert_array_equal(seen[-1].tracking_T_sensor, np.eye(4))


# Occlusion ----------------------------------------------------------------------------------


def lose_a_walker(view: object, frames: int = 60) -> list[int]:
    """Ids that live after a standing walker at 15 m has no detections for ``frames``."""
    walker = boxes([straight(15, 0.5, yaw=0)], 0, WALKER_SIZE)
    tracker = Tracker(CONFIG)
    for n in range(10):
        tracker.step(n * PERIOD, arrays(walker, WALKER))
    for n in range(10, 10 + frames):
        frame = tracker.step(n * PERIOD, NOTHING, view=view)  # type: ignore[arg-type]
    return frame.tracks['id'].tolist()


def depth_view(metres: float) -> DepthView:
    return DepthView(CAMERA, CAMERA_T_SENSOR, np.full((192, 640), metres, np.float32))


def wall(x: float) -> LidarView:
    y, z = np.meshgrid(np.linspace(-4, 4, 161), np.linspace(-1.5, 3, 91))
    points = np.stack([np.full(y.size, x), y.ravel(), z.ravel()], -1)
    return LidarView(points, np.array([0.0, 0.0, 1.7]))


@pytest.mark.parametrize('view_at', [depth_view, wall])
def test_depth_tells_hidden_from_gone(view_at) -> None:  # type: ignore[no-untyped-def]
    assert lose_a_walker(view_at(6.0), 55) == [1]  # behind something: kept past its usual life
    assert lose_a_walker(view_at(15.0), 25) == [1]  # something is there: the usual life
    assert lose_a_walker(view_at(15.0), 35) == []
    assert lose_a_walker(view_at(40.0), 8) == []  # the place is seen to be empty


def test_what_leaves_the_view_is_kept_and_comes_back_as_itself() -> None:
    path = straight(10, 8.0, 0, 1.5)
    tracker = Tracker(CONFIG)
    view = BoxView(CAMERA, CAMERA_T_SENSOR)
    for n in range(60):
        _, y, _ = path(n / 10)
        rows = boxes([path], n / 10, WALKER_SIZE)
        visible = y < 8.5 or n >= 50
        frame = tracker.step(n * PERIOD, arrays(rows, WALKER) if visible else NOTHING, view=view)
        if n == 45:
            assert frame.occluded.tolist() == [True]
    assert frame.tracks['id'].tolist() == [1]


def test_nearer_boxes_hide_and_farther_ones_do_not() -> None:
    view = BoxView(CAMERA, CAMERA_T_SENSOR)
    lorry = [12.0, 0.0, 1.75, 0.0, 8.0, 2.5, 3.5]
    behind, before = [30.0, 0.0, 0.8, 0.0, 4.2, 1.8, 1.5], [6.0, 0.0, 0.8, 0.0, 0.6, 0.6, 1.5]
    _, visibility = view.look(np.array([lorry, behind, before]), np.array([1, 2]))
    assert visibility[0] < 0.2
    assert visibility[1] == 1.0


def test_a_depth_image_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match='resize the camera'):
        DepthView(CAMERA, CAMERA_T_SENSOR, np.zeros((10, 10)))


# Image boxes --------------------------------------------------------------------------------


def test_image_boxes_keep_their_id_through_a_gap() -> None:
    config = image_config(street_classes())
    tracker = Tracker(config)
    for n in range(30):
        box = np.array([[100 + 6.0 * n, 50, 160 + 6.0 * n, 200]])
        near = arrays(box, WALKER) if not 15 <= n < 21 else arrays(np.empty((0, 4)))
        frame = tracker.step(n * PERIOD, near)
    (track,) = to_tracks(frame.tracks, tracker.class_ids, frame.stamp, image=True)
    assert track.id == 1
    assert track.box3d is None
    assert track.box2d is not None
    np.testing.assert_allclose(track.box2d, box[0], atol=3)
    assert track.velocity[0] == pytest.approx(60, abs=6)


# Bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize('stamp', [PERIOD, 0, PERIOD - 1])
def test_stamps_that_do_not_advance_are_refused_and_change_nothing(stamp: int) -> None:
    tracker = Tracker(CONFIG)
    car = arrays(boxes([straight(10, 0, yaw=0)], 0))
    tracker.step(PERIOD, car)
    before = tracker.tracks.tobytes()
    with pytest.raises(StampError, match='not later'):
        tracker.step(stamp, car)
    assert tracker.tracks.tobytes() == before
    assert tracker.step(2 * PERIOD, car).tracks['id'].tolist() == [1]


def test_bad_boxes_and_unknown_classes_are_counted_and_harm_nobody() -> None:
    good = boxes([straight(10, 0, yaw=0), straight(30, 0, yaw=0)], 0)
    bad = np.repeat(good[:1], 5, 0)
    bad[0, 0], bad[1, 3], bad[2, 4], bad[3, 5] = np.nan, np.inf, 0.0, -1.0
    rows = np.concatenate([good, bad, good[:1] + 50, good[:1] + 70])
    ids = [CAR, CAR, CAR, CAR, CAR, CAR, 99, CAR, CAR]
    scores = np.array([0.9] * 7 + [np.nan, 0.01])
    tracker = Tracker(CONFIG)
    for n in range(5):
        frame = tracker.step(n * PERIOD, DetectionArrays(np.array(ids), scores, rows))
    r = frame.rejected
    assert (r.invalid, r.unknown_class, r.weak, r.surplus) == (5, 1, 1, 0)
    assert frame.tracks['id'].tolist() == [1, 2]
    assert np.isfinite(frame.tracks['mean']).all()


def test_arrays_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match='equal counts'):
        DetectionArrays(np.zeros(2, np.int64), np.zeros(3), np.zeros((2, 7)))


def test_image_boxes_and_3d_boxes_are_not_mixed() -> None:
    tracker = Tracker(CONFIG)
    tracker.step(0, arrays(boxes([straight(10, 0, yaw=0)], 0)))
    with pytest.raises(ValueError, match='two trackers'):
        tracker.step(PERIOD, arrays(np.array([[1.0, 2.0, 3.0, 4.0]])))


def test_detections_of_the_package_are_taken() -> None:
    box = Box3D(from_euler(0, 0, 0.7, np.array([9.0, 1.0, 0.8])), CAR_SIZE)
    found = from_detections([Detection(CAR, 0.9, box3d=box), Detection(CAR, 0.8)])
    np.testing.assert_allclose(found.boxes[0], [9, 1, 0.8, 0.7, *CAR_SIZE])
    assert np.isnan(found.boxes[1]).all()
    image = from_detections([Detection(CAR, 0.9, box2d=(1, 2, 3, 4))], image=True)
    assert image.boxes.tolist() == [[1, 2, 3, 4]]


def test_street_classes_are_the_countable_ones() -> None:
    assert set(street_classes()) == {10, 11, 12, 13}


def clutter(rng: np.random.Generator, count: int) -> Array:
    rows = np.zeros((count, 7))
    rows[:, :2] = rng.uniform(-60, 60, (count, 2))
    rows[:, 3] = rng.uniform(-3, 3, count)
    rows[:, 4:] = CAR_SIZE
    return rows


def test_detections_beyond_count_stay_within_bounds() -> None:
    rng = np.random.default_rng(0)
    tracker = Tracker(TrackerConfig(classes=CONFIG.classes, max_tracks=600))
    for n in range(12):
        frame = tracker.step(n * PERIOD, arrays(clutter(rng, 1500)))
        assert frame.rejected.surplus == 1500 - 1024
        assert frame.rejected.crowded > 0
        assert len(frame.tracks) == 600
        assert len(np.unique(frame.tracks['id'])) == len(frame.tracks)


def test_more_objects_than_tracks_leave_the_first_ones_their_identity() -> None:
    rng = np.random.default_rng(0)
    rows = clutter(rng, 100)
    rows[:, :2] = np.stack(np.meshgrid(np.arange(10), np.arange(10)), -1).reshape(-1, 2) * 12.0
    tracker = Tracker(TrackerConfig(classes=CONFIG.classes, max_tracks=60))
    for n in range(8):
        frame = tracker.step(n * PERIOD, arrays(rows))
        assert frame.rejected.crowded == 40
        assert frame.tracks['id'].tolist() == list(range(1, 61))


@pytest.mark.slow
def test_an_hour_of_clutter_does_not_grow() -> None:
    rng = np.random.default_rng(0)
    tracker = Tracker(TrackerConfig(classes=CONFIG.classes, ego_motion=True))
    seen: set[int] = set()
    for n in range(3600):  # one frame a second
        frame = tracker.step(n * 10 * PERIOD, arrays(clutter(rng, int(rng.integers(0, 4)))))
        assert len(frame.tracks) < 40
        born = frame.tracks['id'][frame.tracks['born'] == frame.stamp].tolist()
        assert not seen & set(born)
        seen.update(born)
    assert np.isfinite(frame.tracks['mean']).all()
    assert np.isfinite(frame.tracking_T_sensor).all()
