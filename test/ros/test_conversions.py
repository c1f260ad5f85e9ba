"""Images, calibrations, clouds and detections: values survive, malformed messages are refused."""

import array

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='no ROS 2 installed')
from sensor_msgs.msg import CompressedImage, PointCloud2, PointField
from std_msgs.msg import Header

from sim_perception.bags.calibration import camera_of
from sim_perception.bags.images import image_array, rgb_image
from sim_perception.geometry.transforms import from_euler
from sim_perception.ros import conversions as c
from sim_perception.ros.clouds import cloud_points, colored_points, point_fields, to_cloud
from sim_perception.ros.detections import (
    from_pose,
    to_detection_array,
    to_pose,
)
from sim_perception.ros.markers import box_markers
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Box3D, Camera, Detection


def test_an_array_that_does_not_fit_its_encoding_is_refused():
    with pytest.raises(ValueError, match='is not 32FC1'):
        c.to_image(np.zeros((2, 2)), '32FC1', Header())


def test_what_nodes_publish_is_read_as_it_was():
    pixels = np.arange(24, dtype=np.uint16).reshape(4, 6)
    np.testing.assert_array_equal(image_array(c.to_image(pixels, 'mono16', Header())), pixels)
    camera = Camera(640, 192, 400.0, 410.0, 320.5, 95.5, (0.1, -0.2, 0.001, 0.002, 0.0))
    assert camera_of(c.to_camera_info(camera, Header())) == camera
    fisheye = Camera(640, 480, 300.0, 300.0, 320.5, 240.5, (0.1, 0.0, 0.0, 0.0), True)
    assert camera_of(c.to_camera_info(fisheye, Header())) == fisheye
    data = cv2.imencode('.png', np.full((8, 9, 3), 7, np.uint8))[1].tobytes()
    assert (rgb_image(CompressedImage(data=data, format='png')) == 7).all()


def test_stamps_are_exact():
    nanoseconds = 1_700_000_000_123_456_789
    assert c.stamp_to_ns(c.ns_to_stamp(nanoseconds)) == nanoseconds


POINTS = np.zeros(6, [('x', 'f4'), ('y', 'f4'), ('z', 'f4'), ('ring', 'u2'), ('time', 'f8')])
POINTS['x'], POINTS['ring'], POINTS['time'] = np.arange(6), np.arange(6) * 3, np.arange(6) / 10


def test_clouds_survive_with_every_field():
    message = to_cloud(POINTS, Header(frame_id='lidar'))
    back = cloud_points(message, ('x', 'y', 'z', 'ring'))
    for name in POINTS.dtype.names:
        np.testing.assert_array_equal(back[name], POINTS[name])
    xyz = to_cloud(np.ones((3, 3)), Header())
    np.testing.assert_array_equal(cloud_points(xyz)['z'], [1, 1, 1])


def test_row_padding_and_big_endian_clouds_are_read_without_changing_the_message():
    rows = POINTS.reshape(2, 3).astype(POINTS.dtype.newbyteorder('>'))
    data = b''.join(row.tobytes() + b'\0' * 5 for row in rows)
    message = PointCloud2(height=2, width=3, point_step=POINTS.itemsize, is_bigendian=True)
    message.row_step = 3 * POINTS.itemsize + 5
    message.fields, message.data = point_fields(POINTS.dtype), array.array('B', data)
    for _ in range(2):
        np.testing.assert_array_equal(cloud_points(message)['x'], POINTS['x'])


def test_points_that_are_not_finite_are_left_out():
    points = POINTS.copy()
    points['y'][1], points['z'][2] = np.nan, np.inf
    np.testing.assert_array_equal(cloud_points(to_cloud(points, Header()))['x'], [0, 3, 4, 5])


