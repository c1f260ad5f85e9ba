"""What is written comes back, in both storages, here and in other libraries."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader as RosbagsReader

from sim_perception.bags import messages as m
from sim_perception.bags import topics as t_
from sim_perception.bags.errors import BagError, MessageError, MissingTopicError
from sim_perception.bags.reader import BagReader
from sim_perception.bags.typestore import serialize, typestore
from sim_perception.bags.writer import BagWriter
from sim_perception.simulator.scenario import parse_scenario
from sim_perception.simulator.simulation import Simulation
from sim_perception.taxonomy import load_taxonomy

STORAGES = [('mcap', 'zstd'), ('mcap', 'none'), ('sqlite3', 'zstd'), ('sqlite3', 'none')]
STEP = 100_000_000


def some_messages(count: int = 6) -> list[m.StampedMessage]:
    """Big and small messages of several topics, in time order."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(count):
        stamp = m.START_STAMP + number * STEP
        depth = rng.random((120, 160), np.float32)
        pose = np.eye(4)
        pose[0, 3] = number
        transform = m.transform_message(pose, stamp, 'odom', 'base_link')
        image = rng.integers(0, 255, (8, 8, 3), np.uint8)
        for topic, message in (
            (t_.TF, m.tf_message([transform])),
            (t_.IMAGE, m.image_message(image, stamp, t_.CAMERA_FRAME)),
            (t_.DEPTH, m.image_message(depth, stamp, t_.CAMERA_FRAME)),
        ):
            made.append(m.StampedMessage(topic.name, stamp, serialize(message)))
    return made


def write(path: Path, made: list[m.StampedMessage], **options: Any) -> Path:
    with BagWriter(path, **options) as bag:
        for message in made:
            bag.write(message)
    return path


@pytest.mark.parametrize(('storage', 'compression'), STORAGES)
def test_bytes_come_back(tmp_path: Path, storage: str, compression: str) -> None:
    made = some_messages()
    path = write(tmp_path / 'bag', made, storage=storage, compression=compression)
    with BagReader(path) as bag:
        assert [(t, s, bytes(d)) for t, s, d in bag.messages()] == [
            (t, s, bytes(d)) for t, s, d in made
        ]
        assert bag.verify() == []
        assert bag.time_range == (made[0].stamp, made[-1].stamp)
        assert {t.name: t.count for t in bag.topics.values()} == {
            t_.TF.name: 6, t_.IMAGE.name: 6, t_.DEPTH.name: 6,
        }  # fmt: skip


@pytest.mark.parametrize(('storage', 'compression'), STORAGES)
def test_rosbags_reads_the_same(tmp_path: Path, storage: str, compression: str) -> None:
    made = some_messages()
    path = write(tmp_path / 'bag', made, storage=storage, compression=compression)
    with AnyReader([path], default_typestore=typestore()) as bag:
        found = [(c.topic, time, bytes(data)) for c, time, data in bag.messages()]
        assert sorted(found) == sorted((t, s, bytes(d)) for t, s, d in made)


def test_mcap_library_reads_the_same(tmp_path: Path) -> None:
    made = some_messages()
    path = write(tmp_path / 'bag', made)
    with (path / 'bag.mcap').open('rb') as file:
        reader = make_reader(file, validate_crcs=True)
        found = [(c.topic, x.log_time, x.data) for _, c, x in reader.iter_messages()]
        summary = reader.get_summary()
        extra = list(reader.iter_metadata())
    assert sorted(found) == sorted((t, s, bytes(d)) for t, s, d in made)
    assert summary is not None
    for schema in summary.schemas.values():
        assert schema.encoding == 'ros2msg'
        definition, _ = typestore().generate_msgdef(schema.name, ros_version=2)
        assert schema.data.decode() == definition
    assert [record.name for record in extra] == ['rosbag2']
    assert 'topics_with_message_count' in extra[0].metadata['serialized_metadata']


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_metadata_is_what_rosbag2_expects(tmp_path: Path, storage: str) -> None:
    path = tmp_path / 'bag'
    with BagWriter(path, storage, 'none', custom={'seed': 3, 'name': 'x'}) as bag:
        bag.add_topic(t_.TF_STATIC)
        for message in some_messages(1):
            bag.write(message)
    info = yaml.safe_load((path / 'metadata.yaml').read_text())['rosbag2_bagfile_information']
    assert info['version'] == 9
    assert info['storage_identifier'] == storage
    assert [(path / name).exists() for name in info['relative_file_paths']] == [True]
    assert info['message_count'] == 3
    assert info['custom_data']['seed'] == '3'
    topics = {t['topic_metadata']['name']: t for t in info['topics_with_message_count']}
    latched = topics[t_.TF_STATIC.name]['topic_metadata']['offered_qos_profiles'][0]
    assert (latched['durability'], latched['reliability']) == ('transient_local', 'reliable')
    image = topics[t_.IMAGE.name]['topic_metadata']
    assert image['offered_qos_profiles'][0]['durability'] == 'volatile'
    assert image['type_description_hash'] == typestore().hash_rihs01('sensor_msgs/msg/Image')
    with RosbagsReader(path) as reader:
        assert reader.message_count == 3


