"""The depth_segmentation node with a dummy network: outputs, headers, bad input, life cycle."""

import re
import threading
from dataclasses import replace

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='no ROS 2 installed')
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import Log
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header
from vision_msgs.msg import LabelInfo

from sim_perception.bags.calibration import camera_of
from sim_perception.bags.images import image_array
from sim_perception.nodes.depth_segmentation import DepthSegmentationNode
from sim_perception.ros import qos
from sim_perception.ros.clouds import cloud_points
from sim_perception.ros.conversions import to_camera_info, to_image
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Camera

pytestmark = pytest.mark.ros

WIDTH, HEIGHT = 64, 32
CAMERA = Camera(WIDTH, HEIGHT, 50.0, 50.0, 31.5, 15.5)
PIXELS = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)


class Bench:
    """The node under test with everything around it."""

    def __init__(self, ros, checkpoint):
        self.ros = ros
        self.node = ros.add(
            DepthSegmentationNode(
                namespace='bench',
                parameter_overrides=[
                    Parameter('checkpoint', value=str(checkpoint)),
                    Parameter('threads', value=1),
                    Parameter('device', value='cpu'),
                ],
            )
        )
        self.images = ros.publisher(Image, '/bench/camera/image_raw')
        self.infos = ros.publisher(CameraInfo, '/bench/camera/camera_info')
        self.log = ros.collect(Log, '/rosout')
        base = '/bench/depth_segmentation'
        self.depth = ros.collect(Image, f'{base}/depth/image')
        self.depth_info = ros.collect(CameraInfo, f'{base}/depth/camera_info')
        self.labels = ros.collect(Image, f'{base}/segmentation/image')
        self.diagnostics = ros.collect(DiagnosticArray, '/diagnostics')
        self.stamp = 100
        ros.matched(self.images)
        ros.matched(self.infos)
        self.send_info(CAMERA)

    def header(self, second=None):
        from std_msgs.msg import Header

        if second is None:
            self.stamp += 1
            second = self.stamp
        return Header(stamp=Time(sec=second), frame_id='camera_optical_frame')

    def image(self, second=None):
        return to_image(PIXELS, 'rgb8', self.header(second))

    def send_info(self, camera):
        self.infos.publish(to_camera_info(camera, self.header()))
        fits = lambda: (  # noqa: E731
            (info := getattr(self.node._calibration, 'info', None)) is not None
            and info.width == camera.width
        )
        self.ros.until(fits, 'the calibration')

    def expect_good(self, second=None):
        """Send a good image and wait for its depth; returns it."""
        message = self.image(second)
        self.images.publish(message)
        return self.depth.wait(lambda m: m.header.stamp == message.header.stamp, 'depth')

    def expect_problem(self, pattern):
        """Wait for a log line and a diagnostic; the log has it once."""
        line = self.log.wait(lambda m: re.search(pattern, m.msg), f'log {pattern!r}')
        assert line.name == 'bench.depth_segmentation'
        self.diagnostics.clear()
        status = self.node.diagnostics.status()
        assert status.level == DiagnosticStatus.ERROR
        assert re.search(pattern, status.message)


@pytest.fixture(scope='module')
def bench(ros, dummy_checkpoint):
    bench = Bench(ros, dummy_checkpoint)
    yield bench
    ros.remove(bench.node)


def test_outputs_carry_the_header_of_their_image(bench):
    depth = bench.expect_good()
    assert depth.encoding == '32FC1'
    assert depth.header.frame_id == 'camera_optical_frame'
    values = image_array(depth)
    assert values.shape == (HEIGHT, WIDTH)
    assert np.nanmin(values) > 0
    same = lambda m: m.header == depth.header  # noqa: E731
    labels = image_array(bench.labels.wait(same, 'segmentation'))
    assert labels.dtype == np.uint8
    assert labels.max() < len(load_taxonomy())
    assert bench.depth_info.wait(same, 'calibration of the depth image').k[0] == CAMERA.fx


def test_label_names_are_latched(ros, bench):
    topic = '/bench/depth_segmentation/segmentation/label_info'
    info = ros.collect(LabelInfo, topic, qos.latched_qos()).wait(what='label names')
    names = {entry.class_id: entry.class_name for entry in info.class_map}
    assert names == dict(enumerate(load_taxonomy().names))


