"""Images, calibrations, clouds and detections: values survive, malformed messages are refused."""

import array
import sys
import types

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip('rclpy', reason='no ROS 2 installed')
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2, PointField
from std_msgs.msg import Header

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

ENCODINGS = [
    ('rgb8', np.uint8, 3), ('bgr8', np.uint8, 3), ('rgba8', np.uint8, 4), ('bgra8', np.uint8, 4),
    ('mono8', np.uint8, 1), ('mono16', np.uint16, 1), ('16UC1', np.uint16, 1),
    ('32FC1', np.float32, 1), ('32FC3', np.float32, 3), ('64FC1', np.float64, 1),
]  # fmt: skip


def padded_image(pixels, encoding, padding, big_endian):
    """Return a message with row padding and the given byte order, built byte by byte."""
    swapped = pixels.astype(pixels.dtype.newbyteorder('>' if big_endian else '<'))
    rows = [row.tobytes() + b'\xff' * padding for row in swapped]
    message = Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding)
    message.step, message.is_bigendian = len(rows[0]), int(big_endian)
    message.data = array.array('B', b''.join(rows))
    return message


@settings(max_examples=40, deadline=None)
@given(
    case=st.sampled_from(ENCODINGS),
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    padding=st.integers(0, 9),
    big_endian=st.booleans(),
)
def test_views_honour_padding_and_byte_order(case, height, width, padding, big_endian):
    encoding, dtype, channels = case
    shape = (height, width) if channels == 1 else (height, width, channels)
    pixels = np.arange(np.prod(shape)).reshape(shape).astype(dtype) * 7
    message = padded_image(pixels, encoding, padding, big_endian)
    view = c.image_view(message)
    np.testing.assert_array_equal(view, pixels)
    assert np.shares_memory(view, np.frombuffer(message.data, np.uint8))
    back = c.to_image(view.astype(dtype), encoding, message.header)
    np.testing.assert_array_equal(c.image_view(back), pixels)
    assert bool(back.is_bigendian) == (sys.byteorder == 'big')


def test_every_colour_encoding_gives_the_same_rgb():
    rng = np.random.default_rng(1)
    rgb = rng.integers(0, 255, (4, 6, 3), np.uint8)
    alpha = np.full((4, 6, 1), 9, np.uint8)
    same = {
        'rgb8': rgb,
        'bgr8': rgb[..., ::-1],
        'rgba8': np.concatenate([rgb, alpha], -1),
        'bgra8': np.concatenate([rgb[..., ::-1], alpha], -1),
        'rgb16': rgb.astype(np.uint16) << 8,
        'bgr16': rgb[..., ::-1].astype(np.uint16) << 8,
    }
    for encoding, pixels in same.items():
        np.testing.assert_array_equal(c.to_rgb(c.to_image(pixels, encoding, Header())), rgb)
    grey = rgb[..., 0]
    for encoding, pixels in {'mono8': grey, 'mono16': grey.astype(np.uint16) << 8}.items():
        found = c.to_rgb(c.to_image(pixels, encoding, Header()))
        np.testing.assert_array_equal(found, np.repeat(grey[..., None], 3, -1))


@pytest.mark.parametrize(
    ('encoding', 'red', 'blue'),
    [
        ('bayer_rggb8', (0, 0), (1, 1)),
        ('bayer_bggr8', (1, 1), (0, 0)),
        ('bayer_gbrg8', (1, 0), (0, 1)),
        ('bayer_grbg8', (0, 1), (1, 0)),
    ],
)
def test_bayer_patterns_put_red_and_blue_right(encoding, red, blue):
    mosaic = np.zeros((16, 16), np.uint8)
    mosaic[red[0] :: 2, red[1] :: 2] = 200
    mosaic[blue[0] :: 2, blue[1] :: 2] = 40
    rgb = c.to_rgb(c.to_image(mosaic, encoding, Header()))[4:12, 4:12]
    np.testing.assert_array_equal(rgb.reshape(-1, 3).mean(0), [200, 0, 40])


@pytest.mark.parametrize(('encoding', 'luma'), [('yuv422', 1), ('yuv422_yuy2', 0)])
def test_yuv_keeps_brightness(encoding, luma):
    pixels = np.full((4, 8, 2), 128, np.uint8)
    pixels[..., luma] = 16 + np.arange(8) * 20
    raw = c.to_image(pixels.reshape(4, 8, 2), encoding, Header())
    rgb = c.to_rgb(raw)
    assert (np.diff(rgb.mean(-1), axis=1) > 10).all()
    raw.width = 7
    with pytest.raises(ValueError, match='even width'):
        c.to_rgb(raw)


