"""Publishes the messages of a bag as they were recorded."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ros2_pip_tools.cli.bag_pace import Pace, space_toggles
from ros2_pip_tools.cli.bag_qos import load_overrides, to_publisher
from ros2_pip_tools.cli.errors import CommandError
from ros2_pip_tools.cli.graph import absolute, get_interface
from ros2_pip_tools.cli.stopping import stop_on_signals

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.publisher import Publisher
    from rclpy.qos import QoSProfile
    from rosbags.interfaces import Connection
    from rosbags.rosbag2 import Reader

_FLUSH_SECONDS = 2.0


@dataclass(frozen=True)
class Playback:
    """How to play a bag.

    Attributes:
        rate: speed relative to the recording.
        loop: play again and again; the clock jumps back then.
        clock_hz: how often to publish /clock [1/s], None for never.
        start_offset: how much of the beginning to skip [s of the bag].
        delay: how long to wait before every round [s].
        topics: play only these, None for all.
        exclude: do not play these.
        remap: rules 'old:=new'.
        qos_overrides: YAML file of QoS by topic.
        duration: how much of the bag to play [s of the bag], negative for all.
        start_paused: wait for SPACE before the first message.
        keyboard: whether SPACE pauses and resumes.
    """

    rate: float = 1.0
    loop: bool = False
    clock_hz: float | None = None
    start_offset: float = 0.0
    delay: float = 0.0
    topics: Sequence[str] | None = None
    exclude: Sequence[str] = ()
    remap: Sequence[str] = ()
    qos_overrides: Path | None = None
    duration: float = -1.0
    start_paused: bool = False
    keyboard: bool = True


def play(reader: Reader, playback: Playback) -> None:
    """Play an open bag to its end or until SIGINT or SIGTERM.

    Raises:
        CommandError: nothing to play, an offset beyond the bag's end, or a paused start without
            a keyboard that could end it.
    """
    connections = _select(reader, playback)
    overrides = load_overrides(playback.qos_overrides)
    begin = reader.start_time + round(playback.start_offset * 1e9)
    if playback.start_offset < 0 or begin >= reader.end_time:
        raise CommandError(
            f'start offset {playback.start_offset:g} s is not within the bag of '
            f'{reader.duration * 1e-9:g} s'
        )
    if playback.start_paused and not (playback.keyboard and sys.stdin.isatty()):
        raise CommandError('a paused start needs a terminal, in which SPACE resumes')
    end = None
    if playback.duration >= 0:
        end = begin + round(playback.duration * 1e9)
    paused = threading.Event()
    if playback.start_paused:
        paused.set()
    keys = space_toggles(paused) if playback.keyboard else contextlib.nullcontext()
    with stop_on_signals() as stop, _player_node(playback.remap) as node, keys:
        made = [(item, _publisher(node, item, overrides)) for item in connections]
        topics = [(connection, publisher) for connection, publisher in made if publisher]
        if not topics:
            raise CommandError('no topic of the bag has a type that is installed here')
        clock = None
        if playback.clock_hz is not None:
            clock = _Clock(node, step_ns=round(1e9 * playback.rate / playback.clock_hz))
        rounds = 0
        while not stop.is_set() and (playback.loop or rounds == 0):
            rounds += 1
            stop.wait(playback.delay)
            pace = Pace(begin, playback.rate, paused, stop)
            _play_once(reader, topics, clock, begin, end, pace)
        if not stop.is_set():
            _flush([publisher for _, publisher in topics])


def _select(reader: Reader, playback: Playback) -> list[Connection]:
    """Return the connections to play."""
    known = {connection.topic for connection in reader.connections}
    wanted = known if playback.topics is None else {absolute(t) for t in playback.topics}
    missing = wanted - known
    if missing:
        print(f'ros2 bag play: the bag has no {", ".join(sorted(missing))}', flush=True)
    chosen = (wanted & known) - {absolute(topic) for topic in playback.exclude}
    if playback.clock_hz is not None:
        chosen.discard('/clock')  # there must be one clock only
    if not chosen or not reader.message_count:
        raise CommandError(f'nothing to play; the bag has: {", ".join(sorted(known)) or "none"}')
    return [connection for connection in reader.connections if connection.topic in chosen]


@contextlib.contextmanager
def _player_node(remap: Sequence[str]) -> Iterator[Node]:
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    arguments = ['--ros-args'] if remap else []
    for rule in remap:
        if ':=' not in rule:
            raise CommandError(f"'{rule}' is no remapping; write OLD:=NEW")
        arguments += ['-r', rule]
    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('rosbag2_player', start_parameter_services=False)
    try:
        yield node
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def _publisher(
    node: Node, connection: Connection, overrides: dict[str, QoSProfile]
) -> Publisher | None:
    """Return a publisher for a topic, None if its type is not installed."""
    try:
        message_type = get_interface(connection.msgtype)
    except CommandError as error:
        node.get_logger().warning(f'ignoring {connection.topic}: {error}')
        return None
    qos = to_publisher(connection, overrides)
    return node.create_publisher(message_type, connection.topic, qos)


class _Clock:
    """Publishes the bag's time on /clock in equal steps."""

    def __init__(self, node: Node, step_ns: int) -> None:
        from rosgraph_msgs.msg import Clock

        self._publisher = node.create_publisher(Clock, '/clock', 10)
        self._message = Clock()
        self.step_ns = step_ns

    def publish(self, nanoseconds: int) -> None:
        """Publish a time."""
        self._message.clock.sec, self._message.clock.nanosec = divmod(nanoseconds, 10**9)
        self._publisher.publish(self._message)


def _play_once(
    reader: Reader,
    topics: list[tuple[Connection, Publisher]],
    clock: _Clock | None,
    begin: int,
    end: int | None,
    pace: Pace,
) -> None:
    """Play from a time of the bag [ns] to another one, or to its end."""
    publishers = {connection.id: publisher for connection, publisher in topics}
    connections = [connection for connection, _ in topics]
    _publish_latched(reader, topics, begin)
    tick = begin
    for connection, stamp, data in reader.messages(connections, start=begin, stop=end):
        while clock is not None and tick <= stamp:
            if not pace.wait_until(tick):
                return
            clock.publish(tick)
            tick += clock.step_ns
        if not pace.wait_until(stamp):
            return
        publishers[connection.id].publish(bytes(data))


def _publish_latched(
    reader: Reader, topics: list[tuple[Connection, Publisher]], begin: int
) -> None:
    """Publish what latched topics, such as /tf_static, had said before the start."""
    from rclpy.qos import DurabilityPolicy

    latched = {
        connection.id: publisher
        for connection, publisher in topics
        if publisher.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
    }
    chosen = [connection for connection, _ in topics if connection.id in latched]
    if chosen and begin > reader.start_time:
        for connection, _, data in reader.messages(chosen, stop=begin):
            latched[connection.id].publish(bytes(data))


def _flush(publishers: list[Publisher]) -> None:
    """Let reliable publishers deliver their last messages before they go."""
    from rclpy.duration import Duration
    from rclpy.qos import ReliabilityPolicy

    for publisher in publishers:
        if publisher.qos_profile.reliability == ReliabilityPolicy.RELIABLE:
            publisher.wait_for_all_acked(Duration(seconds=_FLUSH_SECONDS))
