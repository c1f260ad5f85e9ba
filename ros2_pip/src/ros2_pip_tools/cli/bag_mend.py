"""Completes an MCAP file that was cut short, as by a recorder that was killed."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ros2_pip_tools.cli.errors import CommandError

DAMAGED = '.damaged'
"""Suffix that the file as it was gets."""


def mend(file: Path) -> int:
    """Write a file anew with all messages that can be read; return their number.

    The file as it was stays beside it, with the suffix ``DAMAGED``.

    Raises:
        CommandError: there is no message that can be read.
    """
    from mcap.writer import Writer

    count = 0
    new = file.with_name(f'.{file.name}.new')
    with new.open('wb') as stream:
        writer = Writer(stream)
        writer.start(profile='ros2', library='ros2_pip')
        schemas, channels = {0: 0}, {}
        for record in _records(file):
            kind = type(record).__name__
            if kind == 'Schema':
                schemas[record.id] = writer.register_schema(
                    record.name, record.encoding, record.data
                )
            elif kind == 'Channel' and record.id not in channels:
                channels[record.id] = writer.register_channel(
                    record.topic,
                    record.message_encoding,
                    schemas[record.schema_id],
                    record.metadata,
                )
            elif kind == 'Message':
                writer.add_message(
                    channels[record.channel_id],
                    record.log_time,
                    record.data,
                    record.publish_time,
                    record.sequence,
                )
                count += 1
        writer.finish()
    if not count:
        new.unlink()
        raise CommandError(f'{file} has no message that can be read')
    file.rename(file.with_name(file.name + DAMAGED))
    new.rename(file)
    return count


def _records(file: Path) -> Iterator[Any]:
    """Yield the records of a file up to the first that is not whole."""
    from mcap.exceptions import McapError
    from mcap.stream_reader import StreamReader

    with file.open('rb') as stream:
        try:
            yield from StreamReader(stream).records
        # What the library raises where a file ends too early, or is none of its kind.
        except (McapError, struct.error, ValueError, KeyError, EOFError):
            return
