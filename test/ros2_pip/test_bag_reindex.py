"""`ros2 bag reindex`: bags whose metadata is lost and whose files were cut short."""

import pytest
from ros2_pip_tools.cli.bag_metadata import reindex
from ros2_pip_tools.cli.errors import CommandError
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_JAZZY)
COUNT, SIZE = 40, 100_000


@pytest.fixture
def bag(tmp_path):
    """A bag of several chunks."""
    path = tmp_path / 'drive'
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topics = [
            writer.add_connection(f'/{name}', 'std_msgs/msg/String', typestore=STORE)
            for name in ('a', 'b')
        ]
        for n in range(COUNT):
            text = STORE.types['std_msgs/msg/String'](f'{n}'.ljust(SIZE))
            data = STORE.serialize_cdr(text, 'std_msgs/msg/String')
            writer.write(topics[n % 2], 10**18 + n * 10**8, data)
    return path


def content(path):
    with Reader(path) as reader:
        found = [(c.topic, stamp, len(data)) for c, stamp, data in reader.messages()]
        assert reader.message_count == len(found)
        assert reader.start_time == found[0][1]
        assert reader.end_time == found[-1][1] + 1
        return found


def test_metadata_is_made_anew(bag):
    before = content(bag)
    (bag / 'metadata.yaml').unlink()
    assert reindex(bag) == 1
    assert content(bag) == before
    assert len(before) == COUNT


@pytest.mark.parametrize('share', [0.5, 0.999])
def test_a_file_that_was_cut_short_keeps_its_whole_chunks(bag, share, capsys):
    before = content(bag)
    (bag / 'metadata.yaml').unlink()
    file = bag / 'drive.mcap'
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    assert reindex(bag) == 1
    kept = content(bag)
    assert kept == before[: len(kept)]
    lost = 1.1e6 / SIZE  # messages of a chunk
    assert share * COUNT - lost <= len(kept)
    assert f'{len(kept)} messages are kept' in capsys.readouterr().out
    assert (bag / 'drive.mcap.damaged').read_bytes() == whole[: int(share * len(whole))]


def test_a_file_without_any_message_is_refused_and_left_alone(bag):
    (bag / 'metadata.yaml').unlink()
    file = bag / 'drive.mcap'
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(CommandError, match='no message that can be read'):
        reindex(bag)
    assert [path.name for path in bag.iterdir()] == ['drive.mcap']
