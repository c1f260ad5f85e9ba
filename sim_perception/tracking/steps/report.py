"""Report: which tracks are sure enough to be shown, and which to be listed as hidden."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.rectangle_overlap import overlap
from sim_perception.kernels import strided
from sim_perception.tracking.config import TrackerConfig
from sim_perception.tracking.tables import (
    OCCLUDED,
    OUTSIDE,
    UNKNOWN,
    VISIBLE,
    Rows,
    logit,
    track_boxes,
)

Mask = npt.NDArray[np.bool_]


def report(tracks: Rows, classes: Rows, config: TrackerConfig, stamp: int) -> tuple[Mask, Mask]:
    """Return which tracks are shown, and which sure ones are hidden or out of view.

    Args:
        tracks: rows of ``track_dtype``.
        classes: rows of ``CLASS_DTYPE``.
        config: thresholds.
        stamp: of the frame, nanoseconds.
    """
    scores = [config.report_score, config.hidden_score, config.instant_score]
    shown, kept, instant = logit(scores).tolist()
    least = logit(classes['least_score'])[tracks['kind']]

    def sure(limit: float) -> Mask:
        enough = np.where(tracks['confirmed'], limit, instant)
        return np.asarray(tracks['logit'] >= np.maximum(enough, least))

    lost = stamp - tracks['seen']
    seen = (tracks['place'] == VISIBLE) | (lost <= round(1e9 * config.report_lost))
    reported = sure(shown) & seen
    hidden = (tracks['place'] == OCCLUDED) | (tracks['place'] == OUTSIDE)
    if config.unseen_is_hidden:
        hidden |= tracks['place'] == UNKNOWN
    rows = np.flatnonzero(reported)
    if len(rows) > 1 and config.rival_overlap < 1:
        chosen = tracks[rows]
        group = classes['group'][chosen['kind']]
        reported[rows] = _surest(track_boxes(chosen), group, chosen['logit'], config.rival_overlap)
    return reported, sure(kept) & hidden & ~seen


@strided
def _surest(
    boxes: npt.NDArray[np.float64],
    group: npt.NDArray[np.int64],
    score: npt.NDArray[np.float64],
    limit: float,
) -> Mask:
    """Return which boxes have no surer one of another group in their place."""
    alone = np.ones(len(boxes), np.bool_)
    for i in range(len(boxes)):
        for j in range(len(boxes)):
            rival = group[i] != group[j] and score[i] < score[j]
            if rival and overlap(boxes[i], boxes[j]) > limit:
                alone[i] = False
    return alone
