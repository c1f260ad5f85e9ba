"""The tracker node with two cameras: one world of tracks over real topics and transforms."""

import re

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='no ROS 2 installed')
import tf2_ros
from geometry_msgs.msg import TransformStamped
from rcl_interfaces.msg import Log
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, Detection3DArray

from sim_perception.geometry.cameras import project
from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, invert, to_quaternion
from sim_perception.inference import permanence
from sim_perception.nodes.tracker import TrackerNode
from sim_perception.ros.conversions import ns_to_stamp, stamp_to_ns, to_camera_info, to_image
from sim_perception.ros.detections import to_detection_array
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Box3D, Camera, Detection

pytestmark = pytest.mark.ros

TAXONOMY = load_taxonomy()
PEDESTRIAN = TAXONOMY.id_of('pedestrian')
SIZE = (0.8, 0.6, 1.7)
ODOM, BASE = 'rig_odom', 'rig_base_link'
CAMERA = Camera(128, 64, 80.0, 80.0, 63.5, 31.5)  # sees 77 degrees
HEADINGS = {'front': 0.0, 'left': np.radians(60)}
PERIOD = 100_000_000
BLACK = np.zeros((64, 128, 3), np.uint8)
START = 3_000 * 10**9


def frame_of(camera):
    return f'rig_{camera}_optical_frame'


def base_T_camera(camera):
    return from_euler(0, 0, HEADINGS[camera], (1.0, 0.0, 1.5)) @ BODY_T_OPTICAL


def world_T_base(t):
    """The rig drives on."""
    return from_euler(0, 0, 0.0, (0.5 * t, 0.0, 0.0))


def walkers(t):
    """World positions: one walks from the front camera to the left one, one stays in front."""
    angle = 0.3 * t - 0.1
    return [
        (0.5 * t + 1 + 5 * np.cos(angle), 5 * np.sin(angle), 0.85),
        (0.5 * t + 7, -2.5, 0.85),
    ]


def seen_by(camera, t):
    """The walkers in view, in the camera's frame."""
    camera_T_world = invert(world_T_base(t) @ base_T_camera(camera))
    found = []
    for place in walkers(t):
        box = Box3D(camera_T_world @ from_euler(0, 0, 0, place), SIZE)
        (pixel,), (depth,) = project(CAMERA, box.parent_T_box[None, :3, 3])
        if depth > 0.5 and 0 <= pixel[0] < CAMERA.width:
            u, v = pixel
            sides = (u - 2, v - 5, u + 2, v + 5)
            found.append(Detection(PEDESTRIAN, 0.9, box3d=box, box2d=sides, visibility=1.0))
    return found


class ScriptedEngine:
    """Sees the walkers in every camera, as its frame tells."""

    taxonomy = TAXONOMY
    resets = 0

    def __init__(self, *_arguments, **_options):
        pass

    @classmethod
    def load(cls, *arguments, **options):
        return cls(*arguments, **options)

    def warm_up(self, camera):
        pass

    def reset(self):
        type(self).resets += 1

    def update(self, frame):
        camera = frame.frame_id.removeprefix('rig_').removesuffix('_optical_frame')
        return seen_by(camera, 1e-9 * (frame.stamp - START))


class Rig:
    """The cameras' topics and transforms in front of the node under test."""

    def __init__(self, ros, namespace, source='network'):
        self.ros, self.namespace = ros, namespace
        values = {'input': source, 'cameras': list(HEADINGS), 'tracking_frame': ODOM,
                  'tf_timeout': 0.3}  # fmt: skip
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        self.node = ros.add(TrackerNode(namespace=namespace, parameter_overrides=overrides))
        ros.until(lambda: self.node._streams, 'the activation')
        kind, name = (Image, 'image_raw') if source == 'network' else (Detection3DArray, None)
        self.publishers = {
            camera: ros.publisher(kind, f'/{namespace}/{camera}/{name or "detections"}', 100)
            for camera in HEADINGS
        }
        self.infos = {
            camera: ros.publisher(CameraInfo, f'/{namespace}/{camera}/camera_info', 100)
            for camera in HEADINGS
        }
        self.tracks = ros.collect(Detection3DArray, f'/{namespace}/tracker/tracks', 100)
        self.flat = ros.collect(Detection2DArray, f'/{namespace}/tracker/tracks_2d', 100)
        self.log = ros.collect(Log, '/rosout')
        self.moving = tf2_ros.TransformBroadcaster(ros.node)
        self.mounted = tf2_ros.StaticTransformBroadcaster(ros.node)
        for publisher in (*self.publishers.values(), *self.infos.values(), self.moving.pub_tf):
            ros.matched(publisher)
        self.mounted.sendTransform(
            [transform(BASE, frame_of(c), base_T_camera(c), START) for c in HEADINGS]
        )

    def calibrate(self):
        for camera, publisher in self.infos.items():
            publisher.publish(to_camera_info(CAMERA, header_of(camera, START)))
        self.ros.until(
            lambda: all(s.occluders.calibration.info for s in self.node._streams.all),
            'the calibrations',
        )

    def show(self, camera, stamp, frame=None):
        """Send a camera's frame with the place of the rig; return the answer."""
        t = 1e-9 * (stamp - START)
        self.moving.sendTransform(transform(ODOM, BASE, world_T_base(t), stamp))
        header = Header(stamp=ns_to_stamp(stamp), frame_id=frame or frame_of(camera))
        count = len(self.tracks.messages)
        if self.publishers[camera].msg_type is Image:
            message = to_image(BLACK, 'rgb8', header)
        else:
            message = to_detection_array(seen_by(camera, t), TAXONOMY, header)
        self.publishers[camera].publish(message)
        if frame is None:
            self.ros.until(lambda: len(self.tracks.messages) > count, 'the answer')
        return self.tracks.messages[-1]

    def boxes(self, camera, stamp):
        header = header_of(camera, stamp)
        return self.flat.wait(lambda m: m.header == header, f'boxes of {camera}')


