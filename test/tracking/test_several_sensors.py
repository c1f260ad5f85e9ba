"""Several cameras, one world of tracks: overlap, hand-over, frames out of step, silent cameras."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from tracked_scenes import (
    CONFIG,
    NOTHING,
    PERIOD,
    WALKER,
    WALKER_SIZE,
    Path,
    arrays,
    boxes,
    reported_ids,
    seen_from,
    straight,
)

from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, invert
from sim_perception.tracking.config import TrackerConfig, network_config
from sim_perception.tracking.detections import DetectionArrays
from sim_perception.tracking.occlusion import BoxView, image_boxes
from sim_perception.tracking.steps.predict import shift
from sim_perception.tracking.steps.sources import StampError
from sim_perception.tracking.tables import OCCLUDED, OUTSIDE, VISIBLE
from sim_perception.tracking.tracker import TrackedFrame, Tracker
from sim_perception.types import Camera

CAMERA = Camera(640, 192, 370.0, 370.0, 319.5, 95.5)
CAMERA_T_LEVEL = invert(from_euler(0, 0, 0, np.array([0.0, 0.0, 1.6])) @ BODY_T_OPTICAL)
VIEW = BoxView(CAMERA, CAMERA_T_LEVEL)
LEAD = straight(14, 2, 0, 0.5, yaw=0)


@dataclass
class Eye:
    """A camera of the rig that looks to one side and sees 82 degrees."""

    source: int
    heading: float

    def pose(self) -> np.ndarray:
        return from_euler(0, 0, self.heading, np.zeros(3))

    def sees(self, paths: list[Path], t: float, *, scale: float = 1.0) -> DetectionArrays:
        rows = seen_from(boxes(paths, t, WALKER_SIZE), (0, 0, self.heading))
        image = image_boxes(CAMERA, CAMERA_T_LEVEL, rows)
        middle = (image[:, 0] + image[:, 2]) / 2
        rows = rows[(middle >= 0) & (middle < CAMERA.width)]
        rows[:, :2] *= scale
        return arrays(rows, WALKER)

    def step(
        self, tracker: Tracker, stamp: int, found: DetectionArrays, view: BoxView | None = VIEW
    ) -> TrackedFrame:
        return tracker.step(
            stamp, found, tracking_T_sensor=self.pose(), view=view, source=self.source
        )


FRONT, LEFT = Eye(0, 0.0), Eye(1, np.radians(65))


def circle(t: float) -> tuple[float, float, float]:
    """From the middle of the front camera through the overlap to the middle of the left one."""
    angle = 0.2 * t
    return 15 * np.cos(angle), 15 * np.sin(angle), angle + np.pi / 2


@pytest.mark.parametrize('lag', [0, PERIOD // 2, -PERIOD // 5])
@pytest.mark.parametrize('view', [VIEW, None], ids=['view', 'no view'])
def test_an_object_keeps_its_id_from_one_camera_to_the_other(
    lag: int, view: BoxView | None
) -> None:
    tracker = Tracker(CONFIG)
    both = 0
    for n in range(1, 60):
        counts = []
        for eye, stamp in ((FRONT, n * PERIOD), (LEFT, n * PERIOD + lag)):
            found = eye.sees([circle], 1e-9 * stamp)
            frame = eye.step(tracker, stamp, found, view)
            counts.append(len(found.boxes))
            if n > 3:
                assert reported_ids(frame) == [1]
                x, y, _ = circle(1e-9 * frame.stamp)
                np.testing.assert_allclose(frame.tracks['mean'][0, :2], [x, y], atol=0.3)
        both += counts == [1, 1]
    assert both > 5
    assert counts == [0, 1]
    assert tracker.next_id == 2


def test_cameras_that_disagree_about_distance_make_no_second_track() -> None:
    tracker = Tracker(network_config())
    walker = 12
    for n in range(1, 30):
        for eye, scale in ((FRONT, 0.93), (LEFT, 1.07)):
            found = eye.sees([straight(13, 9, 0.3, 0.2)], n / 10, scale=scale)
            assert len(found.boxes) == 1
            found = DetectionArrays(np.array([walker]), found.score, found.boxes)
            frame = eye.step(tracker, n * PERIOD, found)
    assert tracker.next_id == 2
    assert reported_ids(frame) == [1]


def test_what_another_camera_sees_stays_reported_where_it_moves() -> None:
    tracker = Tracker(CONFIG)
    for n in range(20):
        FRONT.step(tracker, n * PERIOD, FRONT.sees([LEAD], n / 10))
        frame = LEFT.step(tracker, n * PERIOD + PERIOD // 2, NOTHING)
    assert reported_ids(frame) == [1]
    np.testing.assert_allclose(frame.tracks['mean'][0, :2], LEAD(n / 10 + 0.05)[:2], atol=0.1)
    assert frame.tracks['place'][0] == VISIBLE


def test_what_no_camera_sees_is_lost_and_what_one_sees_hidden_is_hidden() -> None:
    """The wall hides the walker from the front camera; for the left one it is out of view."""
    tracker = Tracker(CONFIG)
    wall, standing = straight(5, 0.8, yaw=0), straight(14, 2.2, yaw=0)
    for n in range(30):
        stamp = n * PERIOD
        FRONT.step(tracker, stamp, FRONT.sees([wall, standing][: 2 if n < 12 else 1], n / 10))
        frame = LEFT.step(tracker, stamp, NOTHING)
    walker = frame.tracks[frame.tracks['id'] == 2]
    assert walker['place'] == OCCLUDED
    assert frame.occluded[frame.tracks['id'] == 2].all()
    assert reported_ids(frame) == [1]


def test_a_silent_cameras_word_does_not_count_for_long() -> None:
    tracker = Tracker(CONFIG)
    for n in range(10):
        FRONT.step(tracker, n * PERIOD, FRONT.sees([LEAD], n / 10))
        LEFT.step(tracker, n * PERIOD, NOTHING)
    frames = [LEFT.step(tracker, n * PERIOD, NOTHING) for n in range(10, 20)]
    reported = [bool(reported_ids(frame)) for frame in frames]
    assert reported == [True] * 5 + [False] * 5
    assert frames[-1].tracks['place'].tolist() == [OUTSIDE]
    assert frames[-1].occluded.all()


def test_a_slow_cameras_frames_correct_tracks_at_their_own_time() -> None:
    """A runner is found a third of a metre further back by a frame that is 50 ms older."""
    fast = straight(10, 1, 6, 0)
    tracker = Tracker(CONFIG)
    for n in range(20):
        FRONT.step(tracker, n * PERIOD, FRONT.sees([fast], n / 10))
    late = (n * PERIOD) - PERIOD // 2
    twin = Eye(2, 0.0)
    frame = twin.step(tracker, late, twin.sees([fast], 1e-9 * late))
    assert frame.stamp == n * PERIOD
    assert reported_ids(frame) == [1]
    np.testing.assert_allclose(frame.tracks['mean'][0], [*fast(n / 10)[:2], 6, 0], atol=0.1)


def test_frames_far_behind_or_repeated_are_refused_and_change_nothing() -> None:
    tracker = Tracker(CONFIG)
    FRONT.step(tracker, 20 * PERIOD, FRONT.sees([LEAD], 2.0))
    LEFT.step(tracker, 20 * PERIOD, NOTHING)
    before = tracker.tracks.tobytes()
    with pytest.raises(StampError, match='not later'):
        LEFT.step(tracker, 20 * PERIOD, NOTHING)
    with pytest.raises(StampError, match=r'older than that of another sensor.*clocks'):
        Eye(2, 0.0).step(tracker, 10 * PERIOD, NOTHING)
    assert tracker.tracks.tobytes() == before
    assert FRONT.step(tracker, 21 * PERIOD, FRONT.sees([LEAD], 2.1)).tracks['id'].tolist() == [1]


def test_after_a_reset_the_cameras_clocks_may_begin_anew() -> None:
    tracker = Tracker(CONFIG)
    FRONT.step(tracker, 100 * PERIOD, NOTHING)
    tracker.reset()
    LEFT.step(tracker, PERIOD, NOTHING)
    FRONT.step(tracker, PERIOD, NOTHING)


def test_shifting_there_and_back_changes_nothing() -> None:
    tracker = Tracker(CONFIG)
    for n in range(5):
        FRONT.step(tracker, n * PERIOD, FRONT.sees([circle], n / 10))
    mean, cov = tracker.tracks['mean'].copy(), tracker.tracks['cov'].copy()
    shift(tracker.tracks, 0.3)
    np.testing.assert_allclose(tracker.tracks['mean'][:, :2], mean[:, :2] + 0.3 * mean[:, 2:])
    assert (tracker.tracks['cov'][:, 0, 0] > cov[:, 0, 0]).all()
    shift(tracker.tracks, -0.3)
    np.testing.assert_allclose(tracker.tracks['mean'], mean)
    np.testing.assert_allclose(tracker.tracks['cov'], cov, atol=1e-12)


@pytest.mark.parametrize('name', ['max_lag', 'source_timeout'])
def test_impossible_durations_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        TrackerConfig(**{name: -1.0})  # type: ignore[arg-type]
