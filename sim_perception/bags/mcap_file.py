"""Random access into one MCAP file, whole or damaged.

The file is memory-mapped. A whole file is opened by its summary alone; the message indexes
behind the chunks are read per topic when first needed. A file without a valid summary (a
killed recorder, a cut copy) is scanned from its start and gives everything up to the damage,
the readable beginning of a cut chunk included.

Format: https://mcap.dev/spec
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sim_perception.bags.errors import BagError, CorruptBagError
from sim_perception.bags.inflate import MOST_BYTES, InflateError, inflate, inflate_part
from sim_perception.bags.storage import I64, Channel, Index, IndexBuilder, full_type, strays

_MAGIC = b'\x89MCAP0\r\n'
_FOOTER_BYTES = 9 + 20 + 8
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _MESSAGE_INDEX, _CHUNK_INDEX = 3, 4, 5, 6, 7, 8
_DATA_END, _FOOTER = 15, 2
_HEAD = struct.Struct('<BQ')
_MESSAGE_HEAD = struct.Struct('<HIQQ')
_CHUNK_HEAD = struct.Struct('<QQQII')
_NO_CHUNK = -1
_LATEST = 2**63 - 1
_LANGUAGES = ('ros2msg', 'ros2idl')
#: What unpacking a damaged record may raise.
_DAMAGE = (struct.error, ValueError, OverflowError)


class _Chunk(NamedTuple):
    """Where a chunk's compressed bytes are and what they must become."""

    offset: int
    start_time: int
    end_time: int
    size: int
    checksum: int
    compression: str
    data_start: int
    data_end: int


def _string(buffer: memoryview, at: int) -> tuple[str, int]:
    """Return a length-prefixed string and the place behind it."""
    (length,) = struct.unpack_from('<I', buffer, at)
    if at + 4 + length > len(buffer):
        raise struct.error('string reaches beyond its record')
    return bytes(buffer[at + 4 : at + 4 + length]).decode(), at + 4 + length


