"""Reunite: give the tracks that have just become sure the identities of those that were lost.

A single detection where somebody appears is often wrong, or wrong about the distance; a track of
several detections is compared with the lost ones instead, tracklet by tracklet.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sim_perception.kernels import strided
from sim_perception.tracking.config import TrackerConfig
from sim_perception.tracking.steps.associate import FORBIDDEN, assign, mahalanobis
from sim_perception.tracking.tables import Rows

Mask = npt.NDArray[np.bool_]
LEAST_SECONDS = 0.25
"""Tracks that were lost for less are still matched with single detections."""


def reunite(
    tracks: Rows, classes: Rows, config: TrackerConfig, instant: float, stamp: int
) -> Mask | None:
    """Let fresh tracks take over lost ones that they are.

    A fresh track is one that can be shown from this frame on. It takes the identity, the size and
    the class of a confirmed track of its group that was last seen before it began and whose place
    agrees, the cheapest assignment within ``config.reunite_gate``.

    Args:
        tracks: of this frame, changed in place.
        classes: rows of ``CLASS_DTYPE``.
        config: thresholds; a gate of 0 reunites nothing.
        instant: ``config.instant_score`` as log-odds.
        stamp: of the frame, nanoseconds.

    Returns:
        (N,) which rows live on, or None for all.
    """
    if config.reunite_gate <= 0:
        return None
    fresh = _fresh(tracks, config, instant)
    if not len(fresh):
        return None
    unseen = tracks['seen'] < stamp - round(1e9 * LEAST_SECONDS)
    lost = np.flatnonzero(tracks['confirmed'] & unseen)
    if not len(lost):
        return None
    costs = _costs(
        tracks['mean'], tracks['cov'], classes['group'][tracks['kind']], tracks['seen'],
        tracks['born'], lost, fresh, config.reunite_gate,
    )  # fmt: skip
    pairs = assign(costs)
    old, new = lost[pairs[:, 0]], fresh[pairs[:, 1]]
    for name in ('id', 'born', 'kind', 'votes', 'size'):
        tracks[name][new] = tracks[name][old]
    tracks['hits'][new] += tracks['hits'][old]
    tracks['logit'][new] = np.maximum(tracks['logit'][new], tracks['logit'][old])
    tracks['confirmed'][new] = True
    alive = np.ones(len(tracks), bool)
    alive[old] = False
    return alive


def _fresh(tracks: Rows, config: TrackerConfig, instant: float) -> npt.NDArray[np.intp]:
    """Return the rows that could not be shown before this frame, and can be now."""
    hits = tracks['hits']
    fresh = hits == max(config.confirm_hits, 1)
    fresh |= (hits == 1) & (tracks['logit'] >= instant)
    return np.flatnonzero(fresh & (tracks['detection'] >= 0))


@strided
def _costs(
    mean: npt.NDArray[np.float64],
    cov: npt.NDArray[np.float64],
    group: npt.NDArray[np.int64],
    seen: npt.NDArray[np.int64],
    born: npt.NDArray[np.int64],
    lost: npt.NDArray[np.intp],
    fresh: npt.NDArray[np.intp],
    gate: float,
) -> npt.NDArray[np.float64]:
    """Return (lost, fresh) squared Mahalanobis distances of centres and log-determinants."""
    costs = np.full((len(lost), len(fresh)), FORBIDDEN)
    for a in range(len(lost)):
        for b in range(len(fresh)):
            i, j = lost[a], fresh[b]
            if group[i] != group[j] or seen[i] >= born[j]:
                continue
            x, y = mean[i, 0] - mean[j, 0], mean[i, 1] - mean[j, 1]
            xx, xy = cov[i, 0, 0] + cov[j, 0, 0], cov[i, 0, 1] + cov[j, 0, 1]
            yy = cov[i, 1, 1] + cov[j, 1, 1]
            away, determinant = mahalanobis(x, y, xx, xy, yy)
            if away <= gate:
                costs[a, b] = away + math.log(determinant)
    return costs
