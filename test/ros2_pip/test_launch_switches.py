"""Every launch file with every switch: executables that exist, and nodes that take the values.

The launch files are carried out but for the starting of processes; the command line that a
process would get makes the node here, which must then have the value of the switch.
"""

import atexit
import dataclasses
import importlib
import runpy
import tempfile
from functools import cache
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='no ROS 2 installed')
import rclpy
from launch import LaunchContext
from launch.actions import ExecuteProcess
from launch.utilities import perform_substitutions
from launch_ros.actions import Node as NodeAction
from rclpy.context import Context

from sim_perception.bags.topics import IMAGE_COMPRESSED
from sim_perception.bags.writer import BagWriter
from sim_perception.nodes import pipeline
from sim_perception.ros import launching, parameters
from sim_perception.ros.parameter_fields import FRAME_PREFIX, parameter, read_parameters

pytestmark = pytest.mark.ros
ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(path.name for path in (ROOT / 'launch').glob('*.launch.py'))
NODES = {
    *('depth_segmentation', 'tracker', 'auto_labeler', 'detector_3d', 'simulator', 'viewer'),
}
TOPICS = {
    'detections': [('tracker', 'detections'), ('tracker', 'detections_2d')],
    'depth': [('tracker', 'depth/image'), ('detector_3d', 'depth/image')],
    'image_boxes': [('auto_labeler', 'detections_2d')],
}
"""Which inputs of which nodes launch arguments rename."""
OTHERS = {
    *('source', 'container', 'rviz', 'record', 'params_file', 'namespace', FRAME_PREFIX),
    *('tracker', 'auto_labeler', 'detector', 'viewer'),
    *('bag', 'rate', 'loop', 'start_offset', 'delay', 'topics', 'exclude'),
}
"""Arguments that are not parameters of a node as they are; the tests below know each."""
EVERYTHING = dict.fromkeys(('tracker', 'auto_labeler', 'detector', 'viewer'), 'true')


def description(name):
    return runpy.run_path(str(ROOT / 'launch' / name))['generate_launch_description']()


def arguments_of(name):
    return {argument.name for argument in description(name).get_launch_arguments()}


@cache
def recording():
    """Return a bag with one compressed camera topic and no messages."""
    folder = tempfile.TemporaryDirectory(prefix='launch_switches_')
    atexit.register(folder.cleanup)
    with BagWriter(Path(folder.name) / 'bag') as bag:
        bag.add_topic(IMAGE_COMPRESSED)
    return Path(folder.name) / 'bag'


def commands(name, **arguments):
    """Return the command lines that a launch file starts with these arguments."""
    if 'bag' in arguments_of(name):
        arguments.setdefault('bag', str(recording()))
    context, found = LaunchContext(), []
    context.launch_configurations.update(arguments)

    def walk(entity):
        if isinstance(entity, ExecuteProcess):
            if entity.condition is not None and not entity.condition.evaluate(context):
                return
            if isinstance(entity, NodeAction):
                entity._perform_substitutions(context)
            found.append([perform_substitutions(context, word) for word in entity.cmd])
            return
        for below in entity.visit(context) or []:
            walk(below)

    walk(description(name))
    return found


@pytest.fixture(scope='module')
def context():
    context = Context()
    rclpy.init(context=context)
    yield context
    rclpy.shutdown(context=context)


@pytest.fixture(autouse=True)
def rviz_prefix(tmp_path_factory, ament_prefix, monkeypatch):
    """A prefix with what a machine without a screen lacks, before the real one."""
    import sys

    prefix = tmp_path_factory.mktemp('rviz')
    index = prefix / 'share/ament_index/resource_index/packages'
    index.mkdir(parents=True)
    (index / 'rviz2').touch()
    program = prefix / 'lib/rviz2/rviz2'
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\n')
    program.chmod(0o755)
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'{prefix}:{sys.prefix}')


@pytest.fixture(autouse=True)
def viewer_extra(monkeypatch):
    """Nodes are made and not configured, so the extra is only said to be there."""
    monkeypatch.setattr(launching, 'is_installed', lambda: True)


@cache
def node_class(name):
    module = importlib.import_module(f'sim_perception.nodes.{name}')
    words = name.split('_')
    return getattr(module, ''.join(word.capitalize() for word in words) + 'Node')


def parameters_class(name):
    words = name.split('_')
    return getattr(parameters, ''.join(word.capitalize() for word in words) + 'Parameters')


def node_names(command):
    """Return the nodes that a command line starts."""
    program = Path(command[0]).name
    if program != 'pipeline':
        return [program] if program in NODES else []
    words = command[1 : command.index('--ros-args')]
    chosen = [name for name in NODES if f'--{name.replace("_", "-")}' in words]
    return ['depth_segmentation', *chosen, *(['simulator'] if 'simulator' in words else [])]


def started(context, command_lines):
    """Make the nodes of command lines; return their parameters and topics by name."""
    found = {}
    for command in command_lines:
        for name in node_names(command):
            node = node_class(name)(
                context=context, cli_args=command[1:], use_global_arguments=False
            )
            try:
                topics = {
                    topic: node.resolve_topic_name(topic)
                    for ours in TOPICS.values()
                    for owner, topic in ours
                    if owner == name
                }
                values = dataclasses.asdict(read_parameters(node, parameters_class(name)))
                values['use_sim_time'] = node.get_parameter('use_sim_time').value
                found[name] = values, topics
                assert node.get_name() == name
            finally:
                node.destroy_node()
    return found


