"""Dataclass, ROS parameters, YAML file and docs/reference.md agree; wrong values are refused."""

import ast
import dataclasses
import importlib
from pathlib import Path

import pytest
import yaml

pytest.importorskip('rclpy', reason='no ROS 2 installed')
from rclpy.node import Node
from rclpy.parameter import Parameter

from sim_perception.ros.lifecycle import ManagedNode
from sim_perception.ros.parameter_fields import (
    ParameterError,
    declare_parameters,
    parameter,
    read_parameters,
)
from sim_perception.ros.parameter_text import parameter_table, parameter_yaml
from sim_perception.ros.parameters import (
    NODES,
    DepthSegmentationParameters,
    SimulatorParameters,
    TrackerParameters,
    main,
)

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize('name', NODES)
def test_the_yaml_file_is_what_the_dataclass_writes(name):
    path = ROOT / 'config' / f'{name}.param.yaml'
    assert path.read_text() == parameter_yaml(name, NODES[name]), (
        'run: python -m sim_perception.ros.parameters --write config'
    )
    values = yaml.safe_load(path.read_text())[f'/**/{name}']['ros__parameters']
    assert NODES[name](**values) == NODES[name]()


@pytest.mark.parametrize('name', NODES)
def test_the_reference_has_the_table(name):
    text = (ROOT / 'docs/reference.md').read_text()
    assert parameter_table(NODES[name]) in text, (
        'paste the output of: python -m sim_perception.ros.parameters'
    )


