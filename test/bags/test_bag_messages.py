"""Values to messages and back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sim_perception.bags import decode, messages, simulated
from sim_perception.bags import topics as t_
from sim_perception.bags.clouds import cloud_array, xyz
from sim_perception.bags.errors import MessageError
from sim_perception.bags.images import image_array
from sim_perception.bags.typestore import message_class, serialize, typestore
from sim_perception.geometry.transforms import from_euler
from sim_perception.simulator.scenario import Scenario
from sim_perception.simulator.street.carried import carried_cameras
from sim_perception.simulator.truth.annotations import LightTruth, ObjectTruth
from sim_perception.taxonomy import load_taxonomy

STAMP = 1_234_567_890_123_456_789


def round_trip(message: Any) -> Any:
    return typestore().deserialize_cdr(serialize(message), message.__msgtype__)


IMAGES = st.one_of(
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))),
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))),
    hnp.arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9))),
    hnp.arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9))),
    hnp.arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))),
)


@settings(deadline=None)  # the first call reads the message definitions
@given(IMAGES)
def test_images_survive(image: np.ndarray) -> None:
    message = round_trip(messages.image_message(image, STAMP, 'camera'))
    decoded = image_array(message)
    assert decoded.dtype == image.dtype
    np.testing.assert_array_equal(decoded, image)
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == divmod(STAMP, 10**9)
    assert message.header.frame_id == 'camera'


def test_non_contiguous_image_is_stored_as_seen() -> None:
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)[:, ::-1]
    decoded = image_array(round_trip(messages.image_message(image, STAMP, 'c')))
    np.testing.assert_array_equal(decoded, image)


def test_unknown_array_is_refused() -> None:
    with pytest.raises(ValueError, match='no image encoding for float64'):
        messages.image_message(np.zeros((2, 2)), STAMP, 'c')


@st.composite
def clouds(draw: st.DrawFn) -> np.ndarray:
    extra = draw(
        st.lists(
            st.sampled_from(['u1', 'i2', '<u2', '<i4', '<u4', '<f4', '<f8']),
            min_size=0,
            max_size=4,
        )
    )
    columns = [(name, '<f4') for name in 'xyz'] + [(f'c{i}', kind) for i, kind in enumerate(extra)]
    dtype = np.dtype(columns, align=draw(st.booleans()))
    rows = draw(st.integers(0, 20))
    seed = draw(st.integers(0, 1000))
    data = np.random.default_rng(seed).integers(0, 255, rows * dtype.itemsize, np.uint8)
    return data.view(dtype)


@given(clouds())
@settings(max_examples=50)
def test_clouds_survive(cloud: np.ndarray) -> None:
    decoded = cloud_array(round_trip(messages.cloud_message(cloud, STAMP, 'lidar')))
    assert decoded.dtype.names == cloud.dtype.names
    for name in cloud.dtype.names or ():
        assert decoded[name].tobytes() == cloud[name].tobytes()
    coordinates = xyz(decoded)
    np.testing.assert_array_equal(coordinates, np.stack([cloud[n] for n in 'xyz'], -1))


def test_big_endian_double_cloud() -> None:
    cloud = np.zeros(3, [('x', '<f8'), ('y', '<f8'), ('z', '<f8')])
    cloud['x'], cloud['y'], cloud['z'] = [1, 2, 3], 4, 5
    message = messages.cloud_message(cloud, STAMP, 'lidar')
    message.data = cloud.astype(cloud.dtype.newbyteorder('>')).view(np.uint8)
    message.is_bigendian = True
    decoded = cloud_array(message)
    np.testing.assert_array_equal(xyz(decoded), [[1, 4, 5], [2, 4, 5], [3, 4, 5]])


def test_organised_cloud_with_padded_rows() -> None:
    cloud = np.zeros((2, 3), [('x', '<f4'), ('y', '<f4'), ('z', '<f4')])
    cloud['x'] = np.arange(6).reshape(2, 3)
    message = messages.cloud_message(cloud, STAMP, 'lidar')
    rows = cloud.view(np.uint8).reshape(2, -1)
    message.row_step, message.data = 40, np.pad(rows, ((0, 0), (0, 4))).reshape(-1)
    np.testing.assert_array_equal(cloud_array(message)['x'], np.arange(6))


def test_dense_flag_tells_of_nan() -> None:
    cloud = np.zeros(3, [('x', '<f4'), ('y', '<f4'), ('z', '<f4')])
    assert messages.cloud_message(cloud, STAMP, 'lidar').is_dense
    cloud['y'][1] = np.nan
    assert not messages.cloud_message(cloud, STAMP, 'lidar').is_dense


def test_contradicting_clouds_are_refused() -> None:
    cloud = np.zeros(3, [('x', '<f4'), ('y', '<f4'), ('range', '<f4')])
    message = messages.cloud_message(cloud, STAMP, 'lidar')
    with pytest.raises(MessageError, match=r'lacks the field\(s\) z; it has x, y, range'):
        cloud_array(message)
    message.width = 4
    with pytest.raises(MessageError, match='truncated'):
        cloud_array(message, needs=())
    message.point_step = 8
    with pytest.raises(MessageError, match='does not fit'):
        cloud_array(message, needs=())
    message.fields[0].datatype = 99
    with pytest.raises(MessageError, match="'x' has unknown type 99"):
        cloud_array(message, needs=('x', 'y'))
    with pytest.raises(ValueError, match='named columns'):
        messages.cloud_message(np.zeros((3, 3)), STAMP, 'lidar')


def some_truth() -> ObjectTruth:
    rng = np.random.default_rng(0)
    poses = np.stack([from_euler(0, 0, yaw, rng.normal(size=3)) for yaw in (0.0, 1.0, 2.0)])
    boxes = np.array([[1, 2, 30, 40], [-50, 3, 8, 9], [np.nan] * 4], np.float32)
    vectors = rng.normal(size=(3, 3, 3))
    return ObjectTruth(
        row=np.arange(3, dtype=np.int32),
        id=np.array([1, 7, 65535], np.uint16),
        class_id=np.array([load_taxonomy().id_of(n) for n in ('car', 'pedestrian', 'car')], 'u1'),
        family=('sedan', 'adult', 'van'),
        size=np.array([[4, 2, 1.5], [0.5, 0.5, 1.8], [5, 2, 2]], np.float32),
        world_T_object=poses,
        velocity=vectors[0],
        acceleration=vectors[1],
        net_force=vectors[2],
        angular_velocity=np.zeros((3, 3)),
        visibility=np.array([1, 0, 0.25], np.float32),
        box_amodal=boxes,
        box_visible=boxes,
        coverage=np.array([100, 50, 0], np.int32),
    )


def test_objects_survive_hidden_ones_too() -> None:
    truth, taxonomy = some_truth(), load_taxonomy()
    message = round_trip(simulated.objects_message(truth, taxonomy, STAMP, 'odom'))
    found = decode.detections_of(message, taxonomy)
    assert [d.id for d in found] == ['1', '7', '65535']
    for row, detection in enumerate(found):
        assert detection.class_id == truth.class_id[row]
        assert detection.score == 1.0
        assert detection.visibility == pytest.approx(truth.visibility[row])
        assert detection.box3d is not None
        np.testing.assert_allclose(detection.box3d.parent_T_box, truth.world_T_object[row])
        np.testing.assert_allclose(detection.box3d.size, truth.size[row])
    first = message.detections[0].results
    assert [result.hypothesis.class_id for result in first] == ['car', 'visibility']


def test_lamps_are_told_beside_the_class() -> None:
    taxonomy = load_taxonomy()
    truth = replace(some_truth(), lamps=(('brake', 'left'), (), ('right',)))
    for make in (simulated.objects_message, simulated.objects_2d_message):
        message = round_trip(make(truth, taxonomy, STAMP, 'odom'))
        names = [[r.hypothesis.class_id for r in d.results] for d in message.detections]
        assert names[0] == ['car', 'visibility', 'brake', 'left']
        assert names[1] == ['pedestrian', 'visibility']
        found = decode.detections_of(message, taxonomy)
        assert [d.class_id for d in found] == truth.class_id[: len(found)].tolist()
        np.testing.assert_allclose([d.visibility for d in found], truth.visibility[: len(found)])


def test_traffic_lights_survive_with_what_they_show() -> None:
    poses = np.stack([from_euler(0, 0, yaw, (1.0, yaw, 3.0)) for yaw in (0.0, 1.0)])
    size = np.array([[0.2, 0.3, 0.9]] * 2, np.float32)
    truth = LightTruth(np.array([4, 9], np.uint16), poses, size, ('red', 'green'))
    message = round_trip(simulated.lights_message(truth, STAMP, 'odom'))
    assert [d.id for d in message.detections] == ['4', '9']
    assert [d.results[0].hypothesis.class_id for d in message.detections] == ['red', 'green']
    boxes = [d.box3d for d in decode.detections_of(message, load_taxonomy())]
    np.testing.assert_allclose([b.parent_T_box for b in boxes], poses, atol=1e-12)


def test_amodal_boxes_survive_without_those_behind() -> None:
    truth, taxonomy = some_truth(), load_taxonomy()
    message = round_trip(simulated.objects_2d_message(truth, taxonomy, STAMP, 'c'))
    found = decode.detections_of(message, taxonomy)
    assert [d.id for d in found] == ['1', '7']
    np.testing.assert_allclose([d.box2d for d in found], truth.box_amodal[:2])


def test_unknown_class_gets_the_ignore_id() -> None:
    taxonomy = load_taxonomy()
    message = simulated.objects_message(some_truth(), taxonomy, STAMP, 'odom')
    message.detections[0].results[0].hypothesis.class_id = 'dragon'
    assert decode.detections_of(message, taxonomy)[0].class_id == taxonomy.ignore_id


def test_object_states_have_every_column() -> None:
    truth = some_truth()
    cloud = messages.cloud_message(simulated.object_states(truth), STAMP, 'odom')
    rows = cloud_array(round_trip(cloud))
    np.testing.assert_array_equal(rows['id'], truth.id)
    np.testing.assert_array_equal(rows['class'], truth.class_id)
    np.testing.assert_allclose(xyz(rows), truth.world_T_object[:, :3, 3], rtol=1e-6)
    for names, values in (('vx vy vz', truth.velocity), ('fx fy fz', truth.net_force)):
        np.testing.assert_allclose(
            np.stack([rows[n] for n in names.split()], -1), values, rtol=1e-6
        )


def test_label_names_are_the_taxonomy() -> None:
    taxonomy = load_taxonomy()
    message = round_trip(messages.label_info_message(taxonomy, STAMP, 'c'))
    assert {c.class_id: c.class_name for c in message.class_map} == dict(enumerate(taxonomy.names))


def test_topic_table_is_consistent() -> None:
    for topic in t_.TOPICS.values():
        assert topic.type in typestore().types
        assert t_.topic(topic.name.lstrip('/')) is topic
    with pytest.raises(KeyError, match='unknown topic'):
        t_.topic('/nothing')


class _Spy:
    """A simulation that notes what is asked of it."""

    scenario = Scenario()

    def __init__(self) -> None:
        self.cameras = {c.stream.name: c for c in carried_cameras(self.scenario)}
        self.rendered: list[frozenset[str]] = []
        self.scans = 0

    def base_pose(self, t: float) -> np.ndarray:
        return np.eye(4)

    def camera_frame(self, t: float, layers: frozenset[str], camera: str) -> Any:
        self.rendered.append(layers)
        rgb = np.zeros((3, 4, 3), np.uint8)
        return type('Sample', (), {'rgb': rgb, 'depth': np.ones((3, 4), np.float32)})

    def lidar_scan(self, t: float, lidar: str) -> Any:
        self.scans += 1
        points = np.zeros(2, [('x', '<f4'), ('y', '<f4'), ('z', '<f4')])
        return type('Scan', (), {'points': points})


@pytest.mark.parametrize(
    ('topics', 'rendered', 'scans'),
    [
        ([t_.TF, t_.CLOCK, t_.CAMERA_INFO], [], 0),
        ([t_.IMAGE, t_.IMAGE_COMPRESSED], [frozenset({'rgb'})], 0),
        ([t_.DEPTH, t_.POINTS], [frozenset({'depth'})], 1),
    ],
)
def test_only_what_is_asked_for_is_made(
    topics: list[t_.Topic], rendered: list[frozenset[str]], scans: int
) -> None:
    spy: Any = _Spy()
    names = [topic.name for topic in topics]
    made = list(simulated.simulation_messages(spy, 0.5, names))
    assert sorted(m.topic for m in made) == sorted(names)
    assert {m.stamp for m in made} == {messages.START_STAMP + 500_000_000}
    assert (spy.rendered, spy.scans) == (rendered, scans)


def test_abandoned_iterator_makes_nothing_more() -> None:
    spy: Any = _Spy()
    made = simulated.simulation_messages(spy, 0.0, [t_.CLOCK.name, t_.IMAGE.name, t_.POINTS.name])
    assert next(made).topic == t_.CLOCK.name
    assert not spy.rendered
    assert next(made).topic == t_.IMAGE.name
    assert not spy.scans


def test_message_classes_are_named() -> None:
    assert (
        message_class('vision_msgs/msg/Detection3D').__msgtype__ == 'vision_msgs/msg/Detection3D'
    )
