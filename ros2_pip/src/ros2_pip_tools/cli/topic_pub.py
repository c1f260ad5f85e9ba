"""`ros2 topic pub`: publish messages written in YAML."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ros2_pip_tools.cli.errors import CommandError
from ros2_pip_tools.cli.graph import absolute, command_node, get_interface, spin_until
from ros2_pip_tools.cli.message_text import fill, from_yaml

if TYPE_CHECKING:
    from rclpy.qos import QoSProfile


def add_to(verbs: Any) -> None:
    """Add the verb."""
    pub = verbs.add_parser('pub', help='publish a message again and again')
    pub.add_argument('topic_name')
    pub.add_argument('message_type', help="such as 'std_msgs/msg/String'")
    pub.add_argument(
        'values',
        nargs='?',
        default='{}',
        help="in YAML; a header that is 'auto' and a stamp that is 'now' get the time",
    )
    pub.add_argument('-r', '--rate', type=_positive, default=1.0, metavar='N', help='in Hz')
    pub.add_argument(
        '-p', '--print', type=int, default=1, metavar='N', help='print every N-th message only'
    )
    number = pub.add_mutually_exclusive_group()
    number.add_argument('-1', '--once', action='store_true', help='publish one message and exit')
    number.add_argument('-t', '--times', type=int, default=0, help='publish so many and exit')
    pub.add_argument(
        '-w',
        '--wait-matching-subscriptions',
        type=int,
        metavar='N',
        help='begin when there are N; by default 1 with --once or --times, else 0',
    )
    pub.add_argument('--max-wait-time-secs', type=_positive, metavar='S')
    pub.add_argument('--keep-alive', type=_positive, default=0.1, metavar='S')
    pub.add_argument('--qos-reliability', choices=['reliable', 'best_effort'])
    pub.add_argument('--qos-durability', choices=['transient_local', 'volatile'])
    pub.add_argument('--qos-depth', type=int, default=10, metavar='N')
    pub.set_defaults(run=_pub)


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f'{text} is not greater than 0')
    return value


def _qos(options: argparse.Namespace) -> QoSProfile:
    from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

    return QoSProfile(
        depth=options.qos_depth,
        reliability=ReliabilityPolicy[(options.qos_reliability or 'reliable').upper()],
        durability=DurabilityPolicy[(options.qos_durability or 'volatile').upper()],
    )


def _pub(options: argparse.Namespace) -> None:
    values = from_yaml(options.values)
    times = 1 if options.once else options.times
    wanted = options.wait_matching_subscriptions
    wanted = int(times > 0) if wanted is None else wanted
    message = get_interface(options.message_type)()
    with command_node() as node:
        publisher = node.create_publisher(
            type(message), absolute(options.topic_name), _qos(options)
        )
        _wait_for(node, publisher, wanted, options.max_wait_time_secs)
        stamps = fill(message, values)
        print('publisher: beginning loop', flush=True)
        count = 0
        while not times or count < times:
            if count:
                spin_until(node, lambda: False, 1 / options.rate)
            count += 1
            for stamp in stamps:
                now = node.get_clock().now().to_msg()
                stamp.sec, stamp.nanosec = now.sec, now.nanosec
            if options.print and count % options.print == 0:
                print(f'publishing #{count}: {message!r}\n', flush=True)
            publisher.publish(message)
        # give some time for the messages to reach the wire
        spin_until(node, lambda: False, options.keep_alive)


def _wait_for(node: Any, publisher: Any, wanted: int, timeout: float | None) -> None:
    if publisher.get_subscription_count() >= wanted:
        return
    print(f'Waiting for at least {wanted} matching subscription(s)...', flush=True)
    if not spin_until(node, lambda: publisher.get_subscription_count() >= wanted, timeout):
        raise CommandError(
            f'Timed out waiting for subscribers: Expected {wanted} subscribers but only got '
            f'{publisher.get_subscription_count()} subscribers'
        )
