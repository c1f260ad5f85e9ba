"""Detections of hidden objects, which a network recalls: they keep tracks and start none."""

from __future__ import annotations

import numpy as np
import pytest

from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, invert
from sim_perception.tracking.camera import level_pose, shown_boxes
from sim_perception.tracking.config import (
    IMAGE_OBJECT,
    image_config,
    monocular,
    network_config,
    street_classes,
)
from sim_perception.tracking.detections import DetectionArrays, from_detections
from sim_perception.tracking.occlusion import image_boxes
from sim_perception.tracking.steps.associate import FORBIDDEN, associate
from sim_perception.tracking.tables import OCCLUDED, track_boxes
from sim_perception.tracking.tracker import Tracker
from sim_perception.types import Box3D, Camera, Detection

CAR = next(iter(street_classes()))
PERIOD = 100_000_000
SIZE = (4.2, 1.8, 1.5)
CAMERA = Camera(640, 192, 370.0, 370.0, 319.5, 95.5)


def seen(x: float, y: float, visibility: float = 1.0, score: float = 0.9) -> DetectionArrays:
    """One car in the sensor's level frame."""
    box = np.array([[x, y, 0.75, 0.0, *SIZE]])
    return DetectionArrays(np.array([CAR]), np.array([score]), box, np.array([visibility]))


NOTHING = DetectionArrays(np.empty(0, np.int64), np.empty(0), np.empty((0, 7)))


def run(tracker: Tracker, frames: list[DetectionArrays], first: int = 0):
    """Feed frames at 10 Hz, return what was said after each."""
    pose = np.eye(4)
    return [
        tracker.step((first + n + 1) * PERIOD, frame, tracking_T_sensor=pose)
        for n, frame in enumerate(frames)
    ]


def test_what_was_never_seen_starts_no_track() -> None:
    frames = run(Tracker(network_config()), [seen(20, 0, visibility=0.1)] * 5)
    assert not any(len(frame.tracks) for frame in frames)


def test_recalled_objects_stay_listed_as_hidden_under_their_id() -> None:
    tracker = Tracker(network_config())
    before = run(tracker, [seen(20 + 0.5 * n, 0) for n in range(8)])[-1]
    hidden = run(tracker, [seen(24 + 0.5 * n, 0, visibility=0.05) for n in range(8)], 8)
    after = run(tracker, [seen(28 + 0.5 * n, 0, visibility=0.6) for n in range(2)], 16)[-1]
    identity = before.tracks['id'][before.reported].tolist()
    assert len(identity) == 1
    for frame in hidden:
        assert not frame.reported.any()
        assert frame.tracks['id'][frame.occluded].tolist() == identity
        assert frame.tracks['place'].tolist() == [OCCLUDED]
        assert frame.tracks['visibility'][0] == pytest.approx(0.05)
        assert frame.tracks['seen'][0] == 8 * PERIOD
    assert after.tracks['id'][after.reported].tolist() == identity
    assert after.tracks['visibility'][0] == pytest.approx(0.6)


def test_recalled_detections_pull_less_than_seen_ones() -> None:
    moved = {}
    for visibility in (0.05, 1.0):
        tracker = Tracker(network_config())
        run(tracker, [seen(20, 0)] * 8)
        frame = run(tracker, [seen(20, 1.0, visibility)], 8)[-1]
        moved[visibility] = frame.tracks['mean'][0, 1]
    assert 0 < moved[0.05] < 0.6 * moved[1.0]


def test_memory_neither_confirms_nor_renames_nor_revalues_a_track() -> None:
    tracker = Tracker(network_config())
    run(tracker, [seen(20, 0)])
    before = tracker.tracks[0].copy()
    run(tracker, [seen(20, 0, visibility=0.0, score=0.3)] * 2, 1)
    for name in ('hits', 'confirmed', 'logit', 'kind', 'size'):
        np.testing.assert_array_equal(tracker.tracks[0][name], before[name])


def test_a_seen_detection_comes_before_a_recalled_one() -> None:
    """Both want the same track; the memory costs less."""
    costs = np.array([[2.0, 1.0]])
    everyone, hidden = np.ones(2, bool), np.array([False, True])
    found = associate(costs, everyone, np.ones(1, bool), hidden)
    assert found.tolist() == [[0, 0]]
    alone = associate(np.array([[FORBIDDEN, 1.0]]), everyone, np.zeros(1, bool), hidden)
    assert alone.tolist() == [[0, 1]]


