"""Named trackers on the network's detections of simulated streets: peers of permanence.

Image trackers of PyPI ``trackers`` see the image boxes of one class at a time; each is given the
visible detections, and once all of them, hidden ones too, because its user has both. In 3D, a
constant-velocity Kalman filter in the world (AB3DMOT's logic, told the true ego-motion) keeps
lost tracks alive: it is the peer for where hidden objects are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmark._ab3dmot import Ab3dmot
from sim_perception.geometry.transforms import invert
from sim_perception.taxonomy import Taxonomy
from sim_perception.tracking.camera import level_pose
from sim_perception.tracking.detections import DetectionArrays, from_detections
from sim_perception.types import Detection
from training.evaluation.tracking.clips import Clip, visible_only
from training.evaluation.tracking.hidden import ClipTracks
from training.evaluation.tracking.network import ClipRunner
from training.evaluation.tracking.scores import TrackRows

Array = npt.NDArray[np.float64]
LIFE = 3.0
"""Seconds that peers keep lost tracks; those that keep them longer mix up more."""
LEAST_SCORE = 0.4
"""Weaker detections are not shown to peers that do not sort by score themselves."""


def image_peer(
    make: Callable[[], Any], taxonomy: Taxonomy, classes: Sequence[str], *, hidden: bool
) -> ClipRunner:
    """Return a tracker of PyPI ``trackers`` as what ``score_clips`` runs.

    Args:
        make: a new tracker of one class.
        taxonomy: names the classes.
        classes: to track.
        hidden: whether it is shown the detections of hidden objects.
    """
    import supervision

    def run(clip: Clip) -> ClipTracks:
        shown = clip if hidden else visible_only(clip)
        rows: list[tuple[int, int, str, Detection]] = []
        for number, kind in enumerate(classes):
            tracker, class_id = make(), taxonomy.id_of(kind)
            for frame, detections in enumerate(shown.detections):
                own = [d for d in detections if d.class_id == class_id and d.box2d is not None]
                found = supervision.Detections(
                    xyxy=np.array([d.box2d for d in own], float).reshape(-1, 4),
                    confidence=np.array([d.score for d in own], float),
                    class_id=np.zeros(len(own), int),
                )
                found.data['row'] = np.arange(len(own))
                out = tracker.update(found)
                if out.tracker_id is None or not len(out):
                    continue
                for identity, row in zip(out.tracker_id, out.data['row'], strict=True):
                    if identity >= 0:
                        unique = int(identity) * len(classes) + number
                        rows.append((frame, unique, kind, own[int(row)]))
        return ClipTracks(_seen(clip, rows), _none())

    return run


def kept_alive(
    taxonomy: Taxonomy, classes: Sequence[str], least_score: float = LEAST_SCORE
) -> ClipRunner:
    """Return the constant-velocity tracker that keeps lost objects alive in the world.

    Args:
        taxonomy: names the classes.
        classes: to track.
        least_score: of the detections it is shown.
    """

    def run(clip: Clip) -> ClipTracks:
        seen: list[tuple[int, int, str, Array, Array]] = []
        lost: list[tuple[int, int, str, Array, Array]] = []
        shown = visible_only(clip)
        period = float(np.median(np.diff(clip.stamps))) * 1e-9
        for number, kind in enumerate(classes):
            tracker, class_id = Ab3dmot(life=round(LIFE / period)), taxonomy.id_of(kind)
            for frame, detections in enumerate(shown.detections):
                own = [d for d in detections if d.class_id == class_id and d.score >= least_score]
                ids, boxes, rows = tracker.step(_in_world(clip, frame, own))
                for identity, box, row in zip(ids.tolist(), boxes, rows.tolist(), strict=True):
                    image = np.array(own[row].box2d, float)
                    unique = identity * len(classes) + number
                    seen.append((frame, unique, kind, image, box))
                for track in tracker.tracks:
                    if track.lost and track.hits >= tracker.min_hits:
                        unique = track.id * len(classes) + number
                        lost.append((frame, unique, kind, np.full(4, np.nan), track.mean[:7]))
        return ClipTracks(_table(seen), _table(lost))

    return run


def _in_world(clip: Clip, frame: int, detections: Sequence[Detection]) -> Array:
    """Return (N, 7) boxes of detections in the world."""
    assert clip.world_T_camera is not None
    pose = level_pose(clip.world_T_camera[frame])
    arrays = from_detections(detections, level_T_source=invert(pose) @ clip.world_T_camera[frame])
    return moved(arrays, pose)


def moved(arrays: DetectionArrays, world_T_level: Array) -> Array:
    """Return the (N, 7) boxes of a level frame in the world."""
    boxes = arrays.boxes.copy()
    boxes[:, :3] = boxes[:, :3] @ world_T_level[:3, :3].T + world_T_level[:3, 3]
    boxes[:, 3] += np.arctan2(world_T_level[1, 0], world_T_level[0, 0])
    return boxes


def _seen(clip: Clip, rows: Sequence[tuple[int, int, str, Detection]]) -> TrackRows:
    """Return detections with ids as tracks that have the detections' own boxes."""
    return _table(
        [
            (frame, identity, kind, np.array(d.box2d, float), _in_world(clip, frame, [d])[0])
            for frame, identity, kind, d in rows
        ]
    )


def _table(rows: Sequence[tuple[int, int, str, Array, Array]]) -> TrackRows:
    rows = sorted(rows, key=lambda row: (row[0], row[1]))
    return TrackRows(
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.str_),
        np.array([row[3] for row in rows], float).reshape(-1, 4),
        np.array([row[4] for row in rows], float).reshape(-1, 7),
        np.ones(len(rows)),
    )


def _none() -> TrackRows:
    return _table([])
