"""Write one MCAP file, laid out for random access.

The records are those of Foxglove's reference library; its own writer cannot choose the
compression chunk by chunk. Every big message gets a chunk of its own, so that reading one topic
at one time decompresses nothing else. A chunk is compressed only if that saves enough: LiDAR
points and noise hardly shrink, but would cost more time to decompress than all else together.

Format: https://mcap.dev/spec
"""

from __future__ import annotations

import struct
import zlib
from collections import defaultdict
from pathlib import Path

import zstandard
from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import (
    Channel,
    Chunk,
    ChunkIndex,
    DataEnd,
    Footer,
    Header,
    Message,
    MessageIndex,
    Metadata,
    MetadataIndex,
    Schema,
    Statistics,
    SummaryOffset,
)

_MAGIC = b'\x89MCAP0\r\n'
_OWN_CHUNK_BYTES = 32 * 1024
_CHUNK_BYTES = 256 * 1024
_ZSTD_LEVEL = -1  # fast: as small as level 1 for images, decompressed 1.6 times faster
_WORTHWHILE = 0.85  # compressed size over size


class McapWriter:
    """Writes one file; nothing of the layout depends on time, machine or process.

    Args:
        path: the file; must not exist.
        compress: use zstd where it helps.
    """

    def __init__(self, path: Path, compress: bool = True) -> None:
        self._file = path.open('xb')
        self._zstd = zstandard.ZstdCompressor(level=_ZSTD_LEVEL) if compress else None
        self._schemas: list[Schema] = []
        self._channels: list[Channel] = []
        self._counts: dict[int, int] = defaultdict(int)
        self._chunks: list[ChunkIndex] = []
        self._metadata: list[MetadataIndex] = []
        self._builder = RecordBuilder()
        self._offsets: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self._file.write(_MAGIC)
        self._put(Header(profile='ros2', library='sim_perception'))

    def _put(self, *records: Header | Chunk | MessageIndex | Metadata | DataEnd | Footer) -> int:
        """Append records to the file; return their length in bytes."""
        builder = RecordBuilder()
        for record in records:
            record.write(builder)
        return self._file.write(builder.end())

    def add_schema(self, name: str, definition: str) -> int:
        """Announce a message type with its concatenated ``.msg`` text; return its number."""
        number = len(self._schemas) + 1
        schema = Schema(id=number, name=name, encoding='ros2msg', data=definition.encode())
        self._schemas.append(schema)
        schema.write(self._builder)
        return number

    def add_channel(self, topic: str, schema: int, metadata: dict[str, str]) -> int:
        """Announce a topic; return its number."""
        number = len(self._channels) + 1
        channel = Channel(
            id=number, topic=topic, message_encoding='cdr', schema_id=schema, metadata=metadata
        )
        self._channels.append(channel)
        channel.write(self._builder)
        return number

    def write(self, channel: int, time: int, data: bytes | memoryview) -> None:
        """Append a message with its log time in nanoseconds."""
        alone = len(data) >= _OWN_CHUNK_BYTES
        if alone:
            self._end_chunk()
        self._offsets[channel].append((time, self._builder.count))
        self._counts[channel] += 1
        message = Message(
            channel_id=channel, sequence=0, log_time=time, publish_time=time, data=bytes(data)
        )
        message.write(self._builder)
        if alone or self._builder.count > _CHUNK_BYTES:
            self._end_chunk()

    def _end_chunk(self) -> None:
        if not self._offsets:
            return
        data = self._builder.end()
        compression, stored = '', data
        if self._zstd is not None:
            smaller = self._zstd.compress(data)
            if len(smaller) < _WORTHWHILE * len(data):
                compression, stored = 'zstd', smaller
        times = [time for entries in self._offsets.values() for time, _ in entries]
        start, end = min(times), max(times)
        offset = self._file.tell()
        length = self._put(
            Chunk(
                message_start_time=start,
                message_end_time=end,
                uncompressed_size=len(data),
                uncompressed_crc=zlib.crc32(data),
                compression=compression,
                data=stored,
            )
        )
        places, index_start = {}, self._file.tell()
        for channel, entries in self._offsets.items():
            places[channel] = self._file.tell()
            self._put(MessageIndex(channel_id=channel, records=entries))
        self._chunks.append(
            ChunkIndex(
                message_start_time=start,
                message_end_time=end,
                chunk_start_offset=offset,
                chunk_length=length,
                message_index_offsets=places,
                message_index_length=self._file.tell() - index_start,
                compression=compression,
                compressed_size=len(stored),
                uncompressed_size=len(data),
            )
        )
        self._offsets.clear()

    def add_metadata(self, name: str, values: dict[str, str]) -> None:
        """Append named facts."""
        self._end_chunk()
        offset = self._file.tell()
        length = self._put(Metadata(name=name, metadata=values))
        self._metadata.append(MetadataIndex(offset=offset, length=length, name=name))

    def finish(self) -> None:
        """Write what is pending and the index, and close the file."""
        self._end_chunk()
        # Topics without messages are still in the builder, outside any chunk.
        self._file.write(self._builder.end())
        self._put(DataEnd(data_section_crc=0))
        start = self._file.tell()
        summary, groups = RecordBuilder(), []
        for opcode, records in (
            (Opcode.SCHEMA, self._schemas),
            (Opcode.CHANNEL, self._channels),
            (Opcode.STATISTICS, [self._statistics()]),
            (Opcode.CHUNK_INDEX, self._chunks),
            (Opcode.METADATA_INDEX, self._metadata),
        ):
            begin = summary.count
            for record in records:
                record.write(summary)
            if records:
                groups.append(SummaryOffset(opcode, start + begin, summary.count - begin))
        offset_start = start + summary.count
        for group in groups:
            group.write(summary)
        data = summary.end()
        # The checksum covers the summary and the footer up to the checksum itself.
        footer = struct.pack('<BQQQ', Opcode.FOOTER, 20, start, offset_start)
        checksum = zlib.crc32(footer, zlib.crc32(data))
        self._file.write(data)
        self._put(Footer(start, offset_start, checksum))
        self._file.write(_MAGIC)
        self._file.close()

    def _statistics(self) -> Statistics:
        return Statistics(
            attachment_count=0,
            channel_count=len(self._channels),
            channel_message_counts=dict(self._counts),
            chunk_count=len(self._chunks),
            message_count=sum(self._counts.values()),
            message_start_time=min((c.message_start_time for c in self._chunks), default=0),
            message_end_time=max((c.message_end_time for c in self._chunks), default=0),
            metadata_count=len(self._metadata),
            schema_count=len(self._schemas),
        )

    def abort(self) -> None:
        """Close the file as it is."""
        self._file.close()
