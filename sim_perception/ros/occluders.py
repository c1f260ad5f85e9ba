"""What the tracker sees besides detections: depth images, LiDAR scans, cameras.

Callbacks store; ``view`` is for the node's worker thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from rclpy.node import Node
from sensor_msgs.msg import Image, PointCloud2

from sim_perception.bags.images import depth_image
from sim_perception.geometry.rectification import rectify
from sim_perception.geometry.transforms import invert, transform_points
from sim_perception.ros import qos
from sim_perception.ros.calibration import Calibration
from sim_perception.ros.clouds import cloud_points
from sim_perception.ros.conversions import stamp_to_ns
from sim_perception.ros.placement import Place, Placement
from sim_perception.tracking.camera import shown_boxes
from sim_perception.tracking.occlusion import BoxView, View
from sim_perception.tracking.tracker import TrackedFrame
from sim_perception.tracking.views import DepthView, LidarView
from sim_perception.types import Detection

MEASUREMENTS: dict[str, tuple[str, type]] = {
    'depth': ('depth/image', Image),
    'lidar': ('lidar/points', PointCloud2),
}
"""Topic and type of the kinds of occlusion reasoning that take one."""
_KEPT = 10  # messages


class Measurements:
    """Keeps the newest depth images or scans of a topic.

    Args:
        node: the owner of the subscription.
        message_type: of the topic.
        topic: relative name.
        slop: greatest difference of stamps to the detections, seconds.
        heard: called with the topic of every measurement.

    Attributes:
        topic: its full name.
    """

    def __init__(
        self, node: Node, message_type: type, topic: str, slop: float, heard: Callable[[str], None]
    ) -> None:
        self._node = node
        self._heard = heard
        self._slop = round(slop * 1e9)
        self._lock = threading.Lock()
        self._messages: deque[Any] = deque(maxlen=_KEPT)
        self.topic = node.resolve_topic_name(topic)
        self._subscription = qos.subscribe(node, message_type, topic, self._on, qos.sensor_qos())

    def _on(self, message: Any) -> None:
        self._heard(self.topic)
        with self._lock:
            self._messages.append(message)

    def nearest(self, stamp: int) -> Any | None:
        """Return the message next to a stamp; None if there is none within the slop."""
        with self._lock:
            messages = list(self._messages)
        away = [abs(stamp_to_ns(message.header.stamp) - stamp) for message in messages]
        if not away or min(away) > self._slop:
            return None
        return messages[int(np.argmin(away))]

    def reset(self) -> None:
        """Forget the measurements: after a clock jump."""
        with self._lock:
            self._messages.clear()

    def close(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)


class Occluders:
    """Makes the tracker's views of one camera's surroundings.

    Args:
        kind: 'none', 'boxes', 'depth' or 'lidar'.
        calibration: of the camera; closed with the rest.
        measurements: of 'depth' or 'lidar'.
    """

    def __init__(
        self, kind: str, calibration: Calibration, measurements: Measurements | None
    ) -> None:
        self._kind = kind
        self._measurements = measurements
        self.calibration = calibration

    def close(self) -> None:
        """Unsubscribe."""
        self.calibration.close()

    def view(self, placement: Placement, place: Place, stamp: int) -> View | None:
        """Return what tells hidden from vanished objects at a stamp; None if nothing does.

        Raises:
            ValueError: for a malformed message or calibration.
            TransformError: if the sensor's place is not known.
        """
        if self._kind == 'none':
            return None
        if self._kind == 'boxes':
            return self._box_view(placement, place, stamp)
        message = self._measurements.nearest(stamp) if self._measurements is not None else None
        if message is None:
            return None
        at = stamp_to_ns(message.header.stamp)
        level_T_sensor = placement.level_T(place, message.header.frame_id, at)
        if self._kind == 'lidar':
            points = cloud_points(message)
            xyz = np.column_stack([points[name] for name in 'xyz']).astype(float)
            return LidarView(transform_points(level_T_sensor, xyz), level_T_sensor[:3, 3])
        camera_T_level = np.asarray(invert(level_T_sensor), float)
        camera = self.calibration.camera()
        depth = rectify(camera, depth_image(message), np.nan)
        return DepthView(camera.ideal, camera_T_level, depth)

    def image_boxes(
        self,
        placement: Placement,
        place: Place,
        stamp: int,
        frame: TrackedFrame,
        detections: Sequence[Detection] | None = None,
    ) -> tuple[npt.NDArray[np.float64], str] | None:
        """Return (N, 4) image boxes of reported tracks and the camera's frame.

        None without a camera. Boxes behind the camera or beyond the image are NaN.

        Args:
            placement: where sensors are.
            place: of the frame's detections.
            stamp: of the detections.
            frame: what the tracker said.
            detections: those of the frame, if they have boxes in the image of this camera.

        Raises:
            ValueError: for a malformed calibration.
            TransformError: if the camera's place is not known.
        """
        if self.calibration.info is None:
            return None
        frame_id = self.calibration.frame
        level_T_camera = placement.level_T(place, frame_id, stamp)
        camera_T_level = np.asarray(invert(level_T_camera), float)
        tracks = frame.tracks[frame.reported]
        camera = self.calibration.camera()
        boxes = shown_boxes(tracks, detections, camera, camera_T_level, frame.tracking_T_sensor)
        return boxes, frame_id

    def _box_view(self, placement: Placement, place: Place, stamp: int) -> BoxView:
        camera = self.calibration.camera()
        level_T_camera = placement.level_T(place, self.calibration.frame, stamp)
        return BoxView(camera.ideal, np.asarray(invert(level_T_camera), float))
