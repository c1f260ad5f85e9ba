"""Values of the simulation as ROS messages in CDR bytes: the only such conversion.

Bags store these bytes and the live simulator node publishes them, so both are equal. Pixel
layers are rendered and scans are made only when a requested topic needs them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache, partial
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
    pose_messages,
    tf_message,
    time_message,
    transform_message,
)
from sim_perception.bags.rig_topics import SensorTopics, sensor_topics
from sim_perception.bags.typestore import message_class, serialize
from sim_perception.taxonomy import Taxonomy, load_taxonomy

if TYPE_CHECKING:
    from sim_perception.simulator.simulation import (
        CameraSample,
        LightTruth,
        ObjectTruth,
        Simulation,
    )

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


@cache
def _no_pose() -> Any:
    """Return the pose of what has none."""
    return pose_messages(np.eye(4)[None])[0]


def _hypotheses(scores: dict[str, float], pose: Any) -> list[Any]:
    """Return what is said of a detection, with scores, in their order."""
    hypothesis = message_class('vision_msgs/msg/ObjectHypothesis')
    with_pose = message_class('vision_msgs/msg/ObjectHypothesisWithPose')
    posed = message_class('geometry_msgs/msg/PoseWithCovariance')(
        pose=pose, covariance=np.zeros(36)
    )
    return [
        with_pose(hypothesis=hypothesis(class_id=name, score=float(score)), pose=posed)
        for name, score in scores.items()
    ]


def _said_of(truth: ObjectTruth, i: int, taxonomy: Taxonomy) -> dict[str, float]:
    """Return an object's class, its visible fraction and what its lamps say."""
    said = {taxonomy.names[truth.class_id[i]]: 1.0, 'visibility': float(truth.visibility[i])}
    return {**said, **dict.fromkeys(truth.lamps[i] if truth.lamps else (), 1.0)}


def objects_message(truth: ObjectTruth, taxonomy: Taxonomy, stamp: int, frame_id: str) -> Any:
    """Return ``vision_msgs/Detection3DArray`` of every object in range, hidden ones too."""
    said = [_said_of(truth, i, taxonomy) for i in range(len(truth.id))]
    return _boxes_message(truth.id, truth.world_T_object, truth.size, said, stamp, frame_id)


def lights_message(truth: LightTruth, stamp: int, frame_id: str) -> Any:
    """Return ``vision_msgs/Detection3DArray`` of traffic lights' heads with what they show."""
    said = [{name: 1.0} for name in truth.shows]
    return _boxes_message(truth.id, truth.world_T_head, truth.size, said, stamp, frame_id)


def _boxes_message(
    ids: Array,
    poses: Array,
    sizes: Array,
    said: Sequence[dict[str, float]],
    stamp: int,
    frame_id: str,
) -> Any:
    """Return ``vision_msgs/Detection3DArray`` of boxes with what is said of each."""
    vector = message_class('geometry_msgs/msg/Vector3')
    box = message_class('vision_msgs/msg/BoundingBox3D')
    head = header(stamp, frame_id)
    detections = []
    for number, pose, (length, width, height), scores in zip(
        ids, pose_messages(poses), sizes, said, strict=True
    ):
        size = vector(x=float(length), y=float(width), z=float(height))
        detections.append(
            message_class('vision_msgs/msg/Detection3D')(
                header=head,
                results=_hypotheses(scores, pose),
                bbox=box(center=pose, size=size),
                id=str(number),
            )
        )
    array = message_class('vision_msgs/msg/Detection3DArray')
    return array(header=head, detections=detections)


def objects_2d_message(truth: ObjectTruth, taxonomy: Taxonomy, stamp: int, frame_id: str) -> Any:
    """Return ``vision_msgs/Detection2DArray`` of amodal boxes; none for objects behind."""
    head = header(stamp, frame_id)
    detections = [
        box2d_message(
            truth.box_amodal[i], str(truth.id[i]), _said_of(truth, int(i), taxonomy), head
        )
        for i in np.flatnonzero(np.isfinite(truth.box_amodal).all(-1))
    ]
    array = message_class('vision_msgs/msg/Detection2DArray')
    return array(header=head, detections=detections)


