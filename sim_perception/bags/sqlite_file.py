"""Random access into one rosbag2 sqlite3 file, whole or damaged."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sim_perception.bags.errors import BagError, CorruptBagError
from sim_perception.bags.storage import I64, Channel, Index, IndexBuilder


class SqliteFile:
    """One sqlite3 storage file; see :class:`sim_perception.bags.storage.Storage`.

    Args:
        path: the ``.db3`` file; it is opened read-only.

    Raises:
        BagError: if the file is not a rosbag2 database.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []
        # A reader may be opened in one thread and used in another, one at a time.
        self._db = sqlite3.connect(
            f'{path.absolute().as_uri()}?mode=ro&immutable=1', uri=True, check_same_thread=False
        )
        try:
            self.channels = self._read_channels()
        except sqlite3.DatabaseError as error:
            raise BagError(f'{path} is not a readable rosbag2 sqlite3 file: {error}') from error
        self._index: dict[int, Index] = self._read_index()

    def _read_channels(self) -> list[Channel]:
        definitions: dict[str, str] = {}
        tables = {name for (name,) in self._db.execute('SELECT name FROM sqlite_master')}
        if 'message_definitions' in tables:
            query = (
                'SELECT topic_type, encoding, encoded_message_definition FROM message_definitions'
            )
            for name, encoding, text in self._db.execute(query):
                definitions[name] = text if encoding == 'ros2msg' else ''
        query = 'SELECT id, name, type, serialization_format FROM topics ORDER BY id'
        return [
            Channel(number, topic, kind, definitions.get(kind, ''), encoding)
            for number, topic, kind, encoding in self._db.execute(query)
        ]

    def _read_index(self) -> dict[int, Index]:
        """Walk the message table in row order, which is write order, as far as it is whole."""
        builders: dict[int, IndexBuilder] = {}
        row, last = 0, None
        try:
            for row, channel, time in self._db.execute(
                'SELECT id, topic_id, timestamp FROM messages ORDER BY id'
            ):
                builders.setdefault(channel, IndexBuilder()).add(time, (row, 0))
                last = time
        except sqlite3.DatabaseError as error:
            until = (
                'nothing could be read' if last is None else f'readable until {last / 1e9:.3f} s'
            )
            self.problems.append(
                f'{self.path}: damaged behind message row {row} ({error}; recording interrupted '
                f'or copy incomplete); {until}, later messages are lost'
            )
        return {channel: builder.finish() for channel, builder in builders.items()}

    def index(self, channel: int) -> Index:
        """Return where a channel's messages are."""
        return self._index.get(channel) or IndexBuilder().finish()

    def read(self, place: tuple[int, int]) -> memoryview:
        """Return one message's bytes.

        Raises:
            CorruptBagError: if its pages are damaged.
        """
        try:
            row = self._db.execute('SELECT data FROM messages WHERE id = ?', place[:1]).fetchone()
        except sqlite3.DatabaseError as error:
            raise CorruptBagError(
                f'{self.path}: message row {place[0]} is damaged ({error}) and lost'
            ) from error
        if row is None:
            raise CorruptBagError(f'{self.path}: message row {place[0]} is lost')
        return memoryview(row[0])

    def heads(self, places: I64, size: int) -> list[bytes]:
        """Return the first bytes of many messages; empty where the file is damaged."""
        heads = []
        for row in places[:, 0].tolist():
            try:
                query = f'SELECT substr(data, 1, {int(size)}) FROM messages WHERE id = ?'
                found = self._db.execute(query, (row,)).fetchone()
            except sqlite3.DatabaseError:
                found = None
            heads.append(bytes(found[0]) if found else b'')
        return heads

    def close(self) -> None:
        """Close the database."""
        self._db.close()
