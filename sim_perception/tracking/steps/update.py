"""Update: correct matched tracks by their detections.

Kalman updates of the centre (noise longer along the line of sight), of the heading (taken
modulo half a turn, because detectors mistake front for back) and of the height; running means of
size, class and score. Detections of hidden objects correct the centre alone. Two soft constraints
make speeds credible: vehicles do not slide sideways, and what seems to be at rest is at rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.rectangle_overlap import remainder
from sim_perception.kernels import kernel, strided
from sim_perception.tracking.steps.sources import outranked
from sim_perception.tracking.tables import OCCLUDED, VISIBLE, Rows

HEIGHT_VARIANCE = 0.01
"""Variance of a measured height of the centre, m^2."""
FLIP_MEMORY = 0.9
"""Share of the balance of flipped detections that is kept at each detection."""
REST_NOISE = 0.5
"""Standard deviation with which objects that may rest are drawn to rest, m/s."""
REST_TURNING = 0.05
"""Standard deviation with which their yaw rates are drawn to zero, rad/s."""
CLASS_CONFUSION = 0.1
"""Chance that a detector names another class of the group."""
MAX_VOTE = 5.0
"""Greatest log-ratio of class probabilities, so that a track can change its class."""


def update(
    tracks: Rows,
    detections: Rows,
    matches: npt.NDArray[np.int64],
    classes: Rows,
    stamp: int,
    memory: float,
    confirm_hits: int,
    source: int = 0,
) -> None:
    """Correct tracks in place by the detections that they were matched with.

    Args:
        tracks: predicted rows of ``track_dtype``.
        detections: rows of ``DETECTION_DTYPE`` in the tracking frame.
        matches: (K, 2) rows of a track and of a detection; no row occurs twice.
        classes: rows of ``CLASS_DTYPE``.
        stamp: of the detections, nanoseconds.
        memory: seconds over which the score is averaged.
        confirm_hits: detections that confirm a track.
        source: the sensor.
    """
    if len(matches):
        _update(
            tracks['mean'], tracks['cov'], tracks['yaw'], tracks['yaw_cov'], tracks['flip'],
            tracks['z'], tracks['size'], tracks['scale'], tracks['votes'], tracks['kind'],
            tracks['logit'], tracks['hits'], tracks['seen'],
            detections['box'], detections['noise'], detections['logit'], detections['kind'],
            detections['scale'],
            matches, classes['group'], classes['yaw_noise'], classes['slip'],
            classes['rest_speed'], classes['size_memory'], stamp, memory,
        )  # fmt: skip
        rows, columns = matches[:, 0], matches[:, 1]
        tracks['seen'][rows] = stamp
        tracks['place'][rows] = VISIBLE
        tracks['visibility'][rows] = detections['visibility'][columns]
        tracks['empty_since'][rows] = -1
        tracks['detection'][rows] = detections['index'][columns]
        tracks['source'][rows] = source
        tracks['confirmed'][rows] |= tracks['hits'][rows] >= confirm_hits


def recall(
    tracks: Rows,
    detections: Rows,
    matches: npt.NDArray[np.int64],
    source: int = 0,
    others: Sequence[int] = (),
) -> None:
    """Correct the centres of tracks by detections of hidden objects, and note that they are.

    Such a detection is a network's memory: it says nothing new of size, class or existence.

    Args:
        tracks: predicted rows of ``track_dtype``, changed in place.
        detections: rows of ``DETECTION_DTYPE`` in the tracking frame.
        matches: (K, 2) rows of a track and of a detection; no row occurs twice.
        source: the sensor.
        others: sensors whose better word about a track counts.
    """
    for row, column in matches.tolist():
        correct_position(
            tracks['mean'][row], tracks['cov'][row],
            detections['box'][column, :2], detections['noise'][column],
        )  # fmt: skip
    tracks['detection'][matches[:, 0]] = detections['index'][matches[:, 1]]
    places = np.full(len(matches), OCCLUDED)
    rows, columns = matches[~outranked(tracks[matches[:, 0]], places, others)].T
    tracks['place'][rows] = OCCLUDED
    tracks['visibility'][rows] = detections['visibility'][columns]
    tracks['empty_since'][rows] = -1
    tracks['source'][rows] = source


@strided
def _update(
    mean: npt.NDArray[np.float64],
    cov: npt.NDArray[np.float64],
    yaw: npt.NDArray[np.float64],
    yaw_cov: npt.NDArray[np.float64],
    flip: npt.NDArray[np.float64],
    z: npt.NDArray[np.float64],
    size: npt.NDArray[np.float64],
    scale: npt.NDArray[np.float64],
    votes: npt.NDArray[np.float64],
    kind: npt.NDArray[np.int64],
    score: npt.NDArray[np.float64],
    hits: npt.NDArray[np.int64],
    seen: npt.NDArray[np.int64],
    box: npt.NDArray[np.float64],
    noise: npt.NDArray[np.float64],
    logit: npt.NDArray[np.float64],
    detected_kind: npt.NDArray[np.int64],
    detected_scale: npt.NDArray[np.float64],
    matches: npt.NDArray[np.int64],
    group: npt.NDArray[np.int64],
    yaw_noise: npt.NDArray[np.float64],
    slip: npt.NDArray[np.float64],
    rest_speed: npt.NDArray[np.float64],
    size_memory: npt.NDArray[np.float64],
    stamp: int,
    memory: float,
) -> None:
    for m in range(len(matches)):
        i, j = matches[m]
        k = kind[i]
        correct_position(mean[i], cov[i], box[j], noise[j])
        turn = _correct_heading(yaw[i], yaw_cov[i], box[j, 3], yaw_noise[k])
        flip[i] = FLIP_MEMORY * flip[i] + turn
        if flip[i] > 1.5:
            yaw[i, 0] = remainder(yaw[i, 0] + math.pi, 2 * math.pi)
            flip[i] = -flip[i]
        if slip[k] > 0:
            s, c = math.sin(yaw[i, 0]), math.cos(yaw[i, 0])
            speed = math.hypot(mean[i, 2], mean[i, 3])
            doubt = slip[k] ** 2 + speed * speed * yaw_cov[i, 0]
            _correct_speed(mean[i], cov[i], -s, c, doubt)
        if math.hypot(mean[i, 2], mean[i, 3]) < rest_speed[k]:
            _correct_speed(mean[i], cov[i], 1.0, 0.0, REST_NOISE**2)
            _correct_speed(mean[i], cov[i], 0.0, 1.0, REST_NOISE**2)
            _correct_turning(yaw[i], yaw_cov[i])
        gain = z[i, 1] / (z[i, 1] + HEIGHT_VARIANCE)
        z[i, 0] += gain * (box[j, 2] - z[i, 0])
        z[i, 1] *= 1 - gain
        hits[i] += 1
        share = 1.0 / min(hits[i], size_memory[k])
        for n in range(3):
            size[i, n] += share * (box[j, 4 + n] - size[i, n])
        scale[i] += share * (detected_scale[j] - scale[i])
        gap = 1e-9 * (stamp - seen[i])
        share = max(1.0 / hits[i], 1 - math.exp(-gap / max(memory, 1e-9)))
        score[i] += share * (logit[j] - score[i])
        kind[i] = _vote(votes[i], group, group[k], detected_kind[j])


@kernel
def _correct_turning(yaw: npt.NDArray[np.float64], cov: npt.NDArray[np.float64]) -> None:
    """Kalman update of heading and rate by the rate being zero."""
    total = cov[2] + REST_TURNING * REST_TURNING
    a, b = cov[1] / total, cov[2] / total
    yaw[0] -= a * yaw[1]
    yaw[1] -= b * yaw[1]
    cov[0] -= a * cov[1]
    cov[1] *= 1 - b
    cov[2] *= 1 - b


@kernel
def correct_position(
    mean: npt.NDArray[np.float64],
    cov: npt.NDArray[np.float64],
    position: npt.NDArray[np.float64],
    noise: npt.NDArray[np.float64],
) -> None:
    """Kalman update of x y vx vy in place by a measured x, y with covariance xx xy yy."""
    sxx, sxy, syy = cov[0, 0] + noise[0], cov[0, 1] + noise[1], cov[1, 1] + noise[2]
    determinant = sxx * syy - sxy * sxy
    ex, ey = position[0] - mean[0], position[1] - mean[1]
    gain = np.empty((4, 2))
    for n in range(4):
        gain[n, 0] = (cov[n, 0] * syy - cov[n, 1] * sxy) / determinant
        gain[n, 1] = (cov[n, 1] * sxx - cov[n, 0] * sxy) / determinant
    before = cov[:2].copy()
    for n in range(4):
        mean[n] += gain[n, 0] * ex + gain[n, 1] * ey
        for k in range(4):
            cov[n, k] -= gain[n, 0] * before[0, k] + gain[n, 1] * before[1, k]
    for n in range(4):
        for k in range(n):
            cov[n, k] = cov[k, n] = (cov[n, k] + cov[k, n]) / 2


@kernel
def _correct_speed(
    mean: npt.NDArray[np.float64],
    cov: npt.NDArray[np.float64],
    ux: float,
    uy: float,
    variance: float,
) -> None:
    """Kalman update by the speed along the unit vector u being zero."""
    column = np.empty(4)
    for n in range(4):
        column[n] = cov[n, 2] * ux + cov[n, 3] * uy
    total = column[2] * ux + column[3] * uy + variance
    miss = -(mean[2] * ux + mean[3] * uy)
    for n in range(4):
        mean[n] += column[n] / total * miss
        for k in range(4):
            cov[n, k] -= column[n] * column[k] / total


@kernel
def _correct_heading(
    yaw: npt.NDArray[np.float64], cov: npt.NDArray[np.float64], measured: float, noise: float
) -> float:
    """Update heading and rate; return 1 if the detection points the other way, else -1."""
    miss = remainder(measured - yaw[0], 2 * math.pi)
    flipped = abs(miss) > math.pi / 2
    miss = remainder(miss, math.pi)
    total = cov[0] + noise * noise
    # a wild heading is more often a bad detection than a sudden turn
    total *= max(1.0, miss * miss / (9 * total))
    a, b = cov[0] / total, cov[1] / total
    yaw[0] = remainder(yaw[0] + a * miss, 2 * math.pi)
    yaw[1] += b * miss
    cov[2] -= b * cov[1]
    cov[1] *= 1 - a
    cov[0] *= 1 - a
    return 1.0 if flipped else -1.0


@kernel
def _vote(
    votes: npt.NDArray[np.float64], group: npt.NDArray[np.int64], own: int, detected: int
) -> int:
    """Add a detector's opinion to the classes' log-probabilities; return the best class."""
    best = detected
    for n in range(len(votes)):
        if group[n] == own:
            votes[n] += math.log(1 - CLASS_CONFUSION if n == detected else CLASS_CONFUSION)
            if votes[n] > votes[best]:
                best = n
    top = votes[best]
    for n in range(len(votes)):
        if group[n] == own:
            votes[n] = max(votes[n] - top, -MAX_VOTE)
    return best
