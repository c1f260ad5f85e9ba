"""`ros2 param`: read and change the parameters of nodes."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ros2_pip_tools.cli.errors import CommandError
from ros2_pip_tools.cli.graph import (
    absolute,
    add_spin_time,
    command_node,
    discovered,
    wait_for_result,
)

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
        ('describe', _describe, 'print what is known of parameters'),
        ('dump', _dump, 'print all values as a parameter file'),
        ('load', _load, 'set what a parameter file says'),
    ):
        parser = verbs.add_parser(name, help=help_text)
        if name == 'list':
            parser.add_argument('node', nargs='?', help='by default all nodes')
            add_spin_time(parser)
        else:
            parser.add_argument('node')
        if name in ('get', 'set'):
            parser.add_argument('parameter')
        if name == 'set':
            parser.add_argument('value', help='in YAML')
        if name == 'describe':
            parser.add_argument('parameters', nargs='+', metavar='parameter')
        if name == 'load':
            parser.add_argument('parameter_file', type=Path)
            parser.add_argument(
                '--no-use-wildcard', action='store_true', help="leave out what is for '/**'"
            )
        parser.add_argument('--timeout', type=float, default=10.0, metavar='S')
        parser.set_defaults(run=run)


def _client(
    node: Node, options: argparse.Namespace, target: str | None = None
) -> AsyncParameterClient:
    from rclpy.parameter_client import AsyncParameterClient

    target = options.node if target is None else target
    client = AsyncParameterClient(node, absolute(target))
    if not client.wait_for_services(timeout_sec=options.timeout):
        raise CommandError(f"node '{target}' not found; see `ros2 node list`")
    return client


def _names(node: Node, client: AsyncParameterClient, options: argparse.Namespace) -> list[str]:
    future = client.list_parameters()
    return sorted(wait_for_result(node, future, options.node, options.timeout).result.names)


def _list(options: argparse.Namespace) -> None:
    end, kind = '/list_parameters', 'rcl_interfaces/srv/ListParameters'
    with command_node() as node:
        targets = [options.node]
        if options.node is None:
            services = discovered(node, node.get_service_names_and_types, options.spin_time)
            targets = sorted(
                name.removesuffix(end)
                for name, types in services
                if name.endswith(end) and kind in types and '/_' not in name
            )
        for target in targets:
            if options.node is None:
                print(f'{target}:')
            for name in _names(node, _client(node, options, target), options):
                print(f'  {name}')


def _plain(message: Any) -> Any:
    """Return the value of a ParameterValue message."""
    from rclpy.parameter import parameter_value_to_python

    value = parameter_value_to_python(message)
    return value.tolist() if hasattr(value, 'tolist') else value


def _get(options: argparse.Namespace) -> None:
    from rclpy.parameter import Parameter

    with command_node() as node:
        future = _client(node, options).get_parameters([options.parameter])
        values = wait_for_result(node, future, options.node, options.timeout).values
    if not values or values[0].type == Parameter.Type.NOT_SET.value:
        raise CommandError(f"parameter '{options.parameter}' of {options.node} is not set")
    kind = Parameter.Type(values[0].type).name.lower().replace('_', ' ')
    print(f'{kind.capitalize()} value is: {_plain(values[0])}')


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


def _describe(options: argparse.Namespace) -> None:
    from rclpy.parameter import Parameter

    with command_node() as node:
        future = _client(node, options).describe_parameters(options.parameters)
        found = wait_for_result(node, future, options.node, options.timeout).descriptors
    for item in found:
        kind = Parameter.Type(item.type).name.lower().replace('_', ' ')
        print(f'Parameter name: {item.name}\n  Type: {kind.replace("bool", "boolean")}')
        if item.description:
            print(f'  Description: {item.description}')
        print('  Constraints:')
        if item.read_only:
            print('    Read only: true')
        for limits in (*item.floating_point_range, *item.integer_range):
            print(f'    Min value: {limits.from_value}\n    Max value: {limits.to_value}')
            if limits.step:
                print(f'    Step: {limits.step}')
        if item.additional_constraints:
            print(f'    Additional constraints: {item.additional_constraints}')


def _dump(options: argparse.Namespace) -> None:
    with command_node() as node:
        client = _client(node, options)
        names = _names(node, client, options)
        future = client.get_parameters(names)
        values = wait_for_result(node, future, options.node, options.timeout).values
    parameters: dict[str, Any] = {}
    for name, value in zip(names, values, strict=True):
        *groups, last = name.split('.')
        place = parameters
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = _plain(value)
    print(yaml.safe_dump({absolute(options.node): {'ros__parameters': parameters}}))


def _load(options: argparse.Namespace) -> None:
    from rclpy.parameter import parameter_dict_from_yaml_file

    owners = _owners(options.parameter_file, absolute(options.node))
    if options.no_use_wildcard:
        owners = [owner for owner in owners if owner != '/**']
    try:
        parameters = parameter_dict_from_yaml_file(
            str(options.parameter_file), target_nodes=owners or [absolute(options.node)]
        )
    except (RuntimeError, KeyError, TypeError) as error:
        raise CommandError(
            f'{options.parameter_file} has no parameters of {options.node}: {error}'
        ) from error
    with command_node() as node:
        future = _client(node, options).set_parameters(list(parameters.values()))
        results = wait_for_result(node, future, options.node, options.timeout).results
    for name, result in zip(parameters, results, strict=True):
        outcome = 'successful' if result.successful else 'failed'
        reason = f': {result.reason}' if result.reason else ''
        print(
            f'Set parameter {name} {outcome}{reason}',
            file=sys.stdout if result.successful else sys.stderr,
        )


def _owners(path: Path, node: str) -> list[str]:
    """Return the keys of a parameter file that mean a node, the most general first.

    Raises:
        CommandError: the file cannot be read or is no parameter file.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CommandError(f'cannot read {path}: {error}') from error
    if not isinstance(content, dict):
        raise CommandError(f'{path} is no parameter file')
    owners = []
    for owner in map(str, content):
        # as rcl understands it: '*' is one part of a name, '**' any number of parts
        pattern = re.escape(absolute(owner)).replace(r'/\*\*', '(/.*)?').replace(r'\*', '[^/]*')
        if re.fullmatch(pattern, node):
            owners.append(owner)
    return sorted(owners, key=lambda owner: ('*' not in owner, len(owner)))
