"""A short recording of everything that nodes say, made by hand and without noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_perception.bags import messages as m
from sim_perception.bags import topics as t_
from sim_perception.bags.topics import Topic
from sim_perception.bags.typestore import message_class, serialize
from sim_perception.bags.writer import BagWriter
from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, make_transform
from sim_perception.types import Camera

CAMERA = Camera(96, 48, 60.0, 60.0, 47.5, 23.5)
FRAMES, STEP = 4, 10**8
SIZE = (4.0, 1.8, 1.5)
ORANGE, BLUE = (230, 120, 30), (30, 90, 200)
_ARRAY = 'vision_msgs/msg/Detection3DArray'
_STATUS = 'diagnostic_msgs/msg/DiagnosticArray'


def stamps() -> list[int]:
    """Return the stamps of the frames."""
    return [m.START_STAMP + number * STEP for number in range(FRAMES)]


def image() -> npt.NDArray[np.uint8]:
    """Return a picture whose left half is orange and whose right half is blue."""
    picture = np.full((CAMERA.height, CAMERA.width, 3), BLUE, np.uint8)
    picture[:, : CAMERA.width // 2] = ORANGE
    return picture


def depth() -> npt.NDArray[np.float32]:
    """Return metres that grow to the right; the uppermost row is not known."""
    row = np.linspace(2, 90, CAMERA.width, dtype=np.float32)
    metres = np.repeat(row[None], CAMERA.height, 0)
    metres[0] = np.nan
    return metres


def boxes(stamp: int, frame: str, said: Sequence[tuple[str, Mapping[str, float], float]]) -> Any:
    """Return a Detection3DArray of boxes ahead: id, hypotheses and x of each."""
    head = m.header(stamp, frame)
    vector = message_class('geometry_msgs/msg/Vector3')
    hypothesis = message_class('vision_msgs/msg/ObjectHypothesis')
    result = message_class('vision_msgs/msg/ObjectHypothesisWithPose')
    posed = message_class('geometry_msgs/msg/PoseWithCovariance')
    found = []
    for identity, scores, x in said:
        pose = m.pose_message(from_euler(0.0, 0.0, 0.3, (x, 0.0, SIZE[2] / 2)))
        with_pose = posed(pose=pose, covariance=np.zeros(36))
        found.append(
            message_class('vision_msgs/msg/Detection3D')(
                header=head,
                results=[
                    result(hypothesis=hypothesis(class_id=name, score=score), pose=with_pose)
                    for name, score in scores.items()
                ],
                bbox=message_class('vision_msgs/msg/BoundingBox3D')(
                    center=pose, size=vector(*SIZE)
                ),
                id=identity,
            )
        )
    return message_class(_ARRAY)(header=head, detections=found)


def status(stamp: int, milliseconds: float) -> Any:
    """Return what a node says of itself."""
    value = message_class('diagnostic_msgs/msg/KeyValue')
    values = {'state': 'active', 'rate in [Hz]': '10.0', 'age p50 [ms]': f'{milliseconds}'}
    told = message_class('diagnostic_msgs/msg/DiagnosticStatus')(
        level=1,
        name='/depth_segmentation: perception',
        message='the camera is slow',
        hardware_id='here',
        values=[value(key=key, value=text) for key, text in values.items()],
    )
    return message_class(_STATUS)(header=m.header(stamp, ''), status=[told])


@dataclass(frozen=True)
class Said:
    """One message of the drive."""

    topic: str
    type: str
    stamp: int
    message: Any


def drive() -> list[Said]:
    """Return the messages of a car that drives ahead at 10 m/s and follows two objects.

    The second one is hidden from the third frame on.
    """
    return [mountings(), *(said for number in range(FRAMES) for said in frame(number))]


def frame(number: int) -> list[Said]:
    """Return what is said at one of the stamps, or at later ones."""
    stamp = m.START_STAMP + number * STEP
    pose = make_transform(np.eye(3), np.array([number * 1.0, 0.0, 0.0]))
    cloud = np.zeros(500, [(axis, '<f4') for axis in 'xyz'])
    cloud['x'] = np.linspace(3, 40, 500)
    hidden = number >= 2
    seen = [('7', {'car': 0.9, 'visibility': 1.0}, 12.0)]
    lost = [('12', {'pedestrian': 0.8, 'visibility': 0.0 if hidden else 1.0}, 20.0)]
    found = {
        '/ground_truth/objects': boxes(stamp, 'odom', seen + lost),
        '/tracker/tracks': boxes(stamp, 'odom', seen if hidden else seen + lost),
        '/tracker/tracks_occluded': boxes(stamp, 'odom', lost if hidden else []),
        '/my/detector': boxes(stamp, 'base_link', [('', {'car': 0.5}, 11.0)]),
    }
    moved = m.tf_message([m.transform_message(pose, stamp, 'odom', 'base_link')])
    return [
        Said(t_.TF.name, t_.TF.type, stamp, moved),
        *_pixels(stamp),
        Said('/lidar/points', t_.POINTS.type, stamp, m.cloud_message(cloud, stamp, 'lidar')),
        *(Said(name, _ARRAY, stamp, array) for name, array in found.items()),
        Said('/diagnostics', _STATUS, stamp, status(stamp, 30.0 + number)),
    ]


def mountings() -> Said:
    """Return where camera and LiDAR are on the car."""
    camera = make_transform(BODY_T_OPTICAL[:3, :3], np.array([0.5, 0.0, 1.6]))
    lidar = make_transform(np.eye(3), np.array([0.0, 0.0, 1.8]))
    stamp = m.START_STAMP
    transforms = [
        m.transform_message(camera, stamp, 'base_link', t_.CAMERA_FRAME),
        m.transform_message(lidar, stamp, 'base_link', t_.LIDAR_FRAME),
    ]
    return Said(t_.TF_STATIC.name, t_.TF_STATIC.type, stamp, m.tf_message(transforms))


def _pixels(stamp: int) -> list[Said]:
    """Return a frame of the camera, what a network says of it and the truth."""
    classes = np.tile(np.arange(CAMERA.width, dtype=np.uint8) % 14, (CAMERA.height, 1))
    info = m.camera_info_message(CAMERA, stamp, t_.CAMERA_FRAME)
    layers = {
        '/camera/image_raw': image(),
        '/depth_segmentation/depth/image': depth() * np.float32(1.1),
        '/depth_segmentation/segmentation/image': classes,
        '/ground_truth/depth': depth(),
        '/ground_truth/semantic': classes,
    }
    return [
        Said('/camera/camera_info', t_.CAMERA_INFO.type, stamp, info),
        *(
            Said(name, t_.IMAGE.type, stamp, m.image_message(pixels, stamp, t_.CAMERA_FRAME))
            for name, pixels in layers.items()
        ),
    ]


def record_drive(path: Path, leave_out: Sequence[str] = (), more: Sequence[Said] = ()) -> Path:
    """Write the drive as a bag, without topics of some names; returns its folder."""
    said = [*more, *(one for one in drive() if one.topic not in leave_out)]
    with BagWriter(path) as bag:
        for name, kind in {one.topic: one.type for one in said}.items():
            if name not in t_.TOPICS:
                bag.add_topic(Topic(name, kind))
        for one in said:
            bag.write(m.StampedMessage(one.topic, one.stamp, serialize(one.message)))
    return path
