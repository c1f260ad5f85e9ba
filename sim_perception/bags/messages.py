"""Values as ROS messages, without ROS: images, clouds, calibrations, transforms, poses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from sim_perception.bags.calibration import info_fields
from sim_perception.bags.typestore import message_class
from sim_perception.geometry.transforms import to_quaternion
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import Camera

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
_XYZ = np.dtype([('x', '<f4'), ('y', '<f4'), ('z', '<f4')])
_POINT_FIELD_TYPES = {
    'i1': 1, 'u1': 2, 'i2': 3, 'u2': 4, 'i4': 5, 'u4': 6, 'f4': 7, 'f8': 8,
}  # fmt: skip


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


def camera_info_message(
    camera: Camera,
    stamp: int,
    frame_id: str,
    rectification: Array | None = None,
    projection: Array | None = None,
) -> Any:
    """Return ``sensor_msgs/CameraInfo`` of a camera.

    Args:
        camera: of the raw images.
        stamp: nanoseconds.
        frame_id: of its optical frame.
        rectification: 3x3 R, None for none.
        projection: 3x4 P, None for that of the raw images.
    """
    fields = info_fields(camera)
    if rectification is not None:
        fields['r'] = rectification.reshape(-1)
    if projection is not None:
        fields['p'] = projection.reshape(-1)
    return message_class('sensor_msgs/msg/CameraInfo')(
        header=header(stamp, frame_id),
        **fields,
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


def xyz_cloud_message(points: Array, stamp: int, frame_id: str) -> Any:
    """Return ``sensor_msgs/PointCloud2`` of (N, 3) points, metres, as float32 x y z."""
    rows = np.ascontiguousarray(points, '<f4').reshape(-1, 3)
    return cloud_message(rows.view(_XYZ).reshape(-1), stamp, frame_id)


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
    return pose_messages(parent_T_object[None])[0]


def pose_messages(parent_T_object: Array) -> list[Any]:
    """Return a ``geometry_msgs/Pose`` of each of (N, 4, 4) transforms.

    Rotations are turned into quaternions together: one at a time takes .2 ms.
    """
    pose, point, quaternion = (
        message_class(f'geometry_msgs/msg/{name}') for name in ('Pose', 'Point', 'Quaternion')
    )
    turns = to_quaternion(parent_T_object).tolist()
    return [
        pose(position=point(x=x, y=y, z=z), orientation=quaternion(x=qx, y=qy, z=qz, w=qw))
        for (x, y, z), (qx, qy, qz, qw) in zip(
            parent_T_object[:, :3, 3].tolist(), turns, strict=True
        )
    ]
