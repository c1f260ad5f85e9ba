"""`ros2 topic`: look at topics."""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections import deque
from typing import Any

from ros2_pip_tools.cli.errors import CommandError
from ros2_pip_tools.cli.graph import (
    absolute,
    add_spin_time,
    command_node,
    discovered,
    get_interface,
    matching_qos,
    spin_until,
    topic_type,
)
from ros2_pip_tools.cli.message_text import select, to_yaml


def add_to(commands: Any) -> None:
    """Add the verbs."""
    group = commands.add_parser('topic', help='look at topics')
    verbs = group.add_subparsers(metavar='verb', required=True)
    listing = verbs.add_parser('list', help='print the topics')
    listing.add_argument('-t', '--show-types', action='store_true', help='print types too')
    add_spin_time(listing)
    listing.set_defaults(run=_list)
    info = verbs.add_parser('info', help='print who has a topic')
    info.add_argument('topic')
    info.add_argument('-v', '--verbose', action='store_true', help='print nodes and QoS')
    add_spin_time(info)
    info.set_defaults(run=_info)
    _add_echo(verbs)
    hz = verbs.add_parser('hz', help='print the rate of a topic')
    hz.add_argument('topic')
    hz.add_argument('-w', '--window', type=int, default=10000, help='messages to average over')
    _add_timeout(hz)
    hz.set_defaults(run=_hz)


def _add_timeout(parser: Any) -> None:
    parser.add_argument(
        '--timeout', type=float, metavar='S', help='give up after this time without a message'
    )


def _add_echo(verbs: Any) -> None:
    echo = verbs.add_parser('echo', help='print the messages of a topic')
    echo.add_argument('topic')
    echo.add_argument('type', nargs='?', help='by default the one the publisher has')
    echo.add_argument('--once', action='store_true', help='end after the first message')
    echo.add_argument('--field', help="print only this part, e.g. 'header.stamp'")
    echo.add_argument('--no-arr', action='store_true', help='print the length of arrays only')
    echo.add_argument('-f', '--full-length', action='store_true', help='print long values fully')
    echo.add_argument('-l', '--truncate-length', type=int, default=128, help='of long values')
    echo.add_argument('--qos-reliability', choices=['reliable', 'best_effort'])
    echo.add_argument('--qos-durability', choices=['transient_local', 'volatile'])
    _add_timeout(echo)
    echo.set_defaults(run=_echo)


def _list(options: argparse.Namespace) -> None:
    with command_node() as node:
        topics = discovered(node, node.get_topic_names_and_types, options.spin_time)
    for name, types in sorted(topics):
        print(f'{name} [{", ".join(types)}]' if options.show_types else name)


def _info(options: argparse.Namespace) -> None:
    topic = absolute(options.topic)
    with command_node() as node:
        types = topic_type(node, topic, options.spin_time)
        spin_until(node, lambda: False, options.spin_time)
        ends = {
            'Publisher': node.get_publishers_info_by_topic(topic),
            'Subscription': node.get_subscriptions_info_by_topic(topic),
        }
    print(f'Type: {types}')
    for kind, infos in ends.items():
        print(f'{kind} count: {len(infos)}')
        for info in infos if options.verbose else ():
            qos = info.qos_profile
            print(
                f'\nNode name: {info.node_name}\nNode namespace: {info.node_namespace}\n'
                f'Topic type: {info.topic_type}\nTopic type hash: {info.topic_type_hash}\n'
                f'Endpoint type: {info.endpoint_type.name}\nQoS profile:\n'
                f'  Reliability: {qos.reliability.name}\n'
                f'  History (Depth): {qos.history.name} ({qos.depth})\n'
                f'  Durability: {qos.durability.name}\n'
            )


def _echo(options: argparse.Namespace) -> None:
    from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

    topic = absolute(options.topic)
    limit = None if options.full_length else options.truncate_length
    count = 0

    def show(message: Any) -> None:
        nonlocal count
        if options.once and count:
            return
        count += 1
        selected = select(message, options.field)
        print(to_yaml(selected, limit, not options.no_arr), flush=True)

    with command_node() as node:
        message_type = get_interface(options.type or topic_type(node, topic, options.timeout))
        qos = matching_qos(node, topic)
        if options.qos_reliability:
            qos.reliability = ReliabilityPolicy[options.qos_reliability.upper()]
        if options.qos_durability:
            qos.durability = DurabilityPolicy[options.qos_durability.upper()]
        node.create_subscription(message_type, topic, show, qos)
        _spin_while_messages(node, lambda: count, topic, options)


def _spin_while_messages(node: Any, count: Any, topic: str, options: argparse.Namespace) -> None:
    """Spin until interrupted, until the first message with --once, or until a timeout."""
    once = getattr(options, 'once', False)
    while True:
        before = count()
        spin_until(node, lambda seen=before: count() > seen, options.timeout)
        if count() == before:
            raise CommandError(f"no message on '{topic}' within {options.timeout:g} s")
        if once:
            return


def _hz(options: argparse.Namespace) -> None:
    topic = absolute(options.topic)
    times: deque[float] = deque(maxlen=options.window + 1)
    reported = time.monotonic()
    count = 0

    def receive(_data: bytes) -> None:
        nonlocal count, reported
        count += 1
        now = time.monotonic()
        times.append(now)
        if now - reported >= 1.0 and len(times) > 1:
            reported = now
            print(_rate(times), flush=True)

    with command_node() as node:
        message_type = get_interface(topic_type(node, topic, options.timeout))
        qos = matching_qos(node, topic, depth=100)
        node.create_subscription(message_type, topic, receive, qos, raw=True)
        _spin_while_messages(node, lambda: count, topic, options)


def _rate(times: deque[float]) -> str:
    """Return the statistics of a window of arrival times [s]."""
    stamps = list(times)
    gaps = [later - earlier for earlier, later in itertools.pairwise(stamps)]
    rate = len(gaps) / (stamps[-1] - stamps[0])
    return (
        f'average rate: {rate:.3f}\n\tmin: {min(gaps):.3f}s max: {max(gaps):.3f}s '
        f'std dev: {statistics.pstdev(gaps):.5f}s window: {len(gaps)}'
    )
