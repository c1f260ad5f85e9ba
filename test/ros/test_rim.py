"""The rim's parts in a running node: clouds, transforms, sync, QoS events, clock jumps."""

import platform
import re

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='no ROS 2 installed')
import dataclasses

import tf2_ros
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import TransformStamped
from rcl_interfaces.msg import Log
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time as RosTime
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header, String

from sim_perception.ros import qos
from sim_perception.ros.clouds import cloud_points, to_cloud
from sim_perception.ros.diagnostics import Problems
from sim_perception.ros.lifecycle import WorkerNode
from sim_perception.ros.parameter_fields import parameter
from sim_perception.ros.stamps import StampGuard
from sim_perception.ros.sync import Synchronizer, SyncSettings
from sim_perception.ros.tf import TransformLookup
from sim_perception.ros.worker import Newest

pytestmark = pytest.mark.ros


@dataclasses.dataclass(frozen=True)
class ProbeParameters:
    autostart: bool = parameter(True, 'start')


class ProbeNode(WorkerNode[ProbeParameters]):
    """Takes clouds, moves them to odom and publishes how many points there were."""

    def __init__(self, **options):
        super().__init__('probe', ProbeParameters, **options)
        self.resets = 0

    def setup(self):
        self.output = qos.advertise(self, String, '~/count', qos.output_qos())
        self.transforms = TransformLookup(self, timeout=0.2, cache_time=10_000.0)

    def teardown(self):
        if hasattr(self, 'transforms'):
            self.transforms.close()

    def start(self):
        self.input = qos.subscribe(
            self, PointCloud2, 'points', self.submit, qos.sensor_qos(), self.diagnostics.lost
        )
        super().start()

    def stop(self):
        self.destroy_subscription(self.input)
        super().stop()

    def reset(self):
        self.resets += 1
        self.transforms.reset()

    def process(self, item):
        self.check_stamp(item.header)
        points = cloud_points(item, ('x', 'y', 'z'))
        stamp = item.header.stamp.sec * 10**9
        matrix = self.transforms.lookup('odom', item.header.frame_id, stamp)
        self.output.publish(String(data=f'{item.header.stamp.sec} {len(points)} {matrix[0, 3]}'))
        self.diagnostics.published(0.0, 0.0)


def cloud(second, points, frame='lidar'):
    return to_cloud(points, Header(stamp=Time(sec=second), frame_id=frame))


GOOD = np.zeros(4, [('x', 'f4'), ('y', 'f4'), ('z', 'f4')])


class Probe:
    def __init__(self, ros):
        self.ros = ros
        self.clock = ros.publisher(Clock, '/clock')
        self.node = ros.add(
            ProbeNode(namespace='rim', parameter_overrides=[Parameter('use_sim_time', value=True)])
        )
        self.log = ros.collect(Log, '/rosout')
        self.counts = ros.collect(String, '/rim/probe/count')
        self.clouds = ros.publisher(PointCloud2, '/rim/points')
        self.static = tf2_ros.StaticTransformBroadcaster(ros.node)
        self.dynamic = tf2_ros.TransformBroadcaster(ros.node)
        ros.matched(self.clouds)
        self.set_clock(1000)
        self.second = 1000
        self.static.sendTransform(self.transform('base_link', 'lidar', 0))
        self.move(0, 2000)

    def set_clock(self, second):
        self.ros.matched(self.clock)
        self.clock.publish(Clock(clock=Time(sec=second)))
        seen = lambda: self.node.get_clock().now().nanoseconds == second * 10**9  # noqa: E731
        self.ros.until(seen, f'clock {second}')

    def transform(self, parent, child, second, x=0.0):
        message = TransformStamped(child_frame_id=child)
        message.header.frame_id, message.header.stamp = parent, Time(sec=second)
        message.transform.translation.x = float(x)
        message.transform.rotation.w = 1.0
        return message

    def move(self, *seconds):
        """Say where the base is at these times: x is the time."""
        for second in seconds:
            self.dynamic.sendTransform(self.transform('odom', 'base_link', second, second))
        arrived = lambda: self.node.transforms.buffer.can_transform(  # noqa: E731
            'odom', 'lidar', RosTime(seconds=seconds[-1])
        )
        self.ros.until(arrived, 'the transforms')

    def expect_good(self):
        self.second += 1
        self.clouds.publish(cloud(self.second, GOOD))
        wanted = f'{self.second} 4 '
        return self.counts.wait(lambda m: m.data.startswith(wanted), 'a count').data

    def expect_problem(self, pattern):
        def reported():
            status = self.node.diagnostics.status()
            return status.level == DiagnosticStatus.ERROR and re.search(pattern, status.message)

        self.ros.until(reported, f'problem {pattern!r}')
        self.log.wait(lambda m: re.search(pattern, m.msg), f'log {pattern!r}')


