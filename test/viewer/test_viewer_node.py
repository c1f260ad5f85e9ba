"""The viewer node over real Fast DDS: what it gets is in the file that it writes."""

from __future__ import annotations

import itertools
import sys

import drives
import pytest

pytest.importorskip('rclpy', reason='no ROS 2 installed')
pytest.importorskip('rerun', reason='the viewer is not installed: make view')
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from rrd import RrdFile

from sim_perception.bags.typestore import serialize
from sim_perception.nodes.viewer import _TYPES, ViewerNode

pytestmark = pytest.mark.ros
SHOWN = 9
"""Topics of the drive besides transforms and diagnostics that the node takes, with boxes."""


class Drive:
    """Sends the hand-made drive, on and on, where the node listens."""

    def __init__(self, ros):
        self._ros = ros
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._publishers = {
            one.topic: ros.publisher(
                _TYPES[one.type], one.topic, latched if 'static' in one.topic else 10
            )
            for one in drives.drive()
            if 'ground_truth/' not in one.topic or one.topic.endswith('objects')
        }

    def send(self, said):
        for one in said:
            if one.topic in self._publishers:
                data = bytes(serialize(one.message))
                self._ros.call(lambda p=self._publishers[one.topic], d=data: p.publish(d))

    def until_shown(self, node, rounds, first=0):
        """Send frame after frame, each when the node has drawn the one before."""
        for publisher in self._publishers.values():
            self._ros.matched(publisher)
        self.send([drives.mountings()])
        for number in itertools.count(first):
            before = node.diagnostics.total('out')
            if before >= rounds * SHOWN:
                return
            self.send(drives.frame(number))
            self._ros.until(lambda: node.diagnostics.total('out') > before, 'drawing')  # noqa: B023


def start(ros, **parameters):
    overrides = [Parameter(name, value=value) for name, value in parameters.items()]
    return ros.add(ViewerNode(parameter_overrides=overrides))


def test_what_the_node_gets_is_in_its_file(ros, tmp_path):
    file = tmp_path / 'live.rrd'
    node = start(ros, save=str(file), max_rate=100.0, boxes='/my/detector')
    Drive(ros).until_shown(node, 4)
    problems = node.diagnostics.problems
    assert problems.total == 0, problems.last
    ros.remove(node)
    shown = RrdFile(file)
    assert {
        '/camera', '/camera/image', '/camera/depth', '/camera/classes', '/points/lidar',
        '/objects/truth/visible', '/objects/my/detector', '/tracks/visible', '/tracks/hidden',
        '/transforms/base_link', '/transforms/lidar', '/transforms/camera_optical_frame',
        '/log/depth_segmentation', '/diagnostics/latency/depth_segmentation/age p50',
    } <= shown.entities  # fmt: skip
    assert shown.times('/camera/image')[0] in drives.stamps()
    ghosts = [label for row in shown.values('/tracks/hidden', 'Boxes3D:labels') for label in row]
    assert ghosts
    assert all(label.startswith('pedestrian 12 hidden') for label in ghosts)
    assert ('3D', 'world') in shown.views


def test_a_topic_is_shown_at_most_so_often(ros, tmp_path):
    node = start(ros, save=str(tmp_path / 'slow.rrd'), max_rate=0.1, boxes='/my/detector')
    sender = Drive(ros)
    sender.until_shown(node, 1)
    for number in range(100, 110):
        sender.send(drives.frame(number))
    assert node.diagnostics.total('in') == SHOWN, 'one of each in ten seconds'
    ros.remove(node)
    assert len(RrdFile(tmp_path / 'slow.rrd').times('/camera/image')) == 1


def test_a_message_that_cannot_be_shown_is_a_diagnostic_and_the_next_one_is_shown(ros, tmp_path):
    statuses = ros.collect(DiagnosticArray, '/diagnostics')
    node = start(ros, save=str(tmp_path / 'bad.rrd'), max_rate=100.0, boxes='/my/detector')
    sender = Drive(ros)
    broken = drives.frame(0)
    for one in broken:
        if one.topic == '/camera/image_raw':
            one.message.encoding = 'of_another_world'
    for publisher in sender._publishers.values():
        ros.matched(publisher)
    sender.send(broken)
    statuses.wait(
        lambda array: any(
            pair.key == 'last problem' and 'of_another_world' in pair.value
            for one in array.status
            for pair in one.values
        ),
        'the problem',
    )
    sender.until_shown(node, 2, first=1)
    ros.remove(node)
    assert RrdFile(tmp_path / 'bad.rrd').times('/camera/image')


def test_without_the_extra_configuring_fails_and_says_what_to_install(ros, monkeypatch, tmp_path):
    node = start(ros, save=str(tmp_path / 'x.rrd'), autostart=False)
    monkeypatch.setitem(sys.modules, 'rerun', None)
    assert ros.call(node.trigger_configure) == TransitionCallbackReturn.FAILURE
    assert 'make view' in node.diagnostics.problems.last
    ros.remove(node)