def box2d_message(
    box: Sequence[float] | Array, identity: str, said: dict[str, float], head: Any
) -> Any:
    """Return ``vision_msgs/Detection2D`` of a box (x1, y1, x2, y2) with what is said of it."""
    x1, y1, x2, y2 = (float(v) for v in box)
    position = message_class('vision_msgs/msg/Point2D')(x=(x1 + x2) / 2, y=(y1 + y2) / 2)
    center = message_class('vision_msgs/msg/Pose2D')(position=position, theta=0.0)
    bounds = message_class('vision_msgs/msg/BoundingBox2D')
    return message_class('vision_msgs/msg/Detection2D')(
        header=head,
        results=_hypotheses(said, _no_pose()),
        bbox=bounds(center=center, size_x=x2 - x1, size_y=y2 - y1),
        id=identity,
    )


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
        mountings = [
            *((c.base_T_camera, c.stream.frame_id) for c in simulation.cameras.values()),
            *((item.base_T_lidar, item.stream.frame_id) for item in simulation.lidars.values()),
        ]
        if not simulation.scenario.sensors and not simulation.lidars:
            mountings.append((simulation.base_T_lidar, t_.LIDAR_FRAME))
        odom = (frame_prefix + t_.MAP_FRAME, frame_prefix + t_.ODOM_FRAME)
        transforms = [
            transform_message(np.eye(4), stamp, *odom),
            *(
                transform_message(pose, stamp, frame_prefix + t_.BASE_FRAME, frame_prefix + frame)
                for pose, frame in mountings
            ),
        ]
        yield StampedMessage(t_.TF_STATIC.name, stamp, serialize(tf_message(transforms)))
    if t_.LABEL_INFO.name in topics:
        frame = next(iter(simulation.cameras.values())).stream.frame_id
        message = label_info_message(load_taxonomy(), stamp, frame_prefix + frame)
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

    The clock and the pose come first, then the cameras' topics, then the LiDARs' scans. A
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
        odom_T_base = simulation.base_pose(time)
        transform = transform_message(
            odom_T_base, stamp, frame_prefix + t_.ODOM_FRAME, frame_prefix + t_.BASE_FRAME
        )
        yield StampedMessage(t_.TF.name, stamp, serialize(tf_message([transform])))
    for sensor in sensor_topics(simulation.scenario):
        if sensor.names.isdisjoint(topics):
            continue
        if sensor.stream.kind == 'camera':
            yield from _camera_messages(
                simulation, sensor, time, topics, stamp, jpeg_quality, frame_prefix
            )
        else:
            scan = simulation.lidar_scan(time, sensor.stream.name)
            cloud = cloud_message(scan.points, stamp, frame_prefix + sensor.stream.frame_id)
            name = sensor.own[t_.POINTS].name
            yield StampedMessage(name, stamp, serialize(cloud))


def _camera_messages(
    simulation: Simulation,
    sensor: SensorTopics,
    time: float,
    topics: Collection[str],
    stamp: int,
    jpeg_quality: int,
    frame_prefix: str,
) -> Iterator[StampedMessage]:
    """Yield a camera's calibration and what one rendered frame gives."""
    own = {topic: mine for topic, mine in sensor.own.items() if mine.name in topics}
    frame = frame_prefix + sensor.stream.frame_id
    info = own.pop(t_.CAMERA_INFO, None)
    if info is not None:
        carried = simulation.cameras[sensor.stream.name]
        message = camera_info_message(
            carried.camera, stamp, frame, carried.rectification, carried.projection
        )
        yield StampedMessage(info.name, stamp, serialize(message))
    if not own:
        return
    layers = frozenset(topic.layer for topic in own if topic.layer)
    sample = simulation.camera_frame(time, layers, sensor.stream.name)
    for topic, mine in own.items():
        if not topic.layer:
            continue
        pixels = getattr(sample, topic.layer)
        if topic is t_.IMAGE_COMPRESSED:
            message = compressed_image_message(pixels, stamp, frame, jpeg_quality)
        else:
            message = image_message(pixels, stamp, frame)
        yield StampedMessage(mine.name, stamp, serialize(message))
    yield from _object_messages(simulation, time, sample, own, stamp, frame_prefix)


def _object_messages(
    simulation: Simulation,
    time: float,
    sample: CameraSample,
    own: Mapping[t_.Topic, t_.Topic],
    stamp: int,
    frame_prefix: str,
) -> Iterator[StampedMessage]:
    """Yield the truth about objects and traffic lights on a camera's own topics."""
    if t_.TRAFFIC_LIGHTS in own:
        lights = simulation.light_truth(simulation.state(time))
        if lights is not None:
            message = lights_message(lights, stamp, frame_prefix + t_.ODOM_FRAME)
            yield StampedMessage(own[t_.TRAFFIC_LIGHTS].name, stamp, serialize(message))
    if {t_.OBJECTS, t_.OBJECTS_2D, t_.OBJECT_STATES}.isdisjoint(own):
        return
    truth = simulation.object_truth(simulation.state(time), sample)
    taxonomy = load_taxonomy()
    for topic, make in (
        (t_.OBJECTS, partial(objects_message, truth, taxonomy)),
        (t_.OBJECTS_2D, partial(objects_2d_message, truth, taxonomy)),
        (t_.OBJECT_STATES, partial(cloud_message, object_states(truth))),
    ):
        if topic in own:
            message = make(stamp, frame_prefix + own[topic].frame_id)
            yield StampedMessage(own[topic].name, stamp, serialize(message))
