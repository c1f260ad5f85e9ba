"""A short-lived node for commands that look at the running graph."""

from __future__ import annotations

import contextlib
import importlib
import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ros2_pip_tools.cli.errors import CommandError

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.qos import QoSProfile
    from rclpy.task import Future


def add_spin_time(parser: Any) -> None:
    """Add the option that says how long discovery may take."""
    parser.add_argument(
        '--spin-time',
        type=float,
        default=3.0,
        metavar='S',
        help='seconds to wait for discovery (default: %(default)s)',
    )


@contextlib.contextmanager
def command_node(use_sim_time: bool = False) -> Iterator[Node]:
    """Yield a node that exists within the block."""
    import rclpy
    from rclpy.parameter import Parameter

    rclpy.init(args=[])
    node = rclpy.create_node(
        f'_ros2cli_{os.getpid()}',
        start_parameter_services=False,
        enable_rosout=False,
        parameter_overrides=[Parameter('use_sim_time', value=use_sim_time)],
    )
    try:
        yield node
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def spin_until(node: Node, condition: Callable[[], Any], timeout: float | None = None) -> Any:
    """Spin until the condition is true; return its value, the last one after the timeout."""
    import rclpy
    from rclpy.executors import ExternalShutdownException

    end = None if timeout is None else time.monotonic() + timeout
    while True:
        value = condition()
        if value or (end is not None and time.monotonic() >= end):
            return value
        try:
            rclpy.spin_once(node, timeout_sec=0.05)
        except ExternalShutdownException:  # SIGTERM
            raise SystemExit(143) from None


def discovered(node: Node, look: Callable[[], Any], spin_time: float) -> Any:
    """Return what look() sees of the graph when the time for discovery is over."""
    spin_until(node, lambda: False, spin_time)
    return look()


def full_node_names(node: Node, hidden: bool = False) -> list[str]:
    """Return the sorted full names of the nodes that are known by now."""
    found = node.get_node_names_and_namespaces()
    names = sorted(f'{namespace.rstrip("/")}/{name}' for name, namespace in found)
    return [name for name in names if hidden or not name.rpartition('/')[2].startswith('_')]


def get_interface(name: str, kind: str = 'msg') -> Any:
    """Return the Python class of 'package/msg/Type' or 'package/Type'."""
    parts = name.split('/')
    if len(parts) == 2:
        parts.insert(1, kind)
    if len(parts) != 3 or not all(parts):
        raise CommandError(f"'{name}' is no type; write package/{kind}/Type")
    try:
        module = importlib.import_module('.'.join(parts[:2]))
        return getattr(module, parts[2])
    except (ImportError, AttributeError) as error:
        raise CommandError(f"type '{name}' is not installed here ({error})") from error


def topic_type(node: Node, topic: str, timeout: float | None = None) -> str:
    """Return the type of a topic, waiting until somebody has it.

    Raises:
        CommandError: nobody has it in time, or with several types.
    """

    def look() -> list[str]:
        return dict(node.get_topic_names_and_types()).get(topic, [])

    types = spin_until(node, look, timeout)
    if not types:
        raise CommandError(f"nobody publishes or subscribes '{topic}'; see `ros2 topic list`")
    if len(types) > 1:
        raise CommandError(f"'{topic}' has several types: {', '.join(types)}; name one")
    return types[0]


def matching_qos(node: Node, topic: str, depth: int = 10, wait: float = 3.0) -> QoSProfile:
    """Return a subscription's QoS that all present publishers of a topic can serve.

    Where no publisher is discovered within `wait` seconds, it is one that any can serve.
    """
    from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

    infos = spin_until(node, lambda: node.get_publishers_info_by_topic(topic), wait)
    offers = [info.qos_profile for info in infos]
    reliable = all(offer.reliability == ReliabilityPolicy.RELIABLE for offer in offers)
    latched = all(offer.durability == DurabilityPolicy.TRANSIENT_LOCAL for offer in offers)
    known = bool(offers)
    return QoSProfile(
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE
        if known and reliable
        else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL
        if known and latched
        else DurabilityPolicy.VOLATILE,
    )


def absolute(name: str) -> str:
    """Return a topic's or node's name with its leading slash."""
    return name if name.startswith('/') else f'/{name}'


def wait_for_result(node: Node, future: Future, what: str, timeout: float) -> Any:
    """Return a service's response; CommandError when it does not come in time."""
    import rclpy

    rclpy.spin_until_future_complete(node, future, timeout_sec=timeout)
    if not future.done():
        raise CommandError(f'no answer from {what} within {timeout:g} s')
    return future.result()
