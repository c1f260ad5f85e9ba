"""`ros2 node`: look at nodes."""

from __future__ import annotations

import argparse
from typing import Any

from ros2_pip_tools.cli.graph import add_spin_time, command_node, discovered


def add_to(commands: Any) -> None:
    """Add the verbs."""
    group = commands.add_parser('node', help='look at nodes')
    verbs = group.add_subparsers(metavar='verb', required=True)
    listing = verbs.add_parser('list', help='print the nodes')
    listing.add_argument('-a', '--all', action='store_true', help='hidden ones too')
    add_spin_time(listing)
    listing.set_defaults(run=_list)


def _list(options: argparse.Namespace) -> None:
    with command_node() as node:
        found = discovered(node, node.get_node_names_and_namespaces, options.spin_time)
    for name in sorted(f'{namespace.rstrip("/")}/{name}' for name, namespace in found):
        if options.all or not name.rsplit('/', 1)[1].startswith('_'):
            print(name)
