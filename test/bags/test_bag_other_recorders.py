"""Recordings of kinds that robots leave behind are read, or one line says what they are."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from mcap.writer import CompressionType
from mcap.writer import Writer as McapLibraryWriter
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as RosbagsWriter

from sim_perception.bags import messages as m
from sim_perception.bags.errors import BagError, MessageError, MissingTopicError
from sim_perception.bags.layout import bags_at
from sim_perception.bags.reader import BagReader
from sim_perception.bags.typestore import serialize, typestore
from sim_perception.ros.recordings import playable

STEP = 100_000_000
KIND = 'sensor_msgs/msg/Image'
COUNT = 5


def image(number: int) -> bytes:
    stamp = m.START_STAMP + number * STEP
    return bytes(serialize(m.image_message(np.full((40, 50), number, np.uint8), stamp, 'c')))


def write_mcap(
    path: Path,
    *,
    name: str = KIND,
    schema: str = 'ros2msg',
    encoding: str = 'cdr',
    body: bytes | None = None,
    bodies: list[bytes] | None = None,
    definition: bytes | None = None,
    also: tuple[str, str] | None = None,
    **options: Any,
) -> Path:
    """Write images with Foxglove's library; ``also`` is a topic of another encoding."""
    text = typestore().generate_msgdef(KIND, ros_version=2)[0].encode()
    with path.open('wb') as stream:
        writer = McapLibraryWriter(stream, **options)
        writer.start('ros2')
        kind = writer.register_schema(name, schema, text if definition is None else definition)
        channel = writer.register_channel('/i', encoding, kind)
        for number in range(COUNT):
            stamp = m.START_STAMP + number * STEP
            data = bodies[number] if bodies else body or image(number)
            writer.add_message(channel, stamp, data, stamp)
        if also:
            other = writer.register_channel(also[0], also[1], 0)
            writer.add_message(other, m.START_STAMP, b'{}', m.START_STAMP)
        writer.finish()
    return path


def check(path: Path) -> list[str]:
    """Assert that all images are there; return the problems."""
    with BagReader(path) as bag:
        assert bag.topics['/i'].type == KIND
        assert [int(bag.image('/i', n)[0, 0]) for n in range(bag.count('/i'))] == [*range(COUNT)]
        assert bag.stamps('/i').tolist() == [m.START_STAMP + n * STEP for n in range(COUNT)]
        return bag.problems


@pytest.mark.parametrize('name', ['sensor_msgs/Image', 'sensor_msgs::msg::Image', KIND])
def test_type_names_of_other_recorders(tmp_path: Path, name: str) -> None:
    assert check(write_mcap(tmp_path / 'a.mcap', name=name)) == []


def test_two_part_types_that_only_the_bag_knows(tmp_path: Path) -> None:
    body = bytes(serialize(m.time_message(7 * 10**9 + 5)))
    file = write_mcap(
        tmp_path / 'a.mcap', name='mine/Moment', body=body, definition=b'int32 sec\nuint32 nanosec'
    )
    with BagReader(file) as bag:
        assert bag.topics['/i'].type == 'mine/msg/Moment'
        assert (bag.message('/i', 0).sec, bag.message('/i', 0).nanosec) == (7, 5)


def test_definitions_in_idl(tmp_path: Path) -> None:
    idl = b'module mine { module msg { struct Moment { int32 sec; uint32 nanosec; }; }; };'
    body = bytes(serialize(m.time_message(7 * 10**9 + 5)))
    file = write_mcap(
        tmp_path / 'a.mcap', name='mine/msg/Moment', schema='ros2idl', body=body, definition=idl
    )
    with BagReader(file) as bag:
        assert bag.message('/i', 0).sec == 7


