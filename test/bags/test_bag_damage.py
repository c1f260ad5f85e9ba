"""Cut and corrupted bags give what is readable and say what is lost."""

from __future__ import annotations

import shutil
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap.writer import CompressionType
from mcap.writer import Writer as McapLibraryWriter

from sim_perception.bags import messages as m
from sim_perception.bags import topics as t_
from sim_perception.bags.errors import BagError, BagWarning, CorruptBagError, MessageError
from sim_perception.bags.reader import BagReader
from sim_perception.bags.typestore import serialize, typestore
from sim_perception.bags.writer import BagWriter

STEP = 100_000_000
COUNT = 8


def payload(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 255, (120, 160, 3), np.uint8)


def make_bag(path: Path, storage: str = 'mcap', count: int = COUNT) -> Path:
    with BagWriter(path, storage, 'zstd' if storage == 'mcap' else 'none') as bag:
        for number in range(count):
            stamp = m.START_STAMP + number * STEP
            transform = m.transform_message(np.eye(4), stamp, 'odom', 'base_link')
            image = m.image_message(payload(number), stamp, 'c')
            for topic, message in ((t_.TF, m.tf_message([transform])), (t_.IMAGE, image)):
                bag.write(m.StampedMessage(topic.name, stamp, serialize(message)))
    return path


def storage_file(path: Path) -> Path:
    return next(p for p in path.iterdir() if p.suffix in ('.mcap', '.db3'))


