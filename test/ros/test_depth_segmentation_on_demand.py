"""Confidence and odometry of the depth_segmentation node: made only while someone wants them."""

import re

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='no ROS 2 installed')
import torch
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from nav_msgs.msg import Odometry
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from sim_perception.bags.images import image_array
from sim_perception.geometry.transforms import BODY_T_OPTICAL, make_transform, to_quaternion
from sim_perception.inference.preprocess import PreprocessConfig
from sim_perception.models.checkpoint import save_checkpoint
from sim_perception.models.depth_segmentation import (
    DepthSegmentationConfig,
    DepthSegmentationNet,
)
from sim_perception.nodes.depth_segmentation import DepthSegmentationNode
from sim_perception.odometry.integration import Mounting
from sim_perception.ros import qos
from sim_perception.ros.conversions import to_camera_info, to_image
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Camera

pytestmark = pytest.mark.ros

WIDTH, HEIGHT = 64, 32
CAMERA = Camera(WIDTH, HEIGHT, 50.0, 50.0, 31.5, 15.5)
PIXELS = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
FORWARD = make_transform(np.eye(3), (0.0, 0.0, 1.0))


@pytest.fixture(scope='module')
def full_checkpoint(tmp_path_factory):
    """A checkpoint with random weights and all heads."""
    torch.manual_seed(0)
    config = DepthSegmentationConfig(
        depth_channels=(16, 8), semantic_channels=(16, 8), uncertainty=True, ego_motion=True
    )
    return save_checkpoint(
        tmp_path_factory.mktemp('models') / 'full',
        DepthSegmentationNet(config),
        taxonomy=load_taxonomy(),
        preprocess=PreprocessConfig(size=(64, 32)).to_dict(),
    )


