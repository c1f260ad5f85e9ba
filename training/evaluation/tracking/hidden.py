"""What trackers know of objects that nobody can see: how well they are located, and kept.

*Fully hidden* is an object of which less than ``HIDDEN`` is visible while the middle of its image
box lies in the image. It counts from when it has been well seen once: ``SEEN`` of it visible, at
least ``LEAST_HEIGHT`` of the image tall. An *occlusion* is a run of frames in which less than
``SEEN`` is visible, the object never leaves the image and is fully hidden for ``LEAST_SECONDS``,
with the object well seen within ``SEEN_WITHIN`` seconds before and after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from sim_perception.geometry.cameras import project
from sim_perception.geometry.transforms import invert, transform_points
from sim_perception.taxonomy import Taxonomy
from training.datasets.bags.tracking_truth import TrueObjects
from training.evaluation.tracking.clips import SEEN, Clip
from training.evaluation.tracking.scores import TrackRows, match_rows

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

HIDDEN = 0.02
"""Visible fraction below which an object is fully hidden."""
LEAST_HEIGHT = 25 / 375
"""Smallest height that counts, as a share of the image's: KITTI's 25 pixels."""
LEAST_SECONDS = 0.5
SEEN_WITHIN = 1.0
MARGIN = 0.5
"""See ``located``, metres."""


@dataclass(frozen=True)
class ClipTracks:
    """A tracker's answer to a clip; 3D boxes are in the world.

    Attributes:
        seen: what it reports as visible.
        hidden: what it keeps as hidden, out of view or lost.
    """

    seen: TrackRows
    hidden: TrackRows


@dataclass(frozen=True)
class Occlusion:
    """A stretch of frames, both ends inside, in which an object is hidden."""

    id: int
    first: int
    last: int


@dataclass(frozen=True)
class HiddenCounts:
    """Counts of one class, to be added up over clips.

    Attributes:
        frames: object-frames, fully hidden ones of objects that were seen before.
        located: how many of them have a track of their own at their place.
        ghosts: track-frames in the image that the tracker says are hidden.
        true_ghosts: how many of them are at the place of an object of theirs, hidden or not.
        occlusions: occlusions.
        events: those with a detection of the object within ``SEEN_WITHIN`` before and after:
            nobody can keep what the detector does not see.
        kept: those after which the object has the id it had before.
    """

    frames: int = 0
    located: int = 0
    ghosts: int = 0
    true_ghosts: int = 0
    occlusions: int = 0
    events: int = 0
    kept: int = 0

    def __add__(self, other: HiddenCounts) -> HiddenCounts:
        mine, theirs = vars(self), vars(other)
        return HiddenCounts(**{name: mine[name] + theirs[name] for name in mine})

    def scores(self) -> dict[str, float]:
        """Return the shares ``recall_hidden precision_hidden id_kept id_kept_of_all``, and counts.

        Shares lie in [0, 1]; those of nothing are left out.
        """
        shares = {
            'recall_hidden': (self.located, self.frames),
            'precision_hidden': (self.true_ghosts, self.ghosts),
            'id_kept': (self.kept, self.events),
            'id_kept_of_all': (self.kept, self.occlusions),
        }
        return {
            **{name: part / whole for name, (part, whole) in shares.items() if whole},
            'hidden_frames': self.frames,
            'occlusions': self.occlusions,
            'occlusion_events': self.events,
        }


def located(true_boxes: Array, boxes: Array) -> Mask:
    """Return (N, M) which boxes are at the place of which true ones.

    That is: centres no farther apart than half the true box's diagonal and ``MARGIN``, about
    1.5 m for a pedestrian and 2.9 m for a car.
    """
    reach = np.linalg.norm(true_boxes[:, 4:], axis=1) / 2 + MARGIN
    away = np.linalg.norm(true_boxes[:, None, :3] - boxes[None, :, :3], axis=-1)
    return np.asarray(away <= reach[:, None])


def well_seen(truth: TrueObjects, height: int) -> Mask:
    """Return which rows are visible and tall enough to count, in images of some height."""
    tall = truth.box2d[:, 3] - truth.box2d[:, 1] >= LEAST_HEIGHT * height
    return np.asarray((truth.visibility >= SEEN) & tall)


def count_hidden(clip: Clip, tracks: ClipTracks, taxonomy: Taxonomy, kind: str) -> HiddenCounts:
    """Return the counts of a class in one clip.

    Raises:
        DatasetError: if the clip has no truth.
    """
    frames, truth = clip.rows()
    own = np.flatnonzero(truth.class_id == taxonomy.id_of(kind))
    frames = frames[own]
    truth = TrueObjects(**{name: column[own] for name, column in vars(truth).items()})
    events = occlusions(clip, frames, truth)
    noticed = [event for event in events if _noticed(clip, frames, truth, event)]
    places = _places(clip, frames, truth, tracks, kind)
    return HiddenCounts(
        *places, len(events), len(noticed), _kept(frames, truth, tracks.seen, kind, noticed)
    )


def occlusions(clip: Clip, frames: npt.NDArray[np.int64], truth: TrueObjects) -> list[Occlusion]:
    """Return the occlusions of objects; see the module's text.

    Args:
        clip: for its camera and stamps.
        frames: (N,) of the rows.
        truth: N rows, of one class.
    """
    inside, good = _inside(clip, truth), well_seen(truth, clip.camera.height)
    found = []
    for identity in np.unique(truth.id):
        own = np.flatnonzero(truth.id == identity)
        low = (truth.visibility[own] < SEEN).astype(int)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], low, [0]])))
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            rows = own[start:stop]
            first, last = int(frames[rows[0]]), int(frames[rows[-1]])
            hidden = rows[truth.visibility[rows] < HIDDEN]
            if not inside[rows].all() or _seconds(clip, frames[hidden]) < LEAST_SECONDS:
                continue
            sides = _beside(clip, frames[own], good[own], first, last)
            if all(side.any() for side in sides):
                found.append(Occlusion(int(identity), first, last))
    return found


def _seconds(clip: Clip, frames: npt.NDArray[np.int64]) -> float:
    """Return for how long frames last, each until the next one of the clip."""
    ends = np.append(clip.stamps[1:], clip.stamps[-1])
    return float(1e-9 * (ends[frames] - clip.stamps[frames]).sum())


def _beside(
    clip: Clip, frames: npt.NDArray[np.int64], chosen: Mask, first: int, last: int
) -> tuple[Mask, Mask]:
    """Return which chosen rows lie shortly before and shortly after a stretch of frames."""
    away_before = 1e-9 * (clip.stamps[first] - clip.stamps[frames])
    away_after = 1e-9 * (clip.stamps[frames] - clip.stamps[last])
    before = chosen & (away_before > 0) & (away_before <= SEEN_WITHIN)
    return before, chosen & (away_after > 0) & (away_after <= SEEN_WITHIN)


def _inside(clip: Clip, truth: TrueObjects) -> Mask:
    """Return of which rows the middle of the image box lies in the image."""
    middle = (truth.box2d[:, :2] + truth.box2d[:, 2:]) / 2
    with np.errstate(invalid='ignore'):
        inside = (middle >= 0) & (middle <= [clip.camera.width - 1, clip.camera.height - 1])
    return np.asarray(inside.all(1))


def _noticed(
    clip: Clip, frames: npt.NDArray[np.int64], truth: TrueObjects, event: Occlusion
) -> bool:
    """Return whether detections match the object shortly before and after an occlusion."""
    own = np.flatnonzero((truth.id == event.id) & (truth.visibility >= SEEN))
    kind = truth.class_id[own[0]] if len(own) else -1
    boxes, at = [], []
    for frame in frames[own].tolist():
        for d in clip.detections[frame]:
            seen = d.visibility is None or d.visibility >= SEEN
            if seen and d.class_id == kind and d.box2d is not None:
                boxes.append(d.box2d)
                at.append(frame)
    partner = match_rows(
        frames[own],
        truth.box2d[own],
        np.array(at, np.int64),
        np.array(boxes, float).reshape(-1, 4),
    )
    matched = np.zeros(len(frames), bool)
    matched[own] = partner >= 0
    sides = _beside(clip, frames, matched, event.first, event.last)
    return all(side.any() for side in sides)


def _kept(
    frames: npt.NDArray[np.int64],
    truth: TrueObjects,
    seen: TrackRows,
    kind: str,
    events: Sequence[Occlusion],
) -> int:
    """Return after how many occlusions the object's next track is its last one before."""
    visible = truth.visibility >= SEEN
    found = np.flatnonzero(seen.kind == kind)
    partner = match_rows(
        frames[visible], truth.box2d[visible], seen.frame[found], seen.box2d[found]
    )
    matched = partner >= 0
    at, identity = frames[visible][matched], truth.id[visible][matched]
    ids = seen.id[found[partner[matched]]]
    kept = 0
    for event in events:
        before = (identity == event.id) & (at < event.first)
        after = (identity == event.id) & (at > event.last)
        if before.any() and after.any():
            kept += int(ids[before][np.argmax(at[before])] == ids[after][np.argmin(at[after])])
    return kept