def test_lost_objects_are_believed_hidden_if_so_configured() -> None:
    for believed in (False, True):
        tracker = Tracker(network_config(unseen_is_hidden=believed))
        run(tracker, [seen(20, 0)] * 6)
        frame = run(tracker, [NOTHING], 6)[-1]
        assert frame.occluded.tolist() == [believed]


def test_detections_in_an_optical_frame_are_levelled_and_keep_their_visibility() -> None:
    world_T_camera = from_euler(0, 0, 0.3, (5, 2, 1.6)) @ BODY_T_OPTICAL
    world_T_box = from_euler(0, 0, 0.7, (20, 8, 0.75))
    box = Box3D(invert(world_T_camera) @ world_T_box, SIZE)
    level = level_pose(world_T_camera)
    arrays = from_detections(
        [Detection(CAR, 0.8, box3d=box, visibility=0.1), Detection(CAR, 0.8, box3d=box)],
        level_T_source=invert(level) @ world_T_camera,
    )
    assert arrays.visibility is not None
    assert arrays.visibility.tolist() == [0.1, 1.0]
    expected = (invert(level) @ world_T_box)[:3, 3]
    np.testing.assert_allclose(arrays.boxes[0, :3], expected, atol=1e-9)
    assert arrays.boxes[0, 3] == pytest.approx(0.4)


def test_visibilities_must_be_as_many_as_detections() -> None:
    with pytest.raises(ValueError, match='1 classes but 2 visibilities'):
        DetectionArrays(np.array([CAR]), np.ones(1), np.ones((1, 7)), np.ones(2))


def test_shown_boxes_are_the_detectors_own_or_projected() -> None:
    tracker = Tracker(network_config())
    frame = run(tracker, [seen(20, 0)] * 4)[-1]
    camera_T_level = np.asarray(invert(BODY_T_OPTICAL), float)
    projected = image_boxes(CAMERA, camera_T_level, track_boxes(frame.tracks))
    own = Detection(CAR, 0.9, box2d=(300.0, 60.0, 350.0, 110.0))
    args = (CAMERA, camera_T_level, np.eye(4))
    np.testing.assert_allclose(shown_boxes(frame.tracks, None, *args), projected)
    np.testing.assert_allclose(shown_boxes(frame.tracks, [own], *args)[0], own.box2d)
    behind = np.diag([-1.0, -1.0, 1.0, 1.0])
    assert np.isnan(shown_boxes(frame.tracks, None, CAMERA, camera_T_level, behind)).all()


def test_boxes_that_grow_in_the_image_are_followed() -> None:
    """A car that comes near: its box doubles within a second."""
    tracker = Tracker(image_config([CAR]))
    for n in range(12):
        half = 20 * 1.07**n
        box = np.array([[300 - half, 100 - half / 2, 300 + half, 100 + half / 2]])
        frame = tracker.step((n + 1) * PERIOD, DetectionArrays(np.array([CAR]), np.ones(1), box))
    assert len(frame.tracks) == 1
    np.testing.assert_allclose(frame.tracks['size'][0, 0], 2 * half, rtol=0.05)


def test_a_track_of_the_image_plane_does_not_jump_far() -> None:
    tracker = Tracker(image_config([CAR], confirm_hits=1))
    for n, x in enumerate((100.0, 100.0, 100.0, 190.0)):
        box = np.array([[x, 50, x + 40, 90]])
        frame = tracker.step((n + 1) * PERIOD, DetectionArrays(np.array([CAR]), np.ones(1), box))
    assert len(frame.tracks) == 2  # 90 pixels are more than 1.5 heights


def test_named_configurations_know_all_classes_and_take_changes() -> None:
    config = network_config(min_score=0.3)
    assert set(config.classes) == set(street_classes())
    assert config.min_score == 0.3
    for class_id, motion in street_classes().items():
        assert config.classes[class_id] == monocular(motion)
        assert monocular(motion).range_noise > motion.range_noise
    assert image_config([3, 5]).classes == {3: IMAGE_OBJECT, 5: IMAGE_OBJECT}
