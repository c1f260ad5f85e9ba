"""The files of a bag as one: topics, sorted indexes and bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import zstandard
from rosbags.typesys import get_types_from_idl, get_types_from_msg
from rosbags.typesys.store import Typestore

from sim_perception.bags.errors import BagError, CorruptBagError, MessageError
from sim_perception.bags.inflate import ZSTD_MAGIC, InflateError, inflate_message
from sim_perception.bags.layout import PACKED, STAMPED, BagLayout, find_files
from sim_perception.bags.mcap_file import McapFile
from sim_perception.bags.sqlite_file import SqliteFile
from sim_perception.bags.storage import I64, Channel, Storage
from sim_perception.bags.typestore import new_typestore, typestore

_STAMP_BYTES = 12
_ENCODING = 'cdr'


@dataclass(frozen=True)
class TopicIndex:
    """Where a topic's messages are, sorted by stamp: (N,) stamps, files and (N, 2) places."""

    stamps: I64
    files: I64
    places: I64


class BagFiles:
    """All storage files of one bag, opened as far as they are readable.

    Args:
        path: bag folder, or a single ``.mcap`` or ``.db3`` file.

    Attributes:
        path: the same.
        types: message type by topic.
        foreign: encoding of the topics whose messages are not of ROS 2.
        problems: what could not be read so far, in words.
        custom: facts that the writer put into the metadata.

    Raises:
        BagError: if there is no readable bag at ``path``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._unpacked: TemporaryDirectory[str] | None = None
        self._layout: BagLayout = find_files(path)
        self.problems: list[str] = list(self._layout.problems)
        self.custom = self._layout.custom
        self._files: list[Storage] = []
        for file in self._layout.files:
            self._open(file)
        if not self._files:
            raise BagError('; '.join(self.problems) or f'{path} names no storage file')
        self.types: dict[str, str] = {}
        self.foreign: dict[str, str] = {}
        self._definitions: dict[str, Channel] = {}
        for storage in self._files:
            for channel in storage.channels:
                if channel.encoding != _ENCODING:
                    self.foreign.setdefault(channel.topic, channel.encoding)
                    continue
                self.types.setdefault(channel.topic, channel.type)
                self._definitions.setdefault(channel.type, channel)
        self._note_foreign()
        self._store: Typestore = typestore()

    def _note_foreign(self) -> None:
        """Say what is left out because this program cannot read its encoding.

        Raises:
            BagError: if nothing else is there.
        """
        for encoding in sorted(set(self.foreign.values())):
            topics = [topic for topic, found in self.foreign.items() if found == encoding]
            remedy = (
                'convert the ROS 1 bag that it comes from with `rosbags-convert`'
                if encoding == 'ros1'
                else 'record them as ROS 2 messages with `ros2 bag record`'
            )
            self.problems.append(
                f'{self.path}: the messages on {", ".join(sorted(topics))} are encoded as '
                f'{encoding or "nothing known"}, not as ROS 2 does (cdr); {remedy}'
            )
        if self.foreign and not self.types:
            self.close()
            raise BagError('; '.join(self.problems))

    def _open(self, path: Path) -> None:
        """Open one storage file; a bad one is a problem, not an end."""
        file = path
        try:
            if path.suffix == PACKED:
                file = self._unpack(path)
            storage: Storage = (
                SqliteFile(file) if file.suffix.lower() == '.db3' else McapFile(file)
            )
        except (BagError, OSError) as error:
            self.problems.append(str(error).replace(str(file), str(path)))
            return
        storage.path = path  # messages name what the user has
        self._files.append(storage)
        self.problems.extend(text.replace(str(file), str(path)) for text in storage.problems)
        storage.problems.clear()

    def _unpack(self, path: Path) -> Path:
        """Decompress a file of a bag that was compressed file by file."""
        if self._unpacked is None:
            self._unpacked = TemporaryDirectory(prefix='bag_')
        target = Path(self._unpacked.name) / path.stem
        try:
            with path.open('rb') as source, target.open('wb') as sink:
                zstandard.ZstdDecompressor().copy_stream(source, sink)
        except zstandard.ZstdError as error:
            # What came out so far is a cut file, which is read as far as it goes.
            self.problems.append(f'{path} cannot be decompressed to its end: {error}')
        except OSError:
            target.unlink(missing_ok=True)
            raise
        return target

    @property
    def unlisted(self) -> list[Path]:
        """Files whose index does not name their topics, see ``Storage.lists_topics``."""
        return [storage.path for storage in self._files if not storage.lists_topics]

    def close(self) -> None:
        """Close the files; arrays that were read stay valid."""
        for storage in self._files:
            storage.close()
        if self._unpacked is not None:
            self._unpacked.cleanup()

    def read(self, index: TopicIndex, number: int) -> memoryview:
        """Return the CDR bytes of a message.

        Raises:
            CorruptBagError: if that part of the bag is damaged.
        """
        first, second = index.places[number].tolist()
        return self._inflate(self._files[index.files[number]].read((first, second)))

    def deserialize(self, data: memoryview, kind: str) -> Any:
        """Return bytes as an object with the fields of a message type.

        Raises:
            MessageError: if the type is unknown or the bytes are not such a message.
        """
        self._learn(kind)
        try:
            return self._store.deserialize_cdr(data, kind)
        except Exception as error:  # generated code, on any bytes: it may raise anything
            raise MessageError(f'not a readable {kind}: {error}') from error

    def _inflate(self, data: memoryview) -> memoryview:
        """Decompress a message of a bag that was compressed message by message."""
        try:
            return inflate_message(data)
        except InflateError as error:
            raise CorruptBagError(
                f'{self.path}: a message is damaged ({error}) and lost'
            ) from error

    def _learn(self, kind: str) -> None:
        """Teach the type store a type that only the bag defines."""
        if kind in self._store.types:
            return
        channel = self._definitions.get(kind)
        if channel is None or not channel.definition:
            raise MessageError(
                f'type {kind or "without a name"} is unknown and the bag does not define it'
            )
        if self._store is typestore():
            self._store = new_typestore()  # another bag may mean something else by this name
        known = self._store.types
        try:
            if channel.language == 'ros2idl':
                found = get_types_from_idl(channel.definition)
            else:
                found = get_types_from_msg(channel.definition, kind)
            self._store.register(
                {name: fields for name, fields in found.items() if name not in known}
            )
        except Exception as error:  # the parser, on any text: it may raise anything
            raise MessageError(f'the definition of {kind} is not readable: {error}') from error
        if kind not in self._store.types:
            raise MessageError(f'the bag defines {", ".join(found)}, but not its type {kind}')

    def index(self, topic: str) -> TopicIndex:
        """Return where a topic's messages are; reads the file, so keep it."""
        times, files, places = [], [], []
        for number, storage in enumerate(self._files):
            for channel in self._channels(storage, topic):
                index = storage.index(channel.id)
                times.append(self._stamps(topic, storage, index.times, index.places))
                files.append(np.full(len(index.times), number, np.int64))
                places.append(index.places)
            self.problems.extend(storage.problems)
            storage.problems.clear()
        stamps = np.concatenate(times)
        order = np.argsort(stamps, kind='stable')
        return TopicIndex(
            stamps[order], np.concatenate(files)[order], np.concatenate(places)[order]
        )

    def _channels(self, storage: Storage, topic: str) -> Iterator[Channel]:
        """Yield a file's channels of a topic; a topic has one type."""
        for channel in storage.channels:
            if channel.topic != topic or channel.encoding != _ENCODING:
                continue
            if channel.type == self.types[topic]:
                yield channel
            else:
                self.problems.append(
                    f'{self.path}: {topic} is a {self.types[topic]} and also a {channel.type}, '
                    'which is left out'
                )

    def _stamps(self, topic: str, storage: Storage, times: I64, places: I64) -> I64:
        """Return header stamps where the type has them, else log times."""
        if self.custom.get(STAMPED) == 'true' or not self._has_header(self.types[topic]):
            return times
        stamps = times.copy()
        unstamped = 0
        for row, head in enumerate(self._heads(storage, places)):
            if len(head) < _STAMP_BYTES:
                continue
            order = '<' if head[1] & 1 else '>'
            seconds, nanoseconds = struct.unpack_from(f'{order}iI', head, 4)
            if seconds or nanoseconds:
                stamps[row] = seconds * 10**9 + nanoseconds
            else:
                unstamped += 1
        if unstamped:
            self.problems.append(
                f'{self.path}: {unstamped} of {len(times)} messages on {topic} have no stamp; '
                'the time of recording is used'
            )
        return stamps

    def _heads(self, storage: Storage, places: I64) -> list[bytes]:
        heads = storage.heads(places, _STAMP_BYTES)
        for row, head in enumerate(heads):
            if not head.startswith(ZSTD_MAGIC):
                continue
            first, second = places[row].tolist()
            try:
                inflated = self._inflate(storage.read((first, second)))
                heads[row] = bytes(inflated[:_STAMP_BYTES])
            except CorruptBagError:
                heads[row] = b''
        return heads

    def _has_header(self, kind: str) -> bool:
        """Say whether messages of a type begin with a ``std_msgs/Header``."""
        try:
            self._learn(kind)
        except MessageError:
            return False
        fields = self._store.fielddefs[kind][1]
        return bool(fields) and fields[0][0] == 'header'
