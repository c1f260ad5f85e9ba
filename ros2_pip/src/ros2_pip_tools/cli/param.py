"""`ros2 param`: read and change the parameters of nodes."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import yaml

from ros2_pip_tools.cli.errors import CommandError
from ros2_pip_tools.cli.graph import absolute, command_node, wait_for_result

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.parameter_client import AsyncParameterClient


def add_to(commands: Any) -> None:
    """Add the verbs."""
    group = commands.add_parser('param', help='read and change parameters')
    verbs = group.add_subparsers(metavar='verb', required=True)
    for name, run, help_text in (
        ('list', _list, 'print the names'),
        ('get', _get, 'print a value'),
        ('set', _set, 'change a value'),
    ):
        parser = verbs.add_parser(name, help=help_text)
        parser.add_argument('node')
        if name != 'list':
            parser.add_argument('parameter')
        if name == 'set':
            parser.add_argument('value', help='in YAML')
        parser.add_argument('--timeout', type=float, default=10.0, metavar='S')
        parser.set_defaults(run=run)


def _client(node: Node, options: argparse.Namespace) -> AsyncParameterClient:
    from rclpy.parameter_client import AsyncParameterClient

    client = AsyncParameterClient(node, absolute(options.node))
    if not client.wait_for_services(timeout_sec=options.timeout):
        raise CommandError(f"node '{options.node}' not found; see `ros2 node list`")
    return client


def _list(options: argparse.Namespace) -> None:
    with command_node() as node:
        future = _client(node, options).list_parameters()
        result = wait_for_result(node, future, options.node, options.timeout).result
    print('\n'.join(f'  {name}' for name in sorted(result.names)))


def _get(options: argparse.Namespace) -> None:
    from rclpy.parameter import Parameter, parameter_value_to_python

    with command_node() as node:
        future = _client(node, options).get_parameters([options.parameter])
        values = wait_for_result(node, future, options.node, options.timeout).values
    if not values or values[0].type == Parameter.Type.NOT_SET.value:
        raise CommandError(f"parameter '{options.parameter}' of {options.node} is not set")
    value = parameter_value_to_python(values[0])
    kind = Parameter.Type(values[0].type).name.lower().replace('_', ' ')
    if hasattr(value, 'tolist'):
        value = value.tolist()
    print(f'{kind.capitalize()} value is: {value}')


def _set(options: argparse.Namespace) -> None:
    from rclpy.parameter import Parameter

    try:
        parameter = Parameter(options.parameter, value=yaml.safe_load(options.value))
    except (TypeError, yaml.YAMLError) as error:
        raise CommandError(f"'{options.value}' is no parameter value: {error}") from error
    with command_node() as node:
        future = _client(node, options).set_parameters([parameter])
        (result,) = wait_for_result(node, future, options.node, options.timeout).results
    if not result.successful:
        raise CommandError(f'setting the parameter failed: {result.reason}')
    print('Set parameter successful')
