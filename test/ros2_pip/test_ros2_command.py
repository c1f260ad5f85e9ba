"""The `ros2` command over real Fast DDS."""

import re
import signal
import time
from pathlib import Path

import pytest
import yaml

TALKER = Path(__file__).parent / 'ros2_talker.py'
pytestmark = [pytest.mark.ros, pytest.mark.slow]

# Commands that only look; they run side by side, because each waits for discovery.
QUERIES = {
    'list': ('topic', 'list', '-t', '--spin-time', '8'),
    'nodes': ('node', 'list', '--spin-time', '8'),
    'info': ('topic', 'info', '-v', 'count', '--spin-time', '8'),
    'echo': ('topic', 'echo', '--once', '/array'),
    'no array': ('topic', 'echo', '--once', '--no-arr', '/array'),
    'field': ('topic', 'echo', '--once', '--field', 'layout.data_offset', '/array'),
    'latched': ('topic', 'echo', '--once', '/latched'),
    'detection': ('topic', 'echo', '--once', '/detection', 'vision_msgs/msg/Detection3D'),
    'wrong field': ('topic', 'echo', '--once', '--field', 'none', '/array'),
    'parameters': ('param', 'list', '/demo/talker'),
    'parameter': ('param', 'get', 'demo/talker', 'gain'),
    'array parameter': ('param', 'get', '/demo/talker', 'names'),
    'state': ('lifecycle', 'get', '/demo/talker'),
    'silent': ('topic', 'echo', '--once', '--timeout', '1', '/no_such_topic'),
    'no node': ('param', 'get', '--timeout', '1', '/no_such_node', 'gain'),
}


@pytest.fixture(scope='module')
def talker(module_ros2):
    return module_ros2.python(TALKER)


@pytest.fixture(scope='module')
def answers(module_ros2, talker):
    """Exit code and output of every query."""
    started = {name: module_ros2.start(*words) for name, words in QUERIES.items()}
    outputs = {name: process.communicate(timeout=180)[0] for name, process in started.items()}
    return {name: (started[name].returncode, output) for name, output in outputs.items()}


def test_topics_and_nodes_are_listed(answers):
    code, output = answers['list']
    assert code == 0
    lines = output.splitlines()
    assert '/count [std_msgs/msg/UInt32]' in lines
    assert '/detection [vision_msgs/msg/Detection3D]' in lines
    assert answers['nodes'] == (0, '/demo/talker\n')


def test_topic_info_names_type_and_qos(answers):
    code, output = answers['info']
    assert code == 0
    for line in (
        'Type: std_msgs/msg/UInt32',
        'Publisher count: 1',
        'Node name: talker',
        'Node namespace: /demo',
        '  Reliability: RELIABLE',
        '  Durability: VOLATILE',
        'Subscription count: 0',
    ):
        assert line in output.splitlines()
    assert re.search(r'Topic type hash: RIHS01_[0-9a-f]{64}', output)


def test_echo_prints_messages_as_yaml(answers):
    code, output = answers['echo']
    assert code == 0
    message = yaml.safe_load(output.split('---')[0])
    assert message['data'] == [*range(128), '...']
    assert message['layout'] == {'dim': [], 'data_offset': 0}
    assert "'<sequence, length: 200>'" in answers['no array'][1]
    assert answers['field'] == (0, '0\n---\n')
    assert answers['latched'] == (0, 'data: for late listeners\n---\n')
    detection = yaml.safe_load(answers['detection'][1].split('---')[0])
    assert detection['id'] == '7'
    assert detection['bbox']['center']['orientation']['w'] == 1.0


def test_parameters_and_states_are_printed(answers):
    assert {'gain', 'names', 'use_sim_time'} <= set(answers['parameters'][1].split())
    assert answers['parameter'] == (0, 'Double value is: 1.5\n')
    assert answers['array parameter'] == (0, "String array value is: ['a', 'b']\n")
    assert answers['state'] == (0, 'unconfigured [1]\n')


def test_what_is_not_there_is_named(answers):
    for query, words in (
        ('silent', "nobody publishes or subscribes '/no_such_topic'"),
        ('no node', "node '/no_such_node' not found"),
        ('wrong field', "'none' is no field"),
    ):
        code, output = answers[query]
        assert code == 1
        assert words in output


