"""Bags that are cut, overwritten or hostile: what is readable is read, the rest is one sentence.

Seeded. No case may raise anything but a BagError, take long, or take more memory than it has bytes
to show for.
"""

from __future__ import annotations

import os
import resource
import sqlite3
import struct
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zstandard
from mcap.writer import CompressionType
from mcap.writer import Writer as McapLibraryWriter

from sim_perception.bags import messages as m
from sim_perception.bags import topics as t_
from sim_perception.bags.errors import BagError, BagWarning
from sim_perception.bags.reader import BagReader
from sim_perception.bags.typestore import serialize, typestore
from sim_perception.bags.writer import BagWriter
from sim_perception.types import Camera

COUNT = 4
SECONDS = 5.0
MEGABYTES = 400
CAMERA = Camera(24, 16, 20.0, 20.0, 11.5, 7.5)
CLOUD = np.zeros(9, [('x', '<f4'), ('y', '<f4'), ('z', '<f4')])


def recorded() -> list[m.StampedMessage]:
    rng = np.random.default_rng(0)
    found = []
    for number in range(COUNT):
        stamp = m.START_STAMP + number * 10**8
        pixels = rng.integers(0, 255, (16, 24, 3), np.uint8)
        transform = m.transform_message(np.eye(4), stamp, 'odom', 'base_link')
        for topic, message in (
            (t_.TF, m.tf_message([transform])),
            (t_.CAMERA_INFO, m.camera_info_message(CAMERA, stamp, 'c')),
            (t_.IMAGE, m.image_message(pixels, stamp, 'c')),
            (t_.POINTS, m.cloud_message(CLOUD, stamp, 'l')),
        ):
            found.append(m.StampedMessage(topic.name, stamp, serialize(message)))
    return found


def library_mcap(path: Path, **options: object) -> bytes:
    """Write by Foxglove's library, without checksums, so that damage reaches deep."""
    with path.open('wb') as stream:
        writer = McapLibraryWriter(
            stream, chunk_size=3000, enable_crcs=False, enable_data_crcs=False, **options
        )
        writer.start('ros2')
        channels: dict[str, int] = {}
        for topic, stamp, data in recorded():
            if topic not in channels:
                kind = t_.TOPICS[topic].type
                text = typestore().generate_msgdef(kind, ros_version=2)[0].encode()
                schema = writer.register_schema(kind, 'ros2msg', text)
                channels[topic] = writer.register_channel(topic, 'cdr', schema)
            writer.add_message(channels[topic], stamp, bytes(data), stamp)
        writer.finish()
    return path.read_bytes()


@pytest.fixture(scope='module')
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Storage files by kind; the name's end is the suffix."""
    folder = tmp_path_factory.mktemp('whole')
    made = {}
    for storage, suffix in (('mcap', 'ours.mcap'), ('sqlite3', 'table.db3')):
        with BagWriter(folder / storage, storage, 'none' if storage == 'sqlite3' else 'zstd') as b:
            for message in recorded():
                b.write(message)
        made[suffix] = next((folder / storage).glob(f'*{suffix[-4:]}')).read_bytes()
    for name in ('NONE', 'ZSTD', 'LZ4'):
        kind = getattr(CompressionType, name)
        made[f'{name}.mcap'] = library_mcap(folder / f'{name}.mcap', compression=kind)
    made['flat.mcap'] = library_mcap(folder / 'flat.mcap', use_chunking=False)
    return made


KINDS = ('ours.mcap', 'NONE.mcap', 'ZSTD.mcap', 'LZ4.mcap', 'flat.mcap', 'table.db3')


def read_all(path: Path) -> tuple[int, list[str]]:
    """Decode everything; return how much could be, and the problems in words."""
    count = 0
    with BagReader(path) as bag:
        problems = list(bag.verify())
        for topic in list(bag.topics):
            for number in range(bag.count(topic)):
                try:
                    if topic == t_.IMAGE.name:
                        bag.image(topic, number)
                    elif topic == t_.POINTS.name:
                        bag.cloud(topic, number)
                    elif topic == t_.CAMERA_INFO.name:
                        bag.camera(topic, int(bag.stamps(topic)[number]))
                    else:
                        bag.message(topic, number)
                except BagError as error:
                    problems.append(str(error))
                else:
                    count += 1
        try:
            _ = bag.transforms.frames
        except BagError as error:
            problems.append(str(error))
    return count, problems


