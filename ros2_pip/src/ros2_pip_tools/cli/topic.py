"""`ros2 topic`: look at topics."""

from __future__ import annotations

import argparse
from typing import Any

from ros2_pip_tools.cli import topic_pub, topic_statistics
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
from ros2_pip_tools.cli.topic_statistics import add_timeout, spin_while_messages


def add_to(commands: Any) -> None:
    """Add the verbs."""
    group = commands.add_parser('topic', help='look at topics')
    verbs = group.add_subparsers(metavar='verb', required=True)
    listing = verbs.add_parser('list', help='print the topics')
    listing.add_argument('-t', '--show-types', action='store_true', help='print types too')
    listing.add_argument(
        '-c', '--count-topics', action='store_true', help='print only how many there are'
    )
    add_spin_time(listing)
    listing.set_defaults(run=_list)
    info = verbs.add_parser('info', help='print who has a topic')
    info.add_argument('topic')
    info.add_argument('-v', '--verbose', action='store_true', help='print nodes and QoS')
    add_spin_time(info)
    info.set_defaults(run=_info)
    _add_looks(verbs)
    _add_echo(verbs)
    topic_statistics.add_to(verbs)
    topic_pub.add_to(verbs)


def _add_looks(verbs: Any) -> None:
    kind = verbs.add_parser('type', help="print a topic's type")
    kind.add_argument('topic_name')
    add_spin_time(kind)
    kind.set_defaults(run=_type)
    find = verbs.add_parser('find', help='print the topics of a type')
    find.add_argument('topic_type', help="such as 'sensor_msgs/msg/Image'")
    find.add_argument(
        '-c', '--count-topics', action='store_true', help='print only how many there are'
    )
    add_spin_time(find)
    find.set_defaults(run=_find)


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
    add_timeout(echo)
    echo.set_defaults(run=_echo)


def _list(options: argparse.Namespace) -> None:
    with command_node() as node:
        topics = discovered(node, node.get_topic_names_and_types, options.spin_time)
    if options.count_topics:
        print(len(topics))
        return
    for name, types in sorted(topics):
        print(f'{name} [{", ".join(types)}]' if options.show_types else name)


def _type(options: argparse.Namespace) -> None:
    with command_node() as node:
        print(topic_type(node, absolute(options.topic_name), options.spin_time))


def _find(options: argparse.Namespace) -> None:
    with command_node() as node:
        topics = discovered(node, node.get_topic_names_and_types, options.spin_time)
    found = sorted(name for name, types in topics if options.topic_type in types)
    if options.count_topics:
        print(len(found))
    elif found:
        print('\n'.join(found))


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
        spin_while_messages(node, lambda: count, topic, options)
