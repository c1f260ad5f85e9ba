"""Write rosbag2 bags: MCAP with zstd chunks, or sqlite3. No ROS needed.

rosbags writes ``metadata.yaml`` and sqlite3 files, ``mcap_writer`` the MCAP file.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as Rosbag2Writer

from sim_perception.bags.bag_files import BagFiles
from sim_perception.bags.errors import BagError
from sim_perception.bags.layout import STAMPED
from sim_perception.bags.mcap_writer import McapWriter
from sim_perception.bags.messages import StampedMessage
from sim_perception.bags.topics import TOPICS, QosHint, Topic
from sim_perception.bags.topics import topic as find_topic
from sim_perception.bags.typestore import typestore
from sim_perception.locks import locked

_FOREVER = QosTime(9223372036, 854775807)


def qos_profile(hint: QosHint) -> Qos:
    """Return the profile a bag offers for a topic.

    Sensor data are offered reliably too: that matches every subscriber on replay.
    """
    latched = hint is QosHint.LATCHED
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=1 if latched else 10,
        reliability=QosReliability.RELIABLE,
        durability=QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        deadline=_FOREVER,
        lifespan=_FOREVER,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=_FOREVER,
        avoid_ros_namespace_conventions=False,
    )


class _McapStorage:
    """Storage plugin for the rosbags writer: this package's MCAP layout."""

    def __init__(self, path: Path, compression: CompressionMode) -> None:
        self.path = path / f'{path.name}.mcap'
        self._writer = McapWriter(self.path, compression is CompressionMode.STORAGE)
        self._schemas: dict[str, int] = {}
        self._channels: dict[int, int] = {}

    def add_msgtype(self, connection: Connection) -> None:
        schema = self._writer.add_schema(connection.msgtype, connection.msgdef.data)
        self._schemas[connection.msgtype] = schema

    def add_connection(self, connection: Connection, offered_qos_profiles: str) -> None:
        metadata = {
            'offered_qos_profiles': offered_qos_profiles,
            'topic_type_hash': connection.digest,
        }
        self._channels[connection.id] = self._writer.add_channel(
            connection.topic, self._schemas[connection.msgtype], metadata
        )

    def write(self, connection: Connection, timestamp: int, data: bytes | memoryview) -> None:
        self._writer.write(self._channels[connection.id], timestamp, data)

    def close(self, version: int, metadata: str) -> None:
        self._writer.add_metadata('rosbag2', {'serialized_metadata': metadata})
        self._writer.finish()

    def abort(self) -> None:
        self._writer.abort()


class _Rosbag2Writer(Rosbag2Writer):
    """The rosbags writer with the MCAP storage above."""

    STORAGE_PLUGINS: Mapping[StoragePlugin, Any] = MappingProxyType(
        {**Rosbag2Writer.STORAGE_PLUGINS, StoragePlugin.MCAP: _McapStorage}
    )


class BagWriter:
    """Writes one bag folder; a context manager.

    The bag grows in a hidden folder beside its final place and is renamed when it is
    complete, so an existing bag is always whole. On an exception nothing is left. One process
    at a time may write a bag of a name.

    Args:
        path: the bag's folder; must not exist.
        storage: ``mcap`` or ``sqlite3``.
        compression: ``zstd`` or ``none``. sqlite3 bags are compressed message by message.
        custom: facts kept in the bag's metadata.
        stamped: promise that times given to ``write`` are the header stamps.
        topics: the table of those that ``write`` announces itself.

    Raises:
        FileExistsError: if ``path`` exists.
        ValueError: for an unknown storage or compression.
    """

    def __init__(
        self,
        path: Path | str,
        storage: str = 'mcap',
        compression: str = 'zstd',
        custom: Mapping[str, Any] | None = None,
        stamped: bool = True,
        topics: Mapping[str, Topic] = TOPICS,
    ) -> None:
        if storage not in ('mcap', 'sqlite3'):
            raise ValueError(f'unknown bag storage {storage!r}; choose mcap or sqlite3')
        if compression not in ('zstd', 'none'):
            raise ValueError(f'unknown bag compression {compression!r}; choose zstd or none')
        self.path = Path(path)
        if self.path.exists():
            raise FileExistsError(f'{self.path} exists already; choose another name or remove it')
        self._partial = self.path.parent / f'.{self.path.name}.partial'
        self._storage = storage
        self._compression = compression
        self._custom = dict(custom or {})
        if stamped:
            self._custom[STAMPED] = True
        self._topics = topics
        self._connections: dict[str, Connection] = {}
        self._written = 0
        self._writer: _Rosbag2Writer
        self._lock = ExitStack()

    def __enter__(self) -> BagWriter:
        """Create the hidden folder, in place of one that a killed run left.

        Raises:
            BusyError: if another process writes a bag of this name.
            FileExistsError: if one has written it since.
        """
        self._lock.enter_context(locked(self._partial))
        try:
            return self._begin()
        except BaseException:
            self._end()
            raise

    def _begin(self) -> BagWriter:
        if self.path.exists():
            raise FileExistsError(f'{self.path} exists already; choose another name or remove it')
        shutil.rmtree(self._partial / self.path.name, ignore_errors=True)
        plugin = StoragePlugin.MCAP if self._storage == 'mcap' else StoragePlugin.SQLITE3
        # The files carry the bag's name, hence a folder of that name within the hidden one.
        self._writer = _Rosbag2Writer(
            self._partial / self.path.name, version=9, storage_plugin=plugin
        )
        if self._compression == 'zstd':
            mcap = self._storage == 'mcap'
            mode = CompressionMode.STORAGE if mcap else CompressionMode.MESSAGE
            self._writer.set_compression(mode, CompressionFormat.ZSTD)
        for key, value in self._custom.items():
            self._writer.set_custom_data(
                key, value if isinstance(value, str) else json.dumps(value)
            )
        self._writer.open()
        return self

    def add_topic(self, topic: Topic) -> None:
        """Announce a topic, which may be none of the table; ``write`` does it for those."""
        self._connections[topic.name] = self._writer.add_connection(
            topic.name,
            topic.type,
            typestore=typestore(),
            offered_qos_profiles=[qos_profile(topic.qos)],
        )

    def write(self, message: StampedMessage) -> None:
        """Append one message.

        Raises:
            KeyError: for a topic that is neither in the table nor announced.
        """
        if message.topic not in self._connections:
            self.add_topic(find_topic(message.topic, self._topics))
        self._writer.write(self._connections[message.topic], message.stamp, message.data)
        self._written += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the bag and move it to its place, or remove it after an exception.

        Raises:
            BagError: if not all that was written is there.
        """
        try:
            if kind is None:
                self._writer.close()
                self._check_count()
                (self._partial / self.path.name).rename(self.path)
            else:
                self._writer.abort()
        finally:
            self._end()

    def _end(self) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)
        self._lock.close()

    def _check_count(self) -> None:
        """Count the messages on the disk."""
        files = BagFiles(self._partial / self.path.name)
        there = sum(len(files.index(topic).stamps) for topic in files.types)
        files.close()
        if there != self._written:
            raise BagError(
                f'{self.path}: {there} of {self._written} messages were written; is the disk '
                'full, or does something else write there?'
            )
