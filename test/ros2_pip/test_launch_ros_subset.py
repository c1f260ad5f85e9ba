"""The `launch_ros` subset starts nodes as the real package does."""

import json
import sys
from pathlib import Path

import pytest
import yaml
from launch import LaunchContext, LaunchDescription, LaunchService
from launch.actions import (
    EmitEvent,
    GroupAction,
    RegisterEventHandler,
    SetLaunchConfiguration,
    Shutdown,
)
from launch.events import matches_action
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import (
    LifecycleNode,
    Node,
    PushRosNamespace,
    SetParameter,
    SetRemap,
)
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.parameter_descriptions import Parameter, ParameterFile, ParameterValue
from launch_ros.substitutions import FindPackagePrefix, FindPackageShare
from launch_ros.utilities import (
    evaluate_parameters,
    make_namespace_absolute,
    normalize_parameters,
    prefix_namespace,
)

# Writes its arguments and the parameter files among them.
REPORTER = """
import json, sys
from pathlib import Path
words = sys.argv[2:]
files = [Path(b).read_text() for a, b in zip(words, words[1:]) if a == '--params-file']
Path(sys.argv[1]).write_text(json.dumps({'words': words, 'files': files}))
"""


class Loader(yaml.SafeLoader):
    """Reads the tuples that the real package writes as lists, as nodes do."""


Loader.add_constructor(
    'tag:yaml.org,2002:python/tuple', lambda loader, node: loader.construct_sequence(node)
)


def load(text):
    return yaml.load(text, Loader)


class Reporter:
    """Launches nodes that report how they were started."""

    def __init__(self, folder):
        self._folder = folder
        self._script = folder / 'reporter.py'
        self._script.write_text(REPORTER)
        self._reports = []

    def node(self, **options):
        report = self._folder / f'report{len(self._reports)}.json'
        self._reports.append(report)
        words = [str(self._script), str(report), *options.pop('arguments', [])]
        return Node(executable=sys.executable, arguments=words, **options)

    def launch(self, *entities, **configurations):
        """Run and return (words, content of the parameter files) of every node."""
        assert run(*entities, **configurations) == 0
        reports = [json.loads(report.read_text()) for report in self._reports]
        return [(r['words'], [load(file) for file in r['files']]) for r in reports]


def run(*entities, **configurations):
    service = LaunchService(noninteractive=True)
    sets = [SetLaunchConfiguration(name, value) for name, value in configurations.items()]
    service.include_launch_description(LaunchDescription([*sets, *entities]))
    return service.run()


@pytest.fixture
def reporter(tmp_path):
    return Reporter(tmp_path)


def test_name_namespace_remappings_and_arguments(reporter):
    node = reporter.node(
        name=['n', LaunchConfiguration('x')],
        namespace='ns',
        arguments=['--flag', LaunchConfiguration('x')],
        ros_arguments=['--log-level', 'debug'],
        remappings=[('a', 'b'), (LaunchConfiguration('x'), '/c')],
    )
    ((words, files),) = reporter.launch(node, x='1')
    assert files == []
    assert words == [
        *('--flag', '1', '--ros-args', '--log-level', 'debug', '--ros-args'),
        *('-r', '__node:=n1', '-r', '__ns:=/ns', '-r', 'a:=b', '-r', '1:=/c'),
    ]
    assert node.node_name == '/ns/n1'


def test_settings_of_a_scope_reach_its_nodes_only(reporter):
    group = GroupAction(
        [
            PushRosNamespace('outer'),
            SetParameter('use_sim_time', True),
            SetParameter(name='text', value='x'),
            SetRemap('a', 'scope'),
            GroupAction([PushRosNamespace('inner'), reporter.node(namespace='own')]),
            reporter.node(namespace='/absolute', remappings=[('a', 'node')]),
        ]
    )
    inner, absolute, outside = reporter.launch(group, reporter.node())
    parameters = ['-p', 'use_sim_time:=True', '-p', 'text:=x']
    scope = ['-r', 'a:=scope']
    assert inner[0] == ['--ros-args', '-r', '__ns:=/outer/inner/own', *parameters, *scope]
    assert absolute[0] == [
        *('--ros-args', '-r', '__ns:=/absolute'), *parameters, *scope, '-r', 'a:=node'
    ]  # fmt: skip
    assert outside[0] == ['--ros-args']


def test_parameters_keep_their_types_and_order(reporter, tmp_path):
    file = tmp_path / 'own.yaml'
    file.write_text('/**: {ros__parameters: {a: 1}}')
    node = reporter.node(
        name='n',
        namespace='ns',
        parameters=[
            {
                'integer': 1,
                'float': 2.0,
                'bool': False,
                'text': '1',
                'nested': {'deep': {'list': [1, 2.5]}},
                'words': ['a', '2'],
                'yaml': LaunchConfiguration('x'),
                'joined': [LaunchConfiguration('x'), 'm'],
                'kept': ParameterValue(LaunchConfiguration('x'), value_type=str),
                'rate': ParameterValue(LaunchConfiguration('x'), value_type=float),
            },
            file,
            ParameterFile(str(file)),
            Parameter('single', [True, False]),
            str(tmp_path / 'missing.yaml'),
        ],
    )
    ((words, files),) = reporter.launch(node, x='3')
    own = {'/**': {'ros__parameters': {'a': 1}}}
    expected = {
        'integer': 1,
        'float': 2.0,
        'bool': False,
        'text': '1',
        'nested.deep.list': [1.0, 2.5],
        'words': ['a', '2'],
        'yaml': 3,
        'joined': '3m',
        'kept': '3',
        'rate': 3.0,
    }
    assert files == [{'/ns/n': {'ros__parameters': expected}}, own, own]
    assert words[-2:] == ['-p', 'single:=[true, false]']


