"""The newest calibration of a camera, as nodes use it."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo

from sim_perception.bags.calibration import camera_of, is_rectified
from sim_perception.geometry.frames import frame_name
from sim_perception.ros import qos
from sim_perception.types import Camera


class Calibration:
    """Subscribes to a CameraInfo topic.

    Args:
        node: the owner of the subscription.
        topic: relative name.
        rectified: whether the images are rectified, so that P is their calibration.
        images: full names of the topics whose images it is of; one named ``image_rect`` is
            rectified.

    Attributes:
        topic: its full name.
        rectified: whether the images are taken as rectified.
    """

    def __init__(self, node: Node, topic: str, rectified: bool = False, *images: str) -> None:
        self._node = node
        self.topic = node.resolve_topic_name(topic)
        self.rectified = rectified or any(map(is_rectified, images))
        self._info: CameraInfo | None = None
        self._read: tuple[CameraInfo, tuple[int, int] | None, Camera] | None = None
        self._subscription = qos.subscribe(
            *(node, CameraInfo, topic, self._on_info, qos.sensor_qos())
        )

    def _on_info(self, message: CameraInfo) -> None:
        self._info = message

    @property
    def frame(self) -> str:
        """The camera's frame, '' before a calibration came."""
        return '' if self._info is None else frame_name(self._info.header.frame_id)

    @property
    def info(self) -> CameraInfo | None:
        """The newest message, or None."""
        return self._info

    def camera(self, image: npt.NDArray[Any] | None = None) -> Camera:
        """Return the camera, for images of one's size if an (H, W) image is given.

        Raises:
            ValueError: if there is no calibration yet, or it is unusable.
        """
        info = self._info
        if info is None:
            raise ValueError(
                f"no CameraInfo on {self.topic}, and this needs the camera's calibration; is the "
                'camera running? Publish it, or remap the topic'
            )
        size = None if image is None else (image.shape[1], image.shape[0])
        if self._read is None or self._read[0] is not info or self._read[1] != size:
            self._read = info, size, camera_of(info, self.rectified, size)
        return self._read[2]

    def close(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)