@pytest.mark.parametrize('compression', list(CompressionType))
@pytest.mark.parametrize(
    'lacks',
    [
        {'repeat_channels': False},
        {'repeat_schemas': False},
        {'repeat_channels': False, 'repeat_schemas': False, 'use_statistics': False},
        {'use_summary_offsets': False},
    ],
)
def test_parts_of_a_summary_are_optional(
    tmp_path: Path, compression: CompressionType, lacks: dict[str, bool]
) -> None:
    file = write_mcap(tmp_path / 'a.mcap', chunk_size=3000, compression=compression, **lacks)
    assert check(file) == []


@pytest.mark.parametrize(
    ('encoding', 'schema', 'remedy'),
    [
        ('ros1', 'ros1msg', 'rosbags-convert'),
        ('protobuf', 'protobuf', 'ros2 bag record'),
        ('json', 'jsonschema', 'ros2 bag record'),
    ],
)
def test_foreign_messages_are_named(
    tmp_path: Path, encoding: str, schema: str, remedy: str
) -> None:
    file = write_mcap(
        tmp_path / 'a.mcap', encoding=encoding, schema=schema, body=b'\xff\x01', definition=b'\xff'
    )
    with pytest.raises(BagError, match=rf'/i are encoded as {encoding}.*{remedy}'):
        BagReader(file)


def test_foreign_topics_beside_others_are_left_out_aloud(tmp_path: Path) -> None:
    file = write_mcap(tmp_path / 'a.mcap', also=('/gps', 'json'))
    problems = check(file)
    assert '/gps are encoded as json' in problems[0]
    with BagReader(file) as bag, pytest.raises(MissingTopicError, match='/gps is encoded as json'):
        bag.require('/gps')


@pytest.mark.parametrize('folder', [True, False])
def test_ros1_bags_say_how_to_convert(tmp_path: Path, folder: bool) -> None:
    file = tmp_path / 'x.bag'
    file.write_bytes(b'#ROSBAG V2.0\n' + bytes(4096))
    with pytest.raises(BagError, match='is a ROS 1 bag; convert it with `rosbags-convert'):
        BagReader(tmp_path if folder else file)
    assert bags_at(tmp_path) == [file]


def record(path: Path, storage: StoragePlugin, mode: CompressionMode) -> Path:
    writer = RosbagsWriter(path, version=9, storage_plugin=storage)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection('/i', KIND, typestore=typestore())
        for number in range(COUNT):
            writer.write(connection, m.START_STAMP + number * STEP, image(number))
    return path


