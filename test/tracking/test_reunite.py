"""Lost identities that come back when their objects have been seen again a few times."""

from __future__ import annotations

import numpy as np
import pytest
from tracked_scenes import CAR, PERIOD, WALKER, WALKER_SIZE, Array

from sim_perception.taxonomy import load_taxonomy
from sim_perception.tracking.config import TrackerConfig, network_config
from sim_perception.tracking.detections import DetectionArrays
from sim_perception.tracking.tracker import TrackedFrame, Tracker

TAXONOMY = load_taxonomy()
SIZES = {CAR: (4.2, 1.8, 1.5), WALKER: WALKER_SIZE}
POSE = np.eye(4)


def at(*places: tuple[float, float], kind: int = WALKER, score: float = 0.6) -> DetectionArrays:
    rows: Array = np.array(
        [(x, y, SIZES[kind][2] / 2, 0.0, *SIZES[kind]) for x, y in places], float
    ).reshape(-1, 7)
    return DetectionArrays(np.full(len(rows), kind), np.full(len(rows), score), rows)


class Street:
    """A tracker that is shown frames at 10 Hz."""

    def __init__(self, config: TrackerConfig) -> None:
        self.tracker, self.now = Tracker(config), 0

    def show(self, frame: DetectionArrays, times: int = 1) -> TrackedFrame:
        for _ in range(times):
            self.now += PERIOD
            seen = self.tracker.step(self.now, frame, tracking_T_sensor=POSE)
            assert len(set(seen.tracks['id'])) == len(seen.tracks)
        return seen


def ids(seen: TrackedFrame) -> list[int]:
    return sorted(seen.tracks['id'][seen.reported].tolist())


@pytest.mark.parametrize(('limit', 'taken'), [(-4.0, False), (1e6, True)])
def test_a_stray_detection_does_not_take_a_hidden_track_away(limit: float, taken: bool) -> None:
    street = Street(network_config(most_surprise=limit))
    street.show(at((20, 2)), 10)
    street.show(at(), 20)
    seen = street.show(at((26.5, 2.6), score=0.35))
    old = seen.tracks[seen.tracks['id'] == 1][0]
    assert (old['detection'] == 0) == taken
    assert (np.hypot(*(old['mean'][:2] - (20, 2))) > 2.0) == taken


def test_who_appears_again_elsewhere_has_the_old_identity_once_it_is_sure() -> None:
    street = Street(network_config())
    assert ids(street.show(at((20, 2)), 10)) == [1]
    street.show(at(), 20)
    again = [street.show(at((26.5, 2.6))) for _ in range(4)]
    assert [ids(seen) for seen in again] == [[], [], [1], [1]]
    assert len(again[-1].tracks) == 1
    track = again[-1].tracks[0]
    np.testing.assert_allclose(track['mean'][:2], (26.5, 2.6), atol=0.5)
    assert track['born'] == PERIOD
    assert track['hits'] == 14


def test_without_a_gate_nothing_is_reunited() -> None:
    street = Street(network_config(reunite_gate=0.0))
    street.show(at((20, 2)), 10)
    street.show(at(), 20)
    assert ids(street.show(at((26.5, 2.6)), 4)) == [2]


def test_neither_another_kind_nor_a_far_one_nor_one_that_was_there_is_reunited() -> None:
    street = Street(network_config())
    street.show(at((20, 2)), 10)
    street.show(at(), 20)
    assert ids(street.show(at((24, 2.6), kind=CAR), 4)) == [2]
    street = Street(network_config())
    street.show(at((20, 2)), 10)
    street.show(at(), 20)
    assert ids(street.show(at((24, -9)), 4)) == [2]
    street = Street(network_config())
    street.show(at((20, 2)), 8)
    street.show(at((20, 2), (24.5, 2.6)), 2)  # the second one is not sure yet
    assert ids(street.show(at((24.5, 2.6)), 6)) == [2]


def test_of_two_lost_ones_each_finds_its_own() -> None:
    street = Street(network_config())
    street.show(at((15, 3), (15, -3)), 10)
    street.show(at(), 15)
    seen = street.show(at((18.5, -3.6), (18.5, 3.6)), 3)
    shown = seen.tracks[seen.reported]
    side = dict(zip(shown['id'].tolist(), np.sign(shown['mean'][:, 1]).tolist(), strict=True))
    assert side == {1: 1.0, 2: -1.0}


def test_one_very_sure_detection_is_enough() -> None:
    street = Street(network_config())
    street.show(at((20, 2)), 10)
    street.show(at(), 20)
    assert ids(street.show(at((26.5, 2.6), score=0.97))) == [1]
