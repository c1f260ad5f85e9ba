"""ROS messages, recorded or live, into a scene: decoded as everywhere, then drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sim_perception.bags.calibration import camera_of
from sim_perception.bags.clouds import cloud_array
from sim_perception.bags.decode import depth_image, detections_of, plain_image, rgb_image, xyz
from sim_perception.bags.errors import MessageError
from sim_perception.geometry.frames import frame_name
from sim_perception.geometry.transforms import from_quaternion
from sim_perception.models.shape import Surface
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import Box3D
from sim_perception.viewer.scene import Scene, Style
from sim_perception.viewer.streams import Kind, Stream

_STYLES = {
    Kind.TRUTH: Style.TRUTH,
    Kind.TRACKS: Style.TRACKS,
    Kind.GHOSTS: Style.GHOSTS,
    Kind.LABELS: Style.LABELS,
    Kind.FOUND: Style.FOUND,
}
_LEVELS = ('INFO', 'WARN', 'ERROR', 'WARN')
"""Of a diagnostic's level: OK, WARN, ERROR, STALE."""
_GROUPS = {'ms]': 'latency', 'Hz]': 'rate'}
_TRIANGLES = 11  # visualization_msgs/Marker.TRIANGLE_LIST


class MessageScene:
    """Shows messages in a scene, whatever thread they come from, one at a time.

    What is in the pixels of a camera (depth, classes, image boxes) is known by its frame; it is
    left out until that camera's images or calibration have come.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._camera_of_frame: dict[str, str] = {}
        self._seen: dict[str, int] = {}
        self._said: dict[str, tuple[int, str]] = {}
        self._shows: dict[Kind, Callable[[Stream, Any], None]] = {
            Kind.IMAGE: self._image,
            Kind.INFO: self._info,
            Kind.DEPTH: self._depth,
            Kind.CLASSES: self._classes,
            Kind.CLOUD: self._cloud,
            Kind.IMAGE_BOXES: self._image_boxes,
            Kind.MESHES: self._meshes,
            Kind.DIAGNOSTICS: self._diagnostics,
            Kind.MOVING: self._transforms,
            Kind.STATIC: self._transforms,
            **dict.fromkeys(_STYLES, self._boxes),
        }

    def reset(self) -> None:
        """Forget when objects were seen: after a jump back in time."""
        self._seen.clear()

    def show(self, stream: Stream, message: Any) -> None:
        """Show one message at its stamp.

        Raises:
            MessageError: if it is malformed.
        """
        if hasattr(message, 'header'):
            self.scene.at(_stamp(message.header))
        self._shows[stream.kind](stream, message)

    def _image(self, stream: Stream, message: Any) -> None:
        self._camera_of_frame.setdefault(_frame(message), stream.entity)
        self.scene.image(f'{stream.entity}/image', rgb_image(message), stream.entity)

    def _info(self, stream: Stream, message: Any) -> None:
        frame = _frame(message)
        self._camera_of_frame.setdefault(frame, stream.entity)
        self.scene.camera(stream.entity, camera_of(message, stream.rectified), frame)

    def _depth(self, stream: Stream, message: Any) -> None:
        camera = self._camera_of_frame.get(_frame(message))
        if camera is not None:
            self.scene.depth(f'{camera}/{stream.entity}', depth_image(message), camera)

    def _classes(self, stream: Stream, message: Any) -> None:
        camera = self._camera_of_frame.get(_frame(message))
        if camera is None:
            return
        ids = plain_image(message)
        if ids.ndim != 2 or ids.dtype != np.uint8:
            raise MessageError(f'image of classes has encoding {message.encoding!r}; use mono8')
        self.scene.classes(f'{camera}/{stream.entity}', ids, camera)

    def _cloud(self, stream: Stream, message: Any) -> None:
        self.scene.cloud(stream.entity, xyz(cloud_array(message)), _frame(message))

    def _boxes(self, stream: Stream, message: Any) -> None:
        found, stamp = detections_of(message, self.scene.taxonomy), _stamp(message.header)
        style = _STYLES[stream.kind]
        notes = [_foreign_class(item, self.scene.taxonomy) for item in message.detections]
        if style is Style.TRACKS:
            self._seen.update((one.id, stamp) for one in found)
        elif style is Style.GHOSTS:
            since = [(stamp - self._seen.get(one.id, stamp)) / 1e9 for one in found]
            notes = [f'hidden {seconds:.1f} s' for seconds in since]
        self.scene.boxes(stream.entity, found, _frame(message), style, notes)

    def _image_boxes(self, stream: Stream, message: Any) -> None:
        camera = self._camera_of_frame.get(_frame(message))
        if camera is not None:
            found = detections_of(message, self.scene.taxonomy)
            style = Style.TRUTH if 'ground_truth' in stream.entity else Style.FOUND
            self.scene.image_boxes(f'{camera}/boxes/{stream.entity}', found, camera, style)

    def _meshes(self, stream: Stream, message: Any) -> None:
        markers = [one for one in message.markers if int(one.type) == _TRIANGLES and one.points]
        frame = _frame(message.markers[0]) if message.markers else ''
        placed = []
        for marker in markers:
            corners = np.array([(p.x, p.y, p.z) for p in marker.points], np.float32)
            faces = np.arange(len(corners) // 3 * 3, dtype=np.int32).reshape(-1, 3)
            placed.append((Box3D(_pose(marker.pose), (1.0, 1.0, 1.0)), Surface(corners, faces)))
        if frame:
            self.scene.at(_stamp(message.markers[0].header))
            self.scene.meshes(stream.entity, placed, frame)

    def _diagnostics(self, stream: Stream, message: Any) -> None:
        """Show numbers as curves, and a node's words when they change."""
        for status in message.status:
            name, _, _ = status.name.strip('/').partition(':')
            values = {pair.key: number(pair.value) for pair in status.values}
            for group, known in by_unit(values).items():
                self.scene.figures(f'{stream.entity}/{group}/{name}', known)
            level = status.level[0] if isinstance(status.level, bytes) else int(status.level)
            if self._said.get(name) != (level, status.message):
                self._said[name] = level, status.message
                words = f'{name}: {status.message}'
                self.scene.words(f'log/{name}', words, _LEVELS[level & 3])

    def _transforms(self, stream: Stream, message: Any) -> None:
        static = stream.kind is Kind.STATIC
        for stamped in message.transforms:
            t, q = stamped.transform.translation, stamped.transform.rotation
            values = (t.x, t.y, t.z, q.x, q.y, q.z, q.w)
            parent, child = frame_name(stamped.header.frame_id), frame_name(stamped.child_frame_id)
            if not (all(map(math.isfinite, values)) and any(values[3:]) and parent and child):
                raise MessageError(f'transform of {child!r} is not finite or has no rotation')
            if not static:
                self.scene.at(_stamp(stamped.header))
            pose = from_quaternion(values[3:], np.array(values[:3]))
            self.scene.transform(parent, child, pose, static=static)


def by_unit(values: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Return the finite numbers of a status in groups that can share an axis."""
    groups: dict[str, dict[str, float]] = {'latency': {}, 'rate': {}, 'count': {}}
    for key, value in values.items():
        name, _, unit = key.partition(' [')
        if math.isfinite(value):
            groups[_GROUPS.get(unit, 'count')][name] = value
    return groups


def number(text: str) -> float:
    """Return a diagnostic's value, NaN if it is no number."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _foreign_class(detection: Any, taxonomy: Taxonomy) -> str:
    """Return what a detection says it is if the taxonomy has no class of that name."""
    names = [result.hypothesis.class_id for result in detection.results]
    known = any(name in taxonomy.names for name in names)
    return '' if known or not names else str(names[0])


def _pose(pose: Any) -> Any:
    p, q = pose.position, pose.orientation
    return from_quaternion((q.x, q.y, q.z, q.w), np.array([p.x, p.y, p.z]))


def _stamp(header: Any) -> int:
    return int(header.stamp.sec) * 10**9 + int(header.stamp.nanosec)


def _frame(message: Any) -> str:
    return frame_name(str(message.header.frame_id))