def test_parameters_and_states_are_changed(ros2, talker):
    assert ros2.run('param', 'set', '/demo/talker', 'gain', '2.5') == (
        0, 'Set parameter successful\n',
    )  # fmt: skip
    assert ros2.run('param', 'get', '/demo/talker', 'gain')[1] == 'Double value is: 2.5\n'
    code, output = ros2.run('param', 'set', '/demo/talker', 'gain', 'text')
    assert code == 1
    assert 'setting the parameter failed' in output
    code, output = ros2.run('lifecycle', 'set', '/demo/talker', 'activate')
    assert code == 1
    assert 'possible: configure' in output
    assert ros2.run('lifecycle', 'set', '/demo/talker', 'configure')[0] == 0
    assert ros2.run('lifecycle', 'get', '/demo/talker')[1] == 'inactive [2]\n'


def test_hz_measures_the_rate(ros2, talker):
    process = ros2.start('topic', 'hz', '/count')
    average = None
    for line in ros2.lines(process):
        rate = re.match(r'average rate: (.*)', line)
        window = re.search(r'window: (\d+)', line)
        if rate:
            average = float(rate.group(1))
        if window and int(window.group(1)) >= 20:
            break
    assert 10 < average < 40  # 20 Hz, on a machine that may be busy
    assert ros2.interrupt(process)[0] == 130


@pytest.fixture(scope='module')
def bags(module_ros2, talker, tmp_path_factory):
    """Bags of the talker's topics by storage, recorded until they were interrupted twice."""
    topics = ('/count', '/latched', '/detection')
    folder = tmp_path_factory.mktemp('bags')
    recorders = {
        storage: module_ros2.start(
            'bag', 'record', '-s', storage, '-o', folder / storage, '--topics', *topics
        )
        for storage in ('mcap', 'sqlite3')
    }
    for process in recorders.values():
        seen = set()
        for line in module_ros2.lines(process):
            seen.update(re.findall(r"Subscribed to topic '(.*)'", line))
            if seen == set(topics):
                break
        assert seen == set(topics)
    time.sleep(2.0)  # this much is to be recorded
    for process in recorders.values():
        process.send_signal(signal.SIGINT)
        code, output = module_ros2.interrupt(process)
        assert code == 0, output
    return {storage: folder / storage for storage in recorders}


@pytest.fixture
def bag(bags):
    return bags['mcap']


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_recording_has_all_messages_qos_and_types(bags, storage, ros2):
    from rosbags.interfaces import QosDurability, QosReliability
    from rosbags.rosbag2 import Reader

    with Reader(bags[storage]) as reader:
        connections = {connection.topic: connection for connection in reader.connections}
        assert set(connections) == {'/count', '/latched', '/detection'}
        offers = connections['/latched'].ext.offered_qos_profiles
        assert [offer.durability for offer in offers] == [QosDurability.TRANSIENT_LOCAL]
        offers = connections['/count'].ext.offered_qos_profiles
        assert [offer.reliability for offer in offers] == [QosReliability.RELIABLE]
        assert 'MSG: vision_msgs/BoundingBox3D' in connections['/detection'].msgdef.data
        assert connections['/detection'].digest.startswith('RIHS01_')
        counts = [
            int.from_bytes(data[4:8], 'little')
            for connection, _, data in reader.messages([connections['/count']])
        ]
        assert connections['/latched'].msgcount == 1
    assert len(counts) >= 10
    assert counts == list(range(counts[0], counts[0] + len(counts)))
    code, output = ros2.run('bag', 'info', bags[storage])
    assert code == 0
    assert f'Topic: /count | Type: std_msgs/msg/UInt32 | Count: {len(counts)}' in output


# The talker still talks; only the bag shall be heard.
REMAP = ('--remap', '/count:=/renamed', '/latched:=/renamed_latched')


class Listener:
    """Collects what a played bag publishes."""

    def __init__(self):
        import rclpy
        from rclpy.qos import DurabilityPolicy, QoSProfile
        from rosgraph_msgs.msg import Clock
        from std_msgs.msg import String, UInt32

        self._context = rclpy.Context()
        rclpy.init(args=[], context=self._context)
        self._node = rclpy.create_node('listener', context=self._context)
        self._executor = rclpy.executors.SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self.counts, self.times, self.texts = [], [], []
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        for kind, topic, qos, sink in (
            (UInt32, '/renamed', 1000, lambda m: self.counts.append(m.data)),
            (Clock, '/clock', 1000, lambda m: self.times.append(m.clock.sec * 10**9
                                                                + m.clock.nanosec)),
            (String, '/renamed_latched', latched, lambda m: self.texts.append(m.data)),
        ):  # fmt: skip
            self._node.create_subscription(kind, topic, sink, qos)

    def spin_until(self, condition, deadline=90.0):
        end = time.monotonic() + deadline
        while not condition():
            assert time.monotonic() < end, (self.counts, len(self.times), self.texts)
            self._executor.spin_once(timeout_sec=0.1)

    def close(self):
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.shutdown()