@pytest.fixture(scope='module')
def probe(ros):
    probe = Probe(ros)
    yield probe
    ros.remove(probe.node)


def test_transforms_are_those_at_the_stamp_of_the_data(probe):
    data = probe.expect_good()
    assert float(data.split()[2]) == pytest.approx(probe.second)


@pytest.mark.parametrize(
    ('points', 'pattern'),
    [
        (GOOD[:0], 'cloud is empty'),
        (GOOD[['x', 'y']].copy(), r'lacks the field'),
        (np.full((5, 3), np.nan, np.float32), 'no finite point'),
        (np.full((5, 3), np.inf, np.float32), 'no finite point'),
    ],
)
def test_bad_clouds_are_reported_and_the_next_is_processed(probe, points, pattern):
    probe.expect_good()
    probe.second += 1
    probe.clouds.publish(cloud(probe.second, points))
    probe.expect_problem(pattern)
    probe.expect_good()


def test_single_bad_points_are_left_out(probe):
    points = np.zeros((5, 3), np.float32)
    points[2, 1] = np.nan
    probe.second += 1
    probe.clouds.publish(cloud(probe.second, points))
    probe.counts.wait(lambda m: m.data.startswith(f'{probe.second} 4 '), 'four points')


def test_a_missing_frame_is_reported_with_its_remedy(probe):
    probe.second += 1
    probe.clouds.publish(cloud(probe.second, GOOD, frame='roof_rack'))
    probe.expect_problem(r"no transform from 'roof_rack' to 'odom'.*publish it on /tf")
    probe.expect_good()


def test_a_frame_in_another_tree_is_reported(probe):
    probe.static.sendTransform(probe.transform('trailer', 'trailer_lidar', 0))
    buffer = probe.node.transforms.buffer
    probe.ros.until(lambda: 'trailer' in buffer.all_frames_as_string(), 'the transform')
    probe.second += 1
    probe.clouds.publish(cloud(probe.second, GOOD, frame='trailer_lidar'))
    probe.expect_problem('separate trees; publish the transform that joins them')
    probe.expect_good()


def test_data_beyond_the_transforms_are_reported(probe):
    probe.second = 2001
    probe.clouds.publish(cloud(probe.second, GOOD))
    probe.expect_problem(r'extrapolation into the future.*is the publisher of /tf running')
    probe.move(3000)
    probe.expect_good()


def test_a_clock_that_jumps_back_starts_afresh(probe):
    probe.expect_good()
    resets = probe.node.resets
    probe.set_clock(200)
    probe.log.wait(lambda m: 'the clock jumped back by' in m.msg)
    probe.ros.until(lambda: probe.node.resets > resets, 'the reset')
    probe.second = 200
    probe.move(0, 2000)
    assert probe.expect_good()


def test_diagnostics_count_and_name_losses_with_their_remedy(probe):
    diagnostics = probe.node.diagnostics
    values = lambda status: {v.key: v.value for v in status.values}  # noqa: E731
    lost = int(values(diagnostics.status())['lost in transport'])
    diagnostics.lost('/rim/points', 3)
    status = diagnostics.status()
    assert status.level == DiagnosticStatus.ERROR
    assert 'lost in transport; if they are large, use the shipped Fast DDS' in status.message
    assert int(values(status)['lost in transport']) == lost + 3
    assert status.hardware_id == platform.node(), 'REP-107: what hardware this is about'
    for age in (0.1, 0.2, 0.3):
        diagnostics.published(age=age, work=2 * age)
    diagnostics._ages.extend([0.2] * 300)
    diagnostics._work.extend([0.4] * 300)
    status = diagnostics.status()
    assert status.level == DiagnosticStatus.WARN
    assert status.message.startswith('recovered from')
    assert values(status)['age p50 [ms]'] == '200.0'
    assert values(status)['inference p95 [ms]'] == '400.0'


def test_incompatible_qos_is_explained_once_with_both_sides(ros):
    log = ros.collect(Log, '/rosout')
    reliable = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
    qos.subscribe(ros.node, String, '/strict', lambda _: None, reliable)
    best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    for _ in range(2):
        ros.publisher(String, '/strict', best_effort)
    pattern = r'no messages on /strict from test_harness.*\[best_effort, volatile\].*\[reliable'
    log.wait(lambda m: re.search(pattern, m.msg), 'the explanation')
    last = ros.publisher(String, '/marker')
    ros.collect(String, '/marker')
    ros.matched(last)
    assert sum(bool(re.search(pattern, m.msg)) for m in log.messages) == 1


def test_profiles_can_be_overridden_by_parameters(ros):
    node = ros.add(
        ProbeNode(
            namespace='strict',
            parameter_overrides=[
                Parameter(
                    'qos_overrides./strict/points.subscription.reliability', value='reliable'
                )
            ],
        )
    )
    try:
        ros.until(lambda: node.diagnostics.state == 'active', 'activation')
        info = node.get_subscriptions_info_by_topic('/strict/points')
        assert info[0].qos_profile.reliability == ReliabilityPolicy.RELIABLE
    finally:
        ros.remove(node)


