"""The labelling node over a made scene: labels, meshes, services, bad input, overload, budget."""

import re
import threading

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='no ROS 2 installed')
import tf2_ros
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import TransformStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Log
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, PointCloud2
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger
from vision_msgs.msg import (
    BoundingBox2D,
    Detection2D,
    Detection2DArray,
    Detection3DArray,
    ObjectHypothesis,
    ObjectHypothesisWithPose,
)
from visualization_msgs.msg import Marker, MarkerArray

from sim_perception.autolabel.records import read_frames
from sim_perception.geometry.boxes import iou_upright
from sim_perception.geometry.transforms import from_euler, invert, to_quaternion
from sim_perception.models.checkpoint import save_checkpoint
from sim_perception.nodes.auto_labeler import AutoLabelerNode
from sim_perception.ros.clouds import to_cloud
from sim_perception.ros.conversions import ns_to_stamp, stamp_to_ns, to_camera_info
from sim_perception.ros.detections import from_pose
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Box3D, Camera

pytestmark = pytest.mark.ros

BASE, LIDAR, CAMERA_FRAME, ODOM = 'yard_base', 'yard_lidar', 'yard_camera_optical', 'yard_odom'
CAMERA = Camera(640, 192, 372.0, 372.0, 319.5, 95.5)
PERIOD = 100_000_000
SIZE = (4.4, 1.8, 1.5)
CAR = Box3D(from_euler(0, 0, 0.5, (12.0, 1.5, 0.75)), SIZE)
base_T_camera = from_euler(0, 0, 0, (0.3, 0, 1.65)) @ np.array(
    [[0, 0, 1.0, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]]
)
base_T_lidar = from_euler(0, 0, 0, (0, 0, 1.75))


@pytest.fixture(scope='module')
def boxes_checkpoint(tmp_path_factory):
    """A space whose only shape is a box: made in no time, and its fit is known."""
    import torch

    from sim_perception.models.shape import ShapeConfig, ShapePca

    config = ShapeConfig(components=1, mean_size=(4.45, 1.82, 1.53), spacing=0.15, seeds=1)
    model = ShapePca(config)
    q = torch.tensor(config.node_positions()).abs() - torch.tensor(config.mean_size) / 2
    outside = q.clamp(min=0).square().sum(-1).sqrt()
    model.grid[0] = (outside + q.max(-1).values.clamp(max=0)).float()
    model.prior_factor.copy_(torch.diag(torch.tensor([0.08, 0.06, 0.06, 1.0])))
    folder = tmp_path_factory.mktemp('models') / 'boxes'
    return save_checkpoint(folder, model, taxonomy=load_taxonomy())


def scan():
    """What a LiDAR sees of a box on flat ground, level frame: rays against slabs."""
    azimuth, elevation = np.deg2rad(np.arange(-30, 30, 0.4)), np.deg2rad(np.linspace(3, -25, 48))
    a, e = (grid.ravel() for grid in np.meshgrid(azimuth, elevation))
    rays = np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], 1)
    origin = base_T_lidar[:3, 3]
    with np.errstate(divide='ignore', invalid='ignore'):
        ground = np.where(rays[:, 2] < 0, -origin[2] / rays[:, 2], np.inf)
        box_T_level = invert(CAR.parent_T_box)
        start, along = (
            box_T_level[:3, :3] @ origin + box_T_level[:3, 3],
            rays @ box_T_level[:3, :3].T,
        )
        ends = (np.array([[-1.0], [1.0]])[:, None] * np.array(SIZE) / 2 - start) / along
    near, far = ends.min(0).max(1), ends.max(0).min(1)
    reach = np.where((near < far) & (near > 0), near, np.inf)
    reach = np.minimum(reach, np.where(ground < 60, ground, np.inf))
    hit = np.isfinite(reach)
    noise = np.random.default_rng(0).normal(0, 0.01, int(hit.sum()))
    return rays[hit] * (reach[hit] + noise)[:, None]  # LiDAR frame


def outline():
    from sim_perception.geometry.boxes import box_corners
    from sim_perception.geometry.cameras import project
    from sim_perception.geometry.transforms import transform_points

    corners = transform_points(invert(base_T_camera), box_corners(CAR))
    pixels, _ = project(CAMERA, corners)
    return (*pixels.min(0), *pixels.max(0))


POINTS = scan().astype(np.float32)
BOX = outline()


def transform(parent, child, pose, stamp=0):
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id, message.header.stamp = parent, ns_to_stamp(stamp)
    x, y, z, w = to_quaternion(pose).tolist()
    q, p = message.transform.rotation, message.transform.translation
    q.x, q.y, q.z, q.w = x, y, z, w
    p.x, p.y, p.z = pose[:3, 3].tolist()
    return message


