"""`ros2 lifecycle`: read and change the states of lifecycle nodes."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ros2_pip_tools.cli.errors import CommandError
from ros2_pip_tools.cli.graph import (
    absolute,
    add_spin_time,
    command_node,
    discovered,
    get_interface,
    wait_for_result,
)

if TYPE_CHECKING:
    from rclpy.node import Node


def add_to(commands: Any) -> None:
    """Add the verbs."""
    group = commands.add_parser('lifecycle', help='read and change states of lifecycle nodes')
    verbs = group.add_subparsers(metavar='verb', required=True)
    get = verbs.add_parser('get', help='print the state of a node')
    change = verbs.add_parser('set', help='trigger a transition')
    transitions = verbs.add_parser('list', help='print the transitions that are possible now')
    transitions.add_argument('-a', '--all', action='store_true', help='print all there are')
    transitions.set_defaults(run=_transitions)
    nodes = verbs.add_parser('nodes', help='print the lifecycle nodes')
    nodes.add_argument('-a', '--all', action='store_true', help='hidden ones too')
    nodes.add_argument(
        '-c', '--count-nodes', action='store_true', help='print only how many there are'
    )
    add_spin_time(nodes)
    nodes.set_defaults(run=_nodes)
    get.add_argument('node', nargs='?', help='by default all lifecycle nodes')
    add_spin_time(get)
    for parser in (change, transitions):
        parser.add_argument('node')
    for parser in (get, change, transitions):
        parser.add_argument('--timeout', type=float, default=60.0, metavar='S')
    change.add_argument('transition', help='configure, activate, deactivate, cleanup, shutdown')
    get.set_defaults(run=_get)
    change.set_defaults(run=_set)


def _call(
    node: Node,
    options: argparse.Namespace,
    service: str,
    request: Any = None,
    target: str | None = None,
) -> Any:
    target = options.node if target is None else target
    name = service.replace('transition_graph', 'available_transitions')  # they share the type
    kind = get_interface(
        'lifecycle_msgs/' + ''.join(word.capitalize() for word in name.split('_')), 'srv'
    )
    client = node.create_client(kind, f'{absolute(target)}/{service}')
    if not client.wait_for_service(timeout_sec=min(options.timeout, 10.0)):
        raise CommandError(f"no lifecycle node '{target}'; see `ros2 lifecycle nodes`")
    future = client.call_async(kind.Request() if request is None else request)
    return wait_for_result(node, future, target, options.timeout)


def _get(options: argparse.Namespace) -> None:
    with command_node() as node:
        names = [options.node] if options.node else _lifecycle_nodes(node, options)
        for name in names:
            state = _call(node, options, 'get_state', target=name).current_state
            prefix = '' if options.node else f'{name}: '
            print(f'{prefix}{state.label} [{state.id}]')


def _set(options: argparse.Namespace) -> None:
    from lifecycle_msgs.srv import ChangeState

    with command_node() as node:
        possible = {
            item.transition.label: item.transition
            for item in _call(node, options, 'get_available_transitions').available_transitions
        }
        if options.transition not in possible:
            raise CommandError(
                f"'{options.transition}' is not possible now; possible: {', '.join(possible)}"
            )
        request = ChangeState.Request(transition=possible[options.transition])
        if not _call(node, options, 'change_state', request).success:
            raise CommandError('Transitioning failed')
    print('Transitioning successful')


def _transitions(options: argparse.Namespace) -> None:
    service = 'get_transition_graph' if options.all else 'get_available_transitions'
    with command_node() as node:
        found = _call(node, options, service).available_transitions
    for item in found:
        print(
            f'- {item.transition.label} [{item.transition.id}]\n'
            f'\tStart: {item.start_state.label}\n\tGoal: {item.goal_state.label}'
        )


def _lifecycle_nodes(node: Node, options: argparse.Namespace, hidden: bool = False) -> list[str]:
    end, kind = '/get_state', 'lifecycle_msgs/srv/GetState'
    services = discovered(node, node.get_service_names_and_types, options.spin_time)
    return sorted(
        name.removesuffix(end)
        for name, types in services
        if name.endswith(end) and kind in types and (hidden or '/_' not in name)
    )


def _nodes(options: argparse.Namespace) -> None:
    with command_node() as node:
        names = _lifecycle_nodes(node, options, options.all)
    if options.count_nodes:
        print(len(names))
    elif names:
        print('\n'.join(names))
