"""A simulated clock that jumps, stands still or runs backwards: nodes follow it and go on."""

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='no ROS 2 installed')
from builtin_interfaces.msg import Time
from hostile_messages import HUGE
from hostile_world import good
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from vision_msgs.msg import Detection2DArray

from sim_perception.nodes.tracker import TrackerNode

pytestmark = pytest.mark.ros
START = 5_000
JUMPS = {
    'ahead': [START + 3600],
    'far ahead': [2**31 - 1],
    'back a little': [START - 1],
    'back': [START - 3000],
    'to the start': [0],
    'to and fro': [START + 100, START - 100] * 20,
    'stands': [START] * 20,
    'creeps': [START + k * 1e-9 for k in range(20)],
    'before the start': [-1],
    'least': [-(2**31)],
    'random': np.random.default_rng(0).uniform(0, 2**31 - 1, 40).tolist(),
}


@pytest.fixture(scope='module')
def simulated(ros):
    values = {'use_sim_time': True, 'input': 'detections_2d'}
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    node = ros.add(TrackerNode(namespace='simulated', parameter_overrides=overrides))
    node.tracks = ros.collect(Detection2DArray, '/simulated/tracker/tracks_2d', 100)
    node.clock = ros.publisher(Clock, '/clock')
    node.boxes = ros.publisher(Detection2DArray, '/simulated/detections_2d')
    ros.matched(node.boxes)
    ros.matched(node.clock)
    node.second = START
    yield node
    ros.remove(node)


def tell(node, seconds, nanoseconds=None):
    whole = int(np.floor(seconds))
    rest = round((seconds - whole) * 1e9) if nanoseconds is None else nanoseconds
    node.clock.publish(Clock(clock=Time(sec=whole, nanosec=rest)))


def expect_good(ros, node):
    """A frame is answered, at the latest when the clock has gone on a few times."""

    def answered():
        node.second += 1
        tell(node, node.second)
        node.boxes.publish(good('boxes_2d', node.second * 10**9))
        return any(m.header.stamp.sec >= START for m in node.tracks.messages)

    node.tracks.clear()
    ros.until(answered, 'an answer')


@pytest.mark.parametrize('name', JUMPS)
def test_after_a_jump_of_the_clock_data_are_tracked_again(ros, simulated, name):
    expect_good(ros, simulated)
    for seconds in JUMPS[name]:
        tell(simulated, seconds)
    expect_good(ros, simulated)


@pytest.mark.parametrize('nanoseconds', [10**9, HUGE])
def test_after_an_impossible_clock_data_are_tracked_again(ros, simulated, nanoseconds):
    expect_good(ros, simulated)
    tell(simulated, START, nanoseconds)
    expect_good(ros, simulated)
