"""The 3D detection node over a made street: boxes, both kinds of points, bad input, overload."""

import re
import threading

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='no ROS 2 installed')
import tf2_ros
import torch
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import TransformStamped
from rcl_interfaces.msg import Log
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from vision_msgs.msg import Detection3DArray
from visualization_msgs.msg import MarkerArray

from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, to_quaternion
from sim_perception.models.checkpoint import save_checkpoint
from sim_perception.models.detector3d import Detector3dConfig, Detector3dNet
from sim_perception.nodes.detector_3d import Detector3dNode
from sim_perception.ros.clouds import to_cloud
from sim_perception.ros.conversions import ns_to_stamp, to_camera_info, to_image
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Camera

pytestmark = pytest.mark.ros

BASE, LIDAR, CAMERA_FRAME = 'alley_base', 'alley_lidar', 'alley_camera_optical'
CAMERA = Camera(128, 64, 74.0, 74.0, 63.5, 31.5)
PERIOD = 100_000_000
base_T_camera = from_euler(0, 0, 0, (0.3, 0, 1.65)) @ BODY_T_OPTICAL
base_T_lidar = from_euler(0, 0, 0, (0, 0, 1.75))


@pytest.fixture(scope='module')
def one_car(tmp_path_factory):
    """A network that sees a car in one and the same place, whatever there is."""
    torch.manual_seed(0)
    config = Detector3dConfig(
        x_range=(0.0, 12.8),
        y_range=(-6.4, 6.4),
        channels=(8, 8, 8),
        pillar_channels=8,
        head_channels=8,
    )
    net = Detector3dNet(config)
    with torch.no_grad():
        net.head.weight.zero_()
        net.head.bias[0] = 2.0
    return save_checkpoint(
        tmp_path_factory.mktemp('models') / 'car', net, taxonomy=load_taxonomy(), half=False
    )


def street():
    x, y = np.meshgrid(np.linspace(3, 30, 40), np.linspace(-8, 8, 30))
    points = np.stack([x.ravel(), y.ravel(), np.full(x.size, -1.75)], 1)
    return points.astype(np.float32)


POINTS = street()
RGB = np.full((64, 128, 3), 90, np.uint8)


def transform(parent, child, pose):
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    x, y, z, w = to_quaternion(pose).tolist()
    q, p = message.transform.rotation, message.transform.translation
    q.x, q.y, q.z, q.w = x, y, z, w
    p.x, p.y, p.z = pose[:3, 3].tolist()
    return message


class Bench:
    """The node under test with a camera and a LiDAR on a base."""

    def __init__(self, ros, namespace, checkpoint, **parameters):
        self.ros, self.base = ros, f'/{namespace}'
        values = {
            'detector_checkpoint': str(checkpoint), 'level_frame': BASE, 'fixed_frame': '',
            'tf_timeout': 0.3, **parameters,
        }  # fmt: skip
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        self.node = ros.add(Detector3dNode(namespace=namespace, parameter_overrides=overrides))
        depth = values.get('points') == 'depth'
        place = ('depth/image', Image) if depth else ('lidar/points', PointCloud2)
        self.place = ros.publisher(place[1], f'{self.base}/{place[0]}')
        self.info = ros.publisher(CameraInfo, f'{self.base}/camera/camera_info')
        self.found = ros.collect(Detection3DArray, f'{self.base}/detector_3d/detections', 100)
        self.log = ros.collect(Log, '/rosout')
        self.static = tf2_ros.StaticTransformBroadcaster(ros.node)
        self.static.sendTransform(
            [transform(BASE, CAMERA_FRAME, base_T_camera), transform(BASE, LIDAR, base_T_lidar)]
        )
        self.image = None
        if values.get('image_transport') != 'none':
            self.image = ros.publisher(Image, f'{self.base}/camera/image_raw')
        self.stamp = 1_000 * 10**9
        for publisher in filter(None, (self.place, self.info, self.image)):
            ros.matched(publisher)

    def send_info(self, camera=CAMERA):
        header = Header(stamp=ns_to_stamp(self.stamp), frame_id=CAMERA_FRAME)
        self.info.publish(to_camera_info(camera, header))
        self.ros.until(
            lambda: (
                (info := getattr(self.node._calibration, 'info', None)) is not None
                and info.width == camera.width
            ),
            'the calibration',
        )

    def send(self, place=POINTS, rgb=RGB, frame=CAMERA_FRAME, lidar=LIDAR):
        """Send the next frame; return its stamp."""
        self.stamp += PERIOD
        stamp = ns_to_stamp(self.stamp)
        if place.ndim == 2 and place.shape[1] == 3:
            message = to_cloud(place, Header(stamp=stamp, frame_id=lidar))
        else:
            message = to_image(place, '32FC1', Header(stamp=stamp, frame_id=frame))
        self.place.publish(message)
        if self.image is not None:
            header = Header(stamp=stamp, frame_id=frame)
            self.image.publish(to_image(rgb, 'rgb8', header))
        return stamp

    def detect(self, **options):
        stamp = self.send(**options)
        return self.found.wait(lambda m: m.header.stamp == stamp, 'detections')

    def expect_problem(self, pattern):
        self.log.wait(lambda m: re.search(pattern, m.msg), f'log {pattern!r}')

        def reported():
            status = self.node.diagnostics.status()
            return status.level == DiagnosticStatus.ERROR and re.search(pattern, status.message)

        self.ros.until(reported, f'problem {pattern!r}')


