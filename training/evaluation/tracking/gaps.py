"""Gaps in which objects are lost: made by dropping detections, and real occlusions in labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from training.datasets.kitti.tracking import CLASSES, KittiSequence
from training.evaluation.tracking.scores import TrackRows, match_rows, true_rows

MATCHES_BESIDE = 8
"""Matched detections that a true track needs before and after a made gap."""
OCCLUDED_LEVEL, OCCLUDED_FRAMES = 2, 5
"""What counts as a real occlusion: at least this level in at least so many frames."""
SEEN_WITHIN = 10
"""Frames before and after a real occlusion, in both of which a detection must match."""
IGNORED_LEVEL = 3
"""Occlusion level of boxes that KITTI's evaluation ignores."""


@dataclass(frozen=True)
class Gap:
    """A stretch in which one true object cannot be seen.

    Attributes:
        sequence: its name.
        kind: the object's class.
        id: of the true object.
        first, last: frames, both inside the stretch.
    """

    sequence: str
    kind: str
    id: int
    first: int
    last: int


def _matched(
    sequence: KittiSequence, kind: str
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.int64]]:
    """Return a class's rows of labels and of detections, and each label's place in the latter."""
    labels, detections = sequence.labels, sequence.detections
    rows = true_rows(labels, kind)
    found = np.flatnonzero(detections.kind == CLASSES.index(kind))
    boxes = detections.box2d[found]
    partner = match_rows(labels.frame[rows], labels.box2d[rows], detections.frame[found], boxes)
    return rows, found, partner


def make_gaps(
    sequence: KittiSequence, classes: Sequence[str], length: int, seed: int = 0
) -> tuple[KittiSequence, list[Gap]]:
    """Drop the detections of every well-seen true object for some frames, once, anywhere.

    An object takes part if there is a place with at least ``MATCHES_BESIDE`` matched detections
    on both sides. Its true boxes inside get the occlusion level that the evaluation ignores.

    Returns:
        The changed sequence, and the gaps.
    """
    labels, detections = sequence.labels, sequence.detections
    drop = np.zeros(len(detections.frame), bool)
    ignore = np.zeros(len(labels.frame), bool)
    gaps = []
    for kind in classes:
        rows, found, partner = _matched(sequence, kind)
        for identity in np.unique(labels.id[rows]):
            own = labels.id[rows] == identity
            frames = np.sort(labels.frame[rows[own & (partner >= 0)]])
            if len(frames) < 2 * MATCHES_BESIDE:
                continue
            low, high = frames[MATCHES_BESIDE - 1] + 1, frames[-MATCHES_BESIDE] - length
            if high < low:
                continue
            rng = np.random.default_rng([seed, int(sequence.name), int(identity)])
            first = int(rng.integers(low, high + 1))
            inside = own & (labels.frame[rows] >= first) & (labels.frame[rows] < first + length)
            ignore[rows[inside]] = True
            drop[found[partner[inside & (partner >= 0)]]] = True
            gaps.append(Gap(sequence.name, kind, int(identity), first, first + length - 1))
    changed = replace(
        sequence,
        labels=labels.with_occlusion(ignore, IGNORED_LEVEL),
        detections=detections.select(~drop),
    )
    return changed, gaps


def real_occlusions(sequence: KittiSequence, classes: Sequence[str]) -> list[Gap]:
    """Return the stretches in which a labelled object is largely occluded.

    Only those count with a matched detection within ``SEEN_WITHIN`` frames both before and after:
    nobody can keep what the detector never saw.
    """
    labels = sequence.labels
    gaps = []
    for kind in classes:
        rows, _, partner = _matched(sequence, kind)
        for identity in np.unique(labels.id[rows]):
            own = rows[labels.id[rows] == identity]
            seen = partner[labels.id[rows] == identity] >= 0
            order = np.argsort(labels.frame[own])
            frames, seen = labels.frame[own][order], seen[order]
            hidden = labels.occluded[own][order] >= OCCLUDED_LEVEL
            edges = np.flatnonzero(np.diff(np.concatenate([[0], hidden, [0]])))
            for start, stop in zip(edges[::2], edges[1::2], strict=True):
                long = stop - start >= OCCLUDED_FRAMES
                found_at = frames[seen]
                before = found_at < frames[start]
                before &= found_at >= frames[start] - SEEN_WITHIN
                after = found_at > frames[stop - 1]
                after &= found_at <= frames[stop - 1] + SEEN_WITHIN
                if long and before.any() and after.any():
                    gaps.append(
                        Gap(
                            sequence.name, kind, int(identity),
                            int(frames[start]), int(frames[stop - 1]),
                        )
                    )  # fmt: skip
    return gaps


def count_kept(sequence: KittiSequence, tracks: TrackRows, gaps: Sequence[Gap]) -> int:
    """Return how many true objects have the same id in the last and first frames around a gap.

    Those are the nearest frames before and after it in which a track matches the true box.
    """
    labels = sequence.labels
    kept = 0
    for kind in sorted({gap.kind for gap in gaps}):
        rows = true_rows(labels, kind)
        found = np.flatnonzero(tracks.kind == kind)
        partner = match_rows(
            labels.frame[rows], labels.box2d[rows], tracks.frame[found], tracks.box2d[found]
        )
        matched = partner >= 0
        frames, truth = labels.frame[rows[matched]], labels.id[rows[matched]]
        ids = tracks.id[found[partner[matched]]]
        for gap in (gap for gap in gaps if gap.kind == kind):
            own = truth == gap.id
            before, after = own & (frames < gap.first), own & (frames > gap.last)
            if before.any() and after.any():
                last = ids[before][np.argmax(frames[before])]
                first = ids[after][np.argmin(frames[after])]
                kept += int(last == first)
    return kept