def check_prefix(bag: BagReader) -> int:
    """Assert that what can be read is a true beginning; return how many images there are."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', BagWarning)
        list(bag.messages())
    count = bag.count(t_.IMAGE.name)
    for number in range(count):
        np.testing.assert_array_equal(bag.image(t_.IMAGE.name, number), payload(number))
    return count


@pytest.mark.parametrize('share', [0.001, 0.01, 0.1, 0.3, 0.5, 0.77, 0.9, 0.99, 0.9999])
def test_cut_mcap_gives_its_beginning(tmp_path: Path, share: float) -> None:
    path = make_bag(tmp_path / 'bag')
    file = storage_file(path)
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    with BagReader(path) as bag:
        count = check_prefix(bag)
        assert count >= int(share * COUNT) - 1
        assert bag.problems
        if share < 0.99:
            assert 'later messages are lost' in bag.problems[0]
            assert 'cut or damaged at byte' in bag.problems[0]


def test_cutting_anywhere_never_gives_wrong_data(tmp_path: Path) -> None:
    whole = storage_file(make_bag(tmp_path / 'bag')).read_bytes()
    counts = []
    for size in np.linspace(8, len(whole) - 1, 60).astype(int):
        file = tmp_path / 'cut.mcap'
        file.write_bytes(whole[:size])
        with BagReader(file) as bag:
            counts.append(check_prefix(bag))
            assert bag.problems
    assert counts == sorted(counts)
    assert counts[-1] == COUNT


def test_readable_part_of_a_cut_chunk_is_used(tmp_path: Path) -> None:
    """One chunk holds all; the cut leaves its first messages."""
    file = tmp_path / 'one_chunk.mcap'
    store = typestore()
    kind = 'sensor_msgs/msg/Image'
    with file.open('wb') as stream:
        writer = McapLibraryWriter(stream, chunk_size=10**9, compression=CompressionType.ZSTD)
        writer.start('ros2')
        text = store.generate_msgdef(kind, ros_version=2)[0].encode()
        channel = writer.register_channel(
            '/i', 'cdr', writer.register_schema(kind, 'ros2msg', text)
        )
        for number in range(COUNT):
            stamp = m.START_STAMP + number * STEP
            data = bytes(serialize(m.image_message(payload(number), stamp, 'c')))
            writer.add_message(channel, stamp, data, stamp)
        writer.finish()
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with BagReader(file) as bag:
        count = bag.count('/i')
        assert 2 <= count < COUNT
        for number in range(count):
            np.testing.assert_array_equal(bag.image('/i', number), payload(number))
        assert 'later messages are lost' in bag.problems[0]


@pytest.mark.parametrize('share', [0.2, 0.5, 0.8, 0.95, 0.99])
def test_cut_sqlite_gives_its_beginning(tmp_path: Path, share: float) -> None:
    path = make_bag(tmp_path / 'bag', 'sqlite3', count=60)
    file = storage_file(path)
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    with BagReader(path) as bag:
        assert 'bytes long instead of' in bag.problems[0]
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', BagWarning)
            read = list(bag.messages())
        # sqlite's index pages lie anywhere, so a few more are lost than the share says.
        assert 120 * share - 30 <= len(read) < 120
        for topic, stamp, data in read:
            if topic == t_.IMAGE.name:
                number = (stamp - m.START_STAMP) // STEP
                expected = serialize(m.image_message(payload(number), stamp, 'c'))
                assert bytes(data) == bytes(expected)


def test_overwritten_sqlite_page_loses_little(tmp_path: Path) -> None:
    path = make_bag(tmp_path / 'bag', 'sqlite3', count=60)
    file = storage_file(path)
    data = bytearray(file.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 4096] = b'\xff' * 4096
    file.write_bytes(data)
    with BagReader(path) as bag, warnings.catch_warnings():
        warnings.simplefilter('ignore', BagWarning)
        assert len(list(bag.messages())) >= 90


@pytest.mark.parametrize('name', ['bag.mcap', 'bag.db3'])
@pytest.mark.parametrize('content', [b'', b'no bag at all' * 99])
def test_files_that_are_no_bags(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BagError, match=r'not an MCAP file|not a readable rosbag2'):
        BagReader(tmp_path / name)


def flip_a_byte_of_image(path: Path, number: int) -> None:
    """Damage the chunk of one image in place."""
    file = storage_file(path)
    with file.open('rb') as stream:
        summary = make_reader(stream).get_summary()
    assert summary is not None
    channel = next(i for i, c in summary.channels.items() if c.topic == t_.IMAGE.name)
    chunks = [c for c in summary.chunk_indexes if channel in c.message_index_offsets]
    data = bytearray(file.read_bytes())
    data[chunks[number].chunk_start_offset + chunks[number].chunk_length // 2] ^= 0x40
    file.write_bytes(data)


def test_damaged_chunk_is_lost_alone(tmp_path: Path) -> None:
    path = make_bag(tmp_path / 'bag')
    flip_a_byte_of_image(path, 3)
    with BagReader(path) as bag:
        assert bag.count(t_.IMAGE.name) == COUNT
        when = f'{(m.START_STAMP + 3 * STEP) / 1e9:.3f}'
        with pytest.raises(CorruptBagError, match=rf'chunk at byte \d+ is damaged .* {when}'):
            bag.image(t_.IMAGE.name, 3)
        for number in (2, 4):
            np.testing.assert_array_equal(bag.image(t_.IMAGE.name, number), payload(number))
        with pytest.warns(BagWarning, match='damaged') as seen:
            read = list(bag.messages())
        assert len(seen) == 1
        assert len(read) == 2 * COUNT - 1
        assert len(bag.verify()) == 1


def test_damage_and_cut_together(tmp_path: Path) -> None:
    path = make_bag(tmp_path / 'bag')
    flip_a_byte_of_image(path, 2)
    file = storage_file(path)
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * 0.8)])
    with BagReader(path) as bag:
        numbers = (bag.stamps(t_.IMAGE.name) - m.START_STAMP) // STEP
        assert 2 not in numbers
        assert len(numbers) >= 4
        for place, number in enumerate(numbers):
            np.testing.assert_array_equal(bag.image(t_.IMAGE.name, place), payload(int(number)))
        assert any('damaged' in problem for problem in bag.problems)
        assert any('later messages are lost' in problem for problem in bag.problems)


def test_damaged_summary_is_rebuilt(tmp_path: Path) -> None:
    path = make_bag(tmp_path / 'bag')
    file = storage_file(path)
    data = bytearray(file.read_bytes())
    (start,) = struct.unpack_from('<Q', data, len(data) - 28)
    data[start + 40] ^= 1
    file.write_bytes(data)
    with BagReader(path) as bag:
        assert check_prefix(bag) == COUNT
        assert 'index at the end is missing' in bag.problems[0]


def test_folder_without_metadata_is_read(tmp_path: Path) -> None:
    path = make_bag(tmp_path / 'bag')
    (path / 'metadata.yaml').unlink()
    with BagReader(path) as bag:
        assert check_prefix(bag) == COUNT
        assert 'metadata.yaml is missing' in bag.problems[0]


@pytest.mark.parametrize('text', ['{', 'rosbag2_bagfile_information: 3', '\x00\xff', ''])
def test_damaged_metadata_is_done_without(tmp_path: Path, text: str) -> None:
    path = make_bag(tmp_path / 'bag')
    (path / 'metadata.yaml').write_text(text, encoding='latin-1')
    with BagReader(path) as bag:
        assert check_prefix(bag) == COUNT
        assert 'metadata.yaml is damaged' in bag.problems[0]


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(BagError, match='there is no bag at'):
        BagReader(tmp_path / 'nowhere')
    with pytest.raises(BagError, match='not a bag'):
        BagReader(tmp_path)
    (tmp_path / 'notes.txt').write_text('x')
    with pytest.raises(BagError, match=r'expected a folder, \.mcap or \.db3'):
        BagReader(tmp_path / 'notes.txt')
    path = make_bag(tmp_path / 'bag')
    storage_file(path).unlink()
    with pytest.raises(BagError, match='none of the files its metadata names'):
        BagReader(path)


def test_part_of_a_split_bag_is_missing(tmp_path: Path) -> None:
    path = make_bag(tmp_path / 'bag')
    metadata = path / 'metadata.yaml'
    metadata.write_text(
        metadata.read_text().replace('  - bag.mcap', '  - gone.mcap\n  - bag.mcap')
    )
    with BagReader(path) as bag:
        assert check_prefix(bag) == COUNT
        assert 'lacks gone.mcap' in bag.problems[0]


def test_unreadable_file_of_a_split_bag(tmp_path: Path) -> None:
    path = make_bag(tmp_path / 'bag')
    shutil.copy(path / 'bag.mcap', path / 'second.mcap')
    (path / 'bag.mcap').write_bytes(b'')
    metadata = path / 'metadata.yaml'
    metadata.write_text(
        metadata.read_text().replace('  - bag.mcap', '  - bag.mcap\n  - second.mcap')
    )
    with BagReader(path) as bag:
        assert check_prefix(bag) == COUNT
        assert 'bag.mcap (0 bytes) is not an MCAP file' in bag.problems[0]


def test_message_that_is_cut_inside_a_whole_bag(tmp_path: Path) -> None:
    image = serialize(m.image_message(payload(0), m.START_STAMP, 'c'))
    with BagWriter(tmp_path / 'bag') as bag:
        for number, data in enumerate((image[:1000], image[:6], image[:0], image)):
            stamp = m.START_STAMP + number * STEP
            bag.write(m.StampedMessage(t_.IMAGE.name, stamp, data))
    with BagReader(tmp_path / 'bag') as reader:
        for number in range(3):
            with pytest.raises(MessageError, match=f'message {number} on /camera/image_raw'):
                reader.image(t_.IMAGE.name, number)
        np.testing.assert_array_equal(reader.image(t_.IMAGE.name, 3), payload(0))
