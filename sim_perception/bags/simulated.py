"""Values of the simulation as ROS messages in CDR bytes: the only such conversion.

Bags store these bytes and the live simulator node publishes them, so both are equal. Pixel
layers are rendered and scans are made only when a requested topic needs them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim_perception.bags import topics as t_
from sim_perception.bags.messages import (
    START_STAMP,
    StampedMessage,
    camera_info_message,
    cloud_message,
    compressed_image_message,
    header,
    image_message,
    label_info_message,
    pose_message,
    tf_message,
    time_message,
    transform_message,
)
from sim_perception.bags.typestore import message_class, serialize
from sim_perception.taxonomy import Taxonomy, load_taxonomy

if TYPE_CHECKING:
    from sim_perception.simulator.simulation import CameraSample, ObjectTruth, Simulation

Array = npt.NDArray[Any]

#: Columns of ``/ground_truth/object_states``; positions and vectors in ``odom``.
OBJECT_STATE = np.dtype(
    [
        ('x', '<f4'), ('y', '<f4'), ('z', '<f4'),
        ('id', '<u2'), ('class', 'u1'),
        ('visibility', '<f4'),
        ('vx', '<f4'), ('vy', '<f4'), ('vz', '<f4'),
        ('ax', '<f4'), ('ay', '<f4'), ('az', '<f4'),
        ('fx', '<f4'), ('fy', '<f4'), ('fz', '<f4'),
    ]
)  # fmt: skip


def _hypotheses(class_name: str, visibility: float, pose: Any) -> list[Any]:
    """Return the class and, as second hypothesis, the visible fraction."""
    hypothesis = message_class('vision_msgs/msg/ObjectHypothesis')
    with_pose = message_class('vision_msgs/msg/ObjectHypothesisWithPose')
    posed = message_class('geometry_msgs/msg/PoseWithCovariance')(
        pose=pose, covariance=np.zeros(36)
    )
    return [
        with_pose(hypothesis=hypothesis(class_id=name, score=float(score)), pose=posed)
        for name, score in ((class_name, 1.0), ('visibility', visibility))
    ]


def objects_message(truth: ObjectTruth, taxonomy: Taxonomy, stamp: int, frame_id: str) -> Any:
    """Return ``vision_msgs/Detection3DArray`` of every object in range, hidden ones too."""
    vector = message_class('geometry_msgs/msg/Vector3')
    box = message_class('vision_msgs/msg/BoundingBox3D')
    head = header(stamp, frame_id)
    detections = []
    for i in range(len(truth.id)):
        pose = pose_message(truth.world_T_object[i])
        length, width, height = (float(v) for v in truth.size[i])
        name = taxonomy.names[truth.class_id[i]]
        detections.append(
            message_class('vision_msgs/msg/Detection3D')(
                header=head,
                results=_hypotheses(name, truth.visibility[i], pose),
                bbox=box(center=pose, size=vector(x=length, y=width, z=height)),
                id=str(truth.id[i]),
            )
        )
    array = message_class('vision_msgs/msg/Detection3DArray')
    return array(header=head, detections=detections)


def objects_2d_message(truth: ObjectTruth, taxonomy: Taxonomy, stamp: int, frame_id: str) -> Any:
    """Return ``vision_msgs/Detection2DArray`` of amodal boxes; none for objects behind."""
    point = message_class('vision_msgs/msg/Point2D')
    pose2d = message_class('vision_msgs/msg/Pose2D')
    box = message_class('vision_msgs/msg/BoundingBox2D')
    head = header(stamp, frame_id)
    no_pose = pose_message(np.eye(4))
    detections = []
    for i in np.flatnonzero(np.isfinite(truth.box_amodal).all(-1)):
        x1, y1, x2, y2 = (float(v) for v in truth.box_amodal[i])
        center = pose2d(position=point(x=(x1 + x2) / 2, y=(y1 + y2) / 2), theta=0.0)
        name = taxonomy.names[truth.class_id[i]]
        detections.append(
            message_class('vision_msgs/msg/Detection2D')(
                header=head,
                results=_hypotheses(name, truth.visibility[i], no_pose),
                bbox=box(center=center, size_x=x2 - x1, size_y=y2 - y1),
                id=str(truth.id[i]),
            )
        )
    array = message_class('vision_msgs/msg/Detection2DArray')
    return array(header=head, detections=detections)


def object_states(truth: ObjectTruth) -> Array:
    """Return the columns of ``OBJECT_STATE`` of every object in range."""
    rows = np.zeros(len(truth.id), OBJECT_STATE)
    rows['id'], rows['class'] = truth.id, truth.class_id
    rows['visibility'] = truth.visibility
    vectors = {
        'x y z': truth.world_T_object[:, :3, 3],
        'vx vy vz': truth.velocity,
        'ax ay az': truth.acceleration,
        'fx fy fz': truth.net_force,
    }
    for names, values in vectors.items():
        for column, name in enumerate(names.split()):
            rows[name] = values[:, column]
    return rows


def static_messages(
    simulation: Simulation,
    topics: Collection[str],
    stamp: int = START_STAMP,
    frame_prefix: str = '',
) -> Iterator[StampedMessage]:
    """Yield the latched messages: sensor mountings and the label names."""
    if t_.TF_STATIC.name in topics:
        transforms = [
            transform_message(
                np.eye(4), stamp, frame_prefix + t_.MAP_FRAME, frame_prefix + t_.ODOM_FRAME
            ),
            transform_message(
                simulation.base_T_camera,
                stamp,
                frame_prefix + t_.BASE_FRAME,
                frame_prefix + t_.CAMERA_FRAME,
            ),
        ]
        if simulation.base_T_lidar is not None:
            transforms.append(
                transform_message(
                    simulation.base_T_lidar,
                    stamp,
                    frame_prefix + t_.BASE_FRAME,
                    frame_prefix + t_.LIDAR_FRAME,
                )
            )
        yield StampedMessage(t_.TF_STATIC.name, stamp, serialize(tf_message(transforms)))
    if t_.LABEL_INFO.name in topics:
        message = label_info_message(load_taxonomy(), stamp, frame_prefix + t_.CAMERA_FRAME)
        yield StampedMessage(t_.LABEL_INFO.name, stamp, serialize(message))


def simulation_messages(
    simulation: Simulation,
    time: float,
    topics: Collection[str],
    start_stamp: int = START_STAMP,
    jpeg_quality: int = 95,
    frame_prefix: str = '',
) -> Iterator[StampedMessage]:
    """Yield the messages of the requested topics at one time of a simulation.

    The clock and the pose come first, then the camera's topics, then the LiDAR's scan. One
    frame is rendered with just the layers that the topics need; a scan is made only if it is
    asked for, and the consumer stops work by not drawing further from the iterator.

    Args:
        simulation: the scenario that runs.
        time: seconds since its start.
        topics: names of the wanted topics; static ones are ignored here.
        start_stamp: nanoseconds, the stamp of time 0.
        jpeg_quality: of the compressed image topic.
        frame_prefix: goes before the names of all frames.
    """
    stamp = start_stamp + round(time * 1e9)
    if t_.CLOCK.name in topics:
        clock = message_class('rosgraph_msgs/msg/Clock')(clock=time_message(stamp))
        yield StampedMessage(t_.CLOCK.name, stamp, serialize(clock))
    if t_.TF.name in topics:
        odom_T_base = simulation.state(time).world_T_base
        transform = transform_message(
            odom_T_base, stamp, frame_prefix + t_.ODOM_FRAME, frame_prefix + t_.BASE_FRAME
        )
        yield StampedMessage(t_.TF.name, stamp, serialize(tf_message([transform])))
    if t_.CAMERA_INFO.name in topics:
        message = camera_info_message(simulation.camera, stamp, frame_prefix + t_.CAMERA_FRAME)
        yield StampedMessage(t_.CAMERA_INFO.name, stamp, serialize(message))
    yield from _camera_messages(simulation, time, topics, stamp, jpeg_quality, frame_prefix)
    if t_.POINTS.name in topics:
        message = cloud_message(
            simulation.lidar_scan(time).points, stamp, frame_prefix + t_.LIDAR_FRAME
        )
        yield StampedMessage(t_.POINTS.name, stamp, serialize(message))


def _camera_messages(
    simulation: Simulation,
    time: float,
    topics: Collection[str],
    stamp: int,
    jpeg_quality: int,
    frame_prefix: str,
) -> Iterator[StampedMessage]:
    """Yield what one rendered frame gives."""
    wanted = [
        topic for topic in t_.CAMERA_TOPICS if topic.name in topics and topic is not t_.CAMERA_INFO
    ]
    if not wanted:
        return
    layers = frozenset(topic.layer for topic in wanted if topic.layer)
    sample = simulation.camera_frame(time, layers=layers)
    for topic in wanted:
        if not topic.layer:
            continue
        pixels = getattr(sample, topic.layer)
        if topic is t_.IMAGE_COMPRESSED:
            message = compressed_image_message(
                pixels, stamp, frame_prefix + topic.frame_id, jpeg_quality
            )
        else:
            message = image_message(pixels, stamp, frame_prefix + topic.frame_id)
        yield StampedMessage(topic.name, stamp, serialize(message))
    yield from _object_messages(simulation, time, sample, topics, stamp, frame_prefix)


def _object_messages(
    simulation: Simulation,
    time: float,
    sample: CameraSample,
    topics: Collection[str],
    stamp: int,
    frame_prefix: str,
) -> Iterator[StampedMessage]:
    """Yield the truth about objects."""
    if not {t_.OBJECTS.name, t_.OBJECTS_2D.name, t_.OBJECT_STATES.name} & set(topics):
        return
    truth = simulation.object_truth(simulation.state(time), sample)
    taxonomy = load_taxonomy()
    if t_.OBJECTS.name in topics:
        message = objects_message(truth, taxonomy, stamp, frame_prefix + t_.ODOM_FRAME)
        yield StampedMessage(t_.OBJECTS.name, stamp, serialize(message))
    if t_.OBJECTS_2D.name in topics:
        message = objects_2d_message(truth, taxonomy, stamp, frame_prefix + t_.CAMERA_FRAME)
        yield StampedMessage(t_.OBJECTS_2D.name, stamp, serialize(message))
    if t_.OBJECT_STATES.name in topics:
        message = cloud_message(object_states(truth), stamp, frame_prefix + t_.ODOM_FRAME)
        yield StampedMessage(t_.OBJECT_STATES.name, stamp, serialize(message))
