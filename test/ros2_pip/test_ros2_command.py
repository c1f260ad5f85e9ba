"""The `ros2` command over real Fast DDS."""

import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from mcap.writer import Writer as McapWriter

TALKER = Path(__file__).parent / 'ros2_talker.py'
pytestmark = [pytest.mark.ros, pytest.mark.slow]

# Commands that only look; some run side by side, because each waits for discovery.
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
    'all parameters': ('param', 'list', '--spin-time', '8'),
    'all states': ('lifecycle', 'get', '--spin-time', '8'),
    'state': ('lifecycle', 'get', '/demo/talker'),
    'services': ('service', 'list', '-t', '--spin-time', '8'),
    'service type': ('service', 'type', '/demo/talker/get_parameters', '--spin-time', '8'),
    'called': (
        *('service', 'call', '/demo/talker/get_parameters', 'rcl_interfaces/srv/GetParameters'),
        '{names: [gain, names]}',
    ),
    'wrong request': (
        *('service', 'call', '/demo/talker/get_state', 'lifecycle_msgs/srv/GetState'),
        '{state: 1}',
    ),
    'no service': (*('service', 'call', '--timeout', '1', '/nothing', 'std_srvs/srv/Empty'),),
    'type': ('topic', 'type', '/detection', '--spin-time', '8'),
    'found': ('topic', 'find', 'std_msgs/msg/String', '--spin-time', '8'),
    'node': ('node', 'info', 'demo/talker', '--spin-time', '8'),
    'no info': ('node', 'info', '/nobody', '--spin-time', '1'),
    'lifecycle nodes': ('lifecycle', 'nodes', '--spin-time', '8'),
    'transitions': ('lifecycle', 'list', '/demo/talker'),
    'all transitions': ('lifecycle', 'list', '--all', '/demo/talker'),
    'dump': ('param', 'dump', '/demo/talker'),
    'described': ('param', 'describe', '/demo/talker', 'gain', 'names'),
    'doctor': ('doctor', '--spin-time', '8'),
    'report': ('wtf', '--report', '--spin-time', '8'),
    'shown': ('interface', 'show', 'geometry_msgs/msg/PointStamped'),
    'shown without comments': ('interface', 'show', '--no-comments', 'std_srvs/srv/SetBool'),
    'not shown': ('interface', 'show', 'std_msgs/String'),
    'silent': ('topic', 'echo', '--once', '--timeout', '1', '/no_such_topic'),
    'no node': ('param', 'get', '--timeout', '1', '/no_such_node', 'gain'),
}


@pytest.fixture(scope='module')
def talker(module_ros2):
    return module_ros2.python(TALKER)


@pytest.fixture(scope='module')
def answers(module_ros2, talker):
    """Exit code and output of every query."""
    with ThreadPoolExecutor(8) as pool:  # more at once would run into their own time limits
        answers = pool.map(lambda words: module_ros2.run(*words, deadline=180), QUERIES.values())
        return dict(zip(QUERIES, answers, strict=True))


def ros1_mcap(folder: Path) -> Path:
    """Return an MCAP file with a ROS 1 channel."""
    path = folder / 'one' / 'ros1.mcap'
    path.parent.mkdir()
    with path.open('wb') as stream:
        writer = McapWriter(stream)
        writer.start(profile='ros2')
        schema = writer.register_schema('std_msgs/String', 'ros1msg', b'string data')
        channel = writer.register_channel('/talk', 'ros1', schema)
        writer.add_message(channel, 0, b'\x01\x00\x00\x00a', 0)
        writer.finish()
    return path


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
    assert answers['all states'] == (0, '/demo/talker: unconfigured [1]\n')
    names = answers['parameters'][1]
    assert answers['all parameters'] == (0, f'/demo/talker:\n{names}')