def _places(
    clip: Clip,
    frames: npt.NDArray[np.int64],
    truth: TrueObjects,
    tracks: ClipTracks,
    kind: str,
) -> tuple[int, int, int, int]:
    """Return ``frames``, ``located``, ``ghosts`` and ``true_ghosts`` of ``HiddenCounts``.

    Every track is assigned to at most one object, visible ones included: the track of a visible
    neighbour locates no hidden object.
    """
    inside = _inside(clip, truth)
    good = well_seen(truth, clip.camera.height)
    first = {int(i): int(frames[good & (truth.id == i)].min()) for i in np.unique(truth.id[good])}
    known = np.array([first.get(int(i), len(clip.stamps)) for i in truth.id], np.int64) < frames
    counts = inside & known & (truth.visibility < HIDDEN)
    totals = np.zeros(4, np.int64)
    for frame in range(len(clip.stamps)):
        rows = np.flatnonzero((frames == frame) & inside)
        boxes, ghost = _boxes_at(tracks, kind, frame)
        near = located(truth.box3d[rows], boxes)
        mine = np.zeros(len(rows), bool)
        real = np.zeros(len(boxes), bool)
        if near.any():
            away = np.linalg.norm(truth.box3d[rows, None, :3] - boxes[None, :, :3], axis=-1)
            a, b = linear_sum_assignment(np.where(near, away, 1e6))
            good_pairs = near[a, b]
            mine[a[good_pairs]], real[b[good_pairs]] = True, True
        wanted = counts[rows]
        shown = ghost & _in_view(clip, boxes, frame)
        totals += [wanted.sum(), (wanted & mine).sum(), shown.sum(), (shown & real).sum()]
    return tuple(totals.tolist())


def _boxes_at(tracks: ClipTracks, kind: str, frame: int) -> tuple[Array, Mask]:
    """Return the boxes of a class's tracks in a frame, and which of them are hidden."""
    parts = [
        rows.box3d[(rows.frame == frame) & (rows.kind == kind)]
        for rows in (tracks.seen, tracks.hidden)
    ]
    return np.concatenate(parts), np.repeat([False, True], [len(part) for part in parts])


def _in_view(clip: Clip, boxes: Array, frame: int) -> Mask:
    """Return which boxes' centres appear in the image of a frame."""
    assert clip.world_T_camera is not None
    points = transform_points(invert(clip.world_T_camera[frame]), boxes[:, :3])
    pixels, depth = project(clip.camera, points)
    with np.errstate(invalid='ignore'):
        inside = (pixels >= 0) & (pixels <= [clip.camera.width - 1, clip.camera.height - 1])
    return np.asarray(inside.all(-1) & (depth > 0))