def test_parameters_of_a_nameless_node_are_for_all(reporter):
    ((_, files),) = reporter.launch(reporter.node(parameters=[{'a': 'b'}]))
    assert files == [{'/**': {'ros__parameters': {'a': 'b'}}}]


def test_substitutions_in_parameter_files(reporter, tmp_path, monkeypatch):
    monkeypatch.setenv('SOME_VARIABLE', 'v')
    file = tmp_path / 'own.yaml'
    file.write_text('a: $(var x)\nb: $(env SOME_VARIABLE)\nc: $(var none default)\n')
    node = reporter.node(parameters=[ParameterFile(file, allow_substs=True)])
    ((_, files),) = reporter.launch(node, x='3')
    assert files == [{'a': 3, 'b': 'v', 'c': 'default'}]
    file.write_text('a: [$(var x)')
    broken = reporter.node(parameters=[ParameterFile(file, allow_substs=True)])
    assert run(broken, x='3') == 1


@pytest.mark.parametrize('value', [[], {'a': []}, [[1], 'x'], LaunchConfiguration('mapping')])
def test_impossible_parameter_values_are_refused(value):
    context = LaunchContext()
    context.launch_configurations['mapping'] = '{a: 1}'
    with pytest.raises(TypeError):
        evaluate_parameters(context, normalize_parameters([{'p': value}]))


@pytest.mark.parametrize(
    ('base', 'namespace', 'expected'),
    [
        (None, None, None),
        ('a', None, 'a'),
        (None, 'b', 'b'),
        ('a', 'b', 'a/b'),
        ('/a', '/b', '/b'),
        ('/', 'b', '/b'),
        ('', 'b/', 'b'),
        (None, '/', '/'),
    ],
)
def test_namespaces_are_joined(base, namespace, expected):
    assert prefix_namespace(base, namespace) == expected
    assert make_namespace_absolute(expected) == (expected and '/' + expected.lstrip('/'))


def test_packages_and_executables_are_found():
    context = LaunchContext()
    assert FindPackagePrefix('rclpy').perform(context) == sys.prefix
    assert Path(FindPackageShare('std_msgs').perform(context), 'msg/String.msg').is_file()


@pytest.mark.parametrize(
    'options',
    [
        {'package': 'no_such_package', 'executable': 'x'},
        {'package': 'std_msgs', 'executable': 'x'},
        {'executable': 'x', 'name': 'not a name'},
        {'executable': 'x', 'namespace': 'not a namespace'},
    ],
)
def test_a_node_that_cannot_be_started_fails_the_launch(options):
    assert run(Node(**options)) == 1


def test_wrong_descriptions_are_refused():
    with pytest.raises(TypeError, match='list'):
        Node(executable='x', parameters='file.yaml')
    with pytest.raises(TypeError, match='pair'):
        Node(executable='x', remappings=['a:=b'])
    with pytest.raises(RuntimeError, match='before executing'):
        _ = Node(executable='x').node_name
    with pytest.raises(ValueError, match='expected one of'):
        ChangeState(lifecycle_node_matcher=bool, transition_id=99)
    with pytest.raises(RuntimeError, match='LifecycleNode'):
        OnStateTransition(target_lifecycle_node=Node(executable='x'), entities=[])


LIFECYCLE_NODE = """
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode
rclpy.init()
node = LifecycleNode('unnamed')
try:
    rclpy.spin(node)
except (KeyboardInterrupt, ExternalShutdownException):
    pass
"""


@pytest.mark.ros
def test_lifecycle_nodes_obey_and_tell(tmp_path):
    script = tmp_path / 'node.py'
    script.write_text(LIFECYCLE_NODE)
    node = LifecycleNode(
        executable=sys.executable, arguments=[str(script)], name='managed', namespace='ns'
    )
    seen = []

    def change(transition):
        return EmitEvent(
            event=ChangeState(
                lifecycle_node_matcher=matches_action(node), transition_id=transition
            )
        )

    def on(start, goal, actions):
        def tell(event, context):
            seen.append((event.start_state, event.goal_state))

        handler = OnStateTransition(
            target_lifecycle_node=node, start_state=start, goal_state=goal, entities=actions
        )
        plain = handler.handle
        handler.handle = lambda event, context: tell(event, context) or plain(event, context)
        return RegisterEventHandler(handler)

    code = run(
        on('configuring', 'inactive', [change(3)]),
        on('activating', 'active', [change(4)]),
        on('deactivating', 'inactive', [Shutdown(reason='seen everything')]),
        node,
        change(1),
    )
    assert code == 0
    assert node.node_name == '/ns/managed'
    assert seen == [
        ('configuring', 'inactive'),
        ('activating', 'active'),
        ('deactivating', 'inactive'),
    ]
    assert node.return_code == 0