@pytest.mark.parametrize('storage', [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize(
    'mode', [CompressionMode.NONE, CompressionMode.FILE, CompressionMode.MESSAGE]
)
def test_folders_without_metadata(
    tmp_path: Path, storage: StoragePlugin, mode: CompressionMode
) -> None:
    path = record(tmp_path / 'bag', storage, mode)
    assert check(path) == []
    (path / 'metadata.yaml').unlink()
    (path / '._bag_0.mcap').write_bytes(b'\x00\x05\x16\x07')  # as macOS leaves behind
    assert len(check(path)) == 1
    assert bags_at(path) == bags_at(tmp_path) == [path]


def test_metadata_and_files_may_disagree_about_compression(tmp_path: Path) -> None:
    path = record(tmp_path / 'bag', StoragePlugin.MCAP, CompressionMode.NONE)
    file = path / 'bag.mcap'
    packed = zstandard.ZstdCompressor().compress(file.read_bytes())
    (path / 'bag.mcap.zstd').write_bytes(packed)
    file.unlink()
    assert check(path) == []


def test_cut_compressed_file_gives_its_beginning(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.bytes(200_000) for _ in range(COUNT)]
    file = write_mcap(tmp_path / 'a.mcap', bodies=noise, compression=CompressionType.NONE)
    packed = zstandard.ZstdCompressor().compress(file.read_bytes())
    cut = tmp_path / 'cut.mcap.zstd'
    cut.write_bytes(packed[: len(packed) * 2 // 3])
    with BagReader(cut) as bag:
        assert 0 < bag.count('/i') < COUNT
        assert bag.problems[0].startswith(f'{cut}: cut or damaged at byte')
    cut.write_bytes(packed[:9])
    with pytest.raises(BagError, match=rf'{cut} \(0 bytes\) is not an MCAP file'):
        BagReader(cut)


def test_renamed_files_are_found(tmp_path: Path) -> None:
    path = record(tmp_path / 'bag', StoragePlugin.MCAP, CompressionMode.NONE)
    (path / 'bag.mcap').rename(path / 'renamed.mcap')
    assert 'renamed.mcap is used' in check(path)[0]


def test_parts_are_one_recording_in_order_and_others_are_not(tmp_path: Path) -> None:
    for part in (2, 10):
        write_mcap(tmp_path / f'drive_{part}.mcap')
    assert bags_at(tmp_path) == [tmp_path]
    with BagReader(tmp_path) as bag:
        assert bag.count('/i') == 2 * COUNT
    write_mcap(tmp_path / 'other.mcap')
    names = ['drive_2.mcap', 'drive_10.mcap', 'other.mcap']
    assert [path.name for path in bags_at(tmp_path)] == names
    with pytest.raises(BagError, match=f'several recordings: {", ".join(names)}; name one'):
        BagReader(tmp_path)


def test_a_topic_of_two_types_has_one(tmp_path: Path) -> None:
    path = tmp_path / 'drive'
    path.mkdir()
    write_mcap(path / 'drive_0.mcap')
    write_mcap(path / 'drive_1.mcap', name='std_msgs/msg/String', definition=b'string data')
    with BagReader(path) as bag:
        assert bag.count('/i') == COUNT
        assert any(f'/i is a {KIND} and also a std_msgs/msg/String' in p for p in bag.problems)


def test_unknown_two_part_type_names_it(tmp_path: Path) -> None:
    with (
        BagReader(write_mcap(tmp_path / 'a.mcap', name='odd/Thing', definition=b'')) as bag,
        pytest.raises(MessageError, match='odd/msg/Thing is unknown'),
    ):
        bag.message('/i', 0)


def test_what_can_be_played_is_told(tmp_path: Path) -> None:
    path = record(tmp_path / 'bag', StoragePlugin.MCAP, CompressionMode.NONE)
    assert playable(str(path)) == str(path)
    assert playable(str(path / 'bag.mcap')) == str(path / 'bag.mcap')
    (path / 'metadata.yaml').unlink()
    assert playable(str(path)) == str(path / 'bag.mcap')
    (path / 'bag.mcap').rename(path / 'bag_0.mcap')
    write_mcap(path / 'bag_1.mcap')
    with pytest.raises(BagError, match=f'write it with `ros2 bag reindex {path}`'):
        playable(str(path))
    for options in ({'repeat_channels': False}, {'repeat_schemas': False}):
        file = write_mcap(tmp_path / 'unlisted.mcap', **options)
        with pytest.raises(BagError, match=f'`mcap recover {file} -o NEW.mcap`'):
            playable(str(file))
    for flat in (True, False):
        file = write_mcap(tmp_path / 'listed.mcap', use_chunking=flat)
        assert playable(str(file)) == str(file)
    (tmp_path / 'x.bag').write_bytes(b'#ROSBAG V2.0')
    with pytest.raises(BagError, match='ROS 1 bag'):
        playable(str(tmp_path / 'x.bag'))
    with pytest.raises(FileNotFoundError, match='does not exist'):
        playable(str(tmp_path / 'nowhere'))


def test_path_of_a_bag_may_be_a_link(tmp_path: Path) -> None:
    path = record(tmp_path / 'bag', StoragePlugin.MCAP, CompressionMode.NONE)
    shutil.move(path, tmp_path / 'elsewhere')
    path.symlink_to(tmp_path / 'elsewhere')
    assert check(path) == []
