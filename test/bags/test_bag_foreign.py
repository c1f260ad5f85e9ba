"""Bags of other recorders: other stamps, compressions, layouts and types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.writer import CompressionType, IndexType
from mcap.writer import Writer as McapLibraryWriter
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as RosbagsWriter
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from sim_perception.bags import messages as m
from sim_perception.bags.errors import MessageError, MissingTopicError
from sim_perception.bags.reader import BagReader
from sim_perception.bags.typestore import serialize, typestore

STEP = 100_000_000
KIND = 'sensor_msgs/msg/Image'


def image(stamp: int, value: int) -> Any:
    return m.image_message(np.full((40, 50), value, np.uint8), stamp, 'c')


def record(
    path: Path,
    stamps: list[int],
    logged: list[int],
    storage: StoragePlugin = StoragePlugin.MCAP,
    mode: CompressionMode = CompressionMode.NONE,
) -> Path:
    """Write a bag with plain rosbags, as a recorder does that logs times of arrival."""
    writer = RosbagsWriter(path, version=9, storage_plugin=storage)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection('/i', KIND, typestore=typestore())
        for value, (stamp, time) in enumerate(zip(stamps, logged, strict=True)):
            writer.write(connection, time, serialize(image(stamp, value)))
    return path


@pytest.mark.parametrize('storage', [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize(
    'mode', [CompressionMode.NONE, CompressionMode.FILE, CompressionMode.MESSAGE]
)
def test_header_stamps_count_not_arrival(
    tmp_path: Path, storage: StoragePlugin, mode: CompressionMode
) -> None:
    stamps = [m.START_STAMP + i * STEP for i in range(5)]
    logged = [stamp + 30_000_000 + (i % 2) * 7 for i, stamp in enumerate(stamps)]
    with BagReader(record(tmp_path / 'bag', stamps, logged, storage, mode)) as bag:
        assert bag.stamps('/i').tolist() == stamps
        assert [int(bag.image('/i', i)[0, 0]) for i in range(5)] == list(range(5))
        assert bag.problems == []


@pytest.mark.parametrize('storage', [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_messages_out_of_order_come_out_in_order(tmp_path: Path, storage: StoragePlugin) -> None:
    order = [3, 0, 2, 1, 4]
    stamps = [m.START_STAMP + i * STEP for i in order]
    logged = [m.START_STAMP + i * STEP for i in range(5)]
    with BagReader(record(tmp_path / 'bag', stamps, logged, storage)) as bag:
        assert bag.stamps('/i').tolist() == sorted(stamps)
        assert [order[int(bag.image('/i', i)[0, 0])] for i in range(5)] == list(range(5))
        assert [stamp for _, stamp, _ in bag.messages()] == sorted(stamps)


def test_log_times_out_of_order(tmp_path: Path) -> None:
    stamps = [m.START_STAMP + i * STEP for i in (2, 0, 1)]
    with BagReader(record(tmp_path / 'bag', stamps, stamps)) as bag:
        assert bag.stamps('/i').tolist() == sorted(stamps)
        assert [int(bag.image('/i', i)[0, 0]) for i in range(3)] == [1, 2, 0]


def test_zero_stamps_fall_back_to_arrival(tmp_path: Path) -> None:
    logged = [m.START_STAMP + i * STEP for i in range(4)]
    with BagReader(record(tmp_path / 'bag', [0, 0, logged[2], 0], logged)) as bag:
        assert bag.stamps('/i').tolist() == logged
        assert bag.problems == [
            f'{tmp_path / "bag"}: 3 of 4 messages on /i have no stamp; the time of recording is '
            'used'
        ]


@pytest.mark.parametrize('compression', list(CompressionType))
@pytest.mark.parametrize('chunked', [True, False])
@pytest.mark.parametrize('index', [IndexType.ALL, IndexType.CHUNK, IndexType.NONE])
def test_mcap_layouts(
    tmp_path: Path, compression: CompressionType, chunked: bool, index: IndexType
) -> None:
    file = tmp_path / 'bag.mcap'
    with file.open('wb') as stream:
        writer = McapLibraryWriter(
            stream,
            chunk_size=5000,
            compression=compression,
            use_chunking=chunked,
            index_types=index,
        )
        writer.start('ros2')
        text = typestore().generate_msgdef(KIND, ros_version=2)[0].encode()
        channel = writer.register_channel(
            '/i', 'cdr', writer.register_schema(KIND, 'ros2msg', text)
        )
        for value in range(9):
            stamp = m.START_STAMP + value * STEP
            writer.add_message(channel, stamp, bytes(serialize(image(stamp, value))), stamp)
        writer.finish()
    with BagReader(file) as bag:
        assert [int(bag.image('/i', i)[0, 0]) for i in range(9)] == list(range(9))
        assert bag.verify() == []


def test_split_bag_is_one(tmp_path: Path) -> None:
    first = [m.START_STAMP + i * STEP for i in range(3)]
    second = [m.START_STAMP + i * STEP for i in range(3, 6)]
    path = record(tmp_path / 'bag', first, first)
    other = record(tmp_path / 'other', second, second)
    (other / 'other.mcap').rename(path / 'other.mcap')
    text = (path / 'metadata.yaml').read_text()
    (path / 'metadata.yaml').write_text(
        text.replace('  - bag.mcap', '  - some/old/place/bag.mcap\n  - other.mcap')
    )
    with BagReader(path) as bag:
        assert bag.stamps('/i').tolist() == first + second
        assert bag.verify() == []


def test_types_that_only_the_bag_knows(tmp_path: Path) -> None:
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(get_types_from_msg('std_msgs/Header header\nfloat32 volts', 'mine/msg/Battery'))
    battery: Any = store.types['mine/msg/Battery']
    message = battery(header=m.header(m.START_STAMP, 'b'), volts=12.5)
    for storage in (StoragePlugin.MCAP, StoragePlugin.SQLITE3):
        path = tmp_path / storage.name
        with RosbagsWriter(path, version=9, storage_plugin=storage) as writer:
            connection = writer.add_connection('/battery', 'mine/msg/Battery', typestore=store)
            data = store.serialize_cdr(message, 'mine/msg/Battery')
            writer.write(connection, m.START_STAMP + 5, data)
        with BagReader(path) as bag:
            assert bag.message('/battery', 0).volts == 12.5
            assert bag.stamps('/battery').tolist() == [m.START_STAMP]


def test_bags_may_differ_in_what_they_call_a_type(tmp_path: Path) -> None:
    readers = []
    for name, text in (('first', 'float32 volts'), ('second', 'string volts\nint8 cells')):
        store = get_typestore(Stores.ROS2_JAZZY)
        store.register(get_types_from_msg(text, 'mine/msg/Cell'))
        cell: Any = store.types['mine/msg/Cell']
        message = cell(volts=1.5) if name == 'first' else cell(volts='many', cells=4)
        with RosbagsWriter(tmp_path / name, version=9) as writer:
            connection = writer.add_connection('/cell', 'mine/msg/Cell', typestore=store)
            writer.write(connection, 5, store.serialize_cdr(message, 'mine/msg/Cell'))
        readers.append(BagReader(tmp_path / name))
    assert [bag.message('/cell', 0).volts for bag in readers] == [1.5, 'many']


def test_type_that_nobody_knows(tmp_path: Path) -> None:
    with (tmp_path / 'bag.mcap').open('wb') as stream:
        writer = McapLibraryWriter(stream)
        writer.start('ros2')
        schema = writer.register_schema('odd/msg/Thing', 'ros2msg', b'')
        channel = writer.register_channel('/odd', 'cdr', schema)
        writer.add_message(channel, 7, b'\x00\x01\x00\x00', 7)
        writer.finish()
    with BagReader(tmp_path / 'bag.mcap') as bag:
        assert bytes(bag.raw('/odd', 0)) == b'\x00\x01\x00\x00'
        with pytest.raises(MessageError, match='odd/msg/Thing is unknown'):
            bag.message('/odd', 0)


def test_topics_without_a_type_are_told(tmp_path: Path) -> None:
    with (tmp_path / 'bag.mcap').open('wb') as stream:
        writer = McapLibraryWriter(stream)
        writer.start('ros2')
        channel = writer.register_channel('/i', 'cdr', 0)
        writer.add_message(channel, 7, b'\x00\x01\x00\x00', 7)
        writer.finish()
    wanted = pytest.raises(MissingTopicError, match=r'/x; it has /i \(1, of no known type\)')
    with BagReader(tmp_path / 'bag.mcap') as bag, wanted:
        bag.require('/x')


DRIVE = Path(__file__).parents[2] / '../shared/data/kitti_drive'


@pytest.mark.real_data
@pytest.mark.skipif(not DRIVE.exists(), reason='../shared/data is absent')
def test_real_drive() -> None:
    with BagReader(DRIVE) as bag:
        assert bag.verify() == []
        assert bag.count('/camera/image_raw/compressed') == 48
        frame = bag.frame('/camera/image_raw/compressed', 10, '/camera/camera_info')
        assert frame.image.shape == (375, 1242, 3)
        assert frame.camera is not None
        assert 700 < frame.camera.fx < 740
        cloud = bag.cloud('/lidar/points', 10)
        assert {'x', 'y', 'z', 'intensity'} <= set(cloud.dtype.names or ())
        assert len(cloud) > 30_000
        camera_T_lidar = bag.transforms.lookup('camera_optical_frame', 'lidar')
        # The LiDAR stands a little above and behind the camera.
        np.testing.assert_allclose(camera_T_lidar[:3, 3], [0.057, -0.075, -0.269], atol=2e-3)
