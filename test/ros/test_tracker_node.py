"""The tracker node over a hand-made street: lasting ids, hidden objects, bad input, overload."""

import re
import threading

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='no ROS 2 installed')
import tf2_ros
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import TransformStamped
from rcl_interfaces.msg import Log
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import (
    BoundingBox2D,
    Detection2D,
    Detection2DArray,
    Detection3DArray,
    ObjectHypothesis,
    ObjectHypothesisWithPose,
)
from visualization_msgs.msg import MarkerArray

from sim_perception.bags import topics as t_
from sim_perception.bags.simulated import simulation_messages
from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, invert, to_quaternion
from sim_perception.nodes.tracker import TrackerNode
from sim_perception.ros.clouds import cloud_points, to_cloud
from sim_perception.ros.conversions import ns_to_stamp, stamp_to_ns, to_camera_info, to_image
from sim_perception.ros.detections import to_detection_array
from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.simulation import Simulation
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Box3D, Camera, Detection

pytestmark = pytest.mark.ros

TAXONOMY = load_taxonomy()
ODOM, SENSOR, CAMERA_FRAME = 'street_odom', 'street_sensor', 'street_camera_optical_frame'
CAMERA = Camera(128, 64, 80.0, 80.0, 63.5, 31.5)
PERIOD = 100_000_000
EGO_SPEED = 5.0
SIZE = (4.2, 1.8, 1.5)


def sensor_pose(t):
    """The sensor drives a curve."""
    return from_euler(0, 0, 0.1 * t, (EGO_SPEED * t, 0.2 * t, 1.0))


def car(x, y, yaw=0.0, score=0.95, name='car'):
    box = Box3D(from_euler(0, 0, yaw, (x, y, 0.75)), SIZE)
    return Detection(TAXONOMY.id_of(name), score, box3d=box)


def crossing(t):
    """The object that is hidden for a while: it drives ahead of the sensor."""
    return car(20 + 6 * t, 3.0)


PARKED = car(35.0, -5.0)


class Bench:
    """The node under test in a street of its own frames."""

    def __init__(self, ros, namespace, **parameters):
        self.ros = ros
        self.base = f'/{namespace}'
        values = {'tracking_frame': ODOM, 'tf_timeout': 0.3, **parameters}
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        self.node = ros.add(TrackerNode(namespace=namespace, parameter_overrides=overrides))
        ros.until(lambda: self.node._streams, 'the activation')
        image = parameters.get('input') == 'detections_2d'
        self.type = Detection2DArray if image else Detection3DArray
        self.detections = ros.publisher(
            self.type, f'{self.base}/detections{"_2d" if image else ""}', 100
        )
        self.tracks = self.collect(self.type, 'tracks_2d' if image else 'tracks')
        self.occluded = None if image else self.collect(Detection3DArray, 'tracks_occluded')
        self.log = ros.collect(Log, '/rosout')
        self.dynamic = tf2_ros.TransformBroadcaster(ros.node)
        self.stamp = 1_000 * 10**9
        self.start = self.stamp
        ros.matched(self.detections)
        ros.matched(self.dynamic.pub_tf)

    def collect(self, message_type, name):
        return self.ros.collect(message_type, f'{self.base}/tracker/{name}', 100)

    @property
    def t(self):
        return 1e-9 * (self.stamp - self.start)

    def step(self, dt=PERIOD):
        self.stamp += dt
        return self.t

    def send_transform(self, odom_T_sensor):
        message = TransformStamped(child_frame_id=SENSOR)
        message.header.frame_id, message.header.stamp = ODOM, ns_to_stamp(self.stamp)
        x, y, z, w = to_quaternion(odom_T_sensor).tolist()
        q, p = message.transform.rotation, message.transform.translation
        q.x, q.y, q.z, q.w = x, y, z, w
        p.x, p.y, p.z = odom_T_sensor[:3, 3].tolist()
        self.dynamic.sendTransform(message)

    def message(self, objects, frame=SENSOR, parent_T_odom=None):
        """Objects of the street as the sensor sees them at the present stamp."""
        pose = sensor_pose(self.t)
        self.send_transform(pose)
        change = invert(pose) if parent_T_odom is None else parent_T_odom
        moved = [
            Detection(d.class_id, d.score, box3d=Box3D(change @ d.box3d.parent_T_box, SIZE))
            for d in objects
        ]
        header = Header(stamp=ns_to_stamp(self.stamp), frame_id=frame)
        return to_detection_array(moved, TAXONOMY, header)

    def send(self, message):
        """Send a frame; return its tracks."""
        self.detections.publish(message)
        return self.tracks.wait(lambda m: m.header.stamp == message.header.stamp, 'tracks')

    def hidden(self, tracks):
        return self.occluded.wait(lambda m: m.header.stamp == tracks.header.stamp, 'occluded')

    def mount_camera(self):
        """Say on /tf_static where the camera is: at the sensor's origin."""
        self.static = tf2_ros.StaticTransformBroadcaster(self.ros.node)
        mounting = TransformStamped(child_frame_id=CAMERA_FRAME)
        mounting.header.frame_id = SENSOR
        q = mounting.transform.rotation
        q.x, q.y, q.z, q.w = to_quaternion(BODY_T_OPTICAL).tolist()
        self.static.sendTransform(mounting)

    def measured(self, header):
        """Wait until the node has the newest depth or cloud."""
        kept = self.node._streams.all[0].occluders._measurements._messages
        self.ros.until(lambda: kept and kept[-1].header == header, 'the measurement')

    def expect_good(self, objects=None):
        """Send the next frame; return the tracks by id."""
        t = self.step()
        return ids(self.send(self.message([crossing(t), PARKED] if objects is None else objects)))

    def expect_problem(self, pattern):
        line = self.log.wait(lambda m: re.search(pattern, m.msg), f'log {pattern!r}')
        assert line.name == f'{self.base[1:]}.tracker'

        def reported():
            status = self.node.diagnostics.status()
            return status.level == DiagnosticStatus.ERROR and re.search(pattern, status.message)

        self.ros.until(reported, f'problem {pattern!r}')


