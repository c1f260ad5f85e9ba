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
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, Detection3DArray

from sim_perception.bags.typestore import message_class
from sim_perception.geometry.transforms import to_quaternion, transform_points
from sim_perception.ros.detections import VISIBILITY
from sim_perception.taxonomy import Taxonomy
from sim_perception.tracking.detections import DetectionArrays, Rejected
from sim_perception.types import Track

Array = npt.NDArray[np.float64]
UNKNOWN_CLASS = -1
_PROBABLE = 0.05  # classes with a smaller probability are not listed

#: Columns of ``~/track_states``; positions and vectors in the frame of the tracks. They are
#: float32, as rviz and PCL demand of x, y and z: half a metre coarse in a frame of UTM
#: coordinates, where ``~/tracks`` (float64) tells the places.
TRACK_STATE = np.dtype(
    [
        ('id', '<u4'),
        ('class', 'u1'),
        ('occluded', 'u1'),
        *((name, '<f4') for name in ('visibility', 'score', 'age', 'lost_for')),
        *((name, '<f4') for name in ('x', 'y', 'z', 'vx', 'vy', 'vz')),
    ]
)
_SAME = ('id', 'occluded', 'visibility', 'score', 'age', 'lost_for')
"""Columns that are named as attributes of ``Track``."""


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
    return read_detections_2d(array, ids, min_visibility)[1:]


def read_detections_2d(
    array: Detection2DArray, ids: Mapping[str, int], min_visibility: float = 0.0
) -> tuple[list[Any], DetectionArrays, set[str]]:
    """Return the detections of an array that are used, and what ``from_detections_2d`` does."""
    used, class_id, score, strange = _hypotheses(array.detections, ids, min_visibility)
    values = []
    for detection in used:
        box = detection.bbox
        values.append((box.center.position.x, box.center.position.y, box.size_x, box.size_y))
    rows = np.array(values, float).reshape(-1, 4)
    with np.errstate(all='ignore'):  # infinite values end as NaN
        low, high = rows[:, :2] - rows[:, 2:] / 2, rows[:, :2] + rows[:, 2:] / 2
    return used, DetectionArrays(class_id, score, np.concatenate([low, high], 1)), strange


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
    texts = [f'detections were not used: {"; ".join(parts)}'] if parts else []
    if rejected.crowded:
        texts.append(
            f'{rejected.crowded} objects are not followed, as there are more than can be; give '
            'fewer detections, or a higher min_score'
        )
    return '; '.join(texts)


def _results(track: Track, names: Sequence[str], pose: Any) -> list[Any]:
    best = track.class_id
    listed = [
        (names[best], track.score * track.class_probabilities[best]),
        (VISIBILITY, track.visibility),
        *(
            (names[class_id], track.score * probability)
            for class_id, probability in track.class_probabilities.items()
            if class_id != best and probability >= _PROBABLE
        ),
    ]
    result = message_class('vision_msgs/msg/ObjectHypothesisWithPose')
    hypothesis = message_class('vision_msgs/msg/ObjectHypothesis')
    return [result(hypothesis(name, float(score)), pose) for name, score in listed]


def to_track_array(
    tracks: Sequence[Track], taxonomy: Taxonomy, header: Header, output_T_tracking: Array
) -> Any:
    """Return tracks with 3D boxes as a ``Detection3DArray`` for ``to_wire``.

    The pose's covariance is the position's; the rotation's is not known and zero.

    Args:
        tracks: in the tracking frame.
        taxonomy: names of the classes.
        header: of the data, in the frame of the message.
        output_T_tracking: (4, 4), maps the tracking frame to the frame of the message.
    """
    pose_of, point, quaternion, vector, uncertain = (
        message_class(f'geometry_msgs/msg/{name}')
        for name in ('Pose', 'Point', 'Quaternion', 'Vector3', 'PoseWithCovariance')
    )
    detection, box = (
        message_class(f'vision_msgs/msg/{name}') for name in ('Detection3D', 'BoundingBox3D')
    )
    array = message_class('vision_msgs/msg/Detection3DArray')(header, [])
    if not tracks:
        return array
    boxes = [track.box3d for track in tracks if track.box3d is not None]
    poses = output_T_tracking @ np.stack([one.parent_T_box for one in boxes])
    rotation = output_T_tracking[:3, :3]
    covariances = np.zeros((len(tracks), 6, 6))
    known = np.stack([track.covariance[:3, :3] for track in tracks])
    covariances[:, :3, :3] = rotation @ known @ rotation.T
    rows = zip(
        *(tracks, boxes, poses[:, :3, 3].tolist(), to_quaternion(poses).tolist()),
        covariances.reshape(-1, 36),
        strict=True,
    )
    for track, one, place, turn, covariance in rows:
        pose = pose_of(point(*place), quaternion(*turn))
        results = _results(track, taxonomy.names, uncertain(pose, covariance))
        size = vector(*(float(v) for v in one.size))
        array.detections.append(detection(header, results, box(pose, size), str(track.id)))
    return array


def to_track_array_2d(
    tracks: Sequence[Track], boxes: Array, taxonomy: Taxonomy, header: Header
) -> Any:
    """Return tracks with their (N, 4) image boxes x1 y1 x2 y2 as a ``Detection2DArray``.

    It is for ``to_wire``; rows of NaN are left out.
    """
    detection, box_of, pose_of, point = (
        message_class(f'vision_msgs/msg/{name}')
        for name in ('Detection2D', 'BoundingBox2D', 'Pose2D', 'Point2D')
    )
    array = message_class('vision_msgs/msg/Detection2DArray')(header, [])
    for track, (x1, y1, x2, y2) in zip(tracks, boxes.tolist(), strict=True):
        if not np.isfinite([x1, y1, x2, y2]).all():
            continue
        center = pose_of(point((x1 + x2) / 2, (y1 + y2) / 2), 0.0)
        results = _results(track, taxonomy.names, _no_pose())
        box = box_of(center, x2 - x1, y2 - y1)
        array.detections.append(detection(header, results, box, str(track.id)))
    return array


def _no_pose() -> Any:
    """Return a ``PoseWithCovariance`` of which nothing is known."""
    pose, point, quaternion, uncertain = (
        message_class(f'geometry_msgs/msg/{name}')
        for name in ('Pose', 'Point', 'Quaternion', 'PoseWithCovariance')
    )
    place = pose(point(0.0, 0.0, 0.0), quaternion(0.0, 0.0, 0.0, 1.0))
    return uncertain(place, np.zeros(36))


def track_states(tracks: Sequence[Track], output_T_tracking: Array) -> npt.NDArray[np.void]:
    """Return the ``TRACK_STATE`` rows of tracks with 3D boxes, in the frame of the messages."""
    rows = np.zeros(len(tracks), TRACK_STATE)
    if not tracks:
        return rows
    for name, attribute in (('class', 'class_id'), *((name, name) for name in _SAME)):
        rows[name] = [getattr(track, attribute) for track in tracks]
    own = [track.box3d.parent_T_box[:3, 3] for track in tracks if track.box3d is not None]
    places = transform_points(output_T_tracking, np.stack(own))
    motion = np.stack([track.velocity for track in tracks]) @ output_T_tracking[:3, :3].T
    for i, axis in enumerate('xyz'):
        rows[axis], rows[f'v{axis}'] = places[:, i], motion[:, i]
    return rows