def detection(box, name='car', score=0.9, identity='', visibility=None):
    x1, y1, x2, y2 = (float(v) for v in box)
    message = Detection2D(id=identity)
    message.bbox = BoundingBox2D(size_x=x2 - x1, size_y=y2 - y1)
    message.bbox.center.position.x, message.bbox.center.position.y = (x1 + x2) / 2, (y1 + y2) / 2
    hypotheses = [(name, score)]
    if visibility is not None:
        hypotheses.append(('visibility', visibility))
    message.results = [
        ObjectHypothesisWithPose(hypothesis=ObjectHypothesis(class_id=n, score=s))
        for n, s in hypotheses
    ]
    return message


class Bench:
    """The node under test with a camera and a LiDAR on a base in a yard."""

    def __init__(self, ros, namespace, checkpoint, **parameters):
        self.ros, self.base, self.clients = ros, f'/{namespace}', {}
        values = {
            'shape_checkpoint': str(checkpoint), 'level_frame': BASE, 'fixed_frame': ODOM,
            'time_budget': 60.0, 'tf_timeout': 0.3, **parameters,
        }  # fmt: skip
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        self.node = ros.add(AutoLabelerNode(namespace=namespace, parameter_overrides=overrides))
        self.detections = ros.publisher(Detection2DArray, f'{self.base}/detections_2d')
        self.points = ros.publisher(PointCloud2, f'{self.base}/lidar/points')
        self.info = ros.publisher(CameraInfo, f'{self.base}/camera/camera_info')
        self.labels = ros.collect(Detection3DArray, f'{self.base}/auto_labeler/labels', 100)
        self.log = ros.collect(Log, '/rosout')
        self.static = tf2_ros.StaticTransformBroadcaster(ros.node)
        self.static.sendTransform(
            [transform(BASE, CAMERA_FRAME, base_T_camera), transform(BASE, LIDAR, base_T_lidar)]
        )
        self.dynamic = tf2_ros.TransformBroadcaster(ros.node)
        self.stamp = 1_000 * 10**9
        for publisher in (self.detections, self.points, self.info, self.dynamic.pub_tf):
            ros.matched(publisher)
        self.send_info()

    def send_info(self, camera=CAMERA):
        header = Header(stamp=ns_to_stamp(self.stamp), frame_id=CAMERA_FRAME)
        self.info.publish(to_camera_info(camera, header))
        self.ros.until(
            lambda: getattr(self.node._calibration, 'info', None) is not None, 'the calibration'
        )

    def send(self, detections, points=POINTS, frame=CAMERA_FRAME, lidar=LIDAR):
        """Send the next frame; return its stamp."""
        self.stamp += PERIOD
        stamp = ns_to_stamp(self.stamp)
        place = from_euler(0, 0, 0, (1e-9 * self.stamp, 0, 0))
        self.dynamic.sendTransform(transform(ODOM, BASE, place, self.stamp))
        self.points.publish(to_cloud(points, Header(stamp=stamp, frame_id=lidar)))
        header = Header(stamp=stamp, frame_id=frame)
        self.detections.publish(Detection2DArray(header=header, detections=detections))
        return stamp

    def label(self, detections, **options):
        stamp = self.send(detections, **options)
        return self.labels.wait(lambda m: m.header.stamp == stamp, 'labels')

    def facts(self):
        return {item.key: item.value for item in self.node.diagnostics.status().values}

    def call(self, service_type, name, request):
        if name not in self.clients:
            topic = f'{self.base}/auto_labeler/{name}'
            create = self.ros.node.create_client
            self.clients[name] = self.ros.call(lambda: create(service_type, topic))
        client = self.clients[name]
        assert client.wait_for_service(30)
        future, done = client.call_async(request), threading.Event()
        future.add_done_callback(lambda _: done.set())
        assert done.wait(60)
        return future.result()

    def expect_problem(self, pattern):
        self.log.wait(lambda m: re.search(pattern, m.msg), f'log {pattern!r}')

        def reported():
            status = self.node.diagnostics.status()
            return status.level == DiagnosticStatus.ERROR and re.search(pattern, status.message)

        self.ros.until(reported, f'problem {pattern!r}')


