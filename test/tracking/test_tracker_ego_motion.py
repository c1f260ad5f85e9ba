"""The sensor's motion, estimated from what it sees."""

from dataclasses import replace

import numpy as np
import pytest
from tracked_scenes import CONFIG, PERIOD, arrays, boxes, seen_from, straight

from sim_perception.tracking.tracker import Tracker

SECONDS = 10.0


def poses_of(speed, paths, first=()):
    """Track what a sensor at a steady speed sees; return its estimated x over the time.

    What is there only at ``first`` vanishes after two seconds.
    """
    tracker = Tracker(replace(CONFIG, ego_motion=True))
    rng = np.random.default_rng(0)
    found = []
    for n in range(round(SECONDS * 1e9 / PERIOD)):
        t = 1e-9 * PERIOD * n
        there = [*paths, *(first if t < 2.0 else ())]
        seen = seen_from(boxes(there, t), (speed * t, 0.0, 0.0))
        near = seen[(seen[:, 0] > 2) & (seen[:, 0] < 60)]
        near[:, :2] += rng.normal(0, 0.1, (len(near), 2))
        found.append(tracker.step(n * PERIOD, arrays(near)).tracking_T_sensor[0, 3])
    return np.array(found)


def test_a_sensor_at_rest_does_not_move_with_the_oncoming_traffic():
    """Cars that come one after the other, as at a junction, and soon none that stands."""
    oncoming = [straight(60.0 + 20 * n, 4.0 + n % 2, vx=-16.0) for n in range(9)]
    queue = [straight(12.0, 0.0, yaw=0.0), straight(20.0, -3.0, yaw=0.0)]
    assert np.abs(poses_of(0.0, oncoming, queue)).max() < 2.0


@pytest.mark.parametrize('speed', [0.0, 0.6, 8.0, -2.0])
def test_what_stands_tells_the_motion(speed):
    """Also one that is slower than what counts as rest, and one that reverses."""
    parked = [straight(8.0 * n - 30, 5.0 * (-1) ** n, yaw=0.0) for n in range(24)]
    found = poses_of(speed, parked)
    assert found[-1] - found[9] == pytest.approx(speed * (SECONDS - 1.0), rel=0.12, abs=0.5)
