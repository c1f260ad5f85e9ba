"""The simulator node: what it publishes are the bag's bytes; work only for subscribers."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='no ROS 2 installed')
import yaml
from hypothesis import given
from hypothesis import strategies as st
from rcl_interfaces.msg import Log
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection3DArray, LabelInfo
from visualization_msgs.msg import Marker, MarkerArray

from sim_perception.bags import topics as t_
from sim_perception.bags.messages import START_STAMP
from sim_perception.bags.simulated import simulation_messages
from sim_perception.nodes.simulator import SimulatorNode
from sim_perception.ros import qos
from sim_perception.ros.clouds import cloud_points
from sim_perception.ros.conversions import stamp_to_ns
from sim_perception.ros.schedule import schedule
from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.simulation import Simulation

pytestmark = pytest.mark.ros
ROOT = Path(__file__).parents[2]


@given(
    duration=st.floats(0.05, 3),
    frame=st.sampled_from([0.1, 0.05, 1 / 30]),
    scan=st.sampled_from([None, 0.1, 1 / 15]),
    clock=st.sampled_from([10.0, 50.0, 100.0]),
)
def test_the_schedule_is_ordered_and_complete(duration, frame, scan, clock):
    periods = {frame: [t_.IMAGE.name]}
    if scan is not None:
        periods[scan] = [*periods.get(scan, ()), t_.POINTS.name]
    moments = list(schedule(duration, periods, clock))
    times = [m.time for m in moments]
    assert times == sorted(set(times))
    assert times[0] == 0
    assert times[-1] <= duration * 1e9
    for topic, period in ((t_.IMAGE, frame), (t_.POINTS, scan), (t_.TF, None)):
        found = [m.time for m in moments if topic.name in m.topics]
        if topic is t_.TF:
            assert found == times
        elif period is None:
            assert not found
        else:
            np.testing.assert_allclose(found, np.arange(len(found)) * period * 1e9, atol=1)
            assert len(found) == int(np.ceil(duration / period - 1e-9))


@pytest.fixture(scope='module')
def scenario_file(tmp_path_factory):
    """A small, quick scene."""
    path = tmp_path_factory.mktemp('scenario') / 'small.yaml'
    content = {
        'duration_s': 0.5,
        'camera': {'width': 64, 'height': 32},
        'lidar': {'rings': 4, 'columns': 64},
        'truth_range_m': 200.0,
    }
    path.write_text(yaml.safe_dump(content))
    return path


def start(ros, namespace, scenario_file, **parameters):
    values = {'scenario': str(scenario_file), 'threads': 1, 'autostart': False, **parameters}
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    return ros.add(SimulatorNode(namespace=namespace, parameter_overrides=overrides))


def activate(ros, node, *topics):
    """Configure, wait until this process subscribes to the topics, and activate."""
    if node.diagnostics.state == 'unconfigured':
        ros.call(node.trigger_configure, deadline=240)  # may compile all of the renderer
    for name in topics:
        ros.matched(node._outputs[name])
    ros.call(node.trigger_activate)


def test_published_bytes_are_those_of_the_bag(ros, scenario_file):
    node = start(ros, 'exact', scenario_file, rate=0.0, stamps='fixed')
    types = {
        t_.IMAGE.name: Image, t_.CAMERA_INFO.name: CameraInfo, t_.POINTS.name: PointCloud2,
        t_.OBJECTS.name: Detection3DArray, t_.DEPTH.name: Image,
    }  # fmt: skip
    try:
        inputs = {
            name: ros.collect(kind, f'/exact{name}', qos.stream_qos(), raw=True)
            for name, kind in types.items()
        }
        activate(ros, node, *types)
        simulation = Simulation(load_scenario(scenario_file))
        for message in simulation_messages(simulation, 0.0, set(types)):
            data = bytes(message.data)
            inputs[message.topic].wait(lambda m, d=data: bytes(m) == d, message.topic)
        ros.until(lambda: node.diagnostics.state == 'finished', 'the end')
        assert len(inputs[t_.POINTS.name].messages) <= 5
    finally:
        ros.remove(node)


def test_every_sensor_of_a_rig_is_on_its_topics(ros, tmp_path):
    path = tmp_path / 'rig.yaml'
    left = {'name': 'stereo/left', 'kind': 'camera', 'xyz': [1, 0.2, 1.4]}
    sensors = [
        left,
        {**left, 'name': 'stereo/right', 'xyz': [1, -0.2, 1.4], 'stereo_with': 'stereo/left'},
        {'name': 'front', 'kind': 'lidar', 'xyz': [2, 0, 0.6], 'rate_hz': 5},
        {'name': 'roof', 'kind': 'lidar', 'xyz': [0, 0, 1.9]},
    ]
    path.write_text(
        yaml.safe_dump(
            {
                'duration_s': 0.4,
                'camera': {'width': 64, 'height': 32},
                'lidar': {'rings': 2, 'columns': 32},
                'sensors': sensors,
            }
        )
    )
    node = start(ros, 'rig', path, rate=0.0, stamps='fixed')
    try:
        infos = ros.collect(CameraInfo, '/rig/stereo/right/camera_info', qos.stream_qos())
        depth = ros.collect(Image, '/rig/stereo/right/ground_truth/depth', qos.stream_qos())
        front = ros.collect(PointCloud2, '/rig/front/points', qos.stream_qos())
        roof = ros.collect(PointCloud2, '/rig/roof/points', qos.stream_qos())
        static = ros.collect(TFMessage, '/tf_static', qos.latched_qos())
        names = ['/stereo/right/camera_info', '/stereo/right/ground_truth/depth']
        activate(ros, node, *names, '/front/points', '/roof/points')
        ros.until(lambda: node.diagnostics.state == 'finished', 'the end')
        info = infos.wait(lambda m: True, 'calibration')
        assert info.header.frame_id == 'stereo_right_optical_frame'
        assert -info.p[3] / info.p[0] == pytest.approx(0.4)
        assert depth.wait(lambda m: True, 'depth').header.frame_id == info.header.frame_id
        roof.wait(lambda m: len(roof.messages) == 4, 'four turns')
        front.wait(lambda m: len(front.messages) == 2, 'two turns')
        mountings = static.wait(lambda m: len(m.transforms) == 5, 'mountings')
        assert {t.child_frame_id for t in mountings.transforms} == {
            'odom', 'stereo_left_optical_frame', 'stereo_right_optical_frame', 'front', 'roof',
        }  # fmt: skip
        assert '/camera/image_raw' not in node._outputs
    finally:
        ros.remove(node)


def test_real_time_topics_clock_transforms_and_markers(ros, scenario_file):
    node = start(ros, 'live', scenario_file, loop=True, stamps='fixed')
    try:
        images = ros.collect(Image, '/live/camera/image_raw')
        markers = ros.collect(MarkerArray, '/live/ground_truth/markers')
        labels = ros.collect(LabelInfo, '/live/ground_truth/label_info', qos.latched_qos())
        points = ros.collect(PointCloud2, '/live/lidar/points')
        clock = ros.collect(Clock, '/clock')
        transforms = ros.collect(TFMessage, '/tf', qos.stream_qos())
        static = ros.collect(TFMessage, '/tf_static', qos.latched_qos())
        activate(ros, node, t_.IMAGE.name, 'ground_truth/markers', t_.POINTS.name, t_.TF.name)
        image = images.wait(what='an image')
        assert (image.encoding, image.header.frame_id) == ('rgb8', 'camera_optical_frame')
        assert (stamp_to_ns(image.header.stamp) - START_STAMP) % 100_000_000 == 0
        assert len(cloud_points(points.wait(what='a cloud'), ('x', 'y', 'z', 'ring', 'time')))
        assert markers.wait(what='markers').markers[0].action == Marker.DELETEALL
        assert labels.wait(what='labels').class_map
        mounted = {'camera_optical_frame', 'lidar', 'odom'}
        static.wait(lambda m: mounted <= {t.child_frame_id for t in m.transforms}, 'mountings')
        moving = transforms.wait(what='a transform').transforms[0]
        assert (moving.header.frame_id, moving.child_frame_id) == ('odom', 'base_link')
        # With fixed stamps, the next round of a loop starts at the same time: the clock jumps.
        first = stamp_to_ns(clock.wait(what='the clock').clock)
        late = clock.wait(lambda m: stamp_to_ns(m.clock) > first + 300_000_000, 'a later clock')
        clock.clear()
        clock.wait(lambda m: stamp_to_ns(m.clock) < stamp_to_ns(late.clock), 'the jump back')
    finally:
        ros.remove(node)


@pytest.fixture(scope='module')
def configured(ros, scenario_file):
    """A node in the root namespace that is ready to be activated."""
    node = start(ros, '', scenario_file, rate=0.0)
    ros.call(node.trigger_configure)
    yield node
    ros.remove(node)


def test_rviz_shows_topics_that_exist(configured):
    rviz = yaml.safe_load((ROOT / 'config' / 'rviz' / 'pipeline.rviz').read_text())
    displays = rviz['Visualization Manager']['Displays']
    shown = {d['Topic']['Value'] for d in displays if 'Topic' in d}
    publishers = configured.get_publisher_names_and_types_by_node('simulator', '/')
    others = {
        'depth_segmentation': 'nodes/depth_segmentation.py',
        'tracker': 'ros/track_outputs.py',
        'auto_labeler': 'nodes/auto_labeler.py',
        'detector_3d': 'nodes/detector_3d.py',
    }
    own = {f'/{name}' for name in shown if name.split('/')[0] not in others}
    assert own <= {name for name, _ in publishers}
    for name in shown:
        node, _, topic = name.partition('/')
        if node in others:
            source = (ROOT / 'sim_perception' / others[node]).read_text()
            assert f"'{topic}'" in source or f"'~/{topic}'" in source, name


def test_nothing_is_rendered_for_nobody(ros, configured, monkeypatch):
    calls = []
    original = Simulation.camera_frame

    def counted(self, t, layers, camera=None):
        calls.append(layers)
        return original(self, t, layers, camera)

    monkeypatch.setattr(Simulation, 'camera_frame', counted)
    ros.call(configured.trigger_activate)
    ros.until(lambda: configured.diagnostics.state == 'finished', 'the end')
    assert calls == []
    ros.call(configured.trigger_deactivate)
    depth = ros.collect(Image, '/ground_truth/depth')
    activate(ros, configured, t_.DEPTH.name)
    depth.wait(what='depth')
    ros.until(lambda: configured.diagnostics.state == 'finished', 'the end')
    assert set(calls) == {frozenset({'depth'})}


def test_a_scenario_that_is_over_at_once_is_finished(ros, configured, monkeypatch):
    start, pause = SimulatorNode.start, threading.Event()

    def slow(self):
        start(self)
        end = time.monotonic() + 60
        while self.diagnostics.state != 'finished' and time.monotonic() < end:
            pause.wait(0.01)

    monkeypatch.setattr(SimulatorNode, 'start', slow)
    ros.call(configured.trigger_activate)
    assert configured.diagnostics.state == 'finished'
    ros.call(configured.trigger_deactivate)


def test_a_node_is_active_when_all_that_it_starts_is_there(ros, configured, monkeypatch):
    start, seen = SimulatorNode.start, []

    def watched(self):
        seen.append(self.diagnostics.state)
        start(self)
        seen.append(self.diagnostics.state)

    monkeypatch.setattr(SimulatorNode, 'start', watched)
    ros.call(configured.trigger_activate)
    assert seen[0] == 'activating'
    assert 'active' not in seen
    assert configured.diagnostics.state in ('active', 'finished')
    ros.call(configured.trigger_deactivate)


def test_a_wrong_scenario_is_reported_and_the_node_lives(ros, tmp_path, scenario_file):
    bad = tmp_path / 'bad.yaml'
    bad.write_text('camera: {width: 3}\n')
    log = ros.collect(Log, '/rosout')
    node = start(ros, 'wrong', bad, autostart=True)
    try:
        log.wait(lambda m: 'cannot configure' in m.msg and 'camera.width' in m.msg)
        node.set_parameters([Parameter('scenario', value=str(scenario_file))])
        ros.call(node.trigger_configure, deadline=240)  # may compile all of the renderer
        assert node.diagnostics.state == 'inactive'
    finally:
        ros.remove(node)


def launch(name, *arguments):
    command = [sys.executable, '-m', f'sim_perception.nodes.{name}', *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ))


def test_the_process_ends_by_itself_when_asked(scenario_file):
    parameters = (f'scenario:={scenario_file}', 'exit_at_end:=true', 'rate:=0', 'threads:=1')
    arguments = [part for parameter in parameters for part in ('-p', parameter)]
    process = launch('simulator', '--ros-args', *arguments)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert 'Traceback' not in errors


def test_bad_parameters_end_the_process_with_a_message():
    process = launch('simulator', '--ros-args', '-p', 'stamps:=yesterday')
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert 'error: parameter stamps must be one of wall, fixed' in errors
    assert 'Traceback' not in errors


def test_the_whole_pipeline_in_one_process(ros, scenario_file, dummy_checkpoint, tmp_path):
    values = {
        'simulator': {'scenario': str(scenario_file), 'loop': True, 'threads': 1},
        'depth_segmentation': {'checkpoint': str(dummy_checkpoint), 'threads': 1},
    }
    files = []
    for name, changes in values.items():
        shipped = yaml.safe_load((ROOT / 'config' / f'{name}.param.yaml').read_text())
        shipped[f'/**/{name}']['ros__parameters'].update(changes)
        files.append(tmp_path / f'{name}.yaml')
        files[-1].write_text(yaml.safe_dump(shipped))
    depth = ros.collect(Image, '/whole/depth_segmentation/depth/image', qos.stream_qos())
    arguments = [part for file in files for part in ('--params-file', str(file))]
    process = launch(
        'pipeline', '--source', 'simulator', '--ros-args', '-r', '__ns:=/whole',
        *arguments,
    )  # fmt: skip
    try:
        image = depth.wait(what='depth')
        assert (image.width, image.height) == (64, 32)
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert 'Traceback' not in errors
