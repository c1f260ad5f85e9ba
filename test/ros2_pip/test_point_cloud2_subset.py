"""PointCloud2 to numpy and back."""

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='no ROS 2 installed')
from sensor_msgs.msg import PointField
from sensor_msgs_py import point_cloud2
from std_msgs.msg import Header

FIELDS = [
    PointField(name='x', offset=0, datatype=PointField.FLOAT32, count=1),
    PointField(name='y', offset=4, datatype=PointField.FLOAT32, count=1),
    PointField(name='ring', offset=8, datatype=PointField.UINT16, count=1),
    PointField(name='time', offset=12, datatype=PointField.FLOAT64, count=1),
]


def test_a_structured_cloud_survives_the_round_trip():
    dtype = point_cloud2.dtype_from_fields(FIELDS, point_step=24)
    assert dtype.itemsize == 24
    points = np.zeros(5, dtype)
    points['x'], points['ring'] = np.arange(5), np.arange(5) * 7
    points['y'][2] = np.nan
    cloud = point_cloud2.create_cloud(Header(frame_id='lidar'), FIELDS, points, point_step=24)
    assert (cloud.point_step, cloud.row_step, cloud.width) == (24, 120, 5)
    back = point_cloud2.read_points(cloud)
    np.testing.assert_array_equal(back['ring'], points['ring'])
    assert len(point_cloud2.read_points(cloud, ['y'], skip_nans=True)) == 4
    np.testing.assert_array_equal(point_cloud2.read_points(cloud, ['x'], uvs=[1, 3])['x'], [1, 3])
    xy = point_cloud2.read_points_numpy(cloud, ['x', 'y'])
    assert xy.shape == (5, 2)
    assert xy.dtype == np.float32


def test_plain_arrays_lists_and_organised_clouds():
    plain = np.arange(12, dtype=np.float32).reshape(4, 3)
    cloud = point_cloud2.create_cloud_xyz32(Header(), plain)
    np.testing.assert_array_equal(point_cloud2.read_points_numpy(cloud), plain)
    listed = point_cloud2.create_cloud(Header(), FIELDS, [(1, 2, 3, 4.5)])
    assert point_cloud2.read_points(listed)['time'][0] == 4.5
    organised = point_cloud2.create_cloud_xyz32(Header(), plain.reshape(2, 2, 3))
    assert (organised.height, organised.width) == (2, 2)


def test_counts_unnamed_and_duplicate_fields():
    counted = [PointField(name='v', offset=0, datatype=PointField.FLOAT32, count=2)]
    assert point_cloud2.dtype_from_fields(counted).names == ('v_0', 'v_1')
    unnamed = [PointField(name='', offset=0, datatype=PointField.UINT8, count=1)]
    assert point_cloud2.dtype_from_fields(unnamed).names == ('unnamed_field_0',)
    with pytest.raises(AssertionError, match='Duplicate'):
        point_cloud2.dtype_from_fields([FIELDS[0], FIELDS[0]])
    wrong = np.zeros(2, [('x', 'f4')])
    with pytest.raises(AssertionError, match='do not match'):
        point_cloud2.create_cloud(Header(), FIELDS, wrong)
