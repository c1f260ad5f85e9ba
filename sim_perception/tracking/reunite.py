"""Reunite: give the tracks that have just become sure the identities of those that were lost.

A single detection where somebody appears is often wrong, or wrong about the distance; a track of
several detections is compared with the lost ones instead, tracklet by tracklet.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim_perception.tracking.associate import FORBIDDEN, assign
from sim_perception.tracking.config import TrackerConfig
from sim_perception.tracking.tables import VISIBLE, Rows, logit

Mask = npt.NDArray[np.bool_]
LEAST_SECONDS = 0.25
"""Tracks that were lost for less are still matched with single detections."""


def reunite(tracks: Rows, classes: Rows, config: TrackerConfig, stamp: int) -> Mask:
    """Let fresh tracks take over lost ones that they are, and return which rows live on.

    A fresh track is one that can be shown from this frame on. It takes the identity, the size and
    the class of a confirmed track of its group that was last seen before it began and whose place
    agrees, the cheapest assignment within ``config.reunite_gate``; the lost row is to be dropped.

    Args:
        tracks: of this frame, changed in place.
        classes: rows of ``CLASS_DTYPE``.
        config: thresholds; a gate of 0 reunites nothing.
        stamp: of the frame, nanoseconds.
    """
    alive = np.ones(len(tracks), bool)
    if config.reunite_gate <= 0:
        return alive
    lost = np.flatnonzero(_lost(tracks, stamp))
    fresh = np.flatnonzero(_fresh(tracks, config)) if len(lost) else lost
    if not len(fresh):
        return alive
    pairs = assign(_costs(tracks, classes, lost, fresh, config.reunite_gate))
    old, new = lost[pairs[:, 0]], fresh[pairs[:, 1]]
    for name in ('id', 'born', 'kind', 'votes', 'size'):
        tracks[name][new] = tracks[name][old]
    tracks['hits'][new] += tracks['hits'][old]
    tracks['logit'][new] = np.maximum(tracks['logit'][new], tracks['logit'][old])
    tracks['confirmed'][new] = True
    alive[old] = False
    return alive


def _lost(tracks: Rows, stamp: int) -> Mask:
    unseen = tracks['seen'] < stamp - round(1e9 * LEAST_SECONDS)
    return np.asarray(tracks['confirmed'] & unseen)


def _fresh(tracks: Rows, config: TrackerConfig) -> Mask:
    """Return which tracks could not be shown before this frame, and can be now."""
    hits = tracks['hits']
    just = tracks['confirmed'] & (hits == max(config.confirm_hits, 1))
    at_once = (hits == 1) & (tracks['logit'] >= logit(config.instant_score))
    return np.asarray((tracks['place'] == VISIBLE) & (tracks['detection'] >= 0) & (just | at_once))


def _costs(
    tracks: Rows,
    classes: Rows,
    lost: npt.NDArray[np.intp],
    fresh: npt.NDArray[np.intp],
    gate: float,
) -> npt.NDArray[np.float64]:
    """Return (lost, fresh) squared Mahalanobis distances of centres and log-determinants."""
    old, new = tracks[lost][:, None], tracks[fresh][None]
    away = old['mean'][..., :2] - new['mean'][..., :2]
    doubt = old['cov'][..., :2, :2] + new['cov'][..., :2, :2]
    solved = np.linalg.solve(doubt, away[..., None])[..., 0]
    distance = (away * solved).sum(-1)
    group = classes['group'][tracks['kind']]
    same = (group[lost][:, None] == group[fresh][None]) & (old['seen'] < new['born'])
    costs = distance + np.log(np.linalg.det(doubt))
    return np.where(same & (distance <= gate), costs, FORBIDDEN)
