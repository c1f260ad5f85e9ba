"""Associate: which detection is which track.

The cost of a pair is the negative log-likelihood of the detection's centre and heading under the
track's prediction, plus a term for boxes that do not overlap. Pairs beyond a gate are skipped
before anything costly; the rest is an optimal assignment, first of sure detections to all
tracks, then of doubtful ones to what is left (the two stages of ByteTrack, Zhang et al., ECCV
2022, section 3), at last of those that a network recalls without seeing them.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from sim_perception.geometry.rectangle_overlap import overlap, remainder
from sim_perception.kernels import kernel, strided
from sim_perception.tracking.config import TrackerConfig
from sim_perception.tracking.tables import Rows, track_boxes

FORBIDDEN = 1e6
"""Cost of a pair that must not be matched."""
NEAR = 10.0
"""Distance below which surprise grows no more, metres: objects are not denser there."""
_LARGE = 10_000
"""Pairs from which on assignments are made in parts."""
Matches = npt.NDArray[np.int64]


def pair_costs(
    tracks: Rows, detections: Rows, classes: Rows, config: TrackerConfig
) -> npt.NDArray[np.float64]:
    """Return (N, M) costs of matching tracks with detections, ``FORBIDDEN`` beyond the gates."""
    return _costs(
        track_boxes(tracks), tracks['cov'], tracks['yaw_cov'], tracks['scale'], tracks['kind'],
        detections['box'], detections['noise'], detections['kind'], away_from_sensor(detections),
        classes['group'], classes['yaw_noise'], config.gate, config.reach, config.shape_weight,
        config.most_surprise,
    )  # fmt: skip


def away_from_sensor(detections: Rows) -> npt.NDArray[np.float64]:
    """Return the (M,) distances of detections from their sensor, metres, at least ``NEAR``."""
    place = detections['sensor']
    return np.maximum(np.hypot(place[:, 0], place[:, 1]), NEAR)


def assign(costs: npt.NDArray[np.float64], limit: float = FORBIDDEN) -> Matches:
    """Return the (K, 2) pairs of the cheapest assignment whose cost is below the limit.

    Of all assignments with the most such pairs it is the cheapest.
    """
    if not costs.size:
        return np.empty((0, 2), np.int64)
    if costs.size > _LARGE:
        return _assign_in_parts(costs, limit)
    rows, columns = linear_sum_assignment(costs)
    good = costs[rows, columns] < limit
    return np.stack([rows[good], columns[good]], -1)


def _assign_in_parts(costs: npt.NDArray[np.float64], limit: float) -> Matches:
    """Assign among those only that could be matched with each other, directly or by a chain.

    The time of an assignment grows with the cube of its size, and crowds are seldom one.
    """
    rows, columns = np.nonzero(costs < limit)
    count = sum(costs.shape)
    links = coo_matrix((np.ones(len(rows)), (rows, columns + len(costs))), (count, count))
    part = connected_components(links, directed=False)[1]
    order = np.argsort(part[rows], kind='stable')
    rows, columns = rows[order], columns[order]
    edges = np.flatnonzero(np.diff(part[rows])) + 1
    found = []
    for some, others in zip(np.split(rows, edges), np.split(columns, edges), strict=True):
        if len(some) == 1:
            found.append(np.stack([some, others], -1))
            continue
        some, others = np.unique(some), np.unique(others)
        own = costs[some[:, None], others]
        i, j = linear_sum_assignment(own)
        good = own[i, j] < limit
        found.append(np.stack([some[i[good]], others[j[good]]], -1))
    return np.concatenate(found)


def associate(
    costs: npt.NDArray[np.float64],
    sure: npt.NDArray[np.bool_],
    recent: npt.NDArray[np.bool_],
    recalled: npt.NDArray[np.bool_] | None = None,
) -> Matches:
    """Match in stages.

    Args:
        costs: (N, M) of ``pair_costs``.
        sure: (M,) detections that may match any track.
        recent: (N,) tracks that the other detections may match.
        recalled: (M,) detections of hidden objects, which may match any track that is left;
            None if there are none.

    Returns:
        (K, 2) rows of a track and of a detection.
    """
    hidden = np.zeros(len(sure), bool) if recalled is None else recalled
    if sure.all() and not hidden.any():
        return assign(costs)
    free = np.ones(len(recent), bool)
    stages = []
    for some, chosen in ((sure & ~hidden, free), (~sure & ~hidden, recent), (hidden, free)):
        rows, columns = np.flatnonzero(chosen & free), np.flatnonzero(some)
        found = assign(costs[np.ix_(rows, columns)])
        stages.append(np.stack([rows[found[:, 0]], columns[found[:, 1]]], -1))
        free[stages[-1][:, 0]] = False
    return np.concatenate(stages)


@kernel
def mahalanobis(x: float, y: float, xx: float, xy: float, yy: float) -> tuple[float, float]:
    """Return the squared Mahalanobis distance of x, y and the determinant of the covariance."""
    determinant = xx * yy - xy * xy
    return (yy * x * x - 2 * xy * x * y + xx * y * y) / determinant, determinant


@strided
def _costs(
    boxes: npt.NDArray[np.float64],
    cov: npt.NDArray[np.float64],
    yaw_cov: npt.NDArray[np.float64],
    scale: npt.NDArray[np.float64],
    kind: npt.NDArray[np.int64],
    detected: npt.NDArray[np.float64],
    noise: npt.NDArray[np.float64],
    detected_kind: npt.NDArray[np.int64],
    away: npt.NDArray[np.float64],
    group: npt.NDArray[np.int64],
    yaw_noise: npt.NDArray[np.float64],
    gate: float,
    reach: float,
    shape_weight: float,
    most_surprise: float,
) -> npt.NDArray[np.float64]:
    costs = np.full((len(boxes), len(detected)), FORBIDDEN)
    for i in range(len(boxes)):
        for j in range(len(detected)):
            if group[kind[i]] != group[detected_kind[j]]:
                continue
            ex, ey = detected[j, 0] - boxes[i, 0], detected[j, 1] - boxes[i, 1]
            if ex * ex + ey * ey > (reach * scale[i]) ** 2:
                continue
            sxx, sxy = cov[i, 0, 0] + noise[j, 0], cov[i, 0, 1] + noise[j, 1]
            syy = cov[i, 1, 1] + noise[j, 2]
            distance, determinant = mahalanobis(ex, ey, sxx, sxy, syy)
            shared = overlap(boxes[i], detected[j])
            if distance > gate and shared < 0.1:
                continue
            miss = remainder(detected[j, 3] - boxes[i, 3], math.pi)
            doubt = yaw_cov[i, 0] + yaw_noise[kind[i]] ** 2
            cost = min(distance, 2 * gate) + math.log1p(miss * miss / doubt / 4)
            cost += shape_weight * (1 - shared)
            spread = math.log(determinant)
            # one radian by one unit of log-distance is an area of distance^2
            surprise = cost + spread - 4 * math.log(away[j])
            if surprise > most_surprise and shared < 0.1:
                continue
            # standard sizes: the determinant is compared with that of a certain track
            costs[i, j] = cost + 0.5 * spread
    return costs