def header_of(camera, stamp):
    return Header(stamp=ns_to_stamp(stamp), frame_id=frame_of(camera))


def transform(parent, child, pose, stamp):
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id, message.header.stamp = parent, ns_to_stamp(stamp)
    x, y, z, w = to_quaternion(pose).tolist()
    q, p = message.transform.rotation, message.transform.translation
    q.x, q.y, q.z, q.w = x, y, z, w
    p.x, p.y, p.z = pose[:3, 3].tolist()
    return message


def places(tracks):
    return {
        d.id: np.array([d.bbox.center.position.x, d.bbox.center.position.y])
        for d in tracks.detections
    }


@pytest.fixture
def scripted(monkeypatch):
    monkeypatch.setattr(permanence, 'PermanenceEngine', ScriptedEngine)


@pytest.mark.parametrize(
    ('source', 'lag'),
    [('network', 0), ('network', 40_000_000), ('network', -20_000_000), ('detections_3d', 0)],
)
def test_who_walks_from_one_camera_into_the_other_keeps_the_id(ros, scripted, source, lag):
    """Cameras in step, in turns, and a slow one whose frames are older than the other's."""
    rig = Rig(ros, 'rig', source)
    try:
        rig.calibrate()
        owners, counts, stamps = {}, [], []
        for n in range(1, 40):
            for camera, stamp in (('front', n * PERIOD), ('left', n * PERIOD + lag)):
                tracks = rig.show(camera, START + stamp)
                newest = stamp_to_ns(tracks.header.stamp)
                stamps.append(newest)
                found = places(tracks)
                assert tracks.header.frame_id == ODOM
                counts.append(len(seen_by(camera, 1e-9 * stamp)))
                if n <= 3:
                    continue
                assert len(found) == 2, 'each is reported after every frame of both cameras'
                for number, (x, y, _) in enumerate(walkers(1e-9 * (newest - START))):
                    (near,) = [i for i, p in found.items() if np.hypot(*(p - [x, y])) < 0.7]
                    assert owners.setdefault(number, near) == near
        assert rig.node._tracker.next_id == 3
        assert counts[:2] == [2, 0]
        assert [2, 1] in [counts[i : i + 2] for i in range(0, len(counts), 2)]
        assert counts[-2:] == [1, 1]
        assert stamps == sorted(stamps)
        front, left = (
            rig.boxes('front', START + n * PERIOD),
            rig.boxes('left', START + n * PERIOD + lag),
        )
        assert [len(m.detections) for m in (front, left)] == [1, 1]
        assert front.detections[0].id != left.detections[0].id
    finally:
        ros.remove(rig.node)


def test_cameras_with_one_frame_and_a_clock_far_behind_are_told(ros, scripted):
    rig = Rig(ros, 'amiss_rig')
    try:
        rig.calibrate()
        for n in range(1, 5):
            rig.show('front', START + n * PERIOD)
        rig.show('left', START + 5 * PERIOD, frame=frame_of('front'))
        rig.log.wait(lambda m: re.search('which is that of /amiss_rig/front/image_raw', m.msg))
        rig.show('left', START + 6 * PERIOD)
        for n in range(26, 31):
            before = set(places(rig.show('front', START + n * PERIOD)))
        rig.publishers['left'].publish(
            to_image(BLACK, 'rgb8', header_of('left', START + 7 * PERIOD))
        )
        rig.log.wait(lambda m: 'older than that of another sensor' in m.msg, 'the lag')
        assert set(places(rig.show('front', START + 31 * PERIOD))) == before
    finally:
        ros.remove(rig.node)


def test_a_looped_bag_starts_all_cameras_afresh_once(ros, scripted):
    rig = Rig(ros, 'looped_rig')
    try:
        rig.calibrate()
        for n in range(600, 604):
            for camera in HEADINGS:
                rig.show(camera, START + n * PERIOD)
        resets = ScriptedEngine.resets
        ros.until(lambda: not rig.node._inbox._values, 'the worker')
        rig.publishers['front'].publish(
            to_image(BLACK, 'rgb8', header_of('front', START + PERIOD))
        )
        ros.until(lambda: ScriptedEngine.resets == resets + 1, 'the reset')
        for n in range(2, 6):
            for camera in HEADINGS:
                tracks = rig.show(camera, START + n * PERIOD)
        assert ScriptedEngine.resets == resets + 1
        assert len(places(tracks)) == 2
    finally:
        ros.remove(rig.node)
