"""`ros2 topic hz`, `bw` and `delay`: figures of what arrives."""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from ros2_pip_tools.cli.errors import CommandError
from ros2_pip_tools.cli.graph import (
    absolute,
    command_node,
    get_interface,
    matching_qos,
    spin_until,
    topic_type,
)


def add_to(verbs: Any) -> None:
    """Add the verbs."""
    for name, run, window, help_text in (
        ('hz', _hz, 10000, 'print the rate of a topic'),
        ('bw', _bw, 100, 'print the bandwidth of a topic'),
        ('delay', _delay, 10000, 'print how old the stamps of a topic are when they come'),
    ):
        parser = verbs.add_parser(name, help=help_text)
        parser.add_argument('topic')
        parser.add_argument(
            '-w', '--window', type=int, default=window, help='messages to average over'
        )
        parser.add_argument(
            '-s', '--use-sim-time', action='store_true', help='take the time from /clock'
        )
        add_timeout(parser)
        parser.set_defaults(run=run)


def add_timeout(parser: Any) -> None:
    """Add the option that ends a wait for messages."""
    parser.add_argument(
        '--timeout', type=float, metavar='S', help='give up after this time without a message'
    )


def spin_while_messages(node: Any, count: Any, topic: str, options: argparse.Namespace) -> None:
    """Spin until interrupted, until the first message with --once, or until a timeout."""
    once = getattr(options, 'once', False)
    while True:
        before = count()
        spin_until(node, lambda seen=before: count() > seen, options.timeout)
        if count() == before:
            raise CommandError(f"no message on '{topic}' within {options.timeout:g} s")
        if once:
            return


def _watch(
    options: argparse.Namespace,
    take: Callable[[Any, float], None],
    report: Callable[[], str],
    *,
    raw: bool,
) -> None:
    """Hand every message to `take`, with the clock's time [s]; print a report every second."""
    topic = absolute(options.topic)
    reported = time.monotonic()
    count = 0

    with command_node(options.use_sim_time) as node:
        clock = node.get_clock()

        def receive(message: Any) -> None:
            nonlocal count, reported
            count += 1
            take(message, clock.now().nanoseconds * 1e-9)
            if time.monotonic() - reported >= 1.0 and (text := report()):
                reported = time.monotonic()
                print(text, flush=True)

        message_type = get_interface(topic_type(node, topic, options.timeout))
        qos = matching_qos(node, topic, depth=100)
        node.create_subscription(message_type, topic, receive, qos, raw=raw)
        spin_while_messages(node, lambda: count, topic, options)


def _hz(options: argparse.Namespace) -> None:
    times: deque[float] = deque(maxlen=options.window + 1)

    def take(_data: bytes, now: float) -> None:
        times.append(now)

    _watch(options, take, lambda: _rate(times), raw=True)


def _rate(times: deque[float]) -> str:
    """Return the statistics of a window of arrival times [s]; empty if there is no gap."""
    stamps = list(times)
    gaps = [later - earlier for earlier, later in itertools.pairwise(stamps)]
    if not gaps or stamps[-1] <= stamps[0]:
        return ''
    rate = len(gaps) / (stamps[-1] - stamps[0])
    return (
        f'average rate: {rate:.3f}\n\tmin: {min(gaps):.3f}s max: {max(gaps):.3f}s '
        f'std dev: {statistics.pstdev(gaps):.5f}s window: {len(gaps)}'
    )


def _bw(options: argparse.Namespace) -> None:
    arrivals: deque[tuple[float, int]] = deque(maxlen=options.window)

    def take(data: bytes, now: float) -> None:
        arrivals.append((now, len(data)))

    _watch(options, take, lambda: _bandwidth(arrivals), raw=True)


def _bandwidth(arrivals: deque[tuple[float, int]]) -> str:
    """Return the statistics of a window of arrival times [s] and sizes [bytes]."""
    seconds = arrivals[-1][0] - arrivals[0][0]
    if seconds <= 0:
        return ''
    sizes = [size for _, size in arrivals]
    rate = sum(sizes[1:]) / seconds
    mean, low, high = (
        _size(value, rate) for value in (statistics.fmean(sizes), min(sizes), max(sizes))
    )
    return (
        f'{_size(rate, rate)}/s from {len(sizes)} messages\n'
        f'\tMessage size mean: {mean} min: {low} max: {high}'
    )


def _size(value: float, scale: float) -> str:
    """Return bytes in the unit that suits a scale."""
    if scale < 1e3:
        return f'{value:.0f} B'
    return f'{value / 1e3:.2f} KB' if scale < 1e6 else f'{value / 1e6:.2f} MB'


def _delay(options: argparse.Namespace) -> None:
    delays: deque[float] = deque(maxlen=options.window)

    def take(message: Any, now: float) -> None:
        if not hasattr(message, 'header'):
            raise CommandError(f"'{options.topic}' has messages without a header")
        stamp = message.header.stamp
        delays.append(now - stamp.sec - stamp.nanosec * 1e-9)

    _watch(options, take, lambda: _delay_text(delays), raw=False)


def _delay_text(delays: deque[float]) -> str:
    """Return the statistics of a window of delays [s]."""
    return (
        f'average delay: {statistics.fmean(delays):.3f}\n\tmin: {min(delays):.3f}s max: '
        f'{max(delays):.3f}s std dev: {statistics.pstdev(delays):.5f}s window: {len(delays)}'
    )