def test_big_messages_have_their_own_chunks(tmp_path: Path) -> None:
    path = write(tmp_path / 'bag', some_messages())
    with (path / 'bag.mcap').open('rb') as file:
        summary = make_reader(file).get_summary()
    assert summary is not None
    depth = next(i for i, c in summary.channels.items() if c.topic == t_.DEPTH.name)
    holding = [c for c in summary.chunk_indexes if depth in c.message_index_offsets]
    assert len(holding) == 6
    assert all(list(c.message_index_offsets) == [depth] for c in holding)


def test_nothing_is_left_of_a_failed_bag(tmp_path: Path) -> None:
    def fail() -> None:
        with BagWriter(tmp_path / 'bag') as bag:
            bag.write(some_messages(1)[0])
            assert not (tmp_path / 'bag').exists()
            raise RuntimeError('boom')

    with pytest.raises(RuntimeError, match='boom'):
        fail()
    assert os.listdir(tmp_path) == []


def test_rest_of_a_killed_writer_is_replaced(tmp_path: Path) -> None:
    (tmp_path / '.bag.partial' / 'bag').mkdir(parents=True)
    (tmp_path / '.bag.partial' / 'bag' / 'bag.mcap').write_bytes(b'unfinished')
    write(tmp_path / 'bag', some_messages(1))
    assert os.listdir(tmp_path) == ['bag']
    assert BagReader(tmp_path / 'bag').verify() == []


def test_wrong_use_of_the_writer(tmp_path: Path) -> None:
    (tmp_path / 'there').mkdir()
    with pytest.raises(FileExistsError, match='exists already'):
        BagWriter(tmp_path / 'there')
    with pytest.raises(ValueError, match='choose mcap or sqlite3'):
        BagWriter(tmp_path / 'bag', storage='rocksdb')
    with pytest.raises(ValueError, match='choose zstd or none'):
        BagWriter(tmp_path / 'bag', compression='rar')
    with pytest.raises(KeyError, match='unknown topic'), BagWriter(tmp_path / 'bag') as bag:
        bag.write(m.StampedMessage('/mine', 0, memoryview(b'')))


def test_bytes_in_hand_are_not_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / 'bag', some_messages())
    with BagReader(path) as bag:
        data = bag.raw(t_.IMAGE.name, 2)
        message = bag.parsed(t_.IMAGE.name, data)
        again = bag.message(t_.IMAGE.name, 2)
        np.testing.assert_array_equal(message.data, again.data)
        assert message.header == again.header
        with pytest.raises(MessageError):
            bag.parsed(t_.IMAGE.name, data[:20])


def test_finding_by_time(tmp_path: Path) -> None:
    topic = t_.TF.name
    with BagReader(write(tmp_path / 'bag', some_messages())) as bag:
        start = m.START_STAMP
        np.testing.assert_array_equal(bag.stamps(topic), start + np.arange(6) * STEP)
        assert bag.nearest(topic, start + 149_000_000) == 1
        assert bag.nearest(topic, start + 151_000_000) == 2
        assert bag.nearest(topic, start - 10**12) == 0
        assert bag.nearest(topic, start + 10**12, tolerance=10**9) is None
        assert bag.at_or_before(topic, start + STEP) == 1
        assert bag.at_or_before(topic, start + STEP - 1) == 0
        assert bag.at_or_before(topic, start - 1) is None
        assert bag.between(topic, start + 1, start + 3 * STEP) == range(1, 3)
        during = [s for _, s, _ in bag.messages([topic], start + 1, start + 3 * STEP)]
        assert during == [start + STEP, start + 2 * STEP]
        with pytest.raises(IndexError, match='has 6 messages, not number 6'):
            bag.raw(topic, 6)
        assert bytes(bag.raw(topic, -1)) == bytes(bag.raw(topic, 5))


