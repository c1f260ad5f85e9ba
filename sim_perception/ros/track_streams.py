"""The cameras of a tracker node: their subscriptions, calibrations and measurements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from rclpy.node import Node

from sim_perception.geometry.frames import frame_name
from sim_perception.ros import qos
from sim_perception.ros.calibration import Calibration
from sim_perception.ros.images import INFO_TOPIC, camera_topic
from sim_perception.ros.occluders import MEASUREMENTS, Measurements, Occluders
from sim_perception.ros.parameters import TrackerParameters
from sim_perception.ros.track_inputs import TrackInput


class Stream:
    """One camera's frames.

    Attributes:
        number: of the camera, as the tracker knows it.
        topic: full name of the topic of its frames.
        occluders: what else is seen in it; None for image boxes.
    """

    def __init__(self, number: int, topic: str, occluders: Occluders | None) -> None:
        self.number, self.topic, self.occluders = number, topic, occluders
        self.subscription: Any = None


class Streams:
    """The frames of all cameras that a tracker node serves.

    A camera's topics are ``NAME/image_raw``, ``NAME/camera_info`` and, where there are several
    cameras, ``NAME/detections`` and ``NAME/depth/image``. Scans of a LiDAR are for all of them.

    Args:
        node: the owner of the subscriptions.
        parameters: of the node.
        source: what is taken.
        on_message: called with a stream and its message.
        heard: called with the topic of every measurement.
        lost: called with the topic and the number of messages newly lost in transport.
    """

    def __init__(
        self,
        node: Node,
        parameters: TrackerParameters,
        source: TrackInput,
        on_message: Callable[[Stream, Any], None],
        heard: Callable[[str], None],
        lost: Callable[[str, int], None],
    ) -> None:
        self._node = node
        self._cameras: Sequence[str] = parameters.cameras
        self._measurements: dict[str, Measurements] = {}
        self._frames: dict[str, Stream] = {}
        kind = parameters.occlusion
        if source.needs_camera and kind == 'none':
            kind = 'boxes'
        self.all: list[Stream] = []
        for number, camera in enumerate(self._cameras):
            topic = self._topic_of(source.topic, camera)
            occluders = None
            if not source.image:
                measured = self._measured(kind, camera, parameters.occlusion_slop, heard)
                images = [node.resolve_topic_name(topic)] if source.needs_camera else []
                images += [measured.topic] if kind == 'depth' and measured else []
                info = camera_topic(INFO_TOPIC, camera)
                calibration = Calibration(node, info, parameters.rectified, *images)
                occluders = Occluders(kind, calibration, measured)
            stream = Stream(number, node.resolve_topic_name(topic), occluders)
            stream.subscription = qos.subscribe(
                *(node, source.message_type, topic),
                partial(on_message, stream),
                *(source.profile(), lost),
                raw=source.raw,
            )
            self.all.append(stream)

    @property
    def topics(self) -> list[str]:
        """Full names of the topics whose silence is a problem."""
        return [*(s.topic for s in self.all), *(m.topic for m in self._measurements.values())]

    def _topic_of(self, topic: str, camera: str) -> str:
        own = topic.startswith('camera/') or len(self._cameras) > 1
        return camera_topic(topic, camera) if own else topic

    def _measured(
        self, kind: str, camera: str, slop: float, heard: Callable[[str], None]
    ) -> Measurements | None:
        """Return the measurements that tell a camera's hidden objects; one LiDAR serves all."""
        if kind not in MEASUREMENTS:
            return None
        topic, message_type = MEASUREMENTS[kind]
        if kind == 'depth':
            topic = self._topic_of(topic, camera)
        if topic not in self._measurements:
            self._measurements[topic] = Measurements(self._node, message_type, topic, slop, heard)
        return self._measurements[topic]

    def check_frame(self, stream: Stream, frame_id: str) -> None:
        """Check that no two cameras are one frame, as a network's memory is kept by frame.

        Raises:
            ValueError: if another camera's data came in this frame.
        """
        owner = self._frames.setdefault(frame_name(frame_id), stream)
        if owner is not stream:
            raise ValueError(
                f'data on {stream.topic} are in frame {frame_id!r}, which is that of '
                f'{owner.topic}; set header.frame_id to the frame of each camera'
            )

    def reset(self) -> None:
        """Forget the measurements: after a clock jump."""
        for measured in self._measurements.values():
            measured.reset()

    def close(self) -> None:
        """Unsubscribe."""
        for stream in self.all:
            self._node.destroy_subscription(stream.subscription)
            if stream.occluders is not None:
                stream.occluders.close()
        for measured in self._measurements.values():
            measured.close()
        self.all.clear()
        self._measurements.clear()