def ids(array):
    return {detection.id: detection for detection in array.detections}


def place(detection):
    p = detection.bbox.center.position
    return np.array([p.x, p.y, p.z])


def close_to(tracks, x, y):
    """The id of the track at a place, within a metre."""
    found = [i for i, d in tracks.items() if np.hypot(*(place(d)[:2] - [x, y])) < 1.0]
    assert len(found) == 1, f'{len(found)} tracks at {x}, {y}'
    return found[0]


@pytest.fixture(scope='module')
def bench(ros):
    bench = Bench(ros, 'street')
    yield bench
    ros.remove(bench.node)


def test_tracks_stand_in_odom_while_the_sensor_drives_a_curve(bench):
    for _ in range(6):
        tracks = bench.expect_good()
    header = bench.tracks.messages[-1].header
    assert (header.frame_id, stamp_to_ns(header.stamp)) == (ODOM, bench.stamp)
    parked = tracks[close_to(tracks, 35.0, -5.0)]
    assert place(parked)[2] == pytest.approx(0.75, abs=0.05)
    q = parked.bbox.center.orientation
    assert 2 * np.arctan2(q.z, q.w) == pytest.approx(0, abs=0.05)
    names = [r.hypothesis.class_id for r in parked.results]
    assert names[:2] == ['car', 'visibility']
    assert parked.results[0].pose.covariance[0] > 0
    close_to(tracks, 20 + 6 * bench.t, 3.0)


def test_optical_frames_give_the_same_tracks(bench):
    before = bench.expect_good()
    bench.mount_camera()
    t = bench.step()
    optical_T_odom = invert(sensor_pose(t) @ BODY_T_OPTICAL)
    message = bench.message([crossing(t), PARKED], CAMERA_FRAME, optical_T_odom)
    after = ids(bench.send(message))
    assert set(after) == set(before)
    close_to(after, 35.0, -5.0)


