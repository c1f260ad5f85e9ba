"""The tracker node on camera images: a network's objects, hidden ones too, over real topics."""

import re
from typing import ClassVar

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='no ROS 2 installed')
import tf2_ros
import torch
from geometry_msgs.msg import TransformStamped
from rcl_interfaces.msg import Log
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, Detection3DArray

from sim_perception.bags.messages import compressed_image_message
from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, invert, to_quaternion
from sim_perception.inference import permanence
from sim_perception.inference.preprocess import PreprocessConfig
from sim_perception.models.checkpoint import save_checkpoint
from sim_perception.models.permanence import PermanenceConfig, PermanenceNet
from sim_perception.nodes.tracker import TrackerNode
from sim_perception.ros.conversions import ns_to_stamp, to_camera_info, to_image
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Box3D, Camera, Detection

pytestmark = pytest.mark.ros

TAXONOMY = load_taxonomy()
CAR = TAXONOMY.id_of('car')
ODOM, CAMERA_FRAME = 'screen_odom', 'screen_camera_optical_frame'
CAMERA = Camera(128, 64, 80.0, 80.0, 63.5, 31.5)
PERIOD = 100_000_000
START = 2_000 * 10**9
OWN_BOX = (40.0, 20.0, 60.0, 40.0)


def world_T_camera(t):
    """The camera drives on."""
    return from_euler(0, 0, 0.02 * t, (4 * t, 0.0, 1.5)) @ BODY_T_OPTICAL


def world_T_car(t):
    return from_euler(0, 0, 0, (15 + 6 * t, 2.0, 0.75))


class ScriptedEngine:
    """Sees one car, which is hidden from the sixth image to the ninth; remembers nothing."""

    taxonomy = TAXONOMY
    score = 0.9
    shown: ClassVar[list] = []
    resets = 0

    def __init__(self, *_arguments, **_options):
        type(self).shown, type(self).resets = [], 0

    @classmethod
    def load(cls, *arguments, **options):
        return cls(*arguments, **options)

    def warm_up(self, camera):
        pass

    def reset(self):
        type(self).resets += 1

    def update(self, frame):
        self.shown.append(frame)
        t = 1e-9 * (frame.stamp - START)
        hidden = 0.55 < t < 0.95
        box = Box3D(invert(world_T_camera(t)) @ world_T_car(t), (4.2, 1.8, 1.5))
        visibility = 0.0 if hidden else 1.0
        return [Detection(CAR, self.score, box3d=box, box2d=OWN_BOX, visibility=visibility)]


class Screen:
    """A camera's topics in front of the node under test."""

    def __init__(self, ros, namespace, transport='raw', **parameters):
        self.ros, self.transport = ros, transport
        values = {
            'input': 'network', 'image_transport': transport, 'tracking_frame': ODOM,
            'tf_timeout': 0.5, 'network': 'scripted', **parameters,
        }  # fmt: skip
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        self.node = ros.add(TrackerNode(namespace=namespace, parameter_overrides=overrides))
        ros.until(lambda: self.node._streams, 'the activation')
        kind = Image if transport == 'raw' else CompressedImage
        name = 'image_raw' if transport == 'raw' else 'image_raw/compressed'
        self.images = ros.publisher(kind, f'/{namespace}/camera/{name}', 100)
        self.infos = ros.publisher(CameraInfo, f'/{namespace}/camera/camera_info', 100)
        self.tracks = ros.collect(Detection3DArray, f'/{namespace}/tracker/tracks', 100)
        self.occluded = ros.collect(Detection3DArray, f'/{namespace}/tracker/tracks_occluded', 100)
        self.flat = ros.collect(Detection2DArray, f'/{namespace}/tracker/tracks_2d', 100)
        self.log = ros.collect(Log, '/rosout')
        self.transforms = tf2_ros.TransformBroadcaster(ros.node)
        for publisher in (self.images, self.infos, self.transforms.pub_tf):
            ros.matched(publisher)

    def header(self, n):
        return Header(stamp=ns_to_stamp(START + n * PERIOD), frame_id=CAMERA_FRAME)

    def calibrate(self, n):
        self.infos.publish(to_camera_info(CAMERA, self.header(n)))
        occluders = self.node._streams.all[0].occluders
        self.ros.until(lambda: occluders.calibration.info, 'the calibration')

    def show(self, n, shape=(64, 128, 3)):
        """Send the n-th image with the camera's place."""
        message = TransformStamped(header=self.header(n), child_frame_id=CAMERA_FRAME)
        message.header.frame_id = ODOM
        pose = world_T_camera(n / 10)
        x, y, z, w = to_quaternion(pose).tolist()
        q, p = message.transform.rotation, message.transform.translation
        q.x, q.y, q.z, q.w = x, y, z, w
        p.x, p.y, p.z = pose[:3, 3].tolist()
        self.transforms.sendTransform(message)
        image = np.full(shape, n % 256, np.uint8)
        if self.transport == 'raw':
            self.images.publish(to_image(image, 'rgb8', self.header(n)))
            return
        made = compressed_image_message(image, START + n * PERIOD, CAMERA_FRAME)
        data = bytes(made.data)
        self.images.publish(CompressedImage(header=self.header(n), format='jpeg', data=data))

    def after(self, n):
        """Return visible and occluded tracks of the n-th image."""
        stamp = self.header(n).stamp
        return tuple(
            found.wait(lambda m: m.header.stamp == stamp, f'answer {n}').detections
            for found in (self.tracks, self.occluded)
        )

    def expect(self, pattern):
        self.log.wait(lambda m: re.search(pattern, m.msg), pattern)


