"""Writes what is published into a bag."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ros2_pip_tools.cli.bag_qos import from_publishers
from ros2_pip_tools.cli.bag_writer import BagWriter
from ros2_pip_tools.cli.errors import CommandError
from ros2_pip_tools.cli.graph import absolute, get_interface, matching_qos
from ros2_pip_tools.cli.interface import definition_file
from ros2_pip_tools.cli.stopping import stop_on_signals

if TYPE_CHECKING:
    from rclpy.node import Node

_DISCOVERY_PERIOD = 0.1  # [s]
_QUEUE_DEPTH = 100
_SEPARATOR = '=' * 80


@dataclass(frozen=True)
class Recording:
    """What to record and where.

    Attributes:
        output: folder of the new bag.
        storage: 'mcap' or 'sqlite3'.
        compression: 'none', 'file', 'message', or 'storage' for the chunks of an mcap file.
        topics: names to record.
        regex: record topics that match this too.
        exclude: record no topics that match this.
        use_sim_time: stamp the messages with /clock, not the system's time.
        max_size: begin a new file after this many bytes of messages, 0 for never.
        max_duration: begin a new file after this many seconds, 0 for never.
    """

    output: Path
    storage: str = 'mcap'
    compression: str = 'none'
    topics: Sequence[str] = field(default_factory=list)
    regex: str | None = None
    exclude: str | None = None
    use_sim_time: bool = False
    max_size: int = 0
    max_duration: int = 0

    def takes(self, topic: str) -> bool:
        """Return whether a topic is to be recorded."""
        if self.exclude is not None and re.search(self.exclude, topic):
            return False
        if topic in {absolute(name) for name in self.topics}:
            return True
        return self.regex is not None and re.search(self.regex, topic) is not None


def record(recording: Recording) -> None:
    """Record until SIGINT or SIGTERM.

    Raises:
        CommandError: the bag exists already or cannot be written.
    """
    with stop_on_signals() as stop, _recorder_node(recording) as node:
        with contextlib.closing(
            BagWriter(
                recording.output,
                recording.storage,
                recording.compression,
                max_size=recording.max_size,
                max_duration=recording.max_duration,
            )
        ) as writer:
            recorder = _Recorder(node, writer, recording)
            print(f'Recording into {recording.output}; end with Ctrl-C', flush=True)
            recorder.run(stop)
        print(f'Recorded {recorder.count} messages into {recording.output}', flush=True)


@contextlib.contextmanager
def _recorder_node(recording: Recording) -> Iterator[Node]:
    import rclpy
    from rclpy.parameter import Parameter
    from rclpy.signals import SignalHandlerOptions

    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node(
        'rosbag2_recorder',
        start_parameter_services=False,
        parameter_overrides=[Parameter('use_sim_time', value=recording.use_sim_time)],
    )
    try:
        yield node
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


class _Recorder:
    """Subscribes to the topics as they appear and writes their messages."""

    def __init__(self, node: Node, writer: BagWriter, recording: Recording) -> None:
        self._node = node
        self._writer = writer
        self._recording = recording
        self._seen: set[str] = set()
        self.count = 0

    def run(self, stop: Any) -> None:
        """Record until the stop event is set."""
        import rclpy

        looked = float('-inf')
        while not stop.is_set():
            if time.monotonic() - looked > _DISCOVERY_PERIOD:
                looked = time.monotonic()
                self._subscribe_to_new()
            rclpy.spin_once(self._node, timeout_sec=_DISCOVERY_PERIOD)

    def _subscribe_to_new(self) -> None:
        for topic, types in self._node.get_topic_names_and_types():
            if topic in self._seen or not self._recording.takes(topic):
                continue
            publishers = self._node.get_publishers_info_by_topic(topic)
            if not publishers:
                continue  # its QoS is not known yet
            self._seen.add(topic)
            try:
                self._subscribe(topic, types[0], publishers)
            except CommandError as error:
                self._node.get_logger().warning(f'not recording {topic}: {error}')

    def _subscribe(self, topic: str, type_name: str, publishers: Sequence[Any]) -> None:
        message_type = get_interface(type_name)
        definition, type_hash = describe_type(type_name)
        offers = from_publishers(publishers)
        self._writer.add_topic(topic, type_name, definition, type_hash, offers)
        clock = self._node.get_clock()

        def write(data: bytes) -> None:
            stamp = clock.now().nanoseconds
            if stamp == 0:
                return  # simulated time has not begun
            self._writer.write(topic, stamp, data)
            self.count += 1

        qos = matching_qos(self._node, topic, _QUEUE_DEPTH)
        self._node.create_subscription(message_type, topic, write, qos, raw=True)
        self._node.get_logger().info(f"Subscribed to topic '{topic}'")


def describe_type(type_name: str) -> tuple[str, str]:
    """Return the full definition of an installed message type and its hash.

    Raises:
        CommandError: the type's definition is not installed.
    """
    description = json.loads(definition_file(type_name, '.json').read_text())
    hashes = {item['type_name']: item['hash_string'] for item in description['type_hashes']}
    referenced = [
        item['type_name']
        for item in description['type_description_msg']['referenced_type_descriptions']
    ]
    parts = [definition_file(type_name).read_text()]
    for name in referenced:
        package, _, kind = name.split('/')
        parts.append(f'{_SEPARATOR}\nMSG: {package}/{kind}\n{definition_file(name).read_text()}')
    return os.linesep.join(parts), hashes[type_name]