def test_a_transform_that_comes_late_is_waited_for(bench):
    before = bench.expect_good()
    t = bench.step()
    message = bench.message([crossing(t), PARKED])
    message.header.stamp = ns_to_stamp(bench.stamp + PERIOD // 2)
    tracks = bench.tracks
    bench.detections.publish(message)
    bench.ros.until(lambda: not bench.node._inbox._values, 'the worker')
    assert not any(m.header.stamp == message.header.stamp for m in tracks.messages)
    bench.step()
    bench.send_transform(sensor_pose(bench.t))
    late = tracks.wait(lambda m: m.header.stamp == message.header.stamp, 'tracks')
    assert set(ids(late)) == set(before)


def test_empty_frames_are_processed(bench):
    before = bench.expect_good()
    t = bench.step()
    empty = bench.send(bench.message([]))
    assert not empty.detections
    assert set(bench.expect_good([crossing(t + 0.1), PARKED])) == set(before)


def zero_stamp(bench):
    message = bench.message([PARKED])
    message.header.stamp = ns_to_stamp(0)
    return message


def repeated_stamp(bench):
    bench.stamp -= PERIOD
    return bench.message([PARKED])


def out_of_order(bench):
    message = bench.message([PARKED])
    message.header.stamp = ns_to_stamp(bench.stamp - 5 * PERIOD)
    return message


def no_frame(bench):
    return bench.message([PARKED], frame='')


def unknown_frame(bench):
    return bench.message([PARKED], frame='street_atlantis')


def no_transform(bench):
    message = bench.message([PARKED])
    message.header.stamp = ns_to_stamp(bench.stamp + PERIOD // 2)
    bench.stamp += PERIOD
    return message


@pytest.mark.parametrize(
    ('make', 'pattern'),
    [
        (zero_stamp, r'zero stamp; set header\.stamp'),
        (repeated_stamp, r'out of order: stamp'),
        (out_of_order, r'out of order: stamp'),
        (no_frame, r'without frame_id; set header\.frame_id'),
        (unknown_frame, r"no transform from 'street_atlantis' to 'street_odom'.*correct the fram"),
        (no_transform, r"no transform from 'street_sensor'.*is the publisher of /tf running"),
    ],
)
def test_a_bad_frame_is_reported_and_ids_stay(bench, make, pattern):
    for _ in range(3):
        before = bench.expect_good()
    bench.step()
    bench.detections.publish(make(bench))
    bench.expect_problem(pattern)
    after = bench.expect_good()
    assert set(after) == set(before)
    # the message arrives before the node has noted that it is out
    bench.ros.until(
        lambda: bench.node.diagnostics.status().level != DiagnosticStatus.ERROR, 'good health'
    )


def test_gaps_of_seconds_and_of_the_transforms_cost_no_ids(bench):
    for _ in range(4):
        before = bench.expect_good()
    bench.step(2 * 10**9)
    parked = close_to(before, 35.0, -5.0)
    assert close_to(bench.expect_good(), 35.0, -5.0) == parked
    for _ in range(3):
        before = bench.expect_good()
    tracks = bench.node._tracker.tracks
    silent = bench.send_transform
    bench.send_transform = lambda _pose: None
    try:
        for _ in range(8):
            t = bench.step()
            bench.detections.publish(bench.message([crossing(t), PARKED]))
            bench.ros.until(lambda: not bench.node._inbox._values, 'the worker')
        bench.expect_problem(r'no transform from .*is the publisher of /tf running')
        assert len(bench.node._tracker.tracks) == len(tracks)
    finally:
        bench.send_transform = silent
    after = bench.expect_good()
    assert set(after) == set(before)
    # the message arrives before the node has noted that it is out
    bench.ros.until(
        lambda: bench.node.diagnostics.status().level != DiagnosticStatus.ERROR, 'good health'
    )


def test_rubbish_does_not_grow(bench):
    for _ in range(3):
        before = bench.expect_good()
    for n in range(20):
        t = bench.step()
        rubbish = [car(10.0 + n % 7, 8.0 + k, score=0.2) for k in range(100)]
        message = bench.message([crossing(t), PARKED, *rubbish])
        for k, detection in enumerate(message.detections[2:]):
            nan_box_of(detection) if k % 2 else unknown_of(detection, f'x{chr(97 + n)}')
        assert set(ids(bench.send(message))) == set(before)
    assert len(bench.node._tracker.tracks) < 10
    assert len(bench.node.diagnostics.problems._last_logged) < 100


def nan_box_of(detection):
    detection.bbox.size.y = float('nan')


def unknown_of(detection, name):
    detection.results[0].hypothesis.class_id = name


def nan_box(array):
    array.detections[0].bbox.center.position.y = float('nan')


def zero_orientation(array):
    array.detections[0].bbox.center.orientation.z = 0.0
    array.detections[0].bbox.center.orientation.w = 0.0


def negative_size(array):
    array.detections[0].bbox.size.x = -4.0


def unknown_class(array):
    array.detections[0].results[0].hypothesis.class_id = 'unicorn'


def no_hypothesis(array):
    array.detections[0].results.clear()


@pytest.mark.parametrize(
    ('damage', 'pattern'),
    [
        (nan_box, '1 with an invalid position'),
        (zero_orientation, '1 with an invalid position, orientation'),
        (negative_size, '1 with an invalid position, orientation, size'),
        (unknown_class, "1 of a class that is not tracked .'unicorn'; see class_map"),
        (no_hypothesis, '1 with an invalid position, orientation, size or score'),
    ],
)
def test_a_bad_detection_is_told_and_the_others_are_tracked(bench, damage, pattern):
    for _ in range(3):
        before = bench.expect_good()
    parked = close_to(before, 35.0, -5.0)
    t = bench.step()
    message = bench.message([crossing(t), PARKED])
    damage(message)
    after = ids(bench.send(message))
    assert set(after) == {parked}
    bench.log.wait(lambda m: re.search(pattern, m.msg), f'log {pattern!r}')
    assert bench.node.diagnostics.status().level == DiagnosticStatus.WARN
    assert set(bench.expect_good()) == set(before)


def test_more_detections_than_are_tracked_leave_ids_intact(bench):
    for _ in range(3):
        before = bench.expect_good()
    t = bench.step()
    weak = [car(30 + 5 * (n % 40), 20 + 5 * (n // 40), score=0.3) for n in range(2000)]
    after = ids(bench.send(bench.message([crossing(t), PARKED, *weak])))
    assert set(after) == set(before)
    bench.log.wait(lambda m: 'beyond the most that are tracked' in m.msg, 'the surplus')
    assert set(bench.expect_good()) == set(before)


def test_a_jump_back_starts_afresh_with_new_ids(bench):
    before = {int(i) for i in bench.expect_good()}
    bench.stamp -= 60 * 10**9
    bench.start -= 60 * 10**9  # the street is where it was: only the clock has changed
    bench.step()
    bench.detections.publish(bench.message([PARKED]))  # transforms from before are forgotten
    bench.log.wait(lambda m: 'jumped back (a looped bag?)' in m.msg, 'the jump')
    for _ in range(4):
        tracks = bench.expect_good()
    close_to(tracks, 35.0, -5.0)
    assert min(map(int, tracks)) > max(before)


def test_ids_are_unique_for_the_life_of_the_node(bench):
    before = {int(i) for i in bench.expect_good()}
    for transition in ('deactivate', 'cleanup', 'configure', 'activate'):
        call = getattr(bench.node, f'trigger_{transition}')
        assert bench.ros.call(call) == TransitionCallbackReturn.SUCCESS
    bench.ros.matched(bench.detections)
    bench.ros.matched(bench.dynamic.pub_tf)
    bench.ros.until(
        lambda: bench.node.count_publishers(f'{bench.base}/tracker/tracks') == 1, 'the publisher'
    )
    for _ in range(3):
        tracks = bench.expect_good()
    assert min(map(int, tracks)) > max(before)


def test_a_long_silence_starts_with_new_ids(bench):
    before = {int(i) for i in bench.expect_good()}
    bench.step(20 * 10**9)
    bench.start += 20 * 10**9
    tracks = bench.expect_good()
    bench.log.wait(lambda m: 'no detections for more than 10 s' in m.msg, 'the silence')
    assert min(map(int, tracks)) > max(before)


@pytest.mark.parametrize(('changes', 'count'), [({}, 0), ({'spawn_score': 0.3}, 1)])
def test_detections_of_others_must_be_surer_than_the_networks(ros, changes, count):
    bench = Bench(ros, 'doubtful', report_score=0.4, **changes)
    try:
        for _ in range(4):
            tracks = bench.expect_good([car(20.0, 3.0, score=0.45)])
        assert len(tracks) == count
    finally:
        ros.remove(bench.node)


def test_overload_is_counted_and_frames_stay_in_order(ros, monkeypatch):
    bench = Bench(ros, 'crowded', queue_size=3, ego_motion='none')
    try:
        bench.expect_good()
        tracker, gate, stamps = bench.node._tracker, threading.Event(), []
        step = tracker.step

        def slow(stamp, *rest, **options):
            gate.wait(30)
            stamps.append(stamp)
            return step(stamp, *rest, **options)

        monkeypatch.setattr(tracker, 'step', slow)
        received = bench.node.diagnostics.total('in')
        for i in range(8):
            bench.step()
            last = bench.message([PARKED])
            bench.detections.publish(last)
            bench.ros.until(
                lambda n=i: bench.node.diagnostics.total('in') == received + n + 1, 'the frame'
            )
        gate.set()
        bench.tracks.wait(lambda m: m.header.stamp == last.header.stamp, 'the newest')
        dropped = bench.node.diagnostics.total('dropped')
        assert dropped in (6, 7), 'all but the newest and the one at work, if there was one'
        assert len(stamps) == 8 - dropped
        assert stamps == sorted(stamps)
        bench.log.wait(lambda m: 'come faster than they are tracked' in m.msg, 'the overload')
    finally:
        ros.remove(bench.node)


WALL_Y, WALL_Z = np.meshgrid(np.linspace(-2, 4, 60), np.linspace(-1.5, 2, 30))


def wall():
    """A wall close before the sensor, between it and the crossing car, not the parked one."""
    points = np.column_stack([np.full(WALL_Y.size, 6.0), WALL_Y.ravel(), WALL_Z.ravel()])
    return points[points[:, 1] > -0.3]


def ground():
    """The ground to the right: what the wall lets through."""
    x, y = np.meshgrid(np.linspace(2, 80, 100), np.linspace(-20, -2, 50))
    return np.column_stack([x.ravel(), y.ravel(), np.full(x.size, -1.0)])


def straight_pose(t):
    return from_euler(0, 0, 0, (EGO_SPEED * t, 0.0, 1.0))


def test_a_car_behind_a_wall_keeps_its_id_and_is_listed_as_occluded(ros, monkeypatch):
    monkeypatch.setitem(globals(), 'sensor_pose', straight_pose)
    bench = Bench(ros, 'walled', occlusion='lidar')
    clouds = ros.publisher(PointCloud2, '/walled/lidar/points')
    markers = bench.collect(MarkerArray, 'markers')
    states = bench.collect(PointCloud2, 'track_states')
    try:
        ros.matched(clouds)
        ros.until(lambda: bench.node._outputs.wants('markers'), 'the subscription')
        ros.until(lambda: bench.node._outputs.wants('track_states'), 'the subscription')
        spread = []
        for n in range(30):
            t = bench.step()
            hide = 10 <= n < 25
            header = Header(stamp=ns_to_stamp(bench.stamp), frame_id=SENSOR)
            points = np.concatenate([ground(), wall()]) if hide else ground()
            clouds.publish(to_cloud(points, header))
            bench.measured(header)
            seen = [PARKED] if hide else [crossing(t), PARKED]
            tracks = bench.send(bench.message(seen))
            hidden = ids(bench.hidden(tracks))
            if n == 9:
                known = close_to(ids(tracks), 20 + 6 * t, 3.0)
            if hide:
                assert known not in ids(tracks)
                assert close_to(hidden, 20 + 6 * t, 3.0) == known
                spread.append(hidden[known].results[0].pose.covariance[0])
                assert hidden[known].results[1].hypothesis.score < 0.5
        assert (np.diff(spread) > 0).all()
        assert close_to(ids(tracks), 20 + 6 * t, 3.0) == known
        assert not hidden
        ghosts = markers.wait(
            lambda m: any(k.ns == 'ghosts' for k in m.markers), 'a ghost'
        ).markers
        assert {m.id for m in ghosts if m.ns == 'ghosts'} == {int(known)}
        assert int(known) in {m.id for m in ghosts if m.ns == 'velocities'}
        rows = cloud_points(states.wait(lambda m: m.header == tracks.header, 'states'))
        row = rows[rows['id'] == int(known)][0]
        assert (row['vx'], row['vy']) == (
            pytest.approx(6, abs=0.5),
            pytest.approx(0, abs=0.5),
        )
        assert row['age'] == pytest.approx(2.9)
        assert ros.call(bench.node.diagnostics.status).level == DiagnosticStatus.OK
    finally:
        ros.remove(bench.node)


def test_depth_tells_hidden_from_vanished_and_boxes_appear_in_the_image(ros, monkeypatch):
    monkeypatch.setitem(globals(), 'sensor_pose', lambda t: from_euler(0, 0, 0, (0, 0, 1.0)))
    bench = Bench(ros, 'deep', occlusion='depth', sensor_frame=SENSOR)
    images = ros.publisher(Image, '/deep/depth/image')
    infos = ros.publisher(CameraInfo, '/deep/camera/camera_info')
    boxes = bench.collect(Detection2DArray, 'tracks_2d')
    bench.mount_camera()
    left, right = car(20.0, 4.0), car(20.0, -4.0)
    try:
        ros.matched(images)
        ros.matched(infos)
        ros.until(lambda: bench.node._outputs.wants('tracks_2d'), 'the subscription')
        for n in range(14):
            bench.step()
            header = Header(stamp=ns_to_stamp(bench.stamp), frame_id=CAMERA_FRAME)
            infos.publish(to_camera_info(CAMERA, header))
            depth = np.full((CAMERA.height, CAMERA.width), 60.0, np.float32)
            depth[:, :64] = 8.0  # something near hides the left
            images.publish(to_image(depth, '32FC1', header))
            occluders = bench.node._streams.all[0].occluders
            ros.until(lambda o=occluders: o.calibration.info, 'the calibration')
            bench.measured(header)
            message = bench.message([left, right] if n < 6 else [], ODOM, np.eye(4))
            tracks = bench.send(message)
            if n == 5:
                both = ids(tracks)
                image = boxes.wait(lambda m, t=tracks: m.header.stamp == t.header.stamp, 'boxes')
        assert image.header.frame_id == CAMERA_FRAME
        hidden = ids(bench.hidden(tracks))
        assert set(hidden) == {close_to(both, 20.0, 4.0)}
        box = ids(image)[close_to(both, 20.0, -4.0)].bbox
        u = CAMERA.cx + CAMERA.fx * 4.0 / 20.0
        assert box.center.position.x == pytest.approx(u, abs=1.5)
        assert box.size_x > CAMERA.fx * SIZE[1] / 20.0
    finally:
        ros.remove(bench.node)


def test_without_calibration_tracking_goes_on_and_boxes_hide_what_is_behind_them(ros, monkeypatch):
    monkeypatch.setitem(globals(), 'sensor_pose', lambda t: from_euler(0, 0, 0, (0, 0, 1.0)))
    bench = Bench(ros, 'boxed', occlusion='boxes')
    infos = ros.publisher(CameraInfo, '/boxed/camera/camera_info')
    bench.mount_camera()
    near, far = car(10.0, 0.0), car(22.0, 0.0)
    try:
        ros.matched(infos)
        for _ in range(6):
            known = close_to(bench.expect_good([near, far]), 22.0, 0.0)
        bench.log.wait(lambda m: "needs the camera's calibration" in m.msg, 'the lack')
        assert bench.node.diagnostics.status().level == DiagnosticStatus.WARN
        infos.publish(to_camera_info(CAMERA, Header(frame_id=CAMERA_FRAME)))
        ros.until(lambda: bench.node._streams.all[0].occluders.calibration.info, 'the calibration')
        for _ in range(20):
            tracks = bench.expect_good([near])
        assert known not in tracks
        assert set(ids(bench.hidden(bench.tracks.messages[-1]))) == {known}
    finally:
        ros.remove(bench.node)


def test_estimated_motion_gives_tracks_in_a_frame_of_the_trackers_own(ros):
    bench = Bench(ros, 'blind', ego_motion='estimate')
    frames = ros.collect(TFMessage, '/tf', 100)
    street = [car(15.0 + 9 * n, 8.0 * (-1) ** n) for n in range(6)]
    try:
        for _ in range(15):
            t = bench.step()
            tracks = bench.send(bench.message(street))
        assert tracks.header.frame_id == 'tracker_odom'
        sent = frames.wait(
            lambda m: (
                m.transforms[0].child_frame_id == 'tracker_odom'
                and m.transforms[0].header.stamp == tracks.header.stamp
            ),
            'the pose',
        ).transforms[0]
        assert sent.header.frame_id == SENSOR
        p = sent.transform.translation
        # the first frame is the origin, one period after the street's start
        expected = invert(sensor_pose(t)) @ sensor_pose(0.1)
        np.testing.assert_allclose([p.x, p.y], expected[:2, 3], atol=0.5)
    finally:
        ros.remove(bench.node)


def image_box(x, y, name='person'):
    detection = Detection2D(bbox=BoundingBox2D(size_x=20.0, size_y=50.0))
    detection.bbox.center.position.x, detection.bbox.center.position.y = x, y
    hypothesis = ObjectHypothesis(class_id=name, score=0.95)
    detection.results.append(ObjectHypothesisWithPose(hypothesis=hypothesis))
    return detection


def test_image_boxes_are_tracked_and_their_class_names_mapped(ros):
    bench = Bench(ros, 'flat', input='detections_2d')
    try:
        known = set()
        for n in range(12):
            bench.step()
            message = Detection2DArray()
            message.header.stamp = ns_to_stamp(bench.stamp)
            if n not in (6, 7, 8):
                message.detections = [image_box(100.0 + 4 * n, 60.0), image_box(300.0, 60.0)]
            tracks = bench.send(message)
            known |= set(ids(tracks))
        assert len(known) == 2
        names = [d.results[0].hypothesis.class_id for d in tracks.detections]
        assert names == ['pedestrian', 'pedestrian']
        xs = sorted(d.bbox.center.position.x for d in tracks.detections)
        np.testing.assert_allclose(xs, [144.0, 300.0], atol=5)
    finally:
        ros.remove(bench.node)


@pytest.mark.parametrize(
    ('values', 'problem'),
    [
        ({'input': 'detections_2d', 'occlusion': 'depth'}, "'depth' needs 3D boxes"),
        ({'class_map': 'person=human'}, "class_map has 'person=human'; write"),
        ({'cameras': ['a', 'a']}, "cameras must be different names, at least one; got ['a', 'a']"),
        ({'cameras': ['a', 'b'], 'ego_motion': 'none'}, "2 cameras need ego_motion 'tf'"),
        ({'cameras': ['a', 'b'], 'input': 'detections_2d'}, 'run one tracker per camera'),
    ],
)
def test_settings_that_do_not_fit_are_told(ros, values, problem):
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    node = ros.add(TrackerNode(namespace='unfit', parameter_overrides=overrides))

    def told():  # the log may be written before anybody can listen to it
        status = node.diagnostics.status()
        return (
            status.level == DiagnosticStatus.ERROR
            and 'cannot configure' in status.message
            and problem in status.message
        )

    try:
        ros.until(told, problem)
    finally:
        ros.remove(node)


@pytest.mark.slow
def test_objects_of_the_simulator_keep_their_ids(ros):
    """The truth in odom is tracked as the sensor sees it: hidden objects give no detections."""
    scenario = load_scenario(
        'target', seed=3, duration_s=2.0, **{'camera.width': 160, 'camera.height': 48}
    )
    simulation = Simulation(scenario, threads=1)
    node = ros.add(
        TrackerNode(
            namespace='simulated',
            parameter_overrides=[
                Parameter('sensor_frame', value=t_.BASE_FRAME),
                Parameter('tf_timeout', value=1.0),
            ],
        )
    )
    detections = ros.publisher(Detection3DArray, '/simulated/detections', 100)
    transforms = ros.publisher(TFMessage, '/tf', 100)
    tracks = ros.collect(Detection3DArray, '/simulated/tracker/tracks', 100)
    try:
        ros.matched(detections)
        ros.matched(transforms)
        owners = {}
        switched = followed = 0
        for n in range(20):
            wanted = {t_.TF.name, t_.OBJECTS.name}
            for message in simulation_messages(simulation, n / 10, wanted):
                if message.topic == t_.TF.name:
                    transforms.publish(deserialize_message(bytes(message.data), TFMessage))
                else:
                    truth = deserialize_message(bytes(message.data), Detection3DArray)
            detections.publish(truth)
            found = tracks.wait(lambda m, h=truth.header: m.header == h, 'tracks').detections
            for item in truth.detections:
                near = [d for d in found if np.linalg.norm(place(d) - place(item)) < 1.0]
                if item.results[1].hypothesis.score < 0.2 or len(near) != 1:
                    continue
                followed += 1
                switched += owners.setdefault(item.id, near[0].id) != near[0].id
                owners[item.id] = near[0].id
        assert followed >= 40
        assert switched == 0
        assert len(set(owners.values())) == len(owners)
    finally:
        ros.remove(node)