def test_services_are_listed_and_called(answers):
    code, output = answers['services']
    assert code == 0
    assert '/demo/talker/get_state [lifecycle_msgs/srv/GetState]' in output.splitlines()
    assert answers['service type'] == (0, 'rcl_interfaces/srv/GetParameters\n')
    code, output = answers['called']
    assert code == 0
    assert "making request: rcl_interfaces.srv.GetParameters_Request(names=['gain'" in output
    assert 'response:\n' in output
    assert 'double_value=1.5' in output
    assert "string_array_value=['a', 'b']" in output


def test_topics_and_nodes_tell_what_they_have(answers):
    assert answers['type'] == (0, 'vision_msgs/msg/Detection3D\n')
    assert answers['found'] == (0, '/latched\n')
    code, output = answers['node']
    assert code == 0
    sections = re.split(r'^  (\w[\w ]*):\n', output, flags=re.MULTILINE)
    assert sections[0] == '/demo/talker\n'
    found = dict(zip(sections[1::2], sections[2::2], strict=True))
    assert '    /count: std_msgs/msg/UInt32\n' in found['Publishers']
    assert '    /demo/talker/get_state: lifecycle_msgs/srv/GetState\n' in found['Service Servers']
    assert found['Subscribers'] == ''


def test_lifecycle_nodes_and_their_transitions_are_listed(answers):
    assert answers['lifecycle nodes'] == (0, '/demo/talker\n')
    code, output = answers['transitions']
    assert code == 0
    assert '- configure [1]\n\tStart: unconfigured\n\tGoal: configuring\n' in output
    assert 'activate' not in output
    assert (
        '- activate [3]\n\tStart: inactive\n\tGoal: activating\n'
        in (answers['all transitions'][1])
    )


def test_parameters_are_dumped_and_described(answers):
    code, output = answers['dump']
    assert code == 0
    dumped = yaml.safe_load(output)['/demo/talker']['ros__parameters']
    assert dumped['gain'] == 1.5
    assert dumped['names'] == ['a', 'b']
    code, output = answers['described']
    assert code == 0
    assert output.startswith(
        'Parameter name: gain\n  Type: double\n  Description: how loud\n  Constraints:\n'
        '    Min value: 0.0\n    Max value: 11.0\n'
    )
    assert 'Parameter name: names\n  Type: string array\n' in output


def test_definitions_are_shown_with_their_parts(answers):
    code, output = answers['shown']
    assert code == 0
    comment, *fields = [line for line in output.splitlines() if line]
    assert comment.startswith('# This represents a Point')
    assert fields == [
        'std_msgs/Header header',
        '\tbuiltin_interfaces/Time stamp',
        '\t\tint32 sec',
        '\t\tuint32 nanosec',
        '\tstring frame_id',
        'Point point',
        *(f'\tfloat64 {axis}' for axis in 'xyz'),
    ]
    assert answers['shown without comments'] == (
        0, 'bool data\n---\nbool success\nstring message\n',
    )  # fmt: skip


def test_the_doctor_looks_at_machine_and_graph(answers):
    code, output = answers['doctor']
    assert code == 0, output
    assert 'topic: warning: Publisher without subscriber detected on /detection.' in output
    assert 'All 5 checks passed' in output
    code, output = answers['report']
    assert code == 0
    assert re.search(r'/detection +: 1 publishers, \d+ subscribers', output)
    assert re.search(r'rclpy +: \d+\.', output)