@pytest.fixture(scope='module')
def bench(ros, boxes_checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp('exports')
    bench = Bench(ros, 'yard', boxes_checkpoint, export_folder=str(folder))
    bench.folder = folder
    yield bench
    ros.remove(bench.node)


def test_a_car_is_labelled_where_it_stands(bench):
    found = bench.label([detection(BOX, identity='car_7')])
    assert found.header.frame_id == BASE
    (item,) = found.detections
    assert item.id == 'car_7'
    assert item.results[0].hypothesis.class_id == 'car'
    assert 0.5 < item.results[0].hypothesis.score <= 1
    size = item.bbox.size
    box = Box3D(from_pose(item.bbox.center), (size.x, size.y, size.z))
    assert iou_upright(box, CAR)[1] > 0.75
    covariance = np.array(item.results[0].pose.covariance).reshape(6, 6)
    assert 0 < covariance[0, 0] < 0.1
    assert covariance[5, 5] > 0
    assert covariance[3, 3] == 0


def test_only_cars_that_are_seen_well_enough_are_labelled(bench):
    others = [
        detection(BOX, name='pedestrian'), detection(BOX, score=0.1),
        detection(BOX, visibility=0.05), detection(BOX, name='van', identity='van'),
    ]  # fmt: skip
    assert [item.id for item in bench.label(others).detections] == ['van']


def test_rejections_are_counted_by_reason(bench):
    before = int(bench.facts().get('rejected no points', 0))
    sky = detection((300.0, 5.0, 360.0, 40.0))
    assert not bench.label([sky]).detections
    bench.ros.until(
        lambda: int(bench.facts().get('rejected no points', 0)) == before + 1, 'the count'
    )
    facts = bench.facts()
    assert int(facts['accepted']) >= 1
    assert int(facts['objects']) >= int(facts['accepted']) + 1


def test_meshes_are_triangles_about_the_car(bench):
    meshes = bench.ros.collect(MarkerArray, f'{bench.base}/auto_labeler/meshes')
    bench.ros.until(
        lambda: bench.node.count_subscribers(f'{bench.base}/auto_labeler/meshes') > 0, 'a reader'
    )
    bench.ros.until(
        lambda: bench.node._outputs['meshes'].get_subscription_count() > 0, 'a subscription'
    )
    stamp = bench.send([detection(BOX)])
    array = meshes.wait(lambda m: m.markers[0].header.stamp == stamp, 'meshes')
    clear, mesh = array.markers
    assert clear.action == Marker.DELETEALL
    assert mesh.type == Marker.TRIANGLE_LIST
    assert len(mesh.points) % 3 == 0
    corners = np.array([(p.x, p.y, p.z) for p in mesh.points])
    np.testing.assert_allclose(np.ptp(corners, 0), SIZE, atol=0.3)
    np.testing.assert_allclose(from_pose(mesh.pose)[:2, 3], CAR.parent_T_box[:2, 3], atol=0.2)


def test_exported_labels_are_those_that_were_published(bench):
    found = bench.label([detection(BOX, identity='kept')])
    answer = bench.call(Trigger, 'export', Trigger.Request())
    assert answer.success, answer.message
    (folder,) = bench.folder.iterdir()
    assert str(folder) in answer.message
    frame = list(read_frames(folder / 'frames'))[-1]
    assert frame.stamp == stamp_to_ns(found.header.stamp)
    (label,) = frame.accepted
    pose = from_pose(found.detections[0].bbox.center)
    np.testing.assert_allclose(label.box3d.parent_T_box, pose, atol=1e-9)
    np.testing.assert_allclose(frame.world_T_level[0, 3], 1e-9 * frame.stamp, atol=1e-6)
    for part in ('kitti/label_2', 'kitti/calib', 'nuscenes', 'bag'):
        assert any((folder / part).iterdir()), part
    again = bench.call(Trigger, 'export', Trigger.Request())
    assert not again.success
    assert 'exists' in again.message.lower()


def test_a_paused_node_takes_nothing_and_goes_on_after(bench):
    assert bench.call(SetBool, 'pause', SetBool.Request(data=True)).message == 'paused'
    received = bench.node.diagnostics.total('in')
    stamp = bench.send([detection(BOX)])
    bench.ros.until(lambda: bench.node.diagnostics.total('in') > received, 'the frame')
    assert bench.call(SetBool, 'pause', SetBool.Request(data=False)).success
    assert bench.label([detection(BOX)]).detections
    assert not any(m.header.stamp == stamp for m in bench.labels.messages)


@pytest.mark.parametrize(
    ('options', 'pattern'),
    [
        ({'frame': ''}, r'without frame_id; set header\.frame_id'),
        ({'frame': 'yard_atlantis'}, "no transform from 'yard_base' to 'yard_atlantis'"),
        ({'lidar': 'yard_lost'}, "no transform from 'yard_lost' to 'yard_base'"),
        ({'points': np.zeros((0, 3), np.float32)}, 'cloud is empty'),
        ({'points': np.full((9, 3), np.nan, np.float32)}, 'no finite point'),
    ],
)
def test_a_bad_frame_is_reported_and_the_next_is_labelled(bench, options, pattern):
    bench.send([detection(BOX)], **options)
    bench.expect_problem(pattern)
    assert bench.label([detection(BOX)]).detections
    bench.ros.until(
        lambda: bench.node.diagnostics.status().level != DiagnosticStatus.ERROR, 'good health'
    )


def test_a_nan_box_is_rejected(bench):
    nan = detection(BOX)
    nan.bbox.center.position.x = float('nan')
    (item,) = bench.label([nan, detection(BOX, identity='good')]).detections
    assert item.id == 'good'


def test_overload_skips_to_the_newest(bench, monkeypatch):
    labeler, gate = bench.node._labeler, threading.Event()
    label = labeler.label
    monkeypatch.setattr(labeler, 'label', lambda *a: (gate.wait(30), label(*a))[1])
    received, dropped = (bench.node.diagnostics.total(name) for name in ('in', 'dropped'))
    stamps = []
    for k in range(5):
        stamps.append(bench.send([detection(BOX)]))
        bench.ros.until(
            lambda n=k: bench.node.diagnostics.total('in') == received + n + 1, 'the frame'
        )
    bench.ros.until(lambda: bench.node.diagnostics.total('dropped') >= dropped + 3, 'the skips')
    gate.set()
    bench.labels.wait(lambda m: m.header.stamp == stamps[-1], 'the newest')
    assert sum(m.header.stamp in stamps for m in bench.labels.messages) == 2


def test_the_largest_objects_come_first_when_time_is_short(ros, boxes_checkpoint, monkeypatch):
    bench = Bench(ros, 'hurried', boxes_checkpoint, time_budget=0.001)
    try:
        far = detection((300.0, 100.0, 320.0, 112.0), identity='far')
        labeler, pause = bench.node._labeler, threading.Event()
        one = labeler._label
        monkeypatch.setattr(labeler, '_label', lambda *a: (pause.wait(0.01), one(*a))[1])
        prepared = labeler.label
        # However slow the machine is, the first box is begun in time.
        monkeypatch.setattr(labeler, 'label', lambda f, b, *_: prepared(f, b, 0.2))
        monkeypatch.setattr(labeler, '_label', lambda *a: (pause.wait(0.25), one(*a))[1])
        (item,) = bench.label([far, detection(BOX, identity='near')]).detections
        assert item.id == 'near'
        bench.ros.until(lambda: bench.facts().get('rejected no time') == '1', 'the count')
    finally:
        ros.remove(bench.node)


def test_boxes_that_are_no_numbers_are_told_and_the_others_labelled(bench):
    broken = [detection(BOX, identity=str(k)) for k in range(4)]
    broken[0].bbox.center.position.x = float('nan')
    broken[1].bbox.size_x = float('inf')
    broken[2].bbox.size_y = -3.0
    broken[3].results[0].hypothesis.score = float('nan')
    message = bench.label([*broken, detection(BOX, identity='good')])
    assert [item.id for item in message.detections] == ['good']
    assert '4 image boxes were not used' in bench.node.diagnostics.problems.last


def test_a_jump_back_starts_afresh(bench):
    bench.label([detection(BOX)])
    bench.stamp -= 60 * 10**9
    bench.send([detection(BOX)])
    bench.log.wait(lambda m: 'jumped back (a looped bag?)' in m.msg, 'the jump')
    assert bench.label([detection(BOX)]).detections


def test_it_can_be_configured_again_by_services(bench):
    kinds = Transition
    for kind in (
        kinds.TRANSITION_DEACTIVATE, kinds.TRANSITION_CLEANUP, kinds.TRANSITION_CONFIGURE,
        kinds.TRANSITION_ACTIVATE,
    ):  # fmt: skip
        request = ChangeState.Request(transition=Transition(id=kind))
        assert bench.call(ChangeState, 'change_state', request).success
    for publisher in (bench.detections, bench.points, bench.info, bench.dynamic.pub_tf):
        bench.ros.matched(publisher)
    bench.ros.until(
        lambda: bench.node.count_publishers(f'{bench.base}/auto_labeler/labels') == 1, 'labels'
    )
    bench.send_info()  # as cameras do with every image
    assert bench.label([detection(BOX)]).detections


def test_an_unusable_checkpoint_is_told(ros, tmp_path):
    node = ros.add(
        AutoLabelerNode(
            namespace='broken',
            parameter_overrides=[Parameter('shape_checkpoint', value=str(tmp_path / 'none'))],
        )
    )
    try:
        ros.until(
            lambda: 'cannot configure' in node.diagnostics.status().message, 'the diagnostic'
        )
    finally:
        ros.remove(node)
