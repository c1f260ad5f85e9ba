"""Subset of ``sensor_msgs_py.point_cloud2``: PointCloud2 messages to and from numpy.

Same names and behaviour as the original for what is here, assertions included.
"""

from __future__ import annotations

import array
import sys
from collections.abc import Iterable

import numpy as np
from numpy.lib.recfunctions import structured_to_unstructured, unstructured_to_structured
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

_DATATYPES = {
    PointField.INT8: np.dtype(np.int8),
    PointField.UINT8: np.dtype(np.uint8),
    PointField.INT16: np.dtype(np.int16),
    PointField.UINT16: np.dtype(np.uint16),
    PointField.INT32: np.dtype(np.int32),
    PointField.UINT32: np.dtype(np.uint32),
    PointField.FLOAT32: np.dtype(np.float32),
    PointField.FLOAT64: np.dtype(np.float64),
}
DUMMY_FIELD_PREFIX = 'unnamed_field'


def dtype_from_fields(fields: Iterable[PointField], point_step: int | None = None) -> np.dtype:
    """Return the structured dtype of one point; fields with count > 1 become name_0, name_1..."""
    names: list[str] = []
    offsets: list[int] = []
    formats: list[str] = []
    for i, field in enumerate(fields):
        datatype = _DATATYPES[field.datatype]
        name = field.name or f'{DUMMY_FIELD_PREFIX}_{i}'
        assert field.count > 0, "Can't process fields with count = 0."
        for part in range(field.count):
            part_name = f'{name}_{part}' if field.count > 1 else name
            assert part_name not in names, 'Duplicate field names are not allowed!'
            names.append(part_name)
            offsets.append(field.offset + part * datatype.itemsize)
            formats.append(datatype.str)
    layout = {'names': names, 'formats': formats, 'offsets': offsets}
    if point_step is not None:
        layout['itemsize'] = point_step
    return np.dtype(layout)


def read_points(
    cloud: PointCloud2,
    field_names: list[str] | None = None,
    skip_nans: bool = False,
    uvs: Iterable[int] | None = None,
    reshape_organized_cloud: bool = False,
) -> np.ndarray:
    """Return a cloud's points as a structured array; a view on the message where possible."""
    assert isinstance(cloud, PointCloud2), 'Cloud is not a sensor_msgs.msg.PointCloud2'
    points = np.ndarray(
        shape=(cloud.width * cloud.height,),
        dtype=dtype_from_fields(cloud.fields, point_step=cloud.point_step),
        buffer=cloud.data,
    )
    if field_names is not None:
        assert all(name in points.dtype.names for name in field_names), (
            'Requests field is not in the fields of the PointCloud!'
        )
        points = points[list(field_names)]
    if (sys.byteorder != 'little') != bool(cloud.is_bigendian):
        points = points.byteswap(inplace=True)
    if skip_nans and not cloud.is_dense:
        valid = np.ones(len(points), dtype=bool)
        for name in points.dtype.names:
            valid &= ~np.isnan(points[name])
        points = points[valid]
    if uvs is not None:
        points = points[uvs if isinstance(uvs, np.ndarray) else np.fromiter(uvs, int)]
    if reshape_organized_cloud and cloud.height > 1:
        points = points.reshape(cloud.width, cloud.height)
    return points


def read_points_numpy(
    cloud: PointCloud2,
    field_names: list[str] | None = None,
    skip_nans: bool = False,
    uvs: Iterable[int] | None = None,
    reshape_organized_cloud: bool = False,
) -> np.ndarray:
    """Return the points as a plain (N, fields) array; all read fields must share one datatype."""
    wanted = [f for f in cloud.fields if field_names is None or f.name in field_names]
    assert all(wanted[0].datatype == field.datatype for field in wanted[1:]), (
        'All fields need to have the same datatype. Use `read_points()` otherwise.'
    )
    points = read_points(cloud, field_names, skip_nans, uvs, reshape_organized_cloud)
    return structured_to_unstructured(points)


def create_cloud(
    header: Header,
    fields: Iterable[PointField],
    points: np.ndarray | Iterable,
    point_step: int | None = None,
) -> PointCloud2:
    """Build a cloud from a structured array, an (N, fields) array or a list of tuples.

    Two-dimensional structured arrays (three-dimensional plain ones) give organised clouds.
    """
    fields = list(fields)
    dtype = dtype_from_fields(fields, point_step=point_step)
    if not isinstance(points, np.ndarray):
        points = np.array([tuple(point) for point in points], dtype=dtype)
    elif points.dtype.names is None:
        assert all(fields[0].datatype == field.datatype for field in fields[1:]), (
            'All fields need to have the same datatype. Pass a structured NumPy array '
            'with multiple dtypes otherwise.'
        )
        points = unstructured_to_structured(points, dtype=dtype)
    else:
        assert points.dtype == dtype, (
            'PointFields and structured NumPy array dtype do not match for all fields! '
            'Check their field order, names and types.'
        )
    assert len(points.shape) <= 2, 'Too many dimensions for organized cloud!'
    height, width = points.shape if points.ndim == 2 else (1, points.shape[0])
    data = array.array('B')
    data.frombytes(points.tobytes())
    cloud = PointCloud2(
        header=header,
        height=height,
        width=width,
        is_dense=False,
        is_bigendian=sys.byteorder != 'little',
        fields=fields,
        point_step=points.dtype.itemsize,
        row_step=points.dtype.itemsize * width,
    )
    cloud.data = data
    return cloud


def create_cloud_xyz32(header: Header, points: np.ndarray | Iterable) -> PointCloud2:
    """Build a cloud with float32 fields x, y and z."""
    fields = [
        PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
        for i, name in enumerate('xyz')
    ]
    return create_cloud(header, fields, points)
