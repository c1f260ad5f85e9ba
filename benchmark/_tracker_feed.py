"""A camera that drives: images, calibration and pose at 10 Hz, until interrupted.

python -m benchmark._tracker_feed WIDTH HEIGHT
"""

from __future__ import annotations

import sys

import numpy as np
import rclpy
import tf2_ros
from geometry_msgs.msg import TransformStamped
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, to_quaternion
from sim_perception.ros.conversions import to_camera_info, to_image
from sim_perception.types import Camera

FRAME, PERIOD, SPEED = 'camera_optical_frame', 0.1, 8.0


class Feed(Node):
    """Publishes the topics of one camera; the images are blurred noise."""

    def __init__(self, width: int, height: int) -> None:
        super().__init__('tracker_feed')
        rng = np.random.default_rng(0)
        coarse = rng.integers(0, 255, (8, height // 16, width // 16, 3), np.uint8)
        self._images = coarse.repeat(16, 1).repeat(16, 2)
        self._camera = Camera(width, height, 370.0, 370.0, (width - 1) / 2, (height - 1) / 2)
        self._image = self.create_publisher(Image, 'camera/image_raw', 1)
        self._info = self.create_publisher(CameraInfo, 'camera/camera_info', 1)
        self._pose = tf2_ros.TransformBroadcaster(self)
        self._count = 0
        self.create_timer(PERIOD, self._send)

    def _send(self) -> None:
        self._count += 1
        now = self.get_clock().now().to_msg()
        header = Header(stamp=now, frame_id=FRAME)
        ahead = SPEED * PERIOD * self._count
        message = TransformStamped(child_frame_id=FRAME)
        message.header.stamp, message.header.frame_id = now, 'odom'
        x, y, z, w = to_quaternion(from_euler(0, 0, 0, np.zeros(3)) @ BODY_T_OPTICAL).tolist()
        q, p = message.transform.rotation, message.transform.translation
        q.x, q.y, q.z, q.w = x, y, z, w
        p.x, p.z = ahead, 1.5
        self._pose.sendTransform(message)
        self._info.publish(to_camera_info(self._camera, header))
        image = self._images[self._count % len(self._images)]
        self._image.publish(to_image(image, 'rgb8', header))


def main() -> None:
    """Publish until interrupted."""
    rclpy.init()
    node = Feed(int(sys.argv[1]), int(sys.argv[2]))
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
