"""Dataclass, ROS parameters, YAML file and README agree; wrong values are refused."""

import dataclasses
import importlib
from pathlib import Path

import pytest
import yaml

pytest.importorskip('rclpy', reason='no ROS 2 installed')
from rclpy.node import Node
from rclpy.parameter import Parameter

from sim_perception.ros.parameter_fields import ParameterError, declare_parameters, read_parameters
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
def test_the_readme_has_the_table(name):
    text = (ROOT / 'README.md').read_text()
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