def test_missing_topic_lists_what_is_there(tmp_path: Path) -> None:
    with BagReader(write(tmp_path / 'bag', some_messages(2))) as bag:
        message = r'no messages on /a, /b; it has /camera/image_raw \(2\), /ground_truth/depth'
        with pytest.raises(MissingTopicError, match=message):
            bag.require('/a', t_.TF.name, '/b')
        for use in (bag.stamps, bag.camera, lambda t: bag.raw(t, 0), lambda t: bag.image(t, 0)):
            with pytest.raises(MissingTopicError, match='/a; it has'):
                use('/a')
        assert bag.count('/a') == 0


def test_synchronising_leaves_out_incomplete_rows(tmp_path: Path) -> None:
    made = [
        x
        for i, x in enumerate(some_messages())
        if not (x.topic == t_.DEPTH.name and i // 3 in (0, 3))
    ]
    with BagReader(write(tmp_path / 'bag', made)) as bag:
        rows = bag.synchronized([t_.IMAGE.name, t_.TF.name, t_.DEPTH.name])
        assert rows.tolist() == [[1, 1, 0], [2, 2, 1], [4, 4, 2], [5, 5, 3]]
        near = bag.synchronized([t_.DEPTH.name, t_.IMAGE.name], tolerance=STEP)
        assert near.tolist() == [[0, 1], [1, 2], [2, 4], [3, 5]]
        rows = bag.synchronized([t_.IMAGE.name, t_.DEPTH.name], tolerance=STEP)
        assert len(rows) == 6


def test_arrays_outlive_the_reader(tmp_path: Path) -> None:
    with BagReader(write(tmp_path / 'bag', some_messages(1))) as bag:
        depth = bag.image(t_.DEPTH.name, 0)
    expected = np.random.default_rng(0).random((120, 160), np.float32)
    np.testing.assert_array_equal(depth, expected)


def test_every_simulated_topic_comes_back(tiny_bag: Path) -> None:
    """Decoded values equal the simulation's own."""
    with BagReader(tiny_bag) as bag:
        absent = {t_.CLOCK.name, t_.IMAGE_COMPRESSED.name, t_.TRAFFIC_LIGHTS.name}
        assert set(bag.topics) == set(t_.TOPICS) - absent
        assert bag.verify() == []
        scenario = parse_scenario(json.loads(bag.custom['sim_perception.scenario']))
        assert scenario.seed == 5
        simulation = Simulation(scenario, 1)
        time, number = 0.2, 2
        stamp = m.START_STAMP + 200_000_000
        sample, state = simulation.camera_frame(time), simulation.state(time)
        for topic in (t_.IMAGE, t_.DEPTH, t_.SEMANTIC, t_.INSTANCE, t_.NORMALS, t_.FLOW):
            assert bag.stamps(topic.name)[number] == stamp
            pixels = getattr(sample, topic.layer)
            decoded = bag.image(topic.name, number)
            assert decoded.dtype == pixels.dtype
            np.testing.assert_array_equal(decoded, pixels)
        assert bag.camera(t_.CAMERA_INFO.name, stamp) == simulation.camera
        cloud = bag.cloud(t_.POINTS.name, number)
        np.testing.assert_array_equal(cloud, simulation.lidar_scan(time).points)
        base_T_camera = bag.transforms.lookup(t_.BASE_FRAME, t_.CAMERA_FRAME)
        np.testing.assert_allclose(base_T_camera, simulation.base_T_camera, atol=1e-12)
        map_T_lidar = bag.transforms.lookup(t_.MAP_FRAME, t_.LIDAR_FRAME, stamp)
        np.testing.assert_allclose(
            map_T_lidar, state.world_T_base @ simulation.base_T_lidar, atol=1e-9
        )
        truth = simulation.object_truth(state, sample)
        found = bag.detections(t_.OBJECTS.name, number, load_taxonomy())
        assert [d.id for d in found] == [str(i) for i in truth.id]
        np.testing.assert_allclose([d.visibility for d in found], truth.visibility)
        states = bag.cloud(t_.OBJECT_STATES.name, number)
        np.testing.assert_array_equal(states['id'], truth.id)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_empty_bags_are_bags(tmp_path: Path, storage: str) -> None:
    with BagWriter(tmp_path / 'bag', storage, 'none') as writer:
        writer.add_topic(t_.TF)
    with BagReader(tmp_path / 'bag') as bag:
        assert bag.problems == []
        assert bag.topics[t_.TF.name].count == 0
        assert list(bag.messages()) == []
        with pytest.raises(BagError, match='has no messages'):
            _ = bag.time_range
    with RosbagsReader(tmp_path / 'bag') as reader:
        assert reader.message_count == 0