class Stamped:
    def __init__(self, seconds):
        self.header = Header(stamp=Time(sec=int(seconds), nanosec=round(seconds % 1 * 1e9)))


def sets_of(settings, arrivals):
    sets = []
    sync = Synchronizer(2, lambda messages: sets.append(messages), settings)
    for index, second in arrivals:
        sync.put(index, Stamped(second))
    stamps = [tuple(m.header.stamp.sec + m.header.stamp.nanosec / 1e9 for m in s) for s in sets]
    return stamps, sync


def test_sync_matches_equal_and_near_stamps():
    exact, _ = sets_of(SyncSettings(), [(0, 1), (0, 2), (1, 2), (1, 1)])
    assert exact == [(2, 2), (1, 1)]
    near, _ = sets_of(SyncSettings(slop=0.1), [(0, 1), (1, 1.05), (0, 2), (1, 2.5)])
    assert near == [(1, 1.05)]


def test_sync_matches_again_after_a_jump_back():
    arrivals = [(0, 100), (1, 100), (0, 101), (0, 102), (0, 103), (0, 104), (0, 105)]
    arrivals += [(0, 1), (1, 1), (0, 2), (1, 2)]
    found, sync = sets_of(SyncSettings(queue_size=5), arrivals)
    assert found == [(100, 100), (1, 1), (2, 2)]
    assert sync.jumps == 1


@pytest.mark.parametrize('slop', [0.0, 0.01])
def test_messages_that_find_no_match_are_counted_as_dropped(slop):
    lost, sets = [], []
    settings = SyncSettings(slop=slop, queue_size=3)
    sync = Synchronizer(2, sets.append, settings, lost.append)
    for second in range(1, 11):
        sync.put(0, Stamped(second))
        if second in (2, 5, 9):
            sync.put(1, Stamped(second))
    assert len(sets) == 3
    assert sum(lost) == 10 - 3 - 3, 'the last three may still find one'
    sync.put(0, Stamped(10))  # takes the place of its twin
    assert sum(lost) == 5
    sync.reset()
    assert sum(lost) == 8
    assert sync.explain(('boxes', 'cloud')) == ''
    for second in range(1, 8):
        sync.put(0, Stamped(second))
    assert 'last 4 messages on boxes match none on cloud' in sync.explain(('boxes', 'cloud'))
    sync.put(1, Stamped(7))
    assert sync.explain(('boxes', 'cloud')) == ''


def test_problems_of_ever_new_kinds_do_not_grow():
    lines = []
    problems = Problems(lines.append)
    for n in range(1000):
        problems.report('strange class ' + 'abcdefghij'[n % 10] * (1 + n // 10))
    assert len(lines) == problems.total == 1000
    assert len(problems._last_logged) <= 200
    problems.report('strange class ' + 'j' * 100)
    assert len(lines) == 1000, 'the latest are still known'


def test_stamps_must_advance_and_jumps_are_told_apart():
    guard = StampGuard(jump_threshold=1.0)
    assert not guard.jumped(5_000_000_000)
    for stamp, problem in ((0, 'zero stamp'), (5_000_000_000, 'out of order'),
                           (4_500_000_000, 'out of order')):  # fmt: skip
        with pytest.raises(ValueError, match=problem):
            guard.jumped(stamp)
    assert guard.jumped(3_000_000_000)
    assert not guard.jumped(3_100_000_000)


def test_every_stream_has_its_own_stamps_but_a_jump_is_one_of_all():
    guard = StampGuard(jump_threshold=1.0)
    assert not guard.jumped(5_000_000_000, 0)
    assert not guard.jumped(4_900_000_000, 1)
    with pytest.raises(ValueError, match='out of order'):
        guard.jumped(4_900_000_000, 1)
    assert guard.jumped(1_000_000_000, 1)
    assert not guard.jumped(1_050_000_000, 0)


def test_waiting_values_are_replaced_by_newer_ones_of_their_own_stream():
    newest = Newest(capacity=1)
    assert not newest.put('a1', 0)
    assert not newest.put('b1', 1)
    assert newest.put('a2', 0)
    assert [newest.take(0) for _ in range(3)] == ['b1', 'a2', None]
    deep = Newest(capacity=2)
    assert [deep.put(n) for n in range(2)] == [0, 0]
    assert deep.put('b1', 1) == 0
    assert [deep.put(n) for n in range(2, 5)] == [2, 1, 1], 'too many waited: the newest alone'
    assert [deep.take(0) for _ in range(3)] == ['b1', 4, None], 'caught up'
    assert [deep.put(n) for n in range(2)] == [0, 0]