@pytest.fixture
def scripted(monkeypatch):
    monkeypatch.setattr(permanence, 'PermanenceEngine', ScriptedEngine)


def test_a_hidden_object_keeps_its_id_and_place(ros, scripted):
    screen = Screen(ros, 'hides')
    try:
        screen.calibrate(1)
        for n in range(1, 13):
            screen.show(n)
            seen, hidden = screen.after(n)
            if n <= 3:
                continue
            (track,) = hidden if 6 <= n <= 9 else seen
            assert not (seen if 6 <= n <= 9 else hidden)
            assert track.id == '1'
            p = track.bbox.center.position
            np.testing.assert_allclose(
                [p.x, p.y, p.z], world_T_car(n / 10)[:3, 3], atol=0.5 if n <= 5 else 1.0
            )
        (flat,) = screen.flat.wait(lambda m: m.header.stamp == screen.header(12).stamp).detections
        assert (flat.bbox.size_x, flat.bbox.center.position.x) == pytest.approx((20.0, 50.0))
        assert [f.stamp for f in ScriptedEngine.shown] == [
            START + n * PERIOD for n in range(1, 13)
        ]
        assert ScriptedEngine.shown[-1].camera == CAMERA
    finally:
        ros.remove(screen.node)


@pytest.mark.parametrize(
    ('changes', 'count'), [({}, 1), ({'spawn_score': 0.5}, 0), ({'report_score': 0.5}, 0)]
)
def test_the_networks_own_scores_hold_unless_they_are_set(
    ros, scripted, monkeypatch, changes, count
):
    monkeypatch.setattr(ScriptedEngine, 'score', 0.45)
    screen = Screen(ros, 'scored', **changes)
    try:
        screen.calibrate(1)
        for n in range(1, 5):
            screen.show(n)
            seen, _ = screen.after(n)
        assert len(seen) == count
    finally:
        ros.remove(screen.node)


def test_what_is_amiss_is_told_and_the_next_good_image_is_tracked(ros, scripted):
    screen = Screen(ros, 'amiss', transport='compressed')
    try:
        screen.show(1)
        screen.expect('no CameraInfo on /amiss/camera/camera_info')
        screen.calibrate(2)
        screen.show(2, shape=(48, 96, 3))
        screen.expect('96x48')
        for n in range(3, 6):
            screen.show(n)
            seen, _ = screen.after(n)
        assert len(seen) == 1
        before = ScriptedEngine.resets
        screen.show(-50)  # a looped bag
        screen.expect('jumped back')
        ros.until(lambda: ScriptedEngine.resets > before, 'the reset of the memory')
    finally:
        ros.remove(screen.node)


def test_the_real_network_runs_behind_the_topics(ros, tmp_path):
    torch.manual_seed(0)
    net = PermanenceNet(
        PermanenceConfig(channels=(16, 16, 16, 16), memory_channels=8, head_channels=8)
    )
    settings = PreprocessConfig(pixels=96 * 64).to_dict()
    folder = save_checkpoint(tmp_path / 'small', net, taxonomy=TAXONOMY, preprocess=settings)
    screen = Screen(ros, 'real', network=str(folder), device='cpu', threads=1)
    try:
        screen.calibrate(1)
        screen.show(1)
        screen.after(1)
        assert screen.node.diagnostics.status().level == b'\x00'
    finally:
        ros.remove(screen.node)


def test_a_checkpoint_of_another_kind_is_refused(ros, dummy_checkpoint):
    overrides = [
        Parameter('input', value='network'),
        Parameter('network', value=str(dummy_checkpoint)),
    ]
    node = ros.add(TrackerNode(namespace='strange', parameter_overrides=overrides))
    try:
        ros.until(
            lambda: re.search('cannot configure.*permanence', node.diagnostics.status().message),
            'the refusal',
        )
    finally:
        ros.remove(node)
