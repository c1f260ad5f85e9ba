"""Two robots in one graph: frames follow the prefix, topics the namespace."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip('rclpy', reason='no ROS 2 installed')
from rclpy.parameter import Parameter
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection3DArray

from sim_perception.bags import topics as t_
from sim_perception.bags.simulated import simulation_messages, static_messages
from sim_perception.bags.typestore import typestore
from sim_perception.bags.writer import BagWriter
from sim_perception.geometry.transforms import from_euler
from sim_perception.nodes.tracker import TrackerNode
from sim_perception.ros.conversions import ns_to_stamp
from sim_perception.ros.detections import to_detection_array
from sim_perception.ros.parameter_fields import FRAME_PREFIX, prefixed
from sim_perception.ros.parameters import NODES
from sim_perception.ros.recordings import image_transport_of
from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.simulation import Simulation
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Box3D, Detection

TAXONOMY = load_taxonomy()


@pytest.mark.parametrize('name', NODES)
def test_every_node_has_a_frame_prefix(name):
    assert getattr(NODES[name](), FRAME_PREFIX) == ''


def test_a_leading_slash_keeps_a_frame_from_being_prefixed():
    assert prefixed('robot1/', 'odom') == 'robot1/odom'
    assert prefixed('robot1/', '/map') == 'map'
    assert prefixed('robot1/', '') == '', 'no frame stays no frame'


def frame_ids(message):
    """Return every frame that a message names."""
    if hasattr(message, 'transforms'):
        return {f for t in message.transforms for f in (t.header.frame_id, t.child_frame_id)}
    parts = [message, *getattr(message, 'detections', [])]
    return {part.header.frame_id for part in parts if hasattr(part, 'header')}


def test_all_frames_of_a_simulated_robot_have_its_prefix():
    small = {'camera.width': 64, 'camera.height': 32, 'traffic.signals': True}
    scenario = load_scenario('target', **small)
    simulation = Simulation(scenario, threads=1)
    topics = set(t_.TOPICS)
    frames = {}
    for prefix in ('', 'robot1/'):
        sent = [
            *static_messages(simulation, topics, frame_prefix=prefix),
            *simulation_messages(simulation, 0.0, topics, frame_prefix=prefix),
        ]
        assert {message.topic for message in sent} == topics
        frames[prefix] = [
            frame_ids(typestore().deserialize_cdr(message.data, t_.topic(message.topic).type))
            for message in sent
        ]
    assert frames['robot1/'] == [{'robot1/' + name for name in one} for one in frames['']]


class Robot:
    """A tracker that finds its own motion, and its detector."""

    def __init__(self, ros, name):
        self.ros, self.name = ros, name
        values = {'ego_motion': 'estimate', 'frame_prefix': f'{name}/'}
        overrides = [Parameter(key, value=value) for key, value in values.items()]
        self.node = ros.add(TrackerNode(namespace=name, parameter_overrides=overrides))
        # a first start compiles
        ros.until(
            lambda: self.node.diagnostics.state == 'active', 'the activation', deadline=240.0
        )
        self.detections = ros.publisher(Detection3DArray, f'/{name}/detections', 100)
        self.tracks = ros.collect(Detection3DArray, f'/{name}/tracker/tracks', 100)
        ros.matched(self.detections)

    def send(self, stamp, ahead):
        header = Header(stamp=ns_to_stamp(stamp), frame_id=f'{self.name}/sensor')
        boxes = [
            Box3D(from_euler(0, 0, 0, (x, y, 0.75)), (4.2, 1.8, 1.5))
            for x, y in ((ahead, 0), (20, 6))
        ]
        found = [Detection(TAXONOMY.id_of('car'), 0.95, box3d=box) for box in boxes]
        self.detections.publish(to_detection_array(found, TAXONOMY, header))

    def seen_at(self, stamp):
        wanted = ns_to_stamp(stamp)
        return self.tracks.wait(lambda m: m.header.stamp == wanted, f'tracks of {self.name}')


@pytest.mark.ros
def test_two_trackers_do_not_mix_their_frames_and_objects(ros):
    frames = ros.collect(TFMessage, '/tf', 100)
    robots = {name: Robot(ros, name) for name in ('robot1', 'robot2')}
    distance = {'robot1': 10.0, 'robot2': 15.0}
    try:
        for n in range(5):
            stamp = (2_000 + n) * 10**9
            for name, robot in robots.items():
                robot.send(stamp, distance[name])
                robot.seen_at(stamp)
        for name, robot in robots.items():
            tracks = robot.seen_at(stamp)
            assert tracks.header.frame_id == f'{name}/tracker_odom'
            nearest = min(d.bbox.center.position.x for d in tracks.detections)
            assert nearest == pytest.approx(distance[name], abs=0.3)
        sent = {
            (t.header.frame_id, t.child_frame_id) for m in frames.messages for t in m.transforms
        }
        assert {(f'{name}/sensor', f'{name}/tracker_odom') for name in robots} <= sent
        assert not any(np.char.find(pair, 'tracker_odom')[1] == 0 for pair in sent)
    finally:
        for robot in robots.values():
            ros.remove(robot.node)


def test_launched_parameters_name_the_prefix_and_yield_to_the_users_file(tmp_path):
    pytest.importorskip('launch', reason='no launch installed')
    from launch import LaunchContext

    from sim_perception.ros import launch_arguments, launching

    chosen = tmp_path / 'own.param.yaml'
    chosen.write_text('/**/tracker: {ros__parameters: {frame_prefix: own/}}\n')
    context = LaunchContext()
    context.launch_configurations.update(frame_prefix='robot1/', params_file=str(chosen))
    values = launch_arguments.parameters_from(launch_arguments.FRAME_ARGUMENTS)
    files = launching.node_parameters(context, ['tracker', 'detector_3d'], values)
    assert files[-1] == str(chosen)
    written = yaml.safe_load(Path(files[-2]).read_text())
    assert written['/**/detector_3d']['ros__parameters'] == {'frame_prefix': 'robot1/'}


@pytest.mark.ros
def test_the_users_file_wins_over_launch_arguments(ros, tmp_path):
    """rcl ranks files by where they first name a node: all must name it in the same way."""
    pytest.importorskip('launch', reason='no launch installed')
    import rclpy
    from launch import LaunchContext
    from rclpy.node import Node

    from sim_perception.ros import launching

    for owner in ('/**/tracker', '/**', '/robot1/tracker'):
        chosen = tmp_path / 'own.param.yaml'
        chosen.write_text(f'{owner}: {{ros__parameters: {{frame_prefix: own/}}}}\n')
        context = LaunchContext()
        context.launch_configurations['params_file'] = str(chosen)
        values = {'frame_prefix': 'robot1/', 'tf_timeout': 0.5}
        files = launching.node_parameters(context, ['tracker'], values)
        words = [word for file in files for word in ('--params-file', file)]
        own = rclpy.Context()
        rclpy.init(args=['--ros-args', *words], context=own)
        node = Node(
            *('tracker',),
            namespace='robot1',
            context=own,
            automatically_declare_parameters_from_overrides=True,
        )
        try:
            assert node.get_parameter('frame_prefix').value == 'own/', owner
            assert node.get_parameter('tf_timeout').value == 0.5
            assert node.get_parameter('tracking_frame').value == 'odom'
        finally:
            node.destroy_node()
            own.shutdown()


def test_the_camera_of_a_bag_is_looked_for_in_the_namespace(tmp_path):
    with BagWriter(tmp_path / 'bag') as bag:
        for name in ('/robot1/camera/image_raw', '/camera/image_raw/compressed'):
            bag.add_topic(replace(t_.IMAGE, name=name))
    for namespace in ('robot1', '/robot1', '/robot1/'):
        assert image_transport_of(str(tmp_path / 'bag'), namespace) == 'raw'
    assert image_transport_of(str(tmp_path / 'bag')) == 'compressed'