def test_what_is_not_there_is_named(answers):
    for query, words in (
        ('no service', "no service '/nothing' within 1 s"),
        ('wrong request', "has no field 'state'"),
        ('no info', "Unable to find node '/nobody'"),
        ('not shown', "Invalid name 'std_msgs/String'. Expected three parts"),
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


def test_a_parameter_file_is_loaded_by_any_name_of_the_node(ros2, talker, tmp_path):
    file = tmp_path / 'own.yaml'
    file.write_text(
        '/**: {ros__parameters: {gain: 3.0, names: [c]}}\n'
        '/**/talker: {ros__parameters: {gain: 4.0}}\n'
        '/other: {ros__parameters: {gain: 5.0}}\n'
    )
    code, output = ros2.run('param', 'load', '/demo/talker', file)
    assert code == 0
    assert 'Set parameter gain successful' in output
    dumped = yaml.safe_load(ros2.run('param', 'dump', '/demo/talker')[1])
    assert dumped['/demo/talker']['ros__parameters']['gain'] == 4.0
    assert dumped['/demo/talker']['ros__parameters']['names'] == ['c']
    file.write_text('/other: {ros__parameters: {gain: 5.0}}\n')
    code, output = ros2.run('param', 'load', '/demo/talker', file)
    assert code == 1
    assert 'no parameters of /demo/talker' in output


def test_what_is_published_arrives_as_it_was_written(ros2):
    message = (
        '{header: auto, frame: {a: 1}}',
        '{header: auto, id: "7", bbox: {size: {x: 4}}, results: [{hypothesis: {score: 1}}]}',
    )
    kind = 'vision_msgs/msg/Detection3D'
    code, output = ros2.run('topic', 'pub', '--once', '-w', '0', '/mine', kind, message[0])
    assert code == 1
    assert "no field 'frame'; it has header, results, bbox, id" in output
    echo = ros2.start('topic', 'echo', '--once', '/mine', kind)
    code, output = ros2.run('topic', 'pub', '--times', '2', '-r', '5', '/mine', kind, message[1])
    assert code == 0
    assert 'publishing #2: vision_msgs.msg.Detection3D(' in output
    heard = yaml.safe_load(echo.communicate(timeout=90)[0].split('---')[0])
    assert heard['bbox']['size']['x'] == 4.0
    assert heard['results'][0]['hypothesis']['score'] == 1.0
    assert heard['results'][0]['pose']['covariance'] == [0.0] * 36
    assert abs(heard['header']['stamp']['sec'] - time.time()) < 100
    code, output = ros2.run(
        *('topic', 'pub', '--once', '--max-wait-time-secs', '1', '/alone', kind)
    )
    assert code == 1
    assert 'Expected 1 subscribers but only got 0' in output


def test_bandwidth_and_delay_are_measured(ros2, talker):
    watched = {
        'bw': ros2.start('topic', 'bw', '/array'),
        'delay': ros2.start('topic', 'delay', '/stamped'),
    }
    patterns = {
        'bw': r'([\d.]+) KB/s from (\d+) messages',
        'delay': r'average delay: ([\d.]+)',
    }
    figures = {}
    for name, process in watched.items():
        for line in ros2.lines(process):
            found = re.match(patterns[name], line)
            if found and (name == 'delay' or int(found.group(2)) >= 20):
                figures[name] = float(found.group(1))
                break
        ros2.interrupt(process)
    assert 2 < figures['bw'] < 9, '20 Hz of 216 bytes, on a machine that may be busy'
    assert 2.0 <= figures['delay'] < 7.0, 'stamps are two seconds old when they are sent'


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


@pytest.mark.parametrize(('storage', 'limit'), [('mcap', ('-b', '400')), ('sqlite3', ('-d', '1'))])
def test_a_recording_is_split_and_its_metadata_can_be_made_anew(
    ros2, talker, tmp_path, storage, limit
):
    from rosbags.rosbag2 import Reader

    folder = tmp_path / 'split'
    process = ros2.start('bag', 'record', '-s', storage, '-o', folder, '/count', *limit)
    for line in ros2.lines(process):
        if 'Subscribed' in line:
            break
    suffix = {'mcap': '.mcap', 'sqlite3': '.db3'}[storage]
    deadline = time.monotonic() + 60
    while not (folder / f'split_1{suffix}').exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    code, output = ros2.interrupt(process)
    assert code == 0, output
    names = sorted(file.name for file in folder.iterdir())
    assert names[:2] == ['metadata.yaml', f'split_0{suffix}']
    assert len(names) >= 4, 'files of their own, and no folders left'

    def counts():
        with Reader(folder) as reader:
            found = [int.from_bytes(d[4:8], 'little') for _, _, d in reader.messages()]
            return found, reader.message_count, reader.duration, reader.start_time

    before = counts()
    assert len(before[0]) == before[1]
    assert before[0] == list(range(before[0][0], before[0][0] + before[1])), 'nothing is lost'
    metadata = folder / 'metadata.yaml'
    qos = 'offered_qos_profiles'
    as_recorded = yaml.safe_load(metadata.read_text())
    metadata.unlink()
    # as a recording that breaks off leaves its last file
    part = folder / 'split_1'
    part.mkdir()
    (folder / f'split_1{suffix}').rename(part / f'split_1{suffix}')
    code, output = ros2.run('bag', 'reindex', folder)
    assert code == 0
    assert 'Reindexing complete' in output
    assert counts() == before
    anew = yaml.safe_load(metadata.read_text())
    for document in (anew, as_recorded):
        (topic,) = document['rosbag2_bagfile_information']['topics_with_message_count']
        assert topic['topic_metadata'][qos][0]['reliability'] == 'reliable'
    paths = [d['rosbag2_bagfile_information']['relative_file_paths'] for d in (anew, as_recorded)]
    assert paths[0] == paths[1]


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
    assert ros2.interrupt(process)[0] == 0


def test_a_bag_waits_for_the_space_key_and_ends_after_its_duration(bag, ros2, listener):
    from rosbags.rosbag2 import Reader

    with Reader(bag) as reader:
        chosen = [item for item in reader.connections if item.topic == '/count']
        recorded = reader.messages(chosen, stop=reader.start_time + 10**9)
        expected = [int.from_bytes(data[4:8], 'little') for _, _, data in recorded]
    primary, secondary = os.openpty()
    process = ros2.start(
        *('bag', 'play', bag, '--start-paused', '--playback-duration', '1', *REMAP),
        *('--delay', '1', '--topics', '/count'),
        stdin=secondary,
    )
    os.close(secondary)
    assert any('Press SPACE' in line for line in ros2.lines(process))
    begin = time.monotonic()
    listener.spin_until(lambda: time.monotonic() - begin > 4)
    assert process.poll() is None
    assert not listener.counts
    os.write(primary, b' ')
    listener.spin_until(lambda: process.poll() is not None)
    os.close(primary)
    assert process.returncode == 0, process.stdout.read()
    assert listener.counts == expected


def test_wrong_uses_of_bags_are_explained(bag, ros2, tmp_path):
    cut = tmp_path / 'cut'
    cut.mkdir()
    (file,) = bag.glob('*.mcap')
    (cut / 'cut_0.mcap').write_bytes(file.read_bytes()[:20])
    broken = tmp_path / 'qos.yaml'
    broken.write_text('/count: {reliability: perhaps}')
    uses = {
        ('bag', 'info', tmp_path / 'none'): 'cannot read the bag',
        ('bag', 'play', tmp_path): 'cannot read the bag',
        ('bag', 'info', ros1_mcap(tmp_path)): 'ros1msg',
        ('bag', 'play', bag, '--start-offset', '1000'): 'not within the bag',
        ('bag', 'play', bag, '--topics', '/none'): 'nothing to play',
        ('bag', 'play', bag, '--rate', '0'): 'not greater than 0',
        ('bag', 'play', bag, '--qos-profile-overrides-path', broken): 'QoS overrides',
        ('bag', 'record', '-o', bag, '-a'): 'cannot write the bag',
        ('bag', 'record', '-o', bag, '-a', '-b', '9'): 'cannot write the bag',
        ('bag', 'play', bag, '--start-paused'): 'needs a terminal',
        ('bag', 'reindex', tmp_path): 'No storage files found',
        ('bag', 'reindex', tmp_path / 'none'): 'Must specify a bag directory',
        ('bag', 'reindex', cut): 'has no message that can be read',
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
    environment = {**os.environ, 'AMENT_PREFIX_PATH': str(tmp_path)}
    assert ros2.run('run', 'own', 'program', 'a', '--b', env=environment) == (5, 'a --b\n')
    assert ros2.run('pkg', 'executables', 'own', env=environment)[1] == 'own program\n'
