"""Which tracks are shown: scores by class, one class per thing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tracked_scenes import CAR, CAR_SIZE, CONFIG, WALKER, WALKER_SIZE, boxes, straight

from sim_perception.tracking.config import (
    CYCLIST,
    PEDESTRIAN,
    VEHICLE,
    ClassMotion,
    TrackerConfig,
    image_config,
)
from sim_perception.tracking.detections import DetectionArrays
from sim_perception.tracking.tracker import TrackedFrame, Tracker

RIDER = 13
RIDER_SIZE = (1.8, 0.6, 1.7)
STRICT = TrackerConfig(
    classes={
        CAR: VEHICLE,
        WALKER: replace(PEDESTRIAN, group='', least_score=0.8),
        RIDER: replace(CYCLIST, group=''),
    }
)


def seen(config: TrackerConfig, kinds: list[int], rows: list, scores: list[float]) -> TrackedFrame:
    """The answer after a second of the same detections."""
    tracker = Tracker(config)
    found = DetectionArrays(np.array(kinds), np.array(scores), np.concatenate(rows))
    for n in range(10):
        frame = tracker.step(n * 10**8, found)
    return frame


def shown(frame: TrackedFrame, config: TrackerConfig) -> list[int]:
    kinds = np.array(list(config.classes))
    return kinds[frame.tracks['kind'][frame.reported]].tolist()


def at(x: float, size: tuple[float, float, float]) -> np.ndarray:
    return boxes([straight(x, 3, yaw=0)], 0, size)


@pytest.mark.parametrize(
    ('walker', 'rider', 'expected'), [(0.9, 0.95, [RIDER]), (0.95, 0.9, [WALKER])]
)
def test_a_thing_that_is_seen_as_two_classes_is_shown_as_the_surer(
    walker: float, rider: float, expected: list[int]
) -> None:
    rows = [at(10, WALKER_SIZE), at(10.1, RIDER_SIZE)]
    frame = seen(STRICT, [WALKER, RIDER], rows, [walker, rider])
    assert len(frame.tracks) == 2
    assert shown(frame, STRICT) == expected
    assert not frame.occluded.any()


def test_neighbours_and_people_by_their_cars_are_both_shown() -> None:
    rows = [at(10, WALKER_SIZE), at(11.4, RIDER_SIZE), at(20, CAR_SIZE), at(20.5, WALKER_SIZE)]
    frame = seen(STRICT, [WALKER, RIDER, CAR, WALKER], rows, [0.85, 0.95, 0.95, 0.85])
    assert sorted(shown(frame, STRICT)) == sorted([WALKER, RIDER, CAR, WALKER])


def test_boxes_in_an_image_may_overlap() -> None:
    config = image_config([CAR, WALKER])
    rows = [np.array([[10.0, 10, 60, 60]]), np.array([[12.0, 10, 58, 60]])]
    assert sorted(shown(seen(config, [CAR, WALKER], rows, [0.9, 0.8]), config)) == [CAR, WALKER]


@pytest.mark.parametrize(('score', 'expected'), [(0.75, []), (0.85, [WALKER])])
def test_a_class_can_ask_for_more(score: float, expected: list[int]) -> None:
    assert shown(seen(STRICT, [WALKER], [at(10, WALKER_SIZE)], [score]), STRICT) == expected
    assert shown(seen(CONFIG, [WALKER], [at(10, WALKER_SIZE)], [score]), CONFIG) == [WALKER]


def test_impossible_least_scores_are_refused() -> None:
    with pytest.raises(ValueError, match='least_score'):
        ClassMotion(least_score=1.5)


@pytest.mark.parametrize(('hidden_score', 'listed'), [(0.3, 1), (0.7, 0)])
def test_what_was_seen_not_surely_enough_to_show_may_be_expected_once_hidden(
    hidden_score: float, listed: int
) -> None:
    config = replace(
        CONFIG,
        spawn_score=0.3,
        report_score=0.6,
        hidden_score=hidden_score,
        unseen_is_hidden=True,
    )
    tracker = Tracker(config)
    car = DetectionArrays(np.array([CAR]), np.array([0.5]), at(20, CAR_SIZE))
    nothing = DetectionArrays(np.empty(0, int), np.empty(0), np.empty((0, 7)))
    for n in range(10):
        frame = tracker.step(n * 10**8, car)
    assert not frame.reported.any()
    assert not frame.occluded.any()
    frame = tracker.step(10**9, nothing)
    assert not frame.reported.any()
    assert frame.occluded.sum() == listed
