"""Random access into one rosbag2 sqlite3 file, whole or damaged."""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path

import apsw

from sim_perception.bags.errors import BagError, CorruptBagError
from sim_perception.bags.storage import I64, Channel, Index, IndexBuilder, full_type, strays

#: More rows than one page of the message table can hold: how far to search behind a bad one.
_MOST_ROWS_PER_PAGE = 4096


def _sizes(path: Path | str) -> tuple[int, int]:
    """Return a file's size and the size that its database header promises, in bytes."""
    path = Path(path)
    actual = path.stat().st_size
    with path.open('rb') as file:
        head = file.read(100)
    if len(head) < 100 or not head.startswith(b'SQLite format 3'):
        return actual, actual
    (page,), (count,) = struct.unpack_from('>H', head, 16), struct.unpack_from('>I', head, 28)
    return actual, max(actual, count * (65536 if page == 1 else page))


class _CutFile(apsw.VFSFile):
    """A database file whose missing end is an error to read.

    sqlite refuses a file that is too short, and would take its missing pages for zeros.
    """

    def __init__(self, base: str, name: apsw.URIFilename | str | None, flags: list[int]) -> None:
        super().__init__(base, name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self._actual, self._nominal = _sizes(path)

    def xFileSize(self) -> int:
        """Return the size that the file should have."""
        return self._nominal

    def xRead(self, amount: int, offset: int) -> bytes:
        """Read bytes that exist."""
        if offset + amount > self._actual:
            raise apsw.IOError(f'bytes {offset} to {offset + amount} are missing')
        return super().xRead(amount, offset)


class _CutFiles(apsw.VFS):
    """Opens :class:`_CutFile`."""

    name = 'sim_perception_cut_files'

    def __init__(self) -> None:
        super().__init__(self.name, '')

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        """Open a file."""
        return _CutFile('', name, flags)


@cache
def _cut_files() -> _CutFiles:
    """Return the registered file system layer; it must live as long as its connections."""
    return _CutFiles()


class SqliteFile:
    """One sqlite3 storage file; see :class:`sim_perception.bags.storage.Storage`.

    Args:
        path: the ``.db3`` file; it is opened read-only.

    Raises:
        BagError: if the file is not a rosbag2 database.
    """

    lists_topics = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []
        uri = f'{path.absolute().as_uri()}?immutable=1'
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        actual, nominal = _sizes(path)
        try:
            vfs = _cut_files().name if actual < nominal else None
            self._db = apsw.Connection(uri, flags=flags, vfs=vfs)
            self.channels = self._read_channels()
        except (apsw.Error, UnicodeDecodeError) as error:
            raise BagError(f'{path} is not a readable rosbag2 sqlite3 file: {error}') from error
        if actual < nominal:
            self.problems.append(
                f'{path}: {actual} bytes long instead of {nominal} (recording interrupted or '
                'copy incomplete); messages beyond the end are lost'
            )
        self._index: dict[int, Index] = self._read_index()

    def _read_channels(self) -> list[Channel]:
        definitions: dict[str, tuple[str, str]] = {}
        query = "SELECT name FROM sqlite_master WHERE type = 'table'"
        tables = {name for (name,) in self._db.execute(query)}
        if not {'topics', 'messages'} <= tables:  # a view of that name may never end
            raise BagError(
                f'{self.path} is not a readable rosbag2 sqlite3 file: no topics or no messages'
            )
        if 'message_definitions' in tables:
            query = (
                'SELECT topic_type, encoding, encoded_message_definition FROM message_definitions'
            )
            for name, encoding, text in self._db.execute(query):
                if encoding in ('ros2msg', 'ros2idl') and isinstance(text, str):
                    definitions[full_type(str(name))] = (text, encoding)
        query = 'SELECT id, name, type, serialization_format FROM topics ORDER BY id'
        channels = []
        for number, topic, name, encoding in self._db.execute(query):
            kind = full_type(str(name))
            text, language = definitions.get(kind, ('', 'ros2msg'))
            channels.append(Channel(number, str(topic), kind, text, str(encoding), language))
        return channels

    def _read_index(self) -> dict[int, Index]:
        """Walk the message table in row order, which is write order, around damaged pages."""
        builders: dict[int, IndexBuilder] = {}
        query = 'SELECT id, topic_id, timestamp FROM messages WHERE id > ? ORDER BY id'
        row, first_lost, misses, last = 0, 0, 0, 'none'
        while misses < _MOST_ROWS_PER_PAGE:
            try:
                for found, channel, time in self._db.execute(query, (row,)):
                    row = found
                    if not isinstance(time, int):
                        first_lost = first_lost or row
                        continue
                    builders.setdefault(channel, IndexBuilder()).add(time, (row, 0))
                    misses, last = 0, f'{time / 1e9:.3f} s'
                break
            except apsw.Error:
                row, misses = row + 1, misses + 1
                first_lost = first_lost or row
        if first_lost:
            self.problems.append(
                f'{self.path}: damaged (recording interrupted or copy incomplete); messages from '
                f'row {first_lost} on are lost in part, the last readable one is of {last}'
            )
        counts = {channel: len(builder.times) for channel, builder in builders.items()}
        self.problems.extend(strays(self.path, self.channels, counts))
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
        except apsw.Error as error:
            raise CorruptBagError(
                f'{self.path}: message row {place[0]} is damaged ({error}) and lost'
            ) from error
        if row is None or not isinstance(row[0], bytes):
            raise CorruptBagError(f'{self.path}: message row {place[0]} is lost')
        return memoryview(row[0])

    def heads(self, places: I64, size: int) -> list[bytes]:
        """Return the first bytes of many messages; empty where the file is damaged."""
        heads = []
        for row in places[:, 0].tolist():
            try:
                query = f'SELECT substr(data, 1, {int(size)}) FROM messages WHERE id = ?'
                found = self._db.execute(query, (row,)).fetchone()
            except apsw.Error:
                found = None
            heads.append(found[0] if found and isinstance(found[0], bytes) else b'')
        return heads

    def close(self) -> None:
        """Close the database."""
        self._db.close()
