"""A new bag of one file, or of several with a limit of size or duration."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ros2_pip_tools.cli.bag_metadata import INFORMATION, METADATA, merged, write_metadata
from ros2_pip_tools.cli.errors import CommandError

if TYPE_CHECKING:
    from rosbags.interfaces import Connection, Qos
    from rosbags.rosbag2 import Writer


class BagWriter:
    """Writes messages into a new bag.

    A file of several is written in a folder of its own and moved into the bag when it is
    complete; `ros2 bag reindex` finds it there if the recording breaks off.

    Args:
        folder: of the new bag.
        storage: 'mcap' or 'sqlite3'.
        compression: 'none', 'file', 'message', or 'storage' for the chunks of an mcap file.
        max_size: bytes of messages after which a new file begins, 0 for never.
        max_duration: seconds after which a new file begins, 0 for never.

    Raises:
        CommandError: the bag exists already or cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        storage: str,
        compression: str,
        *,
        max_size: int = 0,
        max_duration: int = 0,
    ) -> None:
        self._folder, self._storage, self._compression = folder, storage, compression
        self._max_size, self._max_duration = max_size, max_duration * 10**9
        self._topics: dict[str, tuple[str, dict[str, Any]]] = {}
        self._connections: dict[str, Connection] = {}
        self._parts: list[dict[str, Any]] = []
        self._size, self._start = 0, 0
        self._split = bool(max_size or max_duration)
        if storage != 'mcap' and compression == 'storage':
            raise CommandError('a storage preset profile needs the storage mcap')
        if self._split:
            try:
                folder.mkdir(parents=True)
            except OSError as error:
                raise CommandError(f'cannot write the bag {folder}: {error}') from error
        self._writer = self._open()

    def add_topic(
        self, topic: str, type_name: str, definition: str, type_hash: str, offers: Sequence[Qos]
    ) -> None:
        """Say what a topic is before its first message."""
        about: dict[str, Any] = {
            'msgdef': definition,
            'rihs01': type_hash,
            'offered_qos_profiles': offers,
        }
        self._topics[topic] = type_name, about
        self._connections[topic] = self._writer.add_connection(topic, type_name, **about)

    def write(self, topic: str, stamp: int, data: bytes) -> None:
        """Write one message with its stamp [ns]."""
        if self._split and self._size and self._is_full(stamp, len(data)):
            self._close_part()
            self._writer, self._size = self._open(), 0
            for name, (type_name, about) in self._topics.items():
                connection = self._writer.add_connection(name, type_name, **about)
                self._connections[name] = connection
        if not self._size:
            self._start = stamp
        self._size += len(data)
        self._writer.write(self._connections[topic], stamp, data)

    def close(self) -> None:
        """Complete the bag."""
        if not self._split:
            self._writer.close()
            return
        self._close_part()
        write_metadata(self._folder, merged(self._parts))

    def _is_full(self, stamp: int, size: int) -> bool:
        too_large = self._max_size and self._size + size > self._max_size
        return bool(
            too_large or (self._max_duration and stamp - self._start >= self._max_duration)
        )

    def _part(self) -> Path:
        return self._folder / f'{self._folder.name}_{len(self._parts)}'

    def _open(self) -> Writer:
        from rosbags.rosbag2 import StoragePlugin, Writer, WriterError
        from rosbags.rosbag2.enums import CompressionFormat, CompressionMode

        folder = self._part() if self._split else self._folder
        try:
            writer = Writer(folder, version=9, storage_plugin=StoragePlugin[self._storage.upper()])
            writer.set_compression(
                CompressionMode[self._compression.upper()], CompressionFormat.ZSTD
            )
            writer.open()
        except (WriterError, OSError) as error:
            raise CommandError(f'cannot write the bag {folder}: {error}') from error
        return writer

    def _close_part(self) -> None:
        self._writer.close()
        folder = self._part()
        information = yaml.safe_load((folder / METADATA).read_text())[INFORMATION]
        for name in information['relative_file_paths']:
            (folder / name).rename(self._folder / name)
        shutil.rmtree(folder)
        self._parts.append(information)