def bad_clouds():
    no_z = to_cloud(POINTS[['x', 'y']].copy(), Header())
    empty = to_cloud(POINTS[:0], Header())
    nans = POINTS.copy()
    nans['x'] = np.nan
    short = to_cloud(POINTS, Header())
    del short.data[-1:]
    twice = to_cloud(POINTS, Header())
    twice.fields = [*twice.fields, twice.fields[0]]
    odd = to_cloud(POINTS, Header())
    odd.fields = [PointField(name=n, offset=0, datatype=99, count=1) for n in 'xyz']
    return [
        (no_z, r'lacks the field\(s\) z; it has x, y'),
        (empty, 'cloud is empty'),
        (to_cloud(nans, Header()), 'no finite point'),
        (short, 'truncated'),
        (twice, "2 fields 'x'"),
        (odd, "'x' has unknown type 99"),
    ]


@pytest.mark.parametrize(('message', 'problem'), bad_clouds())
def test_malformed_clouds_say_what_is_wrong(message, problem):
    with pytest.raises(ValueError, match=problem):
        cloud_points(message)


def test_columns_without_a_point_type_are_refused():
    with pytest.raises(ValueError, match='named columns'):
        point_fields(np.dtype('f4'))
    with pytest.raises(ValueError, match='has no PointField type'):
        point_fields(np.dtype([('x', 'c8')]))


def test_coloured_points_pack_their_colour_as_rviz_reads_it():
    points = colored_points(np.ones((1, 3)), np.array([[255, 128, 1]], np.uint8))
    assert points['rgb'].view(np.uint32)[0] == 0xFF8001


def test_detections_are_sent_with_id_class_score_and_visibility():
    taxonomy = load_taxonomy()
    box = Box3D(from_euler(0.1, -0.2, 2.5, np.array([10.0, -3.0, 0.8])), (4.0, 1.8, 1.5))
    car = Detection(taxonomy.id_of('car'), 0.9, '17', box3d=box, visibility=0.25)
    plain = Detection(taxonomy.id_of('pedestrian'), 0.5, 'x', box3d=box)
    flat = Detection(taxonomy.id_of('car'), 0.5, 'no box')
    array_ = to_detection_array([car, plain, flat], taxonomy, Header(frame_id='odom'))
    assert [r.hypothesis.class_id for r in array_.detections[0].results] == ['car', 'visibility']
    assert [d.id for d in array_.detections] == ['17', 'x']
    scores = [[r.hypothesis.score for r in d.results] for d in array_.detections]
    assert scores == [[0.9, 0.25], [0.5]]
    placed = array_.detections[0].bbox
    np.testing.assert_allclose(from_pose(placed.center), box.parent_T_box, atol=1e-12)
    assert (placed.size.x, placed.size.y, placed.size.z) == box.size
    pose = to_pose(box.parent_T_box)
    pose.orientation.x = float('nan')
    with pytest.raises(ValueError, match='invalid orientation'):
        from_pose(pose)


def test_markers_draw_the_box_and_fade_with_visibility():
    taxonomy = load_taxonomy()
    box = Box3D(from_euler(0, 0, 0.5, np.array([10.0, -3.0, 0.8])), (4.0, 1.8, 1.5))
    hidden, seen = (
        Detection(taxonomy.id_of('car'), 1.0, str(i), box3d=box, visibility=float(i))
        for i in range(2)
    )
    header = Header(frame_id='odom')
    array_ = box_markers(to_detection_array([hidden, seen], taxonomy, header), taxonomy)
    delete, *markers = array_.markers
    assert delete.action == delete.DELETEALL
    wires = [m for m in markers if m.ns == 'boxes']
    assert len(wires) == 2
    assert wires[0].color.a < wires[1].color.a == 1.0
    corners = np.array([[p.x, p.y, p.z] for p in wires[0].points])
    assert corners.shape == (24, 3)
    lengths = np.linalg.norm(corners[::2] - corners[1::2], axis=1)
    np.testing.assert_allclose(sorted(lengths), [1.5] * 4 + [1.8] * 4 + [4.0] * 4)
    assert {m.text for m in markers if m.ns == 'names'} == {'car 0', 'car 1'}