def trial_values(fields):
    """Return values to try: all choices that nodes share, or one that is not the default."""
    first = fields[0]
    if first.metadata['choices']:
        shared = set.intersection(*(set(field.metadata['choices']) for field in fields))
        return sorted(shared)
    if isinstance(first.default, bool):
        return [True, False]
    if isinstance(first.default, int | float):
        low, high = first.metadata['low'], first.metadata['high']
        more = first.default + 1
        return [type(first.default)(more if high is None or more <= high else low)]
    return ['some_value']


def owners(argument, nodes):
    """Return the parameters of nodes that have an argument's name."""
    if argument == 'use_sim_time':
        # the simulator alone makes the time and does not take it
        takers = [name for name in nodes if name != 'simulator' or len(nodes) == 1]
        return dict.fromkeys(takers, parameter(False, 'of rclpy'))
    fields = {
        name: {field.name: field for field in dataclasses.fields(parameters_class(name))}
        for name in nodes
    }
    return {name: own[argument] for name, own in fields.items() if argument in own}


@pytest.mark.parametrize(
    ('name', 'base'),
    [(name, {}) for name in FILES if not name.startswith(('pipeline', 'replay'))]
    + [('replay.launch.py', {'viewer': 'true'})]
    + [('pipeline.launch.py', {**EVERYTHING, 'container': value}) for value in ('false', 'true')],
    ids=str,
)
def test_every_argument_reaches_its_nodes(context, name, base):
    present = started(context, commands(name, **base))
    if name == 'pipeline.launch.py':
        assert set(present) == NODES
    for argument in sorted(arguments_of(name) - OTHERS - set(TOPICS)):
        fields = owners(argument, present)
        assert fields, f'{argument} is no parameter of {", ".join(present)}'
        for value in trial_values(list(fields.values())):
            text = str(value).lower() if isinstance(value, bool) else str(value)
            nodes = started(context, commands(name, **base, **{argument: text}))
            assert {node: nodes[node][0][argument] for node in fields} == dict.fromkeys(
                fields, value
            )


@pytest.mark.parametrize('name', FILES)
def test_topics_are_renamed_for_their_nodes_only(context, name):
    declared = arguments_of(name)
    for argument in sorted(declared & set(TOPICS)):
        for container in ['false', 'true'] if 'container' in declared else ['']:
            base = dict(EVERYTHING, container=container) if container else {}
            nodes = started(context, commands(name, **base, **{argument: '/of/others'}))
            for owner, topic in TOPICS[argument]:
                if owner in nodes:
                    assert nodes[owner][1][topic] == '/of/others'
            renamed = {
                (node, topic)
                for node, (_, topics) in nodes.items()
                for topic, resolved in topics.items()
                if resolved == '/of/others'
            }
            assert renamed <= set(TOPICS[argument])


@pytest.mark.parametrize(
    'arguments',
    [
        {},
        {'source': 'live'},
        {'tracker': 'true'},
        {'auto_labeler': 'true'},
        {'detector': 'true'},
        {'viewer': 'true'},
        {**EVERYTHING, 'source': 'live', 'rviz': 'true', 'record': 'bag'},
    ],
    ids=str,
)
def test_switches_of_the_pipeline_choose_what_runs(context, arguments):
    wanted = {'depth_segmentation'}
    if arguments.get('source') != 'live':
        wanted.add('simulator')
    nodes = {
        'detector': 'detector_3d',
        **{name: name for name in EVERYTHING if name != 'detector'},
    }
    for argument, node in nodes.items():
        if arguments.get(argument) == 'true':
            wanted.add(node)
    for container in ('false', 'true'):
        lines = commands('pipeline.launch.py', **arguments, container=container)
        assert set(started(context, lines)) == wanted
        programs = [Path(line[0]).name for line in lines]
        assert ('rviz2' in programs) == ('rviz' in arguments)
        assert ('ros2' in programs) == ('record' in arguments)
        assert ('pipeline' in programs) == (container == 'true')


@pytest.mark.parametrize('name', [name for name in FILES if not name.startswith('record')])
def test_namespace_and_the_users_file_reach_every_node(context, name, tmp_path):
    own = tmp_path / 'own.param.yaml'
    own.write_text('/**: {ros__parameters: {frame_prefix: mine/}}')
    arguments = {'params_file': str(own), 'namespace': 'robot1', FRAME_PREFIX: 'theirs/'}
    nodes = started(context, commands(name, **arguments))
    assert nodes
    for values, topics in nodes.values():
        assert values['frame_prefix'] == 'mine/'
        assert all(topic.startswith('/robot1/') for topic in topics.values())


def test_a_viewer_that_is_not_installed_is_named_before_anything_starts(monkeypatch):
    monkeypatch.setattr(launching, 'is_installed', lambda: False)
    for name in ('pipeline.launch.py', 'replay.launch.py'):
        with pytest.raises(RuntimeError, match=r'make view, or: pip install'):
            commands(name, viewer='true')
        assert commands(name, viewer='false')


def test_the_pipeline_executable_knows_every_switch_of_its_launch_file(capsys):
    with pytest.raises(SystemExit) as ended:
        pipeline.main(['pipeline', '--help'])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for option in ('--tracker', '--auto-labeler', '--detector-3d', '--source'):
        assert option in text


def test_recording_and_replay_name_programs_that_exist():
    lines = commands('record.launch.py', topics='/a /b', exclude='')
    assert [line[:4] for line in lines] == [['ros2', 'bag', 'record', '--storage']]
    assert lines[0][-2:] == ['/a', '/b']
    assert launching.play_options({'rate': '2'}, loop=True)[-3:] == ['--rate', '2', '--loop']
