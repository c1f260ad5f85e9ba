"""How objects move: which headings agree, and what is smooth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sim_perception.types import ShapeLabel

F64 = npt.NDArray[np.float64]

_PARKED_SIGMA = np.array([0.03, 0.03, 0.03, 0.01])
"""Deviation of a parked car's poses from each other, metres and radians: odometry drifts."""
_CHANGE_SIGMA = np.array([2.0, 2.0, 0.3, 0.35])
"""Deviation of a moving car's acceleration, m/s^2 and rad/s^2."""
_MAX_TURN = np.deg2rad(50.0)


def motion_matrices(times: F64, *, moving: bool) -> F64:
    """Return the (4, T, T) precisions of a track's x, y, z and yaw over time.

    Of a parked object, the deviations from the mean are small; of a moving one, the changes of
    velocity over time.
    """
    count = len(times)
    if not moving:
        rows = np.eye(count) - 1.0 / count
        return np.array([rows.T @ rows / sigma**2 for sigma in _PARKED_SIGMA])
    rows = np.zeros((max(count - 2, 0), count))
    for k in range(count - 2):
        before = max(times[k + 1] - times[k], 1e-3)
        after = max(times[k + 2] - times[k + 1], 1e-3)
        rows[k, k : k + 3] = [1 / before, -1 / before - 1 / after, 1 / after]
        rows[k] /= 0.5 * (before + after)
    return np.array([rows.T @ rows / sigma**2 for sigma in _CHANGE_SIGMA])


def headings(
    poses: F64, labels: Sequence[ShapeLabel], moving: bool
) -> tuple[F64, npt.NDArray[np.bool_]]:
    """Return (T,) headings without flips and without jumps, and which agree with the others.

    Args:
        poses: (T, 4) x y z yaw in a frame that stands still, in order of time.
        labels: (T,) of them; the more confident count more.
        moving: whether the object moves: then it heads where it goes.
    """
    yaw = poses[:, 3]
    trust = np.array([label.confidence for label in labels]) + 1e-3
    # The axis that most agree on; then the direction along it.
    doubled = np.sum(trust * np.exp(2j * yaw))
    if moving:
        way = np.gradient(poses[:, :2], axis=0)
        common = np.arctan2(way[:, 1], way[:, 0])
        along = poses[-1, :2] - poses[0, :2]
        slow = np.hypot(*way.T) < 0.3
        common = np.where(slow, np.arctan2(along[1], along[0]), common)
        # Where most head against their way the car reverses.
        if np.sum(trust * np.cos(yaw - common)) < -0.6 * trust.sum():
            common = common + np.pi
    else:
        axis = 0.5 * np.angle(doubled)
        if np.sum(trust * np.cos(yaw - axis)) < 0:
            axis += np.pi
        common = np.full(len(yaw), axis)
    off = (yaw - common + np.pi / 2) % np.pi - np.pi / 2
    return np.unwrap(common + off), np.abs(off) < _MAX_TURN
