"""PointCloud2 messages to numpy and back, over ``sensor_msgs_py``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.recfunctions import repack_fields
from sensor_msgs.msg import PointCloud2, PointField
from sensor_msgs_py import point_cloud2
from std_msgs.msg import Header

Array = npt.NDArray[Any]

_POINT_FIELDS = {
    'i1': PointField.INT8,
    'u1': PointField.UINT8,
    'i2': PointField.INT16,
    'u2': PointField.UINT16,
    'i4': PointField.INT32,
    'u4': PointField.UINT32,
    'f4': PointField.FLOAT32,
    'f8': PointField.FLOAT64,
}


def cloud_points(message: PointCloud2, required: Sequence[str] = ('x', 'y', 'z')) -> Array:
    """Return the points of a cloud as a 1-D structured array without NaN and infinite positions.

    Args:
        message: organised or not; row padding is honoured.
        required: fields that must be there; other fields are kept too.

    Raises:
        ValueError: for missing fields, an unknown datatype, data shorter than the header says,
            an empty cloud, or one without a single finite position.
    """
    names = [field.name for field in message.fields]
    missing = [name for name in required if name not in names]
    if missing:
        raise ValueError(
            f'cloud lacks the fields {", ".join(missing)}; it has {", ".join(names) or "none"}'
        )
    if message.width * message.height == 0:
        raise ValueError('cloud is empty; is the LiDAR running?')
    needed = message.row_step * (message.height - 1) + message.point_step * message.width
    if message.row_step < message.point_step * message.width or len(message.data) < needed:
        raise ValueError(
            f'cloud data are truncated: {len(message.data)} bytes where {message.height} rows of '
            f'{message.width} points with point_step {message.point_step} and row_step '
            f'{message.row_step} need {max(needed, message.width * message.point_step)}'
        )
    try:
        points = _read(message)
    except (AssertionError, KeyError, ValueError, TypeError) as error:
        raise ValueError(f'cloud has malformed fields: {error}') from error
    position = [name for name in ('x', 'y', 'z') if name in names]
    finite = np.ones(len(points), bool)
    for name in position:
        finite &= np.isfinite(points[name])
    if not finite.any():
        raise ValueError('cloud has no finite point; check the LiDAR driver')
    return points if finite.all() else points[finite]


def _read(message: PointCloud2) -> Array:
    # Not point_cloud2.read_points: it ignores row padding and swaps big-endian data in place,
    # so that a second reader of the message would see garbage.
    dtype = point_cloud2.dtype_from_fields(message.fields, point_step=message.point_step)
    rows = np.ndarray(
        (message.height, message.width),
        dtype.newbyteorder('>' if message.is_bigendian else '<'),
        buffer=message.data,
        strides=(message.row_step, message.point_step),
    )
    return rows.reshape(-1)


def point_fields(dtype: np.dtype[Any]) -> list[PointField]:
    """Return the PointField list of a structured dtype.

    Raises:
        ValueError: for an unstructured dtype or a column that has no PointField type.
    """
    if dtype.fields is None:
        raise ValueError('a cloud needs named columns (a structured array), such as x y z')
    fields = []
    for name in dtype.names or ():
        column, offset = dtype.fields[name][:2]
        kind = _POINT_FIELDS.get(f'{column.kind}{column.itemsize}')
        if kind is None or column.subdtype is not None:
            raise ValueError(f'column {name} of type {column} has no PointField type')
        fields.append(PointField(name=name, offset=offset, datatype=kind, count=1))
    return fields


def to_cloud(points: Array, header: Header) -> PointCloud2:
    """Return a cloud message of a 1-D or 2-D structured array, or of (N, 3) x, y, z."""
    if points.dtype.names is None:
        return point_cloud2.create_cloud_xyz32(header, points.astype(np.float32, copy=False))
    # Without padding, because older distros' create_cloud cannot be told of any.
    points = repack_fields(points)
    return point_cloud2.create_cloud(header, point_fields(points.dtype), points)


#: Columns of a coloured cloud as rviz reads them: rgb is 0x00RRGGBB in a float's bits.
COLORED_POINT = np.dtype([('x', '<f4'), ('y', '<f4'), ('z', '<f4'), ('rgb', '<f4')])


def colored_points(xyz: npt.NDArray[np.floating], rgb: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    """Return structured ``COLORED_POINT`` rows of (N, 3) positions and (N, 3) uint8 colours."""
    points = np.zeros(len(xyz), COLORED_POINT)
    for i, name in enumerate('xyz'):
        points[name] = xyz[:, i]
    red, green, blue = (rgb[:, i].astype(np.uint32) for i in range(3))
    points['rgb'] = (red << 16 | green << 8 | blue).view(np.float32)
    return points
