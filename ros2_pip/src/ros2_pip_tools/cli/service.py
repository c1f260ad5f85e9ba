"""`ros2 service`: look at services and call them."""

from __future__ import annotations

import argparse
import time
from typing import Any

from ros2_pip_tools.cli.errors import CommandError
from ros2_pip_tools.cli.graph import (
    absolute,
    add_spin_time,
    command_node,
    discovered,
    get_interface,
    spin_until,
    wait_for_result,
)
from ros2_pip_tools.cli.message_text import fill, from_yaml


def add_to(commands: Any) -> None:
    """Add the verbs."""
    group = commands.add_parser('service', help='look at services and call them')
    verbs = group.add_subparsers(metavar='verb', required=True)
    listing = verbs.add_parser('list', help='print the services')
    listing.add_argument('-t', '--show-types', action='store_true', help='print types too')
    listing.add_argument(
        '-c', '--count-services', action='store_true', help='print only how many there are'
    )
    listing.add_argument('--include-hidden-services', action='store_true')
    add_spin_time(listing)
    listing.set_defaults(run=_list)
    kind = verbs.add_parser('type', help="print a service's type")
    kind.add_argument('service_name')
    add_spin_time(kind)
    kind.set_defaults(run=_type)
    _add_call(verbs)


def _add_call(verbs: Any) -> None:
    call = verbs.add_parser('call', help='call a service and print its answer')
    call.add_argument('service_name')
    call.add_argument('service_type', help="such as 'std_srvs/srv/SetBool'")
    call.add_argument('values', nargs='?', default='{}', help='the request in YAML')
    call.add_argument('-r', '--rate', type=float, metavar='N', help='repeat, in Hz')
    call.add_argument('--timeout', type=float, metavar='S', help='give up waiting after this time')
    call.set_defaults(run=_call)


def _list(options: argparse.Namespace) -> None:
    with command_node() as node:
        found = discovered(node, node.get_service_names_and_types, options.spin_time)
    shown = [
        (name, types)
        for name, types in sorted(found)
        if options.include_hidden_services or '/_' not in name
    ]
    if options.count_services:
        print(len(shown))
        return
    for name, types in shown:
        print(f'{name} [{", ".join(types)}]' if options.show_types else name)


def _type(options: argparse.Namespace) -> None:
    name = absolute(options.service_name)
    with command_node() as node:
        types = spin_until(
            node,
            lambda: dict(node.get_service_names_and_types()).get(name, []),
            options.spin_time,
        )
    if not types:
        raise CommandError(f"no service '{name}'; see `ros2 service list`")
    print('\n'.join(types))


def _call(options: argparse.Namespace) -> None:
    kind = get_interface(options.service_type, 'srv')
    if not hasattr(kind, 'Request'):
        raise CommandError('The passed type is not a service')
    if options.rate is not None and options.rate <= 0:
        raise CommandError('rate must be greater than zero')
    request = kind.Request()
    fill(request, from_yaml(options.values))
    name = absolute(options.service_name)
    with command_node() as node:
        client = node.create_client(kind, name)
        if not client.service_is_ready():
            print('waiting for service to become available...', flush=True)
            if not client.wait_for_service(timeout_sec=options.timeout):
                raise CommandError(f"no service '{name}' within {options.timeout:g} s")
        while True:
            begin = time.monotonic()
            print(f'requester: making request: {request!r}\n', flush=True)
            answer = wait_for_result(node, client.call_async(request), name, options.timeout)
            print(f'response:\n{answer!r}\n', flush=True)
            if options.rate is None:
                return
            spin_until(node, lambda: False, begin + 1 / options.rate - time.monotonic())
