"""Each verb of the tracker on its own: laws it must obey and tables of cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from shapely import Polygon, affinity
from shapely import box as shapely_box
from tracked_scenes import CAR, CONFIG, WALKER, Array, arrays, boxes, straight

from sim_perception.geometry.rectangle_overlap import overlaps
from sim_perception.tracking.config import ClassMotion, TrackerConfig, class_table
from sim_perception.tracking.detections import prepare
from sim_perception.tracking.steps.associate import FORBIDDEN, assign, associate, pair_costs
from sim_perception.tracking.steps.predict import predict
from sim_perception.tracking.steps.prune import surviving, within
from sim_perception.tracking.steps.spawn import spawn, start
from sim_perception.tracking.steps.update import update
from sim_perception.tracking.tables import (
    EMPTY,
    OCCLUDED,
    OUTSIDE,
    UNKNOWN,
    VISIBLE,
    Rows,
    logit,
    track_dtype,
)

CLASSES = class_table(CONFIG.classes)
KINDS = {CAR: 0, WALKER: 1}
NONE = np.empty((0, 2), np.int64)
SECOND = 1_000_000_000


def detected(rows: Array, class_id: int = CAR, score: float = 0.95) -> Rows:
    return prepare(arrays(rows, class_id, score), KINDS, CLASSES, CONFIG)[0]


def started(rows: Array, class_id: int = CAR) -> Rows:
    return start(detected(rows, class_id), CLASSES, CONFIG, 0, 1, track_dtype(len(CLASSES)))


def one_car(speed: float = 10.0, turn: float = 0.0) -> Rows:
    tracks = started(boxes([straight(20, 3, yaw=0.4)], 0))
    tracks['mean'][0, 2:] = speed * np.cos(0.4), speed * np.sin(0.4)
    tracks['yaw'][0, 1] = turn
    return tracks


# Overlap ------------------------------------------------------------------------------------


def polygon(box: Array) -> Polygon:
    flat = shapely_box(-box[4] / 2, -box[5] / 2, box[4] / 2, box[5] / 2)
    return affinity.translate(affinity.rotate(flat, box[3], (0, 0), use_radians=True), *box[:2])


def test_overlap_of_rotated_boxes_agrees_with_shapely() -> None:
    rng = np.random.default_rng(0)
    rows = np.zeros((2, 40, 7))
    rows[..., :2] = rng.uniform(-3, 3, (2, 40, 2))
    rows[..., 3] = rng.uniform(-4, 4, (2, 40))
    rows[..., 4:] = rng.uniform(0.3, 5, (2, 40, 3))
    expected = [
        [
            polygon(a).intersection(polygon(b)).area / polygon(a).union(polygon(b)).area
            for b in rows[1]
        ]
        for a in rows[0]
    ]
    np.testing.assert_allclose(overlaps(rows[0], rows[1]), expected, atol=1e-9)


# Predict ------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(st.floats(0.01, 2), st.floats(0.01, 2))
def test_two_short_predictions_equal_a_long_one(first: float, second: float) -> None:
    once, twice = one_car(), one_car()
    predict(once, CLASSES, first + second)
    predict(twice, CLASSES, first)
    predict(twice, CLASSES, second)
    for name in ('mean', 'cov', 'yaw', 'yaw_cov', 'z'):
        np.testing.assert_allclose(once[name], twice[name], rtol=1e-9, atol=1e-9)


def test_prediction_moves_at_constant_velocity_and_knows_less() -> None:
    tracks = one_car()
    before = tracks.copy()
    predict(tracks, CLASSES, 1.5)
    np.testing.assert_allclose(
        tracks['mean'][0, :2], before['mean'][0, :2] + 1.5 * before['mean'][0, 2:]
    )
    grown = tracks['cov'][0] - before['cov'][0]
    assert (np.linalg.eigvalsh(grown[:2, :2]) > 0).all()
    np.testing.assert_allclose(tracks['cov'][0], tracks['cov'][0].T)


def test_what_turned_goes_on_turning_and_keeps_its_speed() -> None:
    tracks = one_car(10.0, turn=0.5)
    predict(tracks, CLASSES, 0.5)
    assert np.hypot(*tracks['mean'][0, 2:]) == pytest.approx(10.0)
    heading = np.arctan2(tracks['mean'][0, 3], tracks['mean'][0, 2])
    assert heading == pytest.approx(tracks['yaw'][0, 0])
    assert 0.4 + 0.15 < heading < 0.4 + 0.25  # the rate fades


def test_no_time_changes_nothing() -> None:
    tracks = one_car()
    before = tracks.copy()
    predict(tracks, CLASSES, 0.0)
    assert tracks.tobytes() == before.tobytes()


# Associate ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('where', 'class_id', 'allowed'),
    [
        ((20.3, 3.1, 0.4), CAR, True),
        ((20.3, 3.1, 0.4 + np.pi), CAR, True),  # detectors mistake front for back
        ((20.3, 3.1, 0.4), WALKER, False),  # another class
        ((60.0, 3.1, 0.4), CAR, False),  # beyond the gate
    ],
)
def test_gates(where: tuple[float, float, float], class_id: int, allowed: bool) -> None:
    x, y, yaw = where
    costs = pair_costs(
        started(boxes([straight(20, 3, yaw=0.4)], 0)),
        detected(boxes([straight(x, y, yaw=yaw)], 0), class_id),
        CLASSES,
        CONFIG,
    )
    assert (costs[0, 0] < FORBIDDEN) == allowed


def test_the_nearer_of_two_is_cheaper() -> None:
    tracks = started(boxes([straight(20, 0, yaw=0)], 0))
    costs = pair_costs(
        tracks,
        detected(boxes([straight(20.1, 0, yaw=0), straight(20.6, 0.5, yaw=0)], 0)),
        CLASSES,
        CONFIG,
    )
    assert costs[0, 0] < costs[0, 1] < FORBIDDEN


def test_assignment_is_the_cheapest_overall_not_the_greedy_one() -> None:
    costs = np.array([[1.0, 2.0], [1.5, 9.0]])  # greedy takes 1 + 9
    assert assign(costs).tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize('share', [0.0, 0.002, 0.01, 0.05, 1.0])
def test_assignments_in_parts_are_those_of_the_whole(share: float) -> None:
    rng = np.random.default_rng(0)
    costs = np.where(rng.random((150, 120)) < share, rng.uniform(-5, 30, (150, 120)), FORBIDDEN)
    rows, columns = linear_sum_assignment(costs)
    good = costs[rows, columns] < FORBIDDEN
    found = assign(costs)
    assert len(found) == good.sum()
    assert len(np.unique(found[:, 0])) == len(np.unique(found[:, 1])) == len(found)
    assert costs[found[:, 0], found[:, 1]].sum() == pytest.approx(
        costs[rows[good], columns[good]].sum()
    )


def test_doubtful_detections_get_what_is_left_of_recent_tracks() -> None:
    costs = np.array([[1.0, 0.1, 5.0], [5.0, 2.0, 0.5], [5.0, 5.0, 0.1]])
    matches = associate(costs, np.array([True, False, False]), np.array([True, True, False]))
    assert sorted(matches.tolist()) == [[0, 0], [1, 2]]


# Update -------------------------------------------------------------------------------------


def test_update_is_the_kalman_filter() -> None:
    tracks = started(boxes([straight(20, 3, yaw=0.4)], 0), WALKER)
    tracks['mean'][0, 2:] = 1.0, 0.5
    predict(tracks, CLASSES, 0.3)
    detections = detected(boxes([straight(20.5, 3.4, yaw=0.4)], 0), WALKER)
    mean, cov = tracks['mean'][0].copy(), tracks['cov'][0].copy()
    xx, xy, yy = detections['noise'][0]
    h = np.eye(2, 4)
    gain = cov @ h.T @ np.linalg.inv(h @ cov @ h.T + [[xx, xy], [xy, yy]])
    expected = mean + gain @ (detections['box'][0, :2] - mean[:2])
    update(tracks, detections, np.array([[0, 0]]), CLASSES, SECOND, 0.5, 3)
    np.testing.assert_allclose(tracks['mean'][0], expected)
    np.testing.assert_allclose(tracks['cov'][0], (np.eye(4) - gain @ h) @ cov, atol=1e-12)
    assert (tracks['hits'][0], tracks['seen'][0]) == (2, SECOND)


def test_vehicles_do_not_slide_sideways() -> None:
    tracks = one_car(0.0)
    predict(tracks, CLASSES, 0.1)
    update(
        tracks,
        detected(boxes([straight(20.5, 4.0, yaw=0.4)], 0)),
        np.array([[0, 0]]), CLASSES, SECOND // 10, 0.5, 3,
    )  # fmt: skip
    along = tracks['mean'][0, 2:] @ [np.cos(0.4), np.sin(0.4)]
    across = tracks['mean'][0, 2:] @ [-np.sin(0.4), np.cos(0.4)]
    assert along > 1.0
    assert abs(across) < 0.3 * along


def test_a_flipped_detection_does_not_turn_the_track_but_many_do() -> None:
    tracks = one_car()
    flipped = detected(boxes([straight(20, 3, yaw=0.4 + np.pi)], 0))
    headings = []
    for n in range(1, 8):
        update(tracks, flipped, np.array([[0, 0]]), CLASSES, n * SECOND // 10, 0.5, 3)
        headings.append(np.cos(tracks['yaw'][0, 0] - 0.4))
    assert headings[0] > 0.99
    assert headings[-1] < -0.99


def test_covariance_stays_positive_over_many_updates() -> None:
    rng = np.random.default_rng(0)
    tracks = one_car()
    for n in range(1, 500):
        predict(tracks, CLASSES, 0.1)
        x, y = 20 + 0.92 * n, 3 + 0.39 * n
        noisy = straight(x + rng.normal(0, 0.1), y + rng.normal(0, 0.1), yaw=0.4)
        update(
            tracks, detected(boxes([noisy], 0)), np.array([[0, 0]]), CLASSES,
            n * SECOND // 10, 0.5, 3,
        )  # fmt: skip
        assert (np.linalg.eigvalsh(tracks['cov'][0]) > 0).all()


# Spawn --------------------------------------------------------------------------------------


def test_only_sure_free_detections_start_tracks() -> None:
    tracks = started(boxes([straight(20, 0, yaw=0)], 0))
    places = [straight(20, 0, yaw=0), straight(20.3, 0.1, yaw=0), straight(40, 0, yaw=0)]
    detections = detected(boxes(places, 0))
    matches = np.array([[0, 0]])
    new = spawn(tracks, detections, matches, CLASSES, CONFIG, 0.0, SECOND, 7)
    assert new['id'].tolist() == [7]  # the second box lies on the matched track
    assert new['mean'][0, 0] == 40
    assert not len(spawn(tracks, detections, matches, CLASSES, CONFIG, 9.0, SECOND, 7))


# Prune --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('confirmed', 'place', 'lost', 'alive'),
    [
        (False, UNKNOWN, 0.2, True),
        (False, UNKNOWN, 0.4, False),
        (True, UNKNOWN, 2.9, True),
        (True, UNKNOWN, 3.1, False),
        (True, OCCLUDED, 5.9, True),
        (True, OCCLUDED, 6.1, False),
        (True, OUTSIDE, 5.9, True),
        (True, EMPTY, 0.3, True),
        (True, EMPTY, 0.5, False),
        (True, VISIBLE, 0.0, True),
    ],
)
def test_who_survives(confirmed: bool, place: int, lost: float, alive: bool) -> None:
    tracks = one_car()
    tracks['confirmed'], tracks['place'] = confirmed, place
    tracks['empty_since'] = 0 if place == EMPTY else -1
    stamp = round(lost * SECOND)
    assert surviving(tracks, CLASSES, CONFIG, stamp).tolist() == [alive]


def test_of_too_many_the_ones_seen_last_survive() -> None:
    tracks = started(boxes([straight(5.0 * n, 0, yaw=0) for n in range(6)], 0))
    tracks['confirmed'] = [True, True, True, False, True, True]
    tracks['seen'] = [0, 500, 100, 400, 400, 400]
    assert np.flatnonzero(within(tracks, 2)).tolist() == [1, 4]
    assert np.flatnonzero(within(tracks, 3)).tolist() == [1, 4, 5]
    assert np.flatnonzero(within(tracks, 4)).tolist() == [1, 3, 4, 5]


# Config -------------------------------------------------------------------------------------


@pytest.mark.parametrize('bad', [{'life': 0.0}, {'acceleration': -1.0}, {'slip': float('nan')}])
def test_impossible_motions_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        ClassMotion(**bad)  # type: ignore[arg-type]


def test_impossible_configs_are_refused() -> None:
    with pytest.raises(ValueError, match='classes is empty'):
        TrackerConfig(classes={})
    with pytest.raises(ValueError, match='spawn_score'):
        TrackerConfig(spawn_score=1.5)
    with pytest.raises(ValueError, match='max_gap'):
        TrackerConfig(max_gap=-1.0)


def test_log_odds_stay_finite() -> None:
    assert np.isfinite(logit([0.0, 1.0])).all()
