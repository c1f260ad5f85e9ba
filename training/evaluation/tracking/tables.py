"""Tracks against truth by TrackEval's metrics, for data of any origin.

TrackEval's own readers know the classes and files of one benchmark each; its metrics only want to
know which boxes overlap in which frame. What does not count (small, hidden, of a class like the
evaluated one) costs neither way: such true boxes are no misses, and tracks on them no alarms, as
in KITTI's and MOTChallenge's rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from sim_perception.geometry.boxes import iou_2d
from training.evaluation.tracking.scores import (
    MATCH_IOU,
    TrackRows,
    combined,
    import_trackeval,
)

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TruthRows:
    """True objects of one sequence, one row per object and frame, ordered by frame.

    Attributes:
        frame: (N,) frame numbers from 0.
        id: (N,) object ids.
        kind: (N,) class names.
        box2d: (N, 4) x1 y1 x2 y2 pixels.
        counts: (N,) whether a tracker must find it; on the others it may report what it likes.
    """

    frame: npt.NDArray[np.int64]
    id: npt.NDArray[np.int64]
    kind: npt.NDArray[np.str_]
    box2d: Array
    counts: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Scored:
    """One sequence to score: its length, truth, and a tracker's answer."""

    frames: int
    truth: TruthRows
    tracks: TrackRows


def score_tables(sequences: Sequence[Scored], kind: str) -> dict[str, float]:
    """Return HOTA, DetA, AssA, LocA, IDF1, MOTA in percent and counts, of one class.

    Args:
        sequences: scored together.
        kind: class name.

    Raises:
        DatasetError: without TrackEval.
    """
    metrics = import_trackeval().metrics
    quiet = {'PRINT_CONFIG': False}
    chosen = (metrics.HOTA(), metrics.CLEAR(quiet), metrics.Identity(quiet))
    parts: dict[str, list[Any]] = {}
    for number, sequence in enumerate(sequences):
        ready = _overlaps(sequence, kind)
        parts[str(number)] = [metric.eval_sequence(ready) for metric in chosen]
    hota, clear, identity = (
        metric.combine_sequences({name: part[n] for name, part in parts.items()})
        for n, metric in enumerate(chosen)
    )
    return combined(hota, clear, identity)


def _overlaps(sequence: Scored, kind: str) -> dict[str, Any]:
    """Return what TrackEval's metrics take: ids from 0 and overlaps, frame by frame."""
    truth, tracks = sequence.truth, sequence.tracks
    true = np.flatnonzero((truth.kind == kind) & np.isfinite(truth.box2d).all(1))
    found = np.flatnonzero((tracks.kind == kind) & np.isfinite(tracks.box2d).all(1))
    frames = np.arange(sequence.frames + 1)
    true_edges = np.searchsorted(truth.frame[true], frames)
    found_edges = np.searchsorted(tracks.frame[found], frames)
    true_ids, found_ids, similarities = [], [], []
    for frame in range(sequence.frames):
        a = true[true_edges[frame] : true_edges[frame + 1]]
        b = found[found_edges[frame] : found_edges[frame + 1]]
        iou = np.asarray(iou_2d(truth.box2d[a], tracks.box2d[b]), float)
        counts = truth.counts[a]
        kept = ~_excused(iou, counts)
        true_ids.append(truth.id[a[counts]])
        found_ids.append(tracks.id[b[kept]])
        similarities.append(iou[np.ix_(counts, kept)])
    true_names, true_rows = _renumbered(true_ids)
    found_names, found_rows = _renumbered(found_ids)
    return {
        'num_timesteps': sequence.frames,
        'num_gt_ids': true_names,
        'num_tracker_ids': found_names,
        'num_gt_dets': sum(map(len, true_ids)),
        'num_tracker_dets': sum(map(len, found_ids)),
        'gt_ids': true_rows,
        'tracker_ids': found_rows,
        'similarity_scores': similarities,
    }


def _excused(iou: Array, counts: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return which tracks match a true box that does not count, all of them being assigned."""
    excused = np.zeros(iou.shape[1], bool)
    rows, columns = linear_sum_assignment(-np.where(iou >= MATCH_IOU, iou, 0.0))
    good = (iou[rows, columns] >= MATCH_IOU) & ~counts[rows]
    excused[columns[good]] = True
    return excused


def _renumbered(ids: list[npt.NDArray[np.int64]]) -> tuple[int, list[npt.NDArray[np.int64]]]:
    """Return how many different ids there are, and the same with numbers from 0 instead."""
    known, place = np.unique(np.concatenate([*ids, np.empty(0, np.int64)]), return_inverse=True)
    edges = np.cumsum([len(one) for one in ids])[:-1]
    return len(known), np.split(place.astype(np.int64), edges)