def test_rare_encodings_go_through_cv_bridge_where_it_is_installed(monkeypatch):
    class CvBridgeError(Exception):
        pass

    class CvBridge:
        def imgmsg_to_cv2(self, message, desired_encoding):
            if message.encoding != 'nv21':
                raise CvBridgeError('unrecognised')
            assert desired_encoding == 'rgb8'
            return np.full((message.height, message.width, 3), 7, np.uint8)

    rare = Image(height=2, width=2, encoding='nv21', data=b'123456', step=2)
    monkeypatch.setitem(sys.modules, 'cv_bridge', None)
    with pytest.raises(ValueError, match="unknown image encoding 'nv21'; use rgb8"):
        c.to_rgb(rare)
    installed = types.SimpleNamespace(CvBridge=CvBridge, CvBridgeError=CvBridgeError)
    monkeypatch.setitem(sys.modules, 'cv_bridge', installed)
    assert (c.to_rgb(rare) == 7).all()
    rare.encoding = 'odd'
    with pytest.raises(ValueError, match="unknown image encoding 'odd': unrecognised"):
        c.to_rgb(rare)


def test_depth_images_become_metres():
    millimetres = c.to_image(np.array([[0, 1500]], np.uint16), '16UC1', Header())
    np.testing.assert_allclose(c.to_depth(millimetres), [[np.nan, 1.5]])
    metres = c.to_image(np.array([[np.nan, 2.5]], np.float32), '32FC1', Header())
    np.testing.assert_allclose(c.to_depth(metres), [[np.nan, 2.5]])
    with pytest.raises(ValueError, match='32FC1 or 16UC1'):
        c.to_depth(c.to_image(np.zeros((1, 1), np.uint8), 'mono8', Header()))


def test_compressed_images():
    rgb = np.random.default_rng(2).integers(0, 255, (8, 8, 3), np.uint8)
    png = cv2.imencode('.png', rgb[..., ::-1])[1].tobytes()
    np.testing.assert_array_equal(c.compressed_to_rgb(CompressedImage(data=png)), rgb)
    for data, problem in ((b'', 'empty'), (b'not an image', 'cannot be decoded')):
        with pytest.raises(ValueError, match=problem):
            c.compressed_to_rgb(CompressedImage(data=data, format='jpeg'))


def test_an_array_that_does_not_fit_its_encoding_is_refused():
    with pytest.raises(ValueError, match='is not 32FC1'):
        c.to_image(np.zeros((2, 2)), '32FC1', Header())


def test_cameras_survive_with_distortion_binning_and_region():
    camera = Camera(640, 192, 400.0, 410.0, 320.5, 95.5, (0.1, -0.2, 0.001, 0.002, 0.0))
    info = c.to_camera_info(camera, Header())
    assert c.to_camera(info) == camera
    ideal = Camera(640, 192, 400.0, 410.0, 320.5, 95.5)
    assert c.to_camera(c.to_camera_info(ideal, Header())) == ideal
    info.binning_x = info.binning_y = 2
    binned = c.to_camera(info)
    assert (binned.width, binned.height, binned.fx) == (320, 96, 200.0)
    assert binned.cx == pytest.approx((320.5 + 0.5) / 2 - 0.5)
    info.binning_x = info.binning_y = 0
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 10, 20, 100, 50
    cropped = c.to_camera(info)
    assert (cropped.width, cropped.height, cropped.cx, cropped.cy) == (100, 50, 310.5, 75.5)


def test_calibrations_that_cannot_be_used_say_why():
    with pytest.raises(ValueError, match='is the camera calibrated'):
        c.to_camera(CameraInfo(width=4, height=4))
    info = c.to_camera_info(Camera(4, 4, 1.0, 1.0, 2.0, 2.0), Header())
    info.d, info.distortion_model = [0.1] * 4, 'equidistant'
    with pytest.raises(ValueError, match='rectify'):
        c.to_camera(info)
    info.d, info.distortion_model = [0.1] * 8, 'rational_polynomial'
    with pytest.raises(ValueError, match='8 distortion coefficients'):
        c.to_camera(info)


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
