"""`ros2 node`: look at nodes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ros2_pip_tools.cli.errors import CommandError
from ros2_pip_tools.cli.graph import (
    absolute,
    add_spin_time,
    command_node,
    discovered,
    full_node_names,
)

if TYPE_CHECKING:
    from rclpy.node import Node


def add_to(commands: Any) -> None:
    """Add the verbs."""
    group = commands.add_parser('node', help='look at nodes')
    verbs = group.add_subparsers(metavar='verb', required=True)
    listing = verbs.add_parser('list', help='print the nodes')
    listing.add_argument('-a', '--all', action='store_true', help='hidden ones too')
    listing.add_argument(
        '-c', '--count-nodes', action='store_true', help='print only how many there are'
    )
    add_spin_time(listing)
    listing.set_defaults(run=_list)
    info = verbs.add_parser('info', help="print a node's topics, services and actions")
    info.add_argument('node_name')
    info.add_argument('--include-hidden', action='store_true', help='hidden ones too')
    add_spin_time(info)
    info.set_defaults(run=_info)


def _list(options: argparse.Namespace) -> None:
    with command_node() as node:
        names = discovered(node, lambda: full_node_names(node, options.all), options.spin_time)
    if options.count_nodes:
        print(len(names))
    elif names:
        print('\n'.join(names))


def _info(options: argparse.Namespace) -> None:
    name = absolute(options.node_name)
    with command_node() as node:
        names = discovered(node, lambda: full_node_names(node, True), options.spin_time)
        if name not in names:
            raise CommandError(f"Unable to find node '{name}'; see `ros2 node list`")
        if names.count(name) > 1:
            print(
                f'There are {names.count(name)} nodes in the graph with the exact name "{name}". '
                'You are seeing information about only one of them.',
                file=sys.stderr,
            )
        sections = _sections(node, name)
    print(name)
    for title, entries in sections:
        print(f'  {title}:')
        for entry, types in sorted(entries):
            if options.include_hidden or '/_' not in entry:
                print(f'    {entry}: {", ".join(types)}')


def _sections(node: Node, full_name: str) -> list[tuple[str, Sequence[tuple[str, list[str]]]]]:
    """Return what a node has, by title: names with their types."""
    from rclpy import action

    namespace, _, name = full_name.rpartition('/')
    of = (name, namespace or '/')
    return [
        ('Subscribers', node.get_subscriber_names_and_types_by_node(*of)),
        ('Publishers', node.get_publisher_names_and_types_by_node(*of)),
        ('Service Servers', node.get_service_names_and_types_by_node(*of)),
        ('Service Clients', node.get_client_names_and_types_by_node(*of)),
        ('Action Servers', action.get_action_server_names_and_types_by_node(node, *of)),
        ('Action Clients', action.get_action_client_names_and_types_by_node(node, *of)),
    ]