def test_the_tables_are_printed_and_the_files_written(capsys, tmp_path):
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert all(parameter_table(cls) in printed for cls in NODES.values())
    assert main(['--write', str(tmp_path)]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {f'{name}.param.yaml' for name in NODES}


@pytest.mark.parametrize('name', NODES)
def test_help_names_every_parameter(name, capsys):
    module = importlib.import_module(f'sim_perception.nodes.{name}')
    with pytest.raises(SystemExit) as end:
        module.main([name, '--help'])
    assert end.value.code == 0
    text = capsys.readouterr().out
    for field in dataclasses.fields(NODES[name]):
        assert f'  {field.name}: ' in text
        assert field.metadata['description'] in text


@pytest.mark.ros
@pytest.mark.parametrize('namespace', ['/', '/robot/front'])
def test_the_yaml_file_reaches_the_node_in_any_namespace(ros, tmp_path, namespace):
    text = parameter_yaml('simulator', SimulatorParameters)
    path = tmp_path / 'simulator.param.yaml'
    path.write_text(text.replace('jpeg_quality: 95', 'jpeg_quality: 42'))
    arguments = ['--ros-args', '--params-file', str(path)]
    node = Node('simulator', namespace=namespace, cli_args=arguments)
    try:
        declare_parameters(node, SimulatorParameters)
        assert read_parameters(node, SimulatorParameters) == SimulatorParameters(jpeg_quality=42)
    finally:
        node.destroy_node()


@pytest.mark.ros
def test_declared_parameters_have_descriptors_and_refuse_bad_changes(ros):
    node = Node('declared', parameter_overrides=[Parameter('rate', value=2)])
    try:
        declare_parameters(node, SimulatorParameters)
        assert read_parameters(node, SimulatorParameters) == SimulatorParameters(rate=2.0)
        descriptor = node.describe_parameter('jpeg_quality')
        assert descriptor.integer_range[0].to_value == 100
        assert 'camera/image_raw/compressed' in descriptor.description
        for bad, reason in (
            (Parameter('stamps', value='yesterday'), 'one of wall, fixed'),
            (Parameter('jpeg_quality', value=101), ''),
            (Parameter('rate', value='fast'), 'must be of type double'),
        ):
            result = node.set_parameters([bad])[0]
            assert not result.successful
            assert reason in result.reason
        assert node.set_parameters([Parameter('rate', value=0.5)])[0].successful
        assert read_parameters(node, SimulatorParameters).rate == 0.5
    finally:
        node.destroy_node()


@pytest.mark.ros
def test_lists_of_names_are_parameters(ros):
    node = Node('listed', parameter_overrides=[Parameter('cameras', value=['front', 'rear'])])
    try:
        declare_parameters(node, TrackerParameters)
        assert read_parameters(node, TrackerParameters).cameras == ('front', 'rear')
        assert not node.set_parameters([Parameter('cameras', value='front')])[0].successful
    finally:
        node.destroy_node()


@pytest.mark.ros
@pytest.mark.parametrize(
    ('name', 'value', 'problem'),
    [
        ('points_stride', 0, 'points_stride must lie within 1 to 64'),
        ('points_stride', 'two', 'points_stride must be of type integer'),
        ('image_transport', 'pigeon', 'one of raw, compressed'),
        ('points_max_depth', 5000.0, 'within 1 to 1000'),
    ],
)
def test_bad_overrides_name_the_parameter_and_what_is_allowed(ros, name, value, problem):
    node = Node('refused', parameter_overrides=[Parameter(name, value=value)])
    try:
        with pytest.raises(ParameterError, match=problem):
            declare_parameters(node, DepthSegmentationParameters)
    finally:
        node.destroy_node()


def another(field):
    """Return another valid value of a parameter."""
    value = field.default
    low, high, choices = (field.metadata[key] for key in ('low', 'high', 'choices'))
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return high if value != high else low
    if isinstance(value, tuple):
        return [*value, 'other']
    return next(choice for choice in (*choices, 'other') if choice != value)


@pytest.mark.ros
@pytest.mark.parametrize('name', NODES)
def test_changes_of_a_configured_node_take_effect_or_are_refused(ros, name):
    node, cls = Node(f'changed_{name}'), NODES[name]
    try:
        declare_parameters(node, cls, in_use=lambda: True)
        for field in dataclasses.fields(cls):
            value = another(field)
            result = node.set_parameters([Parameter(field.name, value=value)])[0]
            live = field.metadata['read_at'] == 'always'
            assert result.successful == live, field.name
            if not live:
                assert f'parameter {field.name} is read when the node' in result.reason
                same = list(value[:-1]) if isinstance(value, list) else field.default
                same = Parameter(field.name, value=same)
                assert node.set_parameters([same])[0].successful, 'no change at all'
    finally:
        node.destroy_node()


@dataclasses.dataclass(frozen=True)
class LiveParameters:
    autostart: bool = parameter(True, 'start', read_at='start')
    gain: float = parameter(1.0, 'live', low=0.0, high=9.0, read_at='always')
    device: str = parameter('cpu', 'not live')


@pytest.mark.ros
def test_a_change_is_seen_at_once_or_at_the_next_configuration(ros):
    node = ros.add(ManagedNode('live', LiveParameters))

    def change(**values):
        changes = [Parameter(key, value=value) for key, value in values.items()]
        return ros.call(lambda: node.set_parameters_atomically(changes))

    try:
        ros.until(lambda: node.diagnostics.state == 'active', 'activation')
        assert change(gain=2).successful
        assert node.parameters.gain == 2.0
        refused = change(gain=3.0, device='cuda:9')
        assert not refused.successful
        assert 'device is read when the node is configured; deactivate it' in refused.reason
        assert node.parameters == LiveParameters(gain=2.0), 'all or nothing'
        ros.call(node.trigger_deactivate)
        assert not change(device='cuda:9').successful, 'still configured'
        ros.call(node.trigger_cleanup)
        assert change(device='cuda:9').successful
        assert not change(autostart=False).successful
        ros.call(node.trigger_configure)
        assert node.parameters.device == 'cuda:9'
    finally:
        ros.remove(node)


@pytest.mark.parametrize('name', NODES)
def test_live_parameters_are_read_when_they_are_needed(name):
    """A copy of the parameters, such as `p = self.parameters`, would not follow a change."""
    live = {f.name for f in dataclasses.fields(NODES[name]) if f.metadata['read_at'] == 'always'}
    source = (ROOT / f'sim_perception/nodes/{name}.py').read_text()
    of_copies = {
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in ('p', 'parameters')
    }
    assert not of_copies & live