def judge(path: Path) -> tuple[int, list[str]]:
    """Read, with the limits that hold for every case; an error is one of the problems."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', BagWarning)
        try:
            count, problems = read_all(path)
        except BagError as error:
            count, problems = 0, [str(error)]
    took = time.perf_counter() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert took < SECONDS, f'{took:.1f} s'
    assert grown < MEGABYTES, f'{grown:.0f} MB'
    for problem in problems:
        assert len(problem) > 20, f'no sentence: {problem!r}'
    return count, problems


@pytest.mark.parametrize('kind', KINDS)
def test_whole_files_are_whole(whole: dict[str, bytes], kind: str, tmp_path: Path) -> None:
    (tmp_path / kind).write_bytes(whole[kind])
    assert judge(tmp_path / kind) == (4 * COUNT, [])


@pytest.mark.parametrize('seed', range(6))
@pytest.mark.parametrize('kind', KINDS)
def test_cut_files(whole: dict[str, bytes], kind: str, seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    path = tmp_path / kind
    for _ in range(4):
        path.write_bytes(whole[kind][: int(rng.integers(0, len(whole[kind])))])
        count, problems = judge(path)
        assert problems
        assert count <= 4 * COUNT


def flip(data: bytearray, rng: np.random.Generator) -> None:
    for place in rng.integers(0, len(data), rng.integers(1, 6)):
        data[place] ^= 1 << int(rng.integers(8))


def overwrite(data: bytearray, rng: np.random.Generator) -> None:
    start, size = int(rng.integers(len(data))), int(rng.integers(1, 200))
    data[start : start + size] = rng.bytes(len(data[start : start + size]))


def blank(data: bytearray, rng: np.random.Generator) -> None:
    start = int(rng.integers(len(data)))
    data[start : start + 512] = bytes(len(data[start : start + 512]))


def insert(data: bytearray, rng: np.random.Generator) -> None:
    start = int(rng.integers(len(data)))
    data[start:start] = rng.bytes(int(rng.integers(1, 40)))


def extreme(data: bytearray, rng: np.random.Generator) -> None:
    """Write a number that is all ones: a length, a time, an offset."""
    size = int(rng.choice([2, 4, 8]))
    start = int(rng.integers(len(data) - size))
    data[start : start + size] = b'\xff' * size


Damage = Callable[[bytearray, np.random.Generator], None]


@pytest.mark.parametrize('damage', [flip, overwrite, blank, insert, extreme])
@pytest.mark.parametrize('kind', KINDS)
def test_damaged_files(whole: dict[str, bytes], kind: str, damage: Damage, tmp_path: Path) -> None:
    path = tmp_path / kind
    for seed in range(12):
        data = bytearray(whole[kind])
        damage(data, np.random.default_rng([seed, len(kind)]))
        path.write_bytes(data)
        assert judge(path)[0] <= 5 * COUNT


# MCAP records that lie --------------------------------------------------------------------

MAGIC = b'\x89MCAP0\r\n'


def record(opcode: int, content: bytes, length: int | None = None) -> bytes:
    return struct.pack('<BQ', opcode, len(content) if length is None else length) + content


def text(value: bytes, length: int | None = None) -> bytes:
    return struct.pack('<I', len(value) if length is None else length) + value


HEADER = record(1, text(b'ros2') + text(b''))
SCHEMA = record(
    3,
    struct.pack('<H', 1) + text(b'std_msgs/msg/String') + text(b'ros2msg') + text(b'string data'),
)
CHANNEL = record(4, struct.pack('<HH', 1, 1) + text(b'/s') + text(b'cdr') + text(b''))
END = record(15, bytes(4)) + record(2, bytes(20)) + MAGIC
TIME = m.START_STAMP


def message(data: bytes = b'\0\1\0\0\3\0\0\0hi\0', at: int = TIME, channel: int = 1) -> bytes:
    return record(5, struct.pack('<HIQQ', channel, 0, at, at) + data)


def chunk(
    inside: bytes, size: int | None = None, kind: bytes = b'', stored: int | None = None
) -> bytes:
    head = struct.pack('<QQQI', TIME, TIME, len(inside) if size is None else size, 0)
    count = struct.pack('<Q', len(inside) if stored is None else stored)
    return record(6, head + text(kind) + count + inside)


def bomb() -> bytes:
    """A zstd frame of few bytes that says it holds 2**62."""
    return b'\x28\xb5\x2f\xfd' + bytes([0b11100000]) + struct.pack('<Q', 2**62) + b'\1\0\0'


def real_bomb() -> bytes:
    """A zstd frame of few bytes that holds a gigabyte of zeros and does not say so."""
    made = zstandard.ZstdCompressor(level=1).compressobj()
    part = bytes(1 << 24)
    return b''.join([made.compress(part) for _ in range(80)] + [made.flush()])


LIES = {
    'empty': b'',
    'magic_alone': MAGIC,
    'magic_twice': MAGIC + MAGIC,
    'no_end': MAGIC + HEADER + SCHEMA + CHANNEL + message(),
    'record_of_2**63': MAGIC + HEADER + record(5, b'x', 2**63) + END,
    'record_of_2**64-1': MAGIC + HEADER + record(6, b'x', 2**64 - 1) + END,
    'short_message': MAGIC + HEADER + SCHEMA + CHANNEL + record(5, b'ab') + message() + END,
    'message_without_data': MAGIC + HEADER + SCHEMA + CHANNEL + message(b'') + END,
    'message_of_no_channel': MAGIC + HEADER + SCHEMA + CHANNEL + message(channel=7) + END,
    'time_of_2**64-1': MAGIC + HEADER + SCHEMA + CHANNEL + message(at=2**64 - 1) + message() + END,
    'short_channel': MAGIC + HEADER + SCHEMA + record(4, b'\1') + CHANNEL + message() + END,
    'long_topic': MAGIC + HEADER + record(4, bytes(4) + text(b'/', 2**32 - 1)) + END,
    'topic_not_utf8': MAGIC + HEADER + record(4, struct.pack('<HH', 1, 1) + text(b'\xff')) + END,
    'short_schema': MAGIC + HEADER + record(3, b'\1\0\xff') + CHANNEL + message() + END,
    'schema_not_utf8': MAGIC + HEADER + SCHEMA.replace(b'string data', b'\xff\xfe\xfd data ')
    + CHANNEL + message() + END,
    'schema_of_nonsense': MAGIC + HEADER + SCHEMA.replace(b'std_msgs', b'sxd_msgs').replace(
        b'string data', b'}{ $$ ;; \0!') + CHANNEL + message() + END,
    'short_chunk': MAGIC + HEADER + record(6, b'abc') + END,
    'chunk_of_2**60': MAGIC + HEADER + chunk(SCHEMA + CHANNEL + message(), 2**60) + END,
    'chunk_stores_2**63': MAGIC + HEADER + chunk(message(), stored=2**63) + END,
    'chunk_of_unknown_kind': MAGIC + HEADER + chunk(message(), kind=b'rar') + END,
    'zstd_says_2**62': MAGIC + HEADER + chunk(bomb(), 2**29, b'zstd') + END,
    'zstd_is_larger_than_it_says': MAGIC + HEADER + chunk(
        zstandard.compress(bytes(1 << 22)), 1000, b'zstd') + END,
    'zstd_is_smaller_than_it_says': MAGIC + HEADER + chunk(
        zstandard.compress(bytes(1000)), 2**29, b'zstd') + END,
    'zstd_of_noise': MAGIC + HEADER + chunk(b'(\xb5/\xfdnoise', 2**20, b'zstd') + END,
    'lz4_of_noise': MAGIC + HEADER + chunk(b'\x04"M\x18noise', 2**20, b'lz4') + END,
    'lz4_says_2**62': MAGIC + HEADER + chunk(
        b'\x04"M\x18\x68\x40' + struct.pack('<Q', 2**62) + b'\0', 2**29, b'lz4') + END,
    'chunk_in_a_chunk': MAGIC + HEADER + chunk(chunk(SCHEMA + CHANNEL + message())) + END,
    'message_is_zstd_bomb': MAGIC + HEADER + SCHEMA + CHANNEL + message(bomb()) + END,
    'message_is_zstd_noise': MAGIC + HEADER + SCHEMA + CHANNEL + message(b'(\xb5/\xfd...') + END,
    'string_of_2**32-1': MAGIC + HEADER + SCHEMA + CHANNEL + message(
        b'\0\1\0\0\xff\xff\xff\xff') + END,
    'footer_points_nowhere': MAGIC + HEADER + SCHEMA + CHANNEL + message() + record(15, bytes(4))
    + record(2, struct.pack('<QQI', 2**63, 2**63, 0)) + MAGIC,
    'footer_points_at_itself': MAGIC + HEADER + record(15, bytes(4))
    + record(2, struct.pack('<QQI', 60, 60, 0)) + MAGIC,
    'chunk_index_points_nowhere': MAGIC + HEADER + SCHEMA + CHANNEL + message()
    + record(15, bytes(4)) + record(8, struct.pack('<QQQQI', 0, 0, 2**63, 9, 0))
    + record(2, struct.pack('<QQI', 8 + len(HEADER + SCHEMA + CHANNEL + message()) + 13, 0, 0))
    + MAGIC,
}  # fmt: skip


@pytest.mark.parametrize('name', LIES)
def test_mcap_files_that_lie(name: str, tmp_path: Path) -> None:
    path = tmp_path / 'lie.mcap'
    path.write_bytes(LIES[name])
    count, problems = judge(path)
    assert problems or count or name == 'footer_points_at_itself'  # an empty recording
    if name in ('no_end', 'short_message', 'short_channel', 'time_of_2**64-1'):
        assert count == 1  # the good message beside the bad record
        assert problems


def test_bomb_that_says_nothing_is_stopped(tmp_path: Path) -> None:
    """1.3 GB out of a few kilobytes: not more than was announced is taken."""
    data = real_bomb()
    assert len(data) < 200_000
    path = tmp_path / 'bomb.mcap'
    path.write_bytes(MAGIC + HEADER + chunk(data, 2**20, b'zstd') + END)
    assert 'is damaged' in judge(path)[1][0]


# sqlite3 files that lie -------------------------------------------------------------------

TABLES = (
    'CREATE TABLE topics(id INTEGER PRIMARY KEY, name, type, serialization_format)',
    'CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id, timestamp, data)',
)
TOPIC = "INSERT INTO topics VALUES (1, '/s', 'std_msgs/msg/String', 'cdr')"
ENDLESS = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS id, '
TABLE_LIES = {
    'no_tables': (),
    'no_messages': TABLES[:1],
    'no_topics': (*TABLES, "INSERT INTO messages VALUES (1, 1, 5, x'00010000')"),
    'null_data': (*TABLES, TOPIC, 'INSERT INTO messages VALUES (1, 1, 5, NULL)'),
    'number_data': (*TABLES, TOPIC, 'INSERT INTO messages VALUES (1, 1, 5, 999999999999)'),
    'text_data': (*TABLES, TOPIC, "INSERT INTO messages VALUES (1, 1, 5, 'text')"),
    'empty_data': (*TABLES, TOPIC, "INSERT INTO messages VALUES (1, 1, 5, x'')"),
    'text_time': (*TABLES, TOPIC, "INSERT INTO messages VALUES (1, 1, 'now', x'00010000')"),
    'text_topic': (*TABLES, TOPIC, "INSERT INTO messages VALUES (1, 'x', 5, x'00010000')"),
    'null_type': (*TABLES, 'INSERT INTO topics VALUES (1, NULL, NULL, NULL)'),
    'blob_name': (*TABLES, "INSERT INTO topics VALUES (1, x'ff', x'ff', 'cdr')"),
    'other_encoding': (*TABLES, "INSERT INTO topics VALUES (1, '/s', 'x/msg/Y', 'json')"),
    'other_columns': ('CREATE TABLE topics(a)', 'CREATE TABLE messages(b)'),
    'endless_messages': (TABLES[0], f'CREATE VIEW messages AS {ENDLESS} 1 AS topic_id, '
                         "i AS timestamp, x'00' AS data FROM n"),
    'endless_topics': (TABLES[1], f"CREATE VIEW topics AS {ENDLESS} 'a' AS name, 'b' AS type, "
                       "'cdr' AS serialization_format FROM n"),
}  # fmt: skip


@pytest.mark.parametrize('name', TABLE_LIES)
def test_sqlite_files_that_lie(name: str, tmp_path: Path) -> None:
    path = tmp_path / 'lie.db3'
    table = sqlite3.connect(path)
    for statement in TABLE_LIES[name]:
        table.execute(statement)
    table.commit()
    table.close()
    count, problems = judge(path)
    assert count == 0
    assert problems or name in ('null_type', 'blob_name')


# Metadata ---------------------------------------------------------------------------------

DEEP = 'rosbag2_bagfile_information: ' + '[' * 3000 + ']' * 3000
BOMB = 'a0: &a0 [1,1,1,1,1,1,1,1,1]\n' + ''.join(
    f'a{i}: &a{i} [{",".join([f"*a{i - 1}"] * 9)}]\n' for i in range(1, 12)
)
INFORMATION = 'rosbag2_bagfile_information:\n'
METADATA: dict[str, str | bytes] = {
    'empty': '',
    'zero_bytes': b'\0' * 100,
    'latin_1': b'name: Stra\xdfe',
    'utf_16': 'rosbag2_bagfile_information: {}'.encode('utf-16'),
    'deep': DEEP,
    'bomb': BOMB,
    'self': 'rosbag2_bagfile_information: &a [*a]',
    'python': '!!python/object/apply:os.system ["true"]',
    'list': '[1, 2]',
    'null': INFORMATION + '  relative_file_paths: null\n',
    'number': INFORMATION + '  relative_file_paths: 3\n',
    'numbers': INFORMATION + '  relative_file_paths: [1, 2]\n',
    'none': INFORMATION + '  relative_file_paths: []\n',
    'parent': INFORMATION + '  relative_file_paths: [".."]\n',
    'elsewhere': INFORMATION + '  relative_file_paths: ["/etc/passwd", "../../x.mcap"]\n',
    'folder': INFORMATION + '  relative_file_paths: ["."]\n',
    'twice': INFORMATION + '  relative_file_paths: ["a.mcap"]\n' + INFORMATION + '  x: 1\n',
    'custom_list': INFORMATION + '  relative_file_paths: ["a.mcap"]\n  custom_data: [1]\n',
    'compression_list': INFORMATION
    + '  relative_file_paths: ["a.mcap"]\n  compression_mode: [file]\n',
}


@pytest.mark.parametrize('name', METADATA)
def test_metadata_that_lies(whole: dict[str, bytes], name: str, tmp_path: Path) -> None:
    (tmp_path / 'a.mcap').write_bytes(whole['ours.mcap'])
    value = METADATA[name]
    data = value.encode() if isinstance(value, str) else value
    (tmp_path / 'metadata.yaml').write_bytes(data)
    count, problems = judge(tmp_path)
    assert count == 4 * COUNT
    assert name == 'compression_list' or 'metadata' in problems[0]


@pytest.mark.parametrize('name', ['metadata.yaml', 'a.mcap'])
def test_pipes_do_not_hang(whole: dict[str, bytes], name: str, tmp_path: Path) -> None:
    (tmp_path / 'a_0.mcap').write_bytes(whole['ours.mcap'])
    os.mkfifo(tmp_path / name)
    count, problems = judge(tmp_path)
    assert count == 4 * COUNT
    assert problems
    assert judge(tmp_path / name)[0] == 0


def test_folders_and_loops_in_the_place_of_files(whole: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / 'metadata.yaml').mkdir()
    (tmp_path / 'b.mcap').mkdir()
    (tmp_path / 'c.mcap').symlink_to('c.mcap')
    (tmp_path / 'a.mcap').write_bytes(whole['ours.mcap'])
    assert judge(tmp_path)[0] == 4 * COUNT
    assert judge(tmp_path / 'b.mcap')[0] == judge(tmp_path / 'c.mcap')[0] == 0


@pytest.mark.parametrize('data', [b'', b'no zstd', zstandard.compress(b'no bag'), bomb()])
def test_compressed_files_that_lie(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / 'a.mcap.zstd'
    path.write_bytes(data)
    assert str(path) in judge(path)[1][0]