@pytest.fixture(scope='module')
def bench(ros, one_car):
    bench = Bench(ros, 'alley', one_car)
    bench.send()
    bench.expect_problem('no CameraInfo on')
    bench.send_info()
    yield bench
    ros.remove(bench.node)


def test_cars_are_published_in_the_level_frame(bench):
    array = bench.detect()
    assert array.header.frame_id == BASE
    item = array.detections[0]
    assert item.results[0].hypothesis.class_id == 'car'
    assert item.results[0].hypothesis.score == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-3)
    assert item.bbox.size.x == pytest.approx(4.4, abs=0.01)
    # the ground is 1.75 below the LiDAR: at z = 0 of the base
    assert item.bbox.center.position.z == pytest.approx(0.8, abs=0.05)
    assert item.bbox.center.position.x > 0.3


@pytest.mark.parametrize(
    ('options', 'pattern'),
    [
        ({'frame': ''}, r'camera has no frame_id; set header\.frame_id'),
        ({'frame': 'alley_atlantis'}, "no transform from 'alley_base' to 'alley_atlantis'"),
        ({'lidar': 'alley_lost'}, "no transform from 'alley_lost' to 'alley_base'"),
        ({'place': np.zeros((0, 3), np.float32)}, 'cloud is empty'),
        ({'place': np.full((9, 3), np.nan, np.float32)}, 'no finite point'),
        ({'rgb': np.zeros((32, 64, 3), np.uint8)}, r'64\s?x\s?32'),
    ],
)
def test_a_bad_frame_is_reported_and_the_next_is_used(bench, options, pattern):
    bench.send(**options)
    bench.expect_problem(pattern)
    assert bench.detect().detections
    bench.ros.until(
        lambda: bench.node.diagnostics.status().level != DiagnosticStatus.ERROR, 'good health'
    )


def test_an_image_with_lens_distortion_is_straightened(bench):
    bench.send_info(Camera(128, 64, 74.0, 74.0, 63.5, 31.5, (-0.2, 0.05, 0.0, 0.0, 0.0)))
    assert bench.detect().detections
    bench.send_info()


def test_boxes_are_drawn_while_someone_looks_and_the_least_score_is_live(bench):
    markers = bench.ros.collect(MarkerArray, f'{bench.base}/detector_3d/markers')
    bench.ros.matched(bench.node._markers)
    found = len(bench.detect().detections)
    shown = markers.wait(what='markers')
    assert sum(marker.ns == 'boxes' for marker in shown.markers) == found > 0

    def least(score):
        change = [Parameter('min_score', value=score)]
        return bench.ros.call(lambda: bench.node.set_parameters(change))[0]

    assert least(0.95).successful
    assert not bench.detect().detections, 'the car has a score of 0.88'
    assert least(0.3).successful
    assert len(bench.detect().detections) == found


def test_overload_skips_to_the_newest(bench, monkeypatch):
    engine, gate = bench.node._engine, threading.Event()
    detect = engine.detect
    monkeypatch.setattr(engine, 'detect', lambda *a: (gate.wait(30), detect(*a))[1])
    received, dropped = (bench.node.diagnostics.total(name) for name in ('in', 'dropped'))
    stamps = []
    for k in range(5):
        stamps.append(bench.send())
        bench.ros.until(
            lambda n=k: bench.node.diagnostics.total('in') == received + n + 1, 'the frame'
        )
    bench.ros.until(
        lambda: bench.node.diagnostics.total('dropped') >= dropped + 2, 'dropped frames'
    )
    gate.set()
    bench.found.wait(lambda m: m.header.stamp == stamps[-1], 'the newest')
    assert sum(m.header.stamp in stamps for m in bench.found.messages) < 5


def test_depth_images_will_do_and_images_can_be_done_without(ros, one_car):
    bench = Bench(ros, 'depth_alley', one_car, points='depth', image_transport='none')
    bench.send_info()
    depth = np.full((64, 128), np.nan, np.float32)
    depth[40:] = 1.65 * 74.0 / (np.arange(40, 64)[:, None] - 31.5)
    array = bench.detect(place=depth)
    assert array.detections[0].bbox.center.position.z == pytest.approx(0.8, abs=0.05)
    bench.send(place=depth[:32])
    bench.expect_problem('depth is 128x32, its camera 128x64')
    ros.remove(bench.node)


def test_a_checkpoint_of_another_kind_is_refused(ros, tmp_path):
    overrides = [Parameter('detector_checkpoint', value=str(tmp_path))]
    node = ros.add(Detector3dNode(namespace='no_alley', parameter_overrides=overrides))
    log = ros.collect(Log, '/rosout')
    log.wait(lambda m: re.search('cannot configure: .*MANIFEST', m.msg), 'the reason')
    ros.remove(node)
