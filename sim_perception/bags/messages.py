"""Values of the simulation as ROS messages in CDR bytes: the only such conversion.

Bags store these bytes and the live simulator node publishes them, so both are equal. Pixel
layers are rendered and scans are made only when a requested topic needs them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from sim_perception.bags import topics as t_
from sim_perception.bags.calibration import info_fields
from sim_perception.bags.typestore import message_class, serialize
from sim_perception.geometry.transforms import to_quaternion
from sim_perception.taxonomy import Taxonomy, load_taxonomy
from sim_perception.types import Camera

if TYPE_CHECKING:
    from sim_perception.simulator.simulation import CameraSample, ObjectTruth, Simulation

Array = npt.NDArray[Any]

#: The stamp of a scenario's start, nanoseconds: not 0, which ROS reads as "no stamp".
START_STAMP = 1_700_000_000_000_000_000

_ENCODINGS = {
    ('u1', 1): 'mono8',
    ('u1', 3): 'rgb8',
    ('u2', 1): 'mono16',
    ('f4', 1): '32FC1',
    ('f4', 3): '32FC3',
}
_POINT_FIELD_TYPES = {
    'i1': 1, 'u1': 2, 'i2': 3, 'u2': 4, 'i4': 5, 'u4': 6, 'f4': 7, 'f8': 8,
}  # fmt: skip

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


class StampedMessage(NamedTuple):
    """One serialised message: topic name, header stamp in nanoseconds, CDR bytes."""

    topic: str
    stamp: int
    data: memoryview


def time_message(stamp: int) -> Any:
    """Return ``builtin_interfaces/Time`` of nanoseconds."""
    seconds, nanoseconds = divmod(int(stamp), 10**9)
    return message_class('builtin_interfaces/msg/Time')(sec=seconds, nanosec=nanoseconds)


def header(stamp: int, frame_id: str) -> Any:
    """Return a ``std_msgs/Header``."""
    return message_class('std_msgs/msg/Header')(stamp=time_message(stamp), frame_id=frame_id)


def image_message(image: Array, stamp: int, frame_id: str) -> Any:
    """Return ``sensor_msgs/Image`` of (H, W) u8/u16/f32 or (H, W, 3) u8 (RGB) / f32.

    Raises:
        ValueError: for another type or shape.
    """
    channels = 1 if image.ndim == 2 else image.shape[-1]
    encoding = _ENCODINGS.get((image.dtype.str[1:], channels))
    if encoding is None or image.ndim not in (2, 3):
        raise ValueError(f'no image encoding for {image.dtype} of shape {image.shape}')
    data = np.ascontiguousarray(image)
    return message_class('sensor_msgs/msg/Image')(
        header=header(stamp, frame_id),
        height=image.shape[0],
        width=image.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=data.strides[0],
        data=data.reshape(-1).view(np.uint8),
    )


def compressed_image_message(image: Array, stamp: int, frame_id: str, quality: int = 95) -> Any:
    """Return a JPEG ``sensor_msgs/CompressedImage`` of (H, W, 3) RGB or (H, W) grey uint8."""
    colour = image.ndim == 3
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if colour else image
    _, data = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return message_class('sensor_msgs/msg/CompressedImage')(
        header=header(stamp, frame_id),
        format='rgb8; jpeg compressed bgr8' if colour else 'mono8; jpeg compressed mono8',
        data=data.reshape(-1),
    )


def camera_info_message(camera: Camera, stamp: int, frame_id: str) -> Any:
    """Return ``sensor_msgs/CameraInfo`` of a camera."""
    return message_class('sensor_msgs/msg/CameraInfo')(
        header=header(stamp, frame_id),
        **info_fields(camera),
        binning_x=0,
        binning_y=0,
        roi=message_class('sensor_msgs/msg/RegionOfInterest')(
            x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
        ),
    )


def cloud_message(points: Array, stamp: int, frame_id: str) -> Any:
    """Return ``sensor_msgs/PointCloud2`` of a 1-D or 2-D structured array; names are kept.

    Raises:
        ValueError: for an array without named columns.
    """
    columns = points.dtype.fields
    if columns is None:
        raise ValueError('a cloud needs named columns (a structured array), such as x y z')
    points = np.ascontiguousarray(np.atleast_2d(points))
    field_class = message_class('sensor_msgs/msg/PointField')
    fields = [
        field_class(name=name, offset=offset, datatype=_POINT_FIELD_TYPES[dtype.str[1:]], count=1)
        for name, (dtype, offset, *_) in columns.items()
    ]
    height, width = points.shape
    dense = all(
        bool(np.isfinite(points[name]).all())
        for name in points.dtype.names or ()
        if points.dtype[name].kind == 'f'
    )
    return message_class('sensor_msgs/msg/PointCloud2')(
        header=header(stamp, frame_id),
        height=height,
        width=width,
        fields=fields,
        is_bigendian=False,
        point_step=points.itemsize,
        row_step=points.itemsize * width,
        data=points.reshape(-1).view(np.uint8),
        is_dense=dense,
    )


def transform_message(parent_T_child: Array, stamp: int, parent: str, child: str) -> Any:
    """Return ``geometry_msgs/TransformStamped`` of a 4x4 transform."""
    x, y, z = (float(v) for v in parent_T_child[:3, 3])
    qx, qy, qz, qw = (float(v) for v in to_quaternion(parent_T_child))
    return message_class('geometry_msgs/msg/TransformStamped')(
        header=header(stamp, parent),
        child_frame_id=child,
        transform=message_class('geometry_msgs/msg/Transform')(
            translation=message_class('geometry_msgs/msg/Vector3')(x=x, y=y, z=z),
            rotation=message_class('geometry_msgs/msg/Quaternion')(x=qx, y=qy, z=qz, w=qw),
        ),
    )


def tf_message(transforms: Iterable[Any]) -> Any:
    """Return ``tf2_msgs/TFMessage``."""
    return message_class('tf2_msgs/msg/TFMessage')(transforms=list(transforms))


def label_info_message(taxonomy: Taxonomy, stamp: int, frame_id: str) -> Any:
    """Return ``vision_msgs/LabelInfo`` that names the values of label images."""
    vision_class = message_class('vision_msgs/msg/VisionClass')
    return message_class('vision_msgs/msg/LabelInfo')(
        header=header(stamp, frame_id),
        class_map=[vision_class(class_id=i, class_name=n) for i, n in enumerate(taxonomy.names)],
        threshold=0.0,
    )


def pose_message(parent_T_object: Array) -> Any:
    """Return ``geometry_msgs/Pose`` of a 4x4 transform."""
    x, y, z = (float(v) for v in parent_T_object[:3, 3])
    qx, qy, qz, qw = (float(v) for v in to_quaternion(parent_T_object))
    return message_class('geometry_msgs/msg/Pose')(
        position=message_class('geometry_msgs/msg/Point')(x=x, y=y, z=z),
        orientation=message_class('geometry_msgs/msg/Quaternion')(x=qx, y=qy, z=qz, w=qw),
    )


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