def _records(buffer: memoryview, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield (opcode, start, end) of the contents of complete records."""
    while at + _HEAD.size <= end:
        opcode, length = _HEAD.unpack_from(buffer, at)
        at += _HEAD.size
        if at + length > end:
            return
        yield opcode, at, at + length
        at += length


class McapFile:
    """One MCAP file; see :class:`sim_perception.bags.storage.Storage`.

    Args:
        path: the file.
        cache_bytes: how much decompressed data to keep for messages that share chunks.

    Raises:
        BagError: if the file is empty or not MCAP.
    """

    def __init__(self, path: Path, cache_bytes: int = 8 << 20) -> None:
        self.path = path
        self.channels: list[Channel] = []
        self.problems: list[str] = []
        self._chunks: list[_Chunk] = []
        self._schemas: dict[int, tuple[str, str, str]] = {}
        self._message_indexes: list[dict[int, int]] = []
        self._scanned: dict[int, IndexBuilder] = {}
        self._cache: OrderedDict[int, memoryview] = OrderedDict()
        self._cache_bytes = cache_bytes
        self._cut: dict[int, memoryview] = {}
        self._verified: set[int] = set()
        with path.open('rb') as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                size = path.stat().st_size
                raise BagError(f'{path} ({size} bytes) is not an MCAP file; is the copy complete?')
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._buffer = memoryview(self._map)
        try:
            valid = self._read_summary()
        except _DAMAGE:
            valid = False
        self.lists_topics = valid and self._knows_channels()
        if not self.lists_topics or not self._has_index():
            self._scan(valid)

    # Opening ------------------------------------------------------------------------------

    def _read_summary(self) -> bool:
        """Read channels and chunk indexes; False if the summary is missing or damaged."""
        buffer = self._buffer
        if len(buffer) < _FOOTER_BYTES or bytes(buffer[-8:]) != _MAGIC:
            return False
        opcode, _ = _HEAD.unpack_from(buffer, len(buffer) - _FOOTER_BYTES)
        start, _, checksum = struct.unpack_from('<QQI', buffer, len(buffer) - 28)
        if opcode != _FOOTER or not 8 <= start < len(buffer):
            return False
        if checksum and zlib.crc32(buffer[start : len(buffer) - 12]) != checksum:
            return False
        for opcode, at, end in _records(buffer, start, len(buffer) - _FOOTER_BYTES):
            self._read_definition(opcode, buffer[at:end])
            if opcode == _CHUNK_INDEX:
                self._read_chunk_index(buffer[at:end])
        return True

    def _knows_channels(self) -> bool:
        """Say whether a valid summary has all topics with their types; every part is optional."""
        known = {channel.id for channel in self.channels}
        named = all(channel.type for channel in self.channels if channel.encoding == 'cdr')
        return named and all(indexes.keys() <= known for indexes in self._message_indexes)

    def _has_index(self) -> bool:
        """Say whether a valid summary has the places of all messages."""
        return bool(self._chunks) and all(self._message_indexes)

    def _read_definition(self, opcode: int, record: memoryview) -> None:
        """Take a schema or channel record."""
        if opcode == _SCHEMA:
            (number,) = struct.unpack_from('<H', record)
            name, at = _string(record, 2)
            encoding, at = _string(record, at)
            known = encoding in _LANGUAGES
            text = bytes(record[at + 4 :]).decode(errors='replace') if known else ''
            self._schemas[number] = (name, text, encoding if known else 'ros2msg')
        elif opcode == _CHANNEL:
            number, schema = struct.unpack_from('<HH', record)
            if any(channel.id == number for channel in self.channels):
                return
            topic, at = _string(record, 4)
            encoding, _ = _string(record, at)
            name, text, language = self._schemas.get(schema, ('', '', 'ros2msg'))
            kind = full_type(name) if encoding == 'cdr' else name
            self.channels.append(Channel(number, topic, kind, text, encoding, language))

    def _read_chunk_index(self, record: memoryview) -> None:
        _, _, offset = struct.unpack_from('<QQQ', record)
        (length,) = struct.unpack_from('<I', record, 32)
        places = np.frombuffer(record[36 : 36 + length], np.dtype([('id', '<u2'), ('at', '<u8')]))
        self._message_indexes.append({int(i): int(at) for i, at in places.tolist()})
        _, size = _HEAD.unpack_from(self._buffer, offset)
        begin = offset + _HEAD.size
        self._chunks.append(self._chunk(offset, begin, begin + size))

    def _chunk(self, offset: int, begin: int, end: int) -> _Chunk:
        start, stop, size, checksum, _ = _CHUNK_HEAD.unpack_from(self._buffer, begin)
        compression, at = _string(self._buffer, begin + 28)
        (length,) = struct.unpack_from('<Q', self._buffer, at)
        data_end = min(at + 8 + length, end)
        return _Chunk(offset, start, stop, size, checksum, compression, at + 8, data_end)

    def _scan(self, valid: bool) -> None:
        """Index a file by walking it, which says what is lost unless its summary is valid."""
        self.channels, self._schemas = [], {}
        self._chunks, self._message_indexes = [], []
        buffer, at, complete = self._buffer, len(_MAGIC), False
        for opcode, start, end in _records(buffer, at, len(buffer)):
            at = end
            if opcode == _DATA_END:
                complete = True
                break
            try:
                if opcode == _CHUNK:
                    self._scan_chunk(self._chunk(start - _HEAD.size, start, end), whole=True)
                else:
                    self._scan_record(opcode, buffer, start, end, _NO_CHUNK)
            except _DAMAGE:
                self._note_damage(start - _HEAD.size)
        counts = {channel: len(builder.times) for channel, builder in self._scanned.items()}
        self.problems.extend(strays(self.path, self.channels, counts))
        if complete and valid:
            return
        if complete:
            self.problems.append(f'{self.path}: the index at the end is missing; it was rebuilt')
        else:
            self._scan_cut(at)

    def _scan_cut(self, at: int) -> None:
        """Take what the last, incomplete record still holds, and say what is lost."""
        buffer = self._buffer
        if len(buffer) - at > _HEAD.size + 40 and buffer[at] == _CHUNK:
            begin = at + _HEAD.size
            # If not even the chunk's head is there, there is nothing to take.
            with suppress(*_DAMAGE):
                self._scan_chunk(self._chunk(at, begin, len(buffer)), whole=False)
        last = max((b.times[-1] for b in self._scanned.values() if b.times), default=None)
        until = 'nothing could be read' if last is None else f'readable until {last / 1e9:.3f} s'
        self.problems.append(
            f'{self.path}: cut or damaged at byte {at} of {len(buffer)} '
            f'(recording interrupted or copy incomplete); {until}, later messages are lost'
        )

    def _scan_chunk(self, chunk: _Chunk, whole: bool) -> None:
        number = len(self._chunks)
        self._chunks.append(chunk)
        try:
            data = self._decompress(number) if whole else self._decompress_cut(number)
        except CorruptBagError as error:
            self.problems.append(str(error))
            return
        for opcode, start, end in _records(data, 0, len(data)):
            try:
                self._scan_record(opcode, data, start, end, number)
            except _DAMAGE:
                self._note_damage(chunk.offset)

    def _scan_record(
        self, opcode: int, buffer: memoryview, start: int, end: int, chunk: int
    ) -> None:
        """Take a message, a schema or a channel that lies in a chunk or in none."""
        record = buffer[start:end]
        if opcode != _MESSAGE:
            self._read_definition(opcode, record)
            return
        channel, _, time, _ = _MESSAGE_HEAD.unpack_from(record)
        if time > _LATEST:
            raise ValueError('a time that no clock shows')
        self._scanned.setdefault(channel, IndexBuilder()).add(time, (chunk, start))

    def _note_damage(self, at: int) -> None:
        problem = f'{self.path}: damaged at byte {at}; what stood there is lost'
        if problem not in self.problems:
            self.problems.append(problem)

    # Reading ------------------------------------------------------------------------------

    def index(self, channel: int) -> Index:
        """Return where a channel's messages are."""
        if not self._message_indexes:
            return self._scanned.get(channel, IndexBuilder()).finish()
        times, places = [], []
        for number, indexes in enumerate(self._message_indexes):
            at = indexes.get(channel)
            if at is None:
                continue
            try:
                entries = self._message_index(at, channel)
            except _DAMAGE:
                self.problems.append(f'{self.path}: message index at byte {at} is damaged')
                continue
            times.append(entries['time'].astype(np.int64))
            place = np.full((len(entries), 2), number, np.int64)
            # The index points at the record; its contents begin behind opcode and length.
            place[:, 1] = entries['offset'].astype(np.int64) + _HEAD.size
            places.append(place)
        if not times:
            return IndexBuilder().finish()
        return Index(np.concatenate(times), np.concatenate(places))

    def _message_index(self, at: int, channel: int) -> np.ndarray:
        opcode, _ = _HEAD.unpack_from(self._buffer, at)
        number, length = struct.unpack_from('<HI', self._buffer, at + _HEAD.size)
        if opcode != _MESSAGE_INDEX or number != channel or length % 16:
            raise ValueError('not the message index of this channel')
        begin = at + _HEAD.size + 6
        entries = np.frombuffer(
            self._buffer[begin : begin + length], np.dtype([('time', '<u8'), ('offset', '<u8')])
        )
        if len(entries) and entries['time'].max() > _LATEST:
            raise ValueError('a time that no clock shows')
        return entries

    def read(self, place: tuple[int, int]) -> memoryview:
        """Return one message's bytes.

        Raises:
            CorruptBagError: if its chunk is damaged.
        """
        number, start = place
        data = self._buffer if number == _NO_CHUNK else self._decompress(number)
        if start < _HEAD.size or start > len(data):
            raise CorruptBagError(f'{self.path}: an index entry points outside its chunk')
        opcode, length = _HEAD.unpack_from(data, start - _HEAD.size)
        if opcode != _MESSAGE or not _MESSAGE_HEAD.size <= length <= len(data) - start:
            raise CorruptBagError(f'{self.path}: an index entry does not point at a message')
        return data[start + _MESSAGE_HEAD.size : start + length]

    def heads(self, places: I64, size: int) -> list[bytes]:
        """Return the first bytes of many messages; empty where the file is damaged."""
        heads = []
        for number, start in places.tolist():
            try:
                heads.append(bytes(self.read((number, start))[:size]))
            except CorruptBagError:
                heads.append(b'')
        return heads

    def _decompress(self, number: int) -> memoryview:
        """Return a chunk's records, verified, from the cache if possible."""
        if number in self._cut:
            return self._cut[number]
        cached = self._cache.get(number)
        if cached is not None:
            self._cache.move_to_end(number)
            return cached
        chunk = self._chunks[number]
        raw = self._buffer[chunk.data_start : chunk.data_end]
        try:
            data = inflate(raw, chunk.compression, chunk.size)
        except InflateError as error:
            raise self._lost(chunk, str(error)) from error
        # Once is enough: a mapped file does not change.
        if number not in self._verified and chunk.checksum:
            if zlib.crc32(data) != chunk.checksum:
                raise self._lost(chunk, 'the checksum does not match')
            self._verified.add(number)
        if not chunk.compression:
            return raw
        return self._remember(number, memoryview(data))

    def _decompress_cut(self, number: int) -> memoryview:
        """Return the readable beginning of a cut chunk."""
        chunk = self._chunks[number]
        raw = self._buffer[chunk.data_start : chunk.data_end]
        try:
            data = inflate_part(raw, chunk.compression, min(chunk.size, MOST_BYTES))
        except InflateError as error:
            raise self._lost(chunk, str(error)) from error
        # From now on the chunk is what could be read of it.
        self._cut[number] = memoryview(data)
        return self._cut[number]

    def _remember(self, number: int, data: memoryview) -> memoryview:
        self._cache[number] = data
        used = sum(len(entry) for entry in self._cache.values())
        while used > self._cache_bytes and len(self._cache) > 1:
            _, old = self._cache.popitem(last=False)
            used -= len(old)
        return data

    def _lost(self, chunk: _Chunk, why: str) -> CorruptBagError:
        return CorruptBagError(
            f'{self.path}: the chunk at byte {chunk.offset} is damaged ({why}); messages '
            f'from {chunk.start_time / 1e9:.3f} to {chunk.end_time / 1e9:.3f} s in it are lost'
        )

    def close(self) -> None:
        """Drop the cache; the mapping goes with the last view of it."""
        self._cache.clear()
