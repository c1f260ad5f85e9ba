"""All nodes that take messages, started once, and what they take: good, hostile and good again."""

from __future__ import annotations

import array
import re
import resource
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from geometry_msgs.msg import TransformStamped
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
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

from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, to_quaternion
from sim_perception.models.checkpoint import save_checkpoint
from sim_perception.models.detector3d import Detector3dConfig, Detector3dNet
from sim_perception.models.shape import ShapeConfig, ShapePca
from sim_perception.nodes.auto_labeler import AutoLabelerNode
from sim_perception.nodes.depth_segmentation import DepthSegmentationNode
from sim_perception.nodes.detector_3d import Detector3dNode
from sim_perception.nodes.tracker import TrackerNode
from sim_perception.ros.clouds import to_cloud
from sim_perception.ros.conversions import to_camera_info, to_image
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Camera

SPACE = '/hostile'
BASE, LIDAR, SENSOR, ODOM = 'h_base', 'h_lidar', 'h_camera_optical_frame', 'h_odom'
CAMERA = Camera(128, 64, 74.0, 74.0, 63.5, 31.5)
PERIOD = 100_000_000
GREY = np.full((64, 128, 3), 90, np.uint8)
PNG = cv2.imencode('.png', GREY)[1].tobytes()
TOPICS: dict[str, tuple[str, type]] = {
    'info': ('camera/camera_info', CameraInfo),
    'image': ('camera/image_raw', Image),
    'depth': ('depth/image', Image),
    'compressed': ('camera/image_raw/compressed', CompressedImage),
    'cloud': ('lidar/points', PointCloud2),
    'boxes_3d': ('detections', Detection3DArray),
    'boxes_2d': ('detections_2d', Detection2DArray),
    'tf': ('/tf', TFMessage),
    'tf_static': ('/tf_static', TFMessage),
}
TAKES: dict[str, tuple[str, ...]] = {
    'depth_segmentation': ('info', 'image'),
    'by_compressed': ('info', 'compressed'),
    'detector_3d': ('info', 'image', 'cloud', 'tf', 'tf_static'),
    'by_depth': ('info', 'depth', 'tf', 'tf_static'),
    'auto_labeler': ('info', 'cloud', 'boxes_2d', 'tf', 'tf_static'),
    'tracker': ('cloud', 'boxes_3d', 'tf', 'tf_static'),
    'tracker_2d': ('boxes_2d',),
}
OUTPUTS: dict[str, tuple[str, type]] = {
    'depth_segmentation': ('depth/image', Image),
    'by_compressed': ('depth/image', Image),
    'detector_3d': ('detections', Detection3DArray),
    'by_depth': ('detections', Detection3DArray),
    'auto_labeler': ('labels', Detection3DArray),
    'tracker': ('tracks', Detection3DArray),
    'tracker_2d': ('tracks_2d', Detection2DArray),
}
RAW = re.compile(
    r'\b(Type|Key|Index|Attribute|Assertion|Overflow|ZeroDivision|Unicode\w*|Memory|LinAlg)Error\b'
)
"""What Python says, and no sentence."""


def pose_of(pose: Any, parent: str, child: str, stamp: int) -> TransformStamped:
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
    x, y, z, w = to_quaternion(pose).tolist()
    q, p = message.transform.rotation, message.transform.translation
    q.x, q.y, q.z, q.w = x, y, z, w
    p.x, p.y, p.z = pose[:3, 3].tolist()
    return message


def _results() -> list[ObjectHypothesisWithPose]:
    return [ObjectHypothesisWithPose(hypothesis=ObjectHypothesis(class_id='car', score=0.9))]


def good(kind: str, stamp: int) -> Any:
    """Return a message that every node likes."""
    header = Header()
    header.stamp.sec, header.stamp.nanosec = divmod(stamp, 10**9)
    if kind in ('info', 'image', 'depth', 'compressed', 'boxes_2d'):
        header.frame_id = SENSOR
    elif kind in ('cloud', 'boxes_3d'):
        header.frame_id = LIDAR
    if kind == 'info':
        return to_camera_info(CAMERA, header)
    if kind == 'image':
        return to_image(GREY, 'rgb8', header)
    if kind == 'compressed':
        return CompressedImage(header=header, format='png', data=array.array('B', PNG))
    if kind == 'depth':
        return to_image(np.full((64, 128), 12.0, np.float32), '32FC1', header)
    if kind == 'cloud':
        x, y = np.meshgrid(np.linspace(3, 30, 40), np.linspace(-8, 8, 30))
        return to_cloud(np.stack([x.ravel(), y.ravel(), np.full(x.size, -1.75)], 1), header)
    if kind == 'boxes_3d':
        box = BoundingBox3D()
        box.center.position.x, box.center.orientation.w = 10.0, 1.0
        box.size.x, box.size.y, box.size.z = 4.4, 1.8, 1.5
        return Detection3DArray(
            header=header, detections=[Detection3D(bbox=box, results=_results(), id='1')]
        )
    if kind == 'boxes_2d':
        flat = BoundingBox2D(size_x=20.0, size_y=10.0)
        flat.center.position.x, flat.center.position.y = 60.0, 35.0
        return Detection2DArray(
            header=header, detections=[Detection2D(bbox=flat, results=_results(), id='1')]
        )
    if kind == 'tf':
        return TFMessage(transforms=[pose_of(np.eye(4), ODOM, BASE, stamp)])
    camera = from_euler(0, 0, 0, (0.3, 0, 1.65)) @ BODY_T_OPTICAL
    lidar = from_euler(0, 0, 0, (0, 0, 1.75))
    return TFMessage(transforms=[pose_of(camera, BASE, SENSOR, 0), pose_of(lidar, BASE, LIDAR, 0)])


