"""Spawn: start tracks from detections that match none."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.rectangle_overlap import overlaps
from sim_perception.tracking.config import TrackerConfig
from sim_perception.tracking.steps.update import CLASS_CONFUSION, HEIGHT_VARIANCE
from sim_perception.tracking.tables import VISIBLE, Rows, track_boxes

YAW_RATE_START = 0.3
"""Standard deviation of a new object's yaw rate, rad/s."""


def spawn(
    tracks: Rows,
    detections: Rows,
    matches: npt.NDArray[np.int64],
    classes: Rows,
    config: TrackerConfig,
    least: float,
    stamp: int,
    next_id: int,
    source: int = 0,
) -> Rows:
    """Return new tracks, whose ids count up from ``next_id``.

    A detection starts a track if it is sure enough, not merely recalled, and does not lie on a
    track that another detection of this frame has matched, or that another sensor sees (a second
    box for the same object).
    ``least`` is ``config.spawn_score`` as log-odds.
    """
    free = detections['logit'] >= least
    free &= detections['visibility'] >= config.hidden_visibility
    free[matches[:, 1]] = False
    taken = tracks['place'] == VISIBLE
    taken[matches[:, 0]] = True
    if free.any() and taken.any():
        boxes = track_boxes(tracks[taken])
        rows = np.flatnonzero(free)
        same = (
            classes['group'][tracks['kind'][taken]][:, None]
            == classes['group'][detections['kind'][rows]][None]
        )
        shared = np.where(same, overlaps(boxes, detections['box'][rows]), 0.0)
        free[rows] = shared.max(0) <= config.duplicate_overlap
    if not free.any():
        return tracks[:0]
    new = start(detections[free], classes, config, stamp, next_id, tracks.dtype)
    new['source'] = source
    return new


def start(
    detections: Rows,
    classes: Rows,
    config: TrackerConfig,
    stamp: int,
    next_id: int,
    dtype: np.dtype[np.void],
) -> Rows:
    """Return one track at rest per detection, with its class's uncertainty."""
    new = np.zeros(len(detections), dtype)
    kind = classes[detections['kind']]
    new['id'] = next_id + np.arange(len(new))
    new['kind'] = detections['kind']
    same = classes['group'][None] == kind['group'][:, None]
    new['votes'] = np.where(same, np.log(CLASS_CONFUSION), -np.inf)
    new['votes'][np.arange(len(new)), detections['kind']] = np.log(1 - CLASS_CONFUSION)
    new['mean'][:, :2] = detections['box'][:, :2]
    noise, scale = detections['noise'], detections['scale']
    new['cov'][:, 0, 0], new['cov'][:, 1, 1] = noise[:, 0], noise[:, 2]
    new['cov'][:, 0, 1] = new['cov'][:, 1, 0] = noise[:, 1]
    new['cov'][:, 2, 2] = new['cov'][:, 3, 3] = (kind['start_speed'] * scale) ** 2
    new['yaw'][:, 0] = detections['box'][:, 3]
    new['yaw_cov'][:, 0] = kind['yaw_noise'] ** 2
    new['yaw_cov'][:, 2] = YAW_RATE_START**2
    new['flip'] = -1.0
    new['z'][:, 0] = detections['box'][:, 2]
    new['z'][:, 1] = HEIGHT_VARIANCE
    new['size'] = detections['box'][:, 4:]
    new['scale'] = scale
    new['logit'] = detections['logit']
    new['hits'] = 1
    new['confirmed'] = config.confirm_hits <= 1
    new['born'] = new['seen'] = stamp
    new['place'] = VISIBLE
    new['visibility'] = detections['visibility']
    new['empty_since'] = -1
    new['detection'] = detections['index']
    return new