def test_points_and_colours_are_made_on_demand(ros, bench):
    bench.expect_good()
    color = ros.collect(Image, '/bench/depth_segmentation/segmentation/color')
    points = ros.collect(PointCloud2, '/bench/depth_segmentation/points')
    for name in ('segmentation/color', 'points'):
        ros.matched(bench.node._publishers_by_name[name])
    depth = bench.expect_good()
    labels = image_array(bench.labels.wait(lambda m: m.header == depth.header))
    colored = color.wait(lambda m: m.header == depth.header, 'coloured segmentation')
    np.testing.assert_array_equal(image_array(colored), load_taxonomy().palette()[labels])
    cloud = cloud_points(points.wait(lambda m: m.header == depth.header, 'points'))
    z = image_array(depth)[::2, ::2]
    near = np.isfinite(z) & (z <= 60)
    np.testing.assert_allclose(cloud['z'], z[near])
    u = np.broadcast_to(np.arange(0, WIDTH, 2), z.shape)[near]
    np.testing.assert_allclose(
        cloud['x'], (u - CAMERA.cx) / CAMERA.fx * z[near], rtol=1e-4, atol=1e-4
    )
    first = cloud['rgb'].view(np.uint32)[0]
    assert [first >> 16 & 255, first >> 8 & 255, first & 255] == PIXELS[::2, ::2][near][0].tolist()


def zero_size(bench):
    return Image(header=bench.header(), encoding='rgb8')


def unknown_encoding(bench):
    message = bench.image()
    message.encoding = 'fancy12'
    return message


def colourless_encoding(bench):
    message = bench.image()
    message.encoding = '8UC2'
    return message


def wrong_step(bench):
    message = bench.image()
    message.step = WIDTH
    return message


def truncated(bench):
    message = bench.image()
    del message.data[-100:]
    return message


def zero_stamp(bench):
    return bench.image(second=0)


def out_of_order(bench):
    message = bench.image()
    message.header.stamp = Time(sec=bench.stamp - 2, nanosec=500_000_000)
    return message


def jump_back(bench):
    bench.stamp -= 60
    return bench.image()


@pytest.mark.parametrize(
    ('make', 'pattern'),
    [
        (zero_size, r'zero size \(0x0\); is the camera running'),
        (unknown_encoding, r"unknown image encoding 'fancy12'.*use rgb8"),
        (colourless_encoding, r'8UC2 image is not a colour image'),
        (wrong_step, r'step 64 does not match its width'),
        (truncated, r'data are truncated'),
        (zero_stamp, r'zero stamp; set header.stamp'),
        (out_of_order, r'out of order: stamp'),
        (jump_back, r'jumped back \(a looped bag\?\)'),
    ],
)
def test_a_bad_image_is_reported_and_the_next_is_processed(bench, make, pattern):
    bench.expect_good()
    bench.images.publish(make(bench))
    bench.log.wait(lambda m: re.search(pattern, m.msg), f'log {pattern!r}')
    if make is not jump_back:  # data after a jump are good
        bench.expect_problem(pattern)
    bench.expect_good()
    # the message arrives before the node has noted that it is out
    bench.ros.until(
        lambda: bench.node.diagnostics.status().level != DiagnosticStatus.ERROR, 'good health'
    )


def test_the_same_problem_is_logged_once(bench):
    bench.expect_good()
    before = bench.node.diagnostics.problems.total
    pattern = 'data are truncated'
    bench.images.publish(truncated(bench))
    bench.ros.until(lambda: bench.node.diagnostics.problems.total == before + 1, 'problem 1')
    bench.images.publish(truncated(bench))
    bench.ros.until(lambda: bench.node.diagnostics.problems.total == before + 2, 'problem 2')
    bench.expect_good()
    lines = [m for m in bench.log.messages if pattern in m.msg]
    assert len(lines) == 1


def test_a_calibration_for_another_size_is_reported(bench):
    bench.send_info(Camera(128, 96, 50.0, 50.0, 60.0, 40.0))
    bench.images.publish(bench.image())
    bench.expect_problem(r'CameraInfo is for 128x96 pixels but the image has 64x32')
    bench.send_info(CAMERA)
    bench.expect_good()


def test_an_uncalibrated_camera_is_reported(bench):
    info = to_camera_info(CAMERA, bench.header())
    info.k = [0.0] * 9
    info.width = 65
    bench.infos.publish(info)
    bench.ros.until(lambda: bench.node._calibration.info.width == 65, 'the bad calibration')
    bench.images.publish(bench.image())
    bench.expect_problem(r'no focal length \(K is zero\); is the camera calibrated')
    bench.send_info(CAMERA)
    bench.expect_good()