@pytest.fixture
def listener():
    listener = Listener()
    yield listener
    listener.close()


def test_a_bag_is_played_as_it_was_recorded(bag, ros2, listener):
    process = ros2.start(
        *('bag', 'play', bag, '--clock', '100', '--delay', '4', '--rate', '4'),
        *(*REMAP, '--topics', '/count', 'latched'),
    )
    listener.spin_until(lambda: process.poll() is not None)
    assert process.returncode == 0
    assert len(listener.counts) >= 10
    assert listener.counts == list(range(listener.counts[0], listener.counts[-1] + 1))
    assert listener.texts == ['for late listeners']
    steps = [later - earlier for earlier, later in zip(listener.times, listener.times[1:],
                                                       strict=False)]  # fmt: skip
    assert steps
    assert set(steps) == {40_000_000}  # 100 Hz at four times the speed


def test_a_loop_jumps_back_and_ends_with_ctrl_c(bag, ros2, listener):
    process = ros2.start(
        *('bag', 'play', bag, '--loop', '--clock', '--rate', '8'),
        *('--start-offset', '1', *REMAP, '--exclude-topics', '/detection'),
    )

    def jumped():
        return any(b < a for a, b in zip(listener.times, listener.times[1:], strict=False))

    listener.spin_until(lambda: jumped() and listener.counts.count(listener.counts[-1]) > 1)
    # Said before the offset, but latched: repeated for those who listen now.
    listener.spin_until(lambda: listener.texts)
    process.send_signal(signal.SIGINT)
    assert ros2.interrupt(process)[0] == 0


def test_wrong_uses_of_bags_are_explained(bag, ros2, tmp_path):
    broken = tmp_path / 'qos.yaml'
    broken.write_text('/count: {reliability: perhaps}')
    uses = {
        ('bag', 'info', tmp_path / 'none'): 'cannot read the bag',
        ('bag', 'play', tmp_path): 'cannot read the bag',
        ('bag', 'play', bag, '--start-offset', '1000'): 'not within the bag',
        ('bag', 'play', bag, '--topics', '/none'): 'nothing to play',
        ('bag', 'play', bag, '--rate', '0'): 'not greater than 0',
        ('bag', 'play', bag, '--qos-profile-overrides-path', broken): 'QoS overrides',
        ('bag', 'record', '-o', bag, '-a'): 'cannot write the bag',
        ('bag', 'record', '-o', tmp_path / 'new'): 'name the topics',
    }
    started = {words: ros2.start(*words) for words in uses}
    for words, process in started.items():
        output, _ = process.communicate(timeout=90)
        assert process.returncode != 0
        assert uses[words] in output


def test_packages_are_found_and_executables_run(ros2, tmp_path):
    import sys

    assert 'vision_msgs' in ros2.run('pkg', 'list')[1].split()
    assert ros2.run('pkg', 'prefix', 'rclpy') == (0, f'{sys.prefix}\n')
    code, output = ros2.run('pkg', 'prefix', 'no_such_package')
    assert code == 1
    assert 'package not found' in output
    code, output = ros2.run('run', 'std_msgs', 'nothing')
    assert code == 1
    assert "no executable 'nothing'" in output
    index = tmp_path / 'share/ament_index/resource_index/packages'
    index.mkdir(parents=True)
    (index / 'own').touch()
    program = tmp_path / 'lib/own/program'
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "$@"\nexit 5\n')
    program.chmod(0o755)
    import os

    environment = {**os.environ, 'AMENT_PREFIX_PATH': str(tmp_path)}
    assert ros2.run('run', 'own', 'program', 'a', '--b', env=environment) == (5, 'a --b\n')
    assert ros2.run('pkg', 'executables', 'own', env=environment)[1] == 'own program\n'
