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

from sim_perception.bags.clouds import cloud_array

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
        message: of any layout; see ``sim_perception.bags.clouds.cloud_array``.
        required: fields that must be there; other fields are kept too.

    Raises:
        ValueError: for a malformed or empty cloud, one without the required fields, or without
            a single finite position.
    """
    points = cloud_array(message, required)
    if not len(points):
        raise ValueError('cloud is empty; is the LiDAR running?')
    finite = np.ones(len(points), bool)
    for name in {'x', 'y', 'z'}.intersection(required):
        finite &= np.isfinite(points[name])
    if not finite.any():
        raise ValueError('cloud has no finite point; check the LiDAR driver')
    if finite.all():
        return points
    # Chosen as opaque bytes, which numpy copies many times faster than fields.
    return points.view(f'V{points.itemsize}')[finite].view(points.dtype)


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
