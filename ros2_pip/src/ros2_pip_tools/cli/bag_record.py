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
from ros2_pip_tools.cli.errors import CommandError
from ros2_pip_tools.cli.graph import absolute, get_interface, matching_qos
from ros2_pip_tools.cli.stopping import stop_on_signals

if TYPE_CHECKING:
    from rclpy.node import Node
    from rosbags.rosbag2 import Writer

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
    """

    output: Path
    storage: str = 'mcap'
    compression: str = 'none'
    topics: Sequence[str] = field(default_factory=list)
    regex: str | None = None
    exclude: str | None = None
    use_sim_time: bool = False

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
        with _writer(recording) as writer:
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


@contextlib.contextmanager
def _writer(recording: Recording) -> Iterator[Writer]:
    from rosbags.rosbag2 import StoragePlugin, Writer, WriterError
    from rosbags.rosbag2.enums import CompressionFormat, CompressionMode

    plugin = StoragePlugin[recording.storage.upper()]
    mode = CompressionMode[recording.compression.upper()]
    if mode == CompressionMode.STORAGE and plugin != StoragePlugin.MCAP:
        raise CommandError('a storage preset profile needs the storage mcap')
    try:
        writer = Writer(recording.output, version=9, storage_plugin=plugin)
        writer.set_compression(mode, CompressionFormat.ZSTD)
        writer.open()
    except (WriterError, OSError) as error:
        raise CommandError(f'cannot write the bag {recording.output}: {error}') from error
    try:
        yield writer
    finally:
        writer.close()


class _Recorder:
    """Subscribes to the topics as they appear and writes their messages."""

    def __init__(self, node: Node, writer: Writer, recording: Recording) -> None:
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
        connection = self._writer.add_connection(
            topic,
            type_name,
            msgdef=definition,
            rihs01=type_hash,
            offered_qos_profiles=from_publishers(publishers),
        )
        clock = self._node.get_clock()

        def write(data: bytes) -> None:
            stamp = clock.now().nanoseconds
            if stamp == 0:
                return  # simulated time has not begun
            self._writer.write(connection, stamp, data)
            self.count += 1

        qos = matching_qos(self._node, topic, _QUEUE_DEPTH)
        self._node.create_subscription(message_type, topic, write, qos, raw=True)
        self._node.get_logger().info(f"Subscribed to topic '{topic}'")


def describe_type(type_name: str) -> tuple[str, str]:
    """Return the full definition of an installed message type and its hash.

    Raises:
        CommandError: the type's definition is not installed.
    """
    from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

    def installed(name: str, suffix: str) -> str:
        package, _, kind = name.split('/')
        try:
            folder = get_package_share_directory(package)
            return Path(folder, 'msg', kind + suffix).read_text()
        except (PackageNotFoundError, OSError) as error:
            raise CommandError(f'no definition of {name} ({error})') from error

    description = json.loads(installed(type_name, '.json'))
    hashes = {item['type_name']: item['hash_string'] for item in description['type_hashes']}
    referenced = [
        item['type_name']
        for item in description['type_description_msg']['referenced_type_descriptions']
    ]
    parts = [installed(type_name, '.msg')]
    for name in referenced:
        package, _, kind = name.split('/')
        parts.append(f'{_SEPARATOR}\nMSG: {package}/{kind}\n{installed(name, ".msg")}')
    return os.linesep.join(parts), hashes[type_name]
