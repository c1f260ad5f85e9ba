"""More data than the nodes can take, until interrupted: one node's topics, real time stamps.

python -m benchmark._soak_feed NODE RATE

Messages are made once and sent as bytes with new stamps, so that the feed itself costs little.
"""

from __future__ import annotations

import struct
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import rclpy
import tf2_ros
from geometry_msgs.msg import TransformStamped
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, Detection3DArray

from benchmark.live import HEIGHT, WIDTH
from sim_perception.bags.typestore import message_class
from sim_perception.geometry.transforms import (
    BODY_T_OPTICAL,
    from_euler,
    make_transform,
    to_quaternion,
)
from sim_perception.ros.clouds import to_cloud
from sim_perception.ros.conversions import to_camera_info, to_image
from sim_perception.ros.wire import to_wire
from sim_perception.types import Camera

OBJECTS, POINTS, VARIANTS = 1000, 130_000, 8
CAMERA = Camera(WIDTH, HEIGHT, 370.0, 370.0, (WIDTH - 1) / 2, (HEIGHT - 1) / 2)
CAMERA_FRAME, LIDAR_FRAME = 'camera_optical_frame', 'lidar_link'
Array = np.ndarray


def image(rng: np.random.Generator) -> bytes:
    """Return blurred noise."""
    coarse = rng.integers(0, 255, (HEIGHT // 16, WIDTH // 16, 3), np.uint8)
    pixels = coarse.repeat(16, 0).repeat(16, 1)
    return bytes(serialize_message(to_image(pixels, 'rgb8', Header(frame_id=CAMERA_FRAME))))


def info(_: np.random.Generator) -> bytes:
    """Return the camera's calibration."""
    return bytes(serialize_message(to_camera_info(CAMERA, Header(frame_id=CAMERA_FRAME))))


def cloud(rng: np.random.Generator) -> bytes:
    """Return a street with sixty parked cars, each a corner of two walls."""
    street = np.column_stack([rng.uniform(-60, 60, (POINTS // 2, 2)), np.zeros(POINTS // 2)])
    each = (POINTS - len(street)) // 60
    parts = [street]
    for _ in range(60):
        body = rng.uniform(-1, 1, (each, 3)) * [2.0, 0.9, 0.7] + [0.0, 0.0, 0.85]
        side = rng.integers(0, 2, each) == 0
        body[side, 0], body[~side, 1] = -2.0, -0.9
        place = np.append(rng.uniform((5, -20), (50, 20)), 0.0)
        parts.append(body + place)
    points = np.concatenate(parts) + rng.normal(0, 0.02, (len(street) + 60 * each, 3))
    points[:, 2] -= 1.8
    return bytes(serialize_message(to_cloud(points, Header(frame_id=LIDAR_FRAME))))


def _detections(kind: str, boxes: Iterator[Any]) -> bytes:
    result = message_class('vision_msgs/msg/ObjectHypothesisWithPose')
    hypothesis = message_class('vision_msgs/msg/ObjectHypothesis')
    pose, uncertain, point, quaternion = (
        message_class(f'geometry_msgs/msg/{name}')
        for name in ('Pose', 'PoseWithCovariance', 'Point', 'Quaternion')
    )
    nowhere = pose(point(0.0, 0.0, 0.0), quaternion(0.0, 0.0, 0.0, 1.0))
    results = [result(hypothesis('car', 0.9), uncertain(nowhere, np.zeros(36)))]
    header = Header(frame_id=LIDAR_FRAME if kind == '3D' else CAMERA_FRAME)
    one = message_class(f'vision_msgs/msg/Detection{kind}')
    found = [one(header, results, box, str(n)) for n, box in enumerate(boxes)]
    return to_wire(message_class(f'vision_msgs/msg/Detection{kind}Array')(header, found))


def detections(rng: np.random.Generator) -> bytes:
    """Return a thousand parked cars, a little elsewhere every time."""
    pose, point, quaternion, vector = (
        message_class(f'geometry_msgs/msg/{name}')
        for name in ('Pose', 'Point', 'Quaternion', 'Vector3')
    )
    box = message_class('vision_msgs/msg/BoundingBox3D')
    rows = np.stack(np.meshgrid(np.arange(40) * 7.0, np.arange(25) * 4.0), -1).reshape(-1, 2)
    rows += rng.normal(0, 0.05, rows.shape) - [140.0, 50.0]
    turn = quaternion(0.0, 0.0, 0.0, 1.0)
    return _detections(
        '3D',
        (box(pose(point(x, y, -1.0), turn), vector(4.4, 1.8, 1.5)) for x, y in rows.tolist()),
    )


def detections_2d(rng: np.random.Generator) -> bytes:
    """Return a thousand image boxes anywhere."""
    pose, point, box = (
        message_class(f'vision_msgs/msg/{name}') for name in ('Pose2D', 'Point2D', 'BoundingBox2D')
    )
    rows = rng.uniform((0, 60), (WIDTH, 140), (OBJECTS, 2))
    width = rng.uniform(10, 120, OBJECTS)
    rows = np.column_stack([rows, width, width / 2])
    return _detections('2D', (box(pose(point(x, y), 0.0), w, h) for x, y, w, h in rows.tolist()))


Stream = tuple[str, type, Callable[[np.random.Generator], bytes]]
IMAGE: Stream = ('camera/image_raw', Image, image)
INFO: Stream = ('camera/camera_info', CameraInfo, info)
CLOUD: Stream = ('lidar/points', PointCloud2, cloud)
STREAMS: dict[str, tuple[Stream, ...]] = {
    'depth_segmentation': (INFO, IMAGE),
    'tracker': (('detections', Detection3DArray, detections),),
    'auto_labeler': (INFO, CLOUD, ('detections_2d', Detection2DArray, detections_2d)),
    'detector_3d': (INFO, IMAGE, CLOUD),
}
"""What each node takes."""


class Feed(Node):
    """Publishes a node's topics at one rate, with one stamp, and the transforms it needs."""

    def __init__(self, name: str, rate: float) -> None:
        super().__init__('soak_feed')
        rng = np.random.default_rng(0)
        self._streams = [
            (self.create_publisher(kind, topic, 1), [make(rng) for _ in range(VARIANTS)])
            for topic, kind, make in STREAMS[name]
        ]
        base_T_camera = make_transform(BODY_T_OPTICAL[:3, :3], np.array([0.0, 0.0, 1.6]))
        base_T_lidar = from_euler(0, 0, 0, np.array([0.0, 0.0, 1.8]))
        self._static = tf2_ros.StaticTransformBroadcaster(self)
        self._static.sendTransform(
            [
                self._transform('base_link', CAMERA_FRAME, base_T_camera),
                self._transform('base_link', LIDAR_FRAME, base_T_lidar),
            ]
        )
        self._pose = tf2_ros.TransformBroadcaster(self)
        self._count = 0
        self.create_timer(0.02, self._move)
        self.create_timer(1 / rate, self._send)

    def _transform(self, parent: str, child: str, pose: Any) -> TransformStamped:
        message = TransformStamped(child_frame_id=child)
        message.header.stamp, message.header.frame_id = self.get_clock().now().to_msg(), parent
        x, y, z, w = to_quaternion(pose).tolist()
        q, p = message.transform.rotation, message.transform.translation
        q.x, q.y, q.z, q.w = x, y, z, w
        p.x, p.y, p.z = pose[:3, 3].tolist()
        return message

    def _move(self) -> None:
        self._pose.sendTransform(self._transform('odom', 'base_link', np.eye(4)))

    def _send(self) -> None:
        self._move()  # so that transforms are there for the stamps that follow
        stamp = struct.pack('<iI', *divmod(time.time_ns(), 10**9))
        self._count += 1
        for publisher, variants in self._streams:
            data = variants[self._count % len(variants)]
            publisher.publish(data[:4] + stamp + data[12:])


def main() -> None:
    """Publish until interrupted."""
    rclpy.init()
    node = Feed(sys.argv[1], float(sys.argv[2]))
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