class Bench:
    """A node with its inputs, and counts of what its engine was asked for."""

    def __init__(self, ros, checkpoint, namespace, **parameters):
        self.ros, self.base = ros, f'/{namespace}/depth_segmentation'
        values = {'checkpoint': str(checkpoint), 'threads': 1, 'device': 'cpu', **parameters}
        self.node = ros.add(
            DepthSegmentationNode(
                namespace=namespace,
                parameter_overrides=[Parameter(k, value=v) for k, v in values.items()],
            )
        )
        self.images = ros.publisher(Image, f'/{namespace}/camera/image_raw')
        self.infos = ros.publisher(CameraInfo, f'/{namespace}/camera/camera_info')
        self.depth = ros.collect(Image, f'{self.base}/depth/image')
        self.tenths = 1000
        ros.matched(self.images)
        ros.matched(self.infos)
        self.send_info(CAMERA)

    def send_info(self, camera):
        self.infos.publish(to_camera_info(camera, self.header()))
        self.ros.until(
            lambda: (info := self.node._calibration.info) is not None and info.k[0] == camera.fx,
            'the calibration',
        )

    def header(self):
        stamp = Time(sec=self.tenths // 10, nanosec=self.tenths % 10 * 100_000_000)
        return Header(stamp=stamp, frame_id='camera_optical_frame')

    def send(self, later=1):
        """Send an image some tenths of a second later and wait for its depth."""
        self.tenths += later
        header = self.header()
        self.images.publish(to_image(PIXELS, 'rgb8', header))
        return self.depth.wait(lambda m: m.header == header, 'depth').header

    def wanted(self, message_type, name):
        """Subscribe to an output."""
        collector = self.ros.collect(message_type, f'{self.base}/{name}')
        self.ros.matched(self.node._publishers_by_name[name])
        return collector


@pytest.fixture
def bench(ros, full_checkpoint, request):
    # A namespace of its own: subscriptions of earlier tests live on.
    bench = Bench(ros, full_checkpoint, re.sub(r'\W', '_', request.node.name).strip('_'))
    yield bench
    ros.remove(bench.node)


@pytest.fixture
def calls(bench, monkeypatch):
    """Return the list of (method, confidence) of the engine's calls."""
    made, engine = [], bench.node._engine

    def recorded(name):
        original = getattr(engine, name)

        def record(frame, **options):
            made.append((name, options['confidence']))
            return original(frame, **options)

        return record

    monkeypatch.setattr(engine, 'infer', recorded('infer'))
    return made


@pytest.fixture
def one_metre(bench, monkeypatch):
    """Let every image be a metre ahead of the one before; returns the list of pairs asked."""
    pairs = []

    def motion(target, source):
        pairs.append((target, source))
        return FORWARD

    monkeypatch.setattr(bench.node._odometry._odometry, '_motion', motion)
    return pairs


def test_nothing_is_computed_that_nobody_wants(bench, calls):
    for _ in range(3):
        bench.send()
    assert calls == [('infer', False)] * 3


@pytest.mark.parametrize('name', ['depth/confidence', 'segmentation/confidence'])
def test_confidence_is_made_while_someone_looks(bench, calls, name):
    bench.send()
    images = bench.wanted(Image, name)
    header = bench.send()
    assert calls == [('infer', False), ('infer', True)]
    message = images.wait(lambda m: m.header == header, name)
    assert message.encoding == '32FC1'
    values = image_array(message)
    assert values.shape == (HEIGHT, WIDTH)
    assert 0 <= values.min() <= values.max() <= 1
    assert values.max() > 0


def test_odometry_is_made_while_someone_looks(bench, calls, one_metre):
    bench.send()
    odometry = bench.wanted(Odometry, 'odometry')
    first, second, third = bench.send(), bench.send(), bench.send()
    assert calls == [('infer', False)] * 4
    message = odometry.wait(lambda m: m.header.stamp == third.stamp, 'odometry')
    assert message.header.frame_id == 'odom_visual'
    assert message.child_frame_id == 'camera_optical_frame'
    place = message.pose.pose.position
    assert (place.x, place.y, place.z) == pytest.approx((2, 0, 0), abs=1e-6)
    velocity = message.twist.twist.linear
    assert (velocity.x, velocity.y, velocity.z) == pytest.approx((0, 0, 10), abs=1e-6)
    for covariance in (message.pose.covariance, message.twist.covariance):
        assert np.linalg.eigvalsh(np.reshape(covariance, (6, 6))).min() > 0
    assert {m.header.stamp.nanosec for m in odometry.messages} == {
        h.stamp.nanosec for h in (second, third)
    }, f'none for the first image at {first.stamp}'
    # the view of an image is kept: nothing is encoded twice
    assert one_metre[1][1] is one_metre[0][0]


def test_odometry_is_of_base_link_where_transforms_know_it(bench, one_metre):
    publisher = bench.ros.publisher(TFMessage, '/tf_static', qos.latched_qos())
    mounted = make_transform(np.eye(3), (2.0, 0.5, 1.5)) @ np.asarray(BODY_T_OPTICAL)
    x, y, z, w = to_quaternion(mounted).tolist()
    transform = TransformStamped(
        header=Header(frame_id='base_link'),
        child_frame_id='camera_optical_frame',
        transform=Transform(
            translation=Vector3(x=2.0, y=0.5, z=1.5), rotation=Quaternion(x=x, y=y, z=z, w=w)
        ),
    )
    publisher.publish(TFMessage(transforms=[transform]))
    lookup = bench.node._odometry._transforms
    bench.ros.until(
        lambda: 'camera_optical_frame' in lookup.buffer.all_frames_as_string(), 'the transform'
    )
    try:
        odometry = bench.wanted(Odometry, 'odometry')
        bench.send()
        header = bench.send()
        message = odometry.wait(lambda m: m.header.stamp == header.stamp, 'odometry')
        assert message.child_frame_id == 'base_link'
        velocity = message.twist.twist.linear
        assert (velocity.x, velocity.y, velocity.z) == pytest.approx((10, 0, 0), abs=1e-6)
    finally:
        bench.ros.call(lambda: bench.ros.node.destroy_publisher(publisher))


@pytest.mark.parametrize('break_', ['gap', 'jump', 'camera'])
def test_odometry_starts_afresh_after_a_break(bench, one_metre, break_):
    odometry = bench.wanted(Odometry, 'odometry')
    for _ in range(3):
        bench.send()
    if break_ == 'camera':
        bench.send_info(Camera(WIDTH, HEIGHT, 60.0, 60.0, 31.5, 15.5))
    bench.send({'gap': 11, 'jump': -200, 'camera': 1}[break_])
    header = bench.send()
    message = odometry.wait(lambda m: m.header.stamp == header.stamp, 'odometry')
    assert message.pose.pose.position.x == pytest.approx(1, abs=1e-6)
    assert len(odometry.messages) == 3


def test_real_images_give_finite_odometry(ros, full_checkpoint):
    bench = Bench(ros, full_checkpoint, 'always', odometry=True)
    try:
        bench.send()
        odometry = bench.wanted(Odometry, 'odometry')
        header = bench.send()
        message = odometry.wait(lambda m: m.header.stamp == header.stamp, 'odometry')
        assert np.isfinite(message.pose.covariance).all()
        assert np.isfinite(message.twist.twist.linear.z)
    finally:
        ros.remove(bench.node)


def test_a_checkpoint_without_heads_does_not_promise_them(ros, dummy_checkpoint):
    bench = Bench(ros, dummy_checkpoint, 'plain')
    try:
        assert 'depth/confidence' not in bench.node._publishers_by_name
        assert 'odometry' in bench.node._publishers_by_name  # geometry needs no head
        images = bench.wanted(Image, 'segmentation/confidence')
        header = bench.send()
        assert images.wait(lambda m: m.header == header).encoding == '32FC1'
    finally:
        ros.remove(bench.node)


@pytest.mark.parametrize(
    ('height', 'text'),
    [(-1.0, 'is not known'), (1.5, 'waits for a road'), (4.9, 'it sees the road')],
)
def test_the_scale_of_depth_is_told(ros, dummy_checkpoint, height, text):
    node = ros.add(
        DepthSegmentationNode(
            namespace=f'scaled_{text[:2]}',
            parameter_overrides=[
                Parameter('checkpoint', value=str(dummy_checkpoint)),
                Parameter('camera_height', value=height),
            ],
        )
    )
    try:
        ros.until(lambda: node._odometry is not None, 'active')
        if 'sees' in text:
            node._engine.road_scale._heights.append(1.4)
        mounting = Mounting.of_camera('camera_optical_frame')
        for _ in range(2):
            node._engine.road_scale.camera_height = node._camera_height(mounting)
        facts = {v.key: v.value for v in node.diagnostics.status().values}
        assert text in facts['depth scale']
    finally:
        ros.remove(node)


def test_transforms_tell_the_height_of_the_camera(bench):
    camera_height = bench.node._camera_height
    on_robot = make_transform(np.eye(3), (2.0, 0.5, 1.5)) @ np.asarray(BODY_T_OPTICAL)
    assert camera_height(Mounting('base_link', on_robot)) == pytest.approx(1.5)
    assert camera_height(Mounting.of_camera('camera')) is None
    underground = make_transform(np.eye(3), (2.0, 0.5, -0.2)) @ np.asarray(BODY_T_OPTICAL)
    assert camera_height(Mounting('base_link', underground)) is None