def small_detector(folder: Path) -> Path:
    torch.manual_seed(0)
    config = Detector3dConfig(
        x_range=(0.0, 12.8), y_range=(-6.4, 6.4), channels=(8, 8, 8), pillar_channels=8,
        head_channels=8,
    )  # fmt: skip
    return save_checkpoint(folder, Detector3dNet(config), taxonomy=load_taxonomy(), half=False)


def small_shapes(folder: Path) -> Path:
    """A space whose only shape is a box."""
    config = ShapeConfig(components=1, mean_size=(4.45, 1.82, 1.53), spacing=0.15, seeds=1)
    model = ShapePca(config)
    q = torch.tensor(config.node_positions()).abs() - torch.tensor(config.mean_size) / 2
    outside = q.clamp(min=0).square().sum(-1).sqrt()
    model.grid[0] = (outside + q.max(-1).values.clamp(max=0)).float()
    model.prior_factor.copy_(torch.diag(torch.tensor([0.08, 0.06, 0.06, 1.0])))
    return save_checkpoint(folder, model, taxonomy=load_taxonomy())


class World:
    """The nodes, what was sent to them last, and what they said."""

    def __init__(self, ros: Any, depth_checkpoint: Path, folder: Path) -> None:
        self._ros = ros
        self.stamp = 1_000 * 10**9
        self.told: dict[str, list[str]] = {name: [] for name in TAKES}
        self.answers: dict[str, set[int]] = {name: set() for name in TAKES}
        self._changed = threading.Condition()
        self.cases = 0
        self._publishers = {
            kind: ros.publisher(message_type, self._name(topic), self._profile(kind))
            for kind, (topic, message_type) in TOPICS.items()
        }
        frames = {'level_frame': BASE, 'fixed_frame': ODOM, 'tf_timeout': 0.5}
        detector = {'detector_checkpoint': str(small_detector(folder / 'detector')), **frames}
        shapes = {'shape_checkpoint': str(small_shapes(folder / 'shapes')), **frames}
        by_depth = {**detector, 'points': 'depth', 'image_transport': 'none'}
        checkpoint = {'checkpoint': str(depth_checkpoint)}
        compressed = {**checkpoint, 'image_transport': 'compressed'}
        space = {'tracking_frame': ODOM, 'occlusion': 'lidar', 'tf_timeout': 0.5, 'queue_size': 99}
        image = {'input': 'detections_2d', 'queue_size': 99}
        self.nodes: dict[str, Any] = {
            'depth_segmentation': self._make(DepthSegmentationNode, checkpoint),
            'by_compressed': self._make(DepthSegmentationNode, compressed, 'by_compressed'),
            'detector_3d': self._make(Detector3dNode, detector),
            'by_depth': self._make(Detector3dNode, by_depth, 'by_depth'),
            'auto_labeler': self._make(AutoLabelerNode, shapes),
            'tracker': self._make(TrackerNode, space),
            'tracker_2d': self._make(TrackerNode, image, 'tracker_2d'),
        }
        for name, node in self.nodes.items():
            topic, message_type = OUTPUTS[name]
            ros.node.create_subscription(
                message_type, f'{SPACE}/{name}/{topic}', self._listener(name), 100
            )
            self._listen_to_problems(name, node)
            ros.add(node)
        for name, node in self.nodes.items():
            ros.until(lambda node=node: node.diagnostics.state == 'active', name, 300.0)
        for kind, publisher in self._publishers.items():
            ros.matched(publisher, len(self.concerned(kind)))
        self.send('tf_static', good('tf_static', 0))
        self.send_info(good('info', self.stamp))
        self.expect_good(tuple(TAKES), rounds=5)

    def close(self) -> None:
        for node in self.nodes.values():
            self._ros.remove(node)

    # Sending ----------------------------------------------------------------------------------

    @staticmethod
    def _name(topic: str) -> str:
        return topic if topic.startswith('/') else f'{SPACE}/{topic}'

    @staticmethod
    def _profile(kind: str) -> QoSProfile:
        latched = kind == 'tf_static'
        durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
        return QoSProfile(depth=100, durability=durability)

    def _make(self, node: Any, parameters: dict[str, Any], name: str = '') -> Any:
        # Nothing may be lost or replaced here: every message shall be looked at.
        for topic, _ in TOPICS.values():
            if not topic.startswith('/'):
                start = f'qos_overrides.{self._name(topic)}.subscription'
                parameters = {
                    **parameters, f'{start}.depth': 100, f'{start}.reliability': 'reliable'
                }  # fmt: skip
        overrides = [Parameter(key, value=value) for key, value in parameters.items()]
        arguments = ['--ros-args', '-r', f'__node:={name}'] if name else None
        made = node(namespace=SPACE, parameter_overrides=overrides, cli_args=arguments)
        made.inbox_size = 99
        return made

    def send(self, kind: str, message: Any) -> None:
        """Send a message, or its bytes."""
        self._publishers[kind].publish(message)

    def send_info(self, message: Any) -> None:
        """Send a calibration and wait until it is there, if it can be received at all."""
        nodes = [
            self.nodes[name] for name in ('depth_segmentation', 'detector_3d', 'auto_labeler')
        ]
        before = [node._calibration.info for node in nodes]
        self.send('info', message)
        end = time.monotonic() + 5.0
        while time.monotonic() < end and any(
            node._calibration.info is old for node, old in zip(nodes, before, strict=True)
        ):
            self._ros.call(lambda: None)

    @staticmethod
    def concerned(kind: str) -> tuple[str, ...]:
        """Return the nodes that take a kind of message."""
        return tuple(name for name, kinds in TAKES.items() if kind in kinds)

    def _round(self, names: Iterable[str], kind: str = '', bad: Any = None) -> int:
        """Send a frame with one message in place of a good one; return its stamp."""
        stamp = self.stamp
        kinds = {each for name in names for each in TAKES[name]} - {'info', 'tf_static'}
        # transforms first, so that they are there
        for each in sorted(kinds, reverse=True):
            self.send(each, bad if each == kind else good(each, stamp))
        self.stamp += PERIOD
        return stamp

    # What comes back --------------------------------------------------------------------------

    def _listener(self, name: str) -> Callable[[Any], None]:
        def on_message(message: Any) -> None:
            with self._changed:
                stamp = message.header.stamp
                self.answers[name].add(stamp.sec * 10**9 + stamp.nanosec)
                self._changed.notify_all()

        return on_message

    def _listen_to_problems(self, name: str, node: Any) -> None:
        report = node.diagnostics.problems.report

        def listened(text: str) -> None:
            with self._changed:
                self.told[name].append(text)
                self._changed.notify_all()
            report(text)

        node.diagnostics.problems.report = listened

    def expect_good(self, names: tuple[str, ...], rounds: int = 1) -> None:
        """Send a good frame, which all must answer; after a jump of stamps the next may do."""
        for attempt in range(rounds):
            stamp = self._round(names)
            with self._changed:
                deadline = 60.0 if attempt == rounds - 1 else 3.0
                if self._changed.wait_for(lambda at=stamp: not self._silent(names, at), deadline):
                    return
        said = {name: self.told[name][-3:] for name in self._silent(names, stamp)}
        raise AssertionError(f'the next good message was not answered by {said}')

    def _silent(self, names: tuple[str, ...], stamp: int) -> list[str]:
        return [name for name in names if stamp not in self.answers[name]]

    def strike(
        self, kind: str, make: Callable[[int], Any], *, must_tell: bool = True
    ) -> dict[str, list[str]]:
        """Send a hostile message among good ones, and then good ones.

        Every node must answer it or say what is wrong in words, and answer the good ones.

        Args:
            kind: of ``TOPICS``.
            make: gives the message, or its bytes, for a stamp.
            must_tell: whether the frame with the message must be answered or reported.

        Returns:
            What the nodes said of it.
        """
        names = self.concerned(kind)
        before = {name: len(self.told[name]) for name in names}
        message = make(self.stamp)
        if kind == 'info':
            self.send_info(message)
        elif kind == 'tf_static':
            self.send(kind, message)
        sent = stamp = self._round(names, kind, message)
        if not isinstance(message, bytes) and kind not in ('info', 'tf', 'tf_static'):
            stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        if kind == 'info':
            # workers read the calibration when they come to the frame
            with self._changed:
                self._changed.wait_for(
                    lambda: all(
                        stamp in self.answers[name] or len(self.told[name]) > before[name]
                        for name in names
                    ),
                    10.0,
                )
            self.send_info(good('info', self.stamp))
        elif kind == 'tf_static':
            self.send(kind, good(kind, 0))
        self.expect_good(names, rounds=3)
        self.cases += 1
        said = {}
        for name in names:
            told = said[name] = self.told[name][before[name] :]
            for text in told:
                assert not RAW.search(text), f'{name} says no sentence: {text}'
            # What finds no partner of its stamp is not looked at, but counted as dropped.
            unmatched = stamp != sent and hasattr(self.nodes[name], '_sync')
            answered = unmatched or told or stamp in self.answers[name]
            assert answered or not must_tell, f'{name} says nothing'
            self.told[name].clear()
            self.answers[name].clear()
        return said


def bytes_of(kind: str, stamp: int) -> bytes:
    """Return the bytes of a good message."""
    return bytes(serialize_message(good(kind, stamp)))


def resident_mib() -> float:
    """Return how much memory this process occupies."""
    return int(Path('/proc/self/statm').read_text().split()[1]) * resource.getpagesize() / 2**20


def peak_mib() -> float:
    """Return how much memory this process has occupied at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