FISHEYE = Camera(WIDTH, HEIGHT, 20.0, 20.0, 31.5, 15.5, (0.05, 0.0, 0.0, 0.0), True)


def test_a_fisheye_is_seen_rectified_and_answered_in_its_own_pixels(bench):
    bench.send_info(FISHEYE)
    bench.ros.until(lambda: bench.node._calibration.info.distortion_model == 'equidistant', 'it')
    depth = bench.expect_good()
    values = image_array(depth)
    assert np.isnan(values[0, 0])
    assert np.isfinite(values[HEIGHT // 2, WIDTH // 2])
    info = bench.depth_info.wait(lambda m: m.header == depth.header, 'its calibration')
    assert camera_of(info) == FISHEYE
    labels = image_array(bench.labels.wait(lambda m: m.header == depth.header, 'classes'))
    assert labels[0, 0] == load_taxonomy().ignore_id
    facts = {v.key: v.value for v in bench.node.diagnostics.status().values}
    assert facts['lens'] == 'equidistant, images are rectified for the network'
    bench.send_info(CAMERA)
    bench.ros.until(lambda: bench.node._calibration.info.distortion_model == 'plumb_bob', 'back')


def test_rectified_images_keep_the_raw_camera_s_calibration(ros, dummy_checkpoint):
    for name, remaps, parameter in (
        ('told', (), True),
        ('named', ('camera/image_raw:=camera/image_rect',), False),
    ):
        rules = [part for remap in remaps for part in ('-r', remap)]
        node = ros.add(
            DepthSegmentationNode(
                namespace=name,
                cli_args=['--ros-args', *rules] if rules else None,
                parameter_overrides=[
                    Parameter('checkpoint', value=str(dummy_checkpoint)),
                    Parameter('threads', value=1),
                    Parameter('device', value='cpu'),
                    Parameter('rectified', value=parameter),
                ],
            )
        )
        images = ros.publisher(Image, f'/{name}/camera/{"image_rect" if remaps else "image_raw"}')
        infos = ros.publisher(CameraInfo, f'/{name}/camera/camera_info')
        found = ros.collect(CameraInfo, f'/{name}/depth_segmentation/depth/camera_info')
        try:
            ros.matched(images)
            ros.matched(infos)
            bent = replace(CAMERA, distortion=(-0.3, 0.1, 0.0, 0.0, 0.0))
            message = to_image(PIXELS, 'rgb8', Header(stamp=Time(sec=5), frame_id='/eye'))
            info = to_camera_info(bent, message.header)
            info.p[0], info.p[2] = 33.0, 30.0
            infos.publish(info)
            ros.until(
                lambda n=node: getattr(n._calibration, 'info', None) is not None, 'the calibration'
            )
            images.publish(message)
            camera = camera_of(found.wait(what='the calibration of depth'))
            assert camera == replace(CAMERA, fx=33.0, cx=30.0), name
        finally:
            ros.remove(node)


def test_a_missing_calibration_is_reported(bench):
    bench.ros.call(bench.node.trigger_deactivate)
    bench.ros.call(bench.node.trigger_activate)
    bench.ros.matched(bench.images)
    bench.images.publish(bench.image())
    bench.expect_problem(r'no CameraInfo on /bench/camera/camera_info')
    bench.ros.matched(bench.infos)
    bench.send_info(CAMERA)
    bench.expect_good()


def test_diagnostics_are_published_every_second(bench):
    bench.diagnostics.clear()
    bench.expect_good()

    def alive(array):
        values = {v.key: v.value for s in array.status for v in s.values}
        return 'depth_segmentation' in array.status[0].name and 'inference p50 [ms]' in values

    status = bench.diagnostics.wait(alive, 'diagnostics').status[0]
    assert {v.key for v in status.values} >= {'rate in [Hz]', 'rate out [Hz]', 'dropped', 'state'}


def test_silence_of_an_input_becomes_a_warning(bench):
    bench.expect_good()
    bench.node.diagnostics.expect('/bench/camera/image_raw', timeout=0.05)
    bench.ros.until(
        lambda: 'no data on /bench/camera/image_raw' in bench.node.diagnostics.status().message,
        'the warning',
    )


def test_inactive_nodes_take_no_data_and_resume(bench):
    bench.ros.call(bench.node.trigger_deactivate)
    bench.ros.until(lambda: bench.images.get_subscription_count() == 0, 'unsubscription')
    bench.ros.call(bench.node.trigger_cleanup)
    assert bench.node._engine is None
    bench.ros.call(bench.node.trigger_configure)
    bench.ros.call(bench.node.trigger_activate)
    bench.ros.matched(bench.images)
    bench.ros.matched(bench.infos)
    bench.send_info(CAMERA)
    bench.expect_good()


def test_a_failed_activation_is_reported_and_can_be_repeated(bench, monkeypatch):
    bench.ros.call(bench.node.trigger_deactivate)

    def refuse(*_):
        raise RuntimeError('no route to the camera')

    with monkeypatch.context() as patch:
        patch.setattr(qos, 'subscribe', refuse)
        assert bench.ros.call(bench.node.trigger_activate) == TransitionCallbackReturn.FAILURE
    bench.expect_problem('cannot activate: RuntimeError: no route to the camera')
    assert bench.ros.call(bench.node.trigger_activate) == TransitionCallbackReturn.SUCCESS
    bench.ros.matched(bench.images)
    bench.ros.matched(bench.infos)
    bench.send_info(CAMERA)
    bench.expect_good()


def test_overload_drops_old_images_and_counts_them(bench, monkeypatch):
    bench.expect_good()
    dropped = bench.node.diagnostics.total('dropped')
    engine, gate = bench.node._engine, threading.Event()
    infer = engine.infer

    def slow(frame, **options):
        gate.wait(30)
        return infer(frame, **options)

    monkeypatch.setattr(engine, 'infer', slow)
    received = bench.node.diagnostics.total('in')
    for i in range(4):
        last = bench.image()
        bench.images.publish(last)
        bench.ros.until(
            lambda n=i: bench.node.diagnostics.total('in') == received + n + 1, 'the image'
        )
    gate.set()
    bench.depth.wait(lambda m: m.header.stamp == last.header.stamp, 'the newest')
    assert bench.node.diagnostics.total('dropped') in (dropped + 2, dropped + 3)


def test_a_damaged_checkpoint_is_reported_and_the_node_lives(ros, dummy_checkpoint, tmp_path):
    broken = tmp_path / 'broken'
    broken.mkdir()
    for file in dummy_checkpoint.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    weights = broken / 'model.safetensors'
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    log = ros.collect(Log, '/rosout')
    node = ros.add(
        DepthSegmentationNode(
            namespace='broken', parameter_overrides=[Parameter('checkpoint', value=str(broken))]
        )
    )
    try:
        log.wait(lambda m: 'cannot configure' in m.msg and 'model.safetensors' in m.msg)
        assert node.diagnostics.status().level == DiagnosticStatus.ERROR
        node.set_parameters([Parameter('checkpoint', value=str(dummy_checkpoint))])
        ros.call(node.trigger_configure)
        ros.call(node.trigger_activate)
        assert node.diagnostics.state == 'active'
    finally:
        ros.remove(node)


def test_compressed_images_and_their_damage(ros, dummy_checkpoint):
    node = ros.add(
        DepthSegmentationNode(
            namespace='packed',
            parameter_overrides=[
                Parameter('checkpoint', value=str(dummy_checkpoint)),
                Parameter('image_transport', value='compressed'),
            ],
        )
    )
    try:
        images = ros.publisher(CompressedImage, '/packed/camera/image_raw/compressed')
        infos = ros.publisher(CameraInfo, '/packed/camera/camera_info')
        depth = ros.collect(Image, '/packed/depth_segmentation/depth/image')
        log = ros.collect(Log, '/rosout')
        ros.matched(images)
        ros.matched(infos)
        message = CompressedImage(format='png')
        infos.publish(to_camera_info(CAMERA, message.header))
        ros.until(lambda: getattr(node._calibration, 'info', None) is not None, 'the calibration')
        good = cv2.imencode('.png', PIXELS)[1].tobytes()
        for second, data in ((1, good), (2, good[:60]), (3, good)):
            message.header.stamp.sec = second
            message.data = data
            images.publish(message)
            if data is good:
                depth.wait(lambda m, s=second: m.header.stamp.sec == s, 'depth')
            else:
                log.wait(lambda m: 'cannot be decoded' in m.msg)
    finally:
        ros.remove(node)
