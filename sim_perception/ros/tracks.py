"""A detector's messages as rows for the tracker, and tracks as messages.

A track is a detection whose id is the object's for its life. Its first hypothesis is the most
probable class, with the probability that the object exists and is of that class; the second,
``'visibility'``, has the visible fraction as its score; other probable classes follow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import PoseWithCovariance, Vector3
from std_msgs.msg import Header
from vision_msgs.msg import (
    BoundingBox2D,
    BoundingBox3D,
    Detection2D,
    Detection2DArray,
    Detection3D,
    Detection3DArray,
    ObjectHypothesis,
    ObjectHypothesisWithPose,
)

from sim_perception.geometry.transforms import transform_points
from sim_perception.ros.detections import VISIBILITY, to_pose
from sim_perception.taxonomy import Taxonomy
from sim_perception.tracking.detections import DetectionArrays, Rejected
from sim_perception.types import Track

Array = npt.NDArray[np.float64]
UNKNOWN_CLASS = -1
_PROBABLE = 0.05  # classes with a smaller probability are not listed

#: Columns of ``~/track_states``; positions and vectors in the frame of the tracks.
TRACK_STATE = np.dtype(
    [
        ('id', '<u4'),
        ('class', 'u1'),
        ('occluded', 'u1'),
        *((name, '<f4') for name in ('visibility', 'score', 'age', 'lost_for')),
        *((name, '<f4') for name in ('x', 'y', 'z', 'vx', 'vy', 'vz')),
    ]
)


def parse_class_map(text: str, taxonomy: Taxonomy) -> dict[str, int]:
    """Return class ids by lower-case name: the taxonomy's own, and those of 'theirs=ours, ...'.

    Raises:
        ValueError: for an entry of another form, or with a class that the taxonomy lacks.
    """
    ids = {name: i for i, name in enumerate(taxonomy.names)}
    for entry in filter(None, (part.strip() for part in text.split(','))):
        theirs, _, ours = (word.strip() for word in entry.partition('='))
        if not theirs or ours not in taxonomy.names:
            raise ValueError(
                f"class_map has {entry!r}; write 'theirs=ours, ...' with one of "
                f'{", ".join(taxonomy.names)} on the right'
            )
        ids[theirs.lower()] = taxonomy.id_of(ours)
    return ids


def from_detections_3d(
    array: Detection3DArray,
    ids: Mapping[str, int],
    level_T_source: Array,
    min_visibility: float = 0.0,
) -> tuple[DetectionArrays, set[str]]:
    """Return the boxes of an array in the sensor's level frame, and class names not in ``ids``.

    Boxes with an invalid orientation become NaN, and unknown classes -1: the tracker counts both.

    Args:
        array: boxes with x along the length.
        ids: class ids by lower-case name.
        level_T_source: (4, 4), maps the array's frame to the level frame.
        min_visibility: detections that have a lower visible fraction as hypothesis are left out.
    """
    used, class_id, score, strange = _hypotheses(array.detections, ids, min_visibility)
    values = []
    for detection in used:
        p, q = detection.bbox.center.position, detection.bbox.center.orientation
        s = detection.bbox.size
        values.append((p.x, p.y, p.z, q.x, q.y, q.z, q.w, s.x, s.y, s.z))
    rows = np.array(values, float).reshape(-1, 10)
    boxes = np.empty((len(rows), 7))
    with np.errstate(all='ignore'):  # infinite values and zero quaternions end as NaN
        boxes[:, :3] = transform_points(level_T_source, rows[:, :3])
        x, y, z, w = (rows[:, 3:7] / np.linalg.norm(rows[:, 3:7], axis=1, keepdims=True)).T
        ahead = np.stack([1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w)], 1)
        ahead = ahead @ level_T_source[:3, :3].T
        boxes[:, 3] = np.arctan2(ahead[:, 1], ahead[:, 0])
    boxes[:, 4:] = rows[:, 7:]
    return DetectionArrays(class_id, score, boxes), strange


def from_detections_2d(
    array: Detection2DArray, ids: Mapping[str, int], min_visibility: float = 0.0
) -> tuple[DetectionArrays, set[str]]:
    """Return the image boxes of an array, and class names that are not in ``ids``.

    See ``from_detections_3d``; the angle of a box is ignored.
    """
    used, class_id, score, strange = _hypotheses(array.detections, ids, min_visibility)
    values = []
    for detection in used:
        box = detection.bbox
        values.append((box.center.position.x, box.center.position.y, box.size_x, box.size_y))
    rows = np.array(values, float).reshape(-1, 4)
    boxes = np.concatenate([rows[:, :2] - rows[:, 2:] / 2, rows[:, :2] + rows[:, 2:] / 2], 1)
    return DetectionArrays(class_id, score, boxes), strange


def _hypotheses(
    detections: Iterable[Any], ids: Mapping[str, int], min_visibility: float
) -> tuple[list[Any], npt.NDArray[np.int64], Array, set[str]]:
    """Return the detections to use, their best class and its score, and unknown names."""
    used, class_ids, scores = [], [], []
    strange = set()
    for detection in detections:
        name, score, visibility = '', float('nan'), 1.0
        for result in detection.results:
            hypothesis = result.hypothesis
            if hypothesis.class_id == VISIBILITY:
                visibility = hypothesis.score
            elif not score >= hypothesis.score:
                name, score = hypothesis.class_id, hypothesis.score
        if visibility < min_visibility:
            continue
        class_id = ids.get(name.lower(), UNKNOWN_CLASS)
        if class_id == UNKNOWN_CLASS:
            strange.add(name)
        used.append(detection)
        class_ids.append(class_id)
        scores.append(score)
    return used, np.array(class_ids, np.int64), np.array(scores, float), strange


def unused_detections(rejected: Rejected, strange: Collection[str]) -> str:
    """Return what of a frame was not used and why; empty if there is nothing to tell.

    Args:
        rejected: counts; weak detections need no words.
        strange: names of unknown classes.
    """
    names = ', '.join(sorted(repr(name) for name in strange)) or 'not countable'
    reasons = (
        (rejected.invalid, 'with an invalid position, orientation, size or score'),
        (rejected.unknown_class, f'of a class that is not tracked ({names}; see class_map)'),
        (rejected.surplus, 'beyond the most that are tracked in a frame'),
    )
    parts = [f'{number} {reason}' for number, reason in reasons if number]
    return f'detections were not used: {"; ".join(parts)}' if parts else ''


def _results(track: Track, taxonomy: Taxonomy, pose: Any) -> list[ObjectHypothesisWithPose]:
    best = track.class_id
    others = [
        (class_id, probability)
        for class_id, probability in track.class_probabilities.items()
        if class_id != best and probability >= _PROBABLE
    ]
    listed = [
        (taxonomy.names[best], track.score * track.class_probabilities[best]),
        (VISIBILITY, track.visibility),
        *((taxonomy.names[class_id], track.score * p) for class_id, p in others),
    ]
    return [
        ObjectHypothesisWithPose(
            hypothesis=ObjectHypothesis(class_id=name, score=float(score)), pose=pose
        )
        for name, score in listed
    ]


def to_track_array(
    tracks: Iterable[Track], taxonomy: Taxonomy, header: Header, output_T_tracking: Array
) -> Detection3DArray:
    """Return tracks with 3D boxes as detections.

    The pose's covariance is the position's; the rotation's is not known and zero.

    Args:
        tracks: in the tracking frame.
        taxonomy: names of the classes.
        header: of the data, in the frame of the message.
        output_T_tracking: (4, 4), maps the tracking frame to the frame of the message.
    """
    array = Detection3DArray(header=header)
    rotation = output_T_tracking[:3, :3]
    for track in tracks:
        assert track.box3d is not None
        pose = to_pose(output_T_tracking @ track.box3d.parent_T_box)
        covariance = np.zeros((6, 6))
        covariance[:3, :3] = rotation @ track.covariance[:3, :3] @ rotation.T
        uncertain = PoseWithCovariance(pose=pose, covariance=covariance.ravel())
        length, width, height = (float(v) for v in track.box3d.size)
        array.detections.append(
            Detection3D(
                header=header,
                id=str(track.id),
                results=_results(track, taxonomy, uncertain),
                bbox=BoundingBox3D(center=pose, size=Vector3(x=length, y=width, z=height)),
            )
        )
    return array


def to_track_array_2d(
    tracks: Sequence[Track], boxes: Array, taxonomy: Taxonomy, header: Header
) -> Detection2DArray:
    """Return tracks with their (N, 4) image boxes x1 y1 x2 y2; rows of NaN are left out."""
    array = Detection2DArray(header=header)
    for track, (x1, y1, x2, y2) in zip(tracks, boxes.tolist(), strict=True):
        if not np.isfinite([x1, y1, x2, y2]).all():
            continue
        box = BoundingBox2D(size_x=x2 - x1, size_y=y2 - y1)
        box.center.position.x, box.center.position.y = (x1 + x2) / 2, (y1 + y2) / 2
        results = _results(track, taxonomy, PoseWithCovariance())
        array.detections.append(
            Detection2D(header=header, id=str(track.id), results=results, bbox=box)
        )
    return array


def track_states(tracks: Sequence[Track], output_T_tracking: Array) -> npt.NDArray[np.void]:
    """Return the ``TRACK_STATE`` rows of tracks with 3D boxes, in the frame of the messages."""
    rows = np.zeros(len(tracks), TRACK_STATE)
    for n, track in enumerate(tracks):
        assert track.box3d is not None
        place = transform_points(output_T_tracking, track.box3d.parent_T_box[:3, 3])
        motion = output_T_tracking[:3, :3] @ track.velocity
        numbers = (track.visibility, track.score, track.age, track.lost_for, *place, *motion)
        rows[n] = (track.id, track.class_id, track.occluded, *numbers)
    return rows
