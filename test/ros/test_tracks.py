"""Detections to the tracker's rows, and tracks to messages: frames, classes, covariances."""

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='no ROS 2 installed')
from hypothesis import given, settings
from hypothesis import strategies as st
from std_msgs.msg import Header
from vision_msgs.msg import (
    BoundingBox2D,
    Detection2D,
    Detection2DArray,
    ObjectHypothesis,
    ObjectHypothesisWithPose,
)
from visualization_msgs.msg import Marker

from sim_perception.geometry.transforms import (
    BODY_T_OPTICAL,
    from_euler,
    invert,
    transform_points,
)
from sim_perception.ros.detections import from_pose, to_detection_array
from sim_perception.ros.markers import track_markers
from sim_perception.ros.placement import Axes, Placement
from sim_perception.ros.tracks import (
    from_detections_2d,
    from_detections_3d,
    parse_class_map,
    to_track_array,
    to_track_array_2d,
    track_states,
    unused_detections,
)
from sim_perception.taxonomy import load_taxonomy
from sim_perception.tracking.camera import level_pose
from sim_perception.tracking.detections import Rejected
from sim_perception.types import Box3D, Detection, Track

TAXONOMY = load_taxonomy()
CAR, TRUCK = TAXONOMY.id_of('car'), TAXONOMY.id_of('truck')
IDS = parse_class_map('person=pedestrian', TAXONOMY)
angle = st.floats(-3.1, 3.1)


def track(**changes):
    covariance = np.diag([4.0, 1.0, 0.25, 1.0, 1.0, 0.0])
    values = {
        'id': 7,
        'stamp': 10**9,
        'class_probabilities': {CAR: 0.8, TRUCK: 0.2},
        'score': 0.9,
        'visibility': 0.3,
        'detected': True,
        'occluded': False,
        'age': 2.0,
        'lost_for': 0.5,
        'box3d': Box3D(from_euler(0, 0, 0.3, (5.0, 2.0, 1.0)), (4.0, 1.8, 1.5)),
        'box2d': None,
        'velocity': np.array([3.0, 0.0, 0.0]),
        'covariance': covariance,
    }
    return Track(**{**values, **changes})


@given(angle, st.floats(-0.3, 0.3), st.floats(-0.3, 0.3))
def test_level_frames_look_where_body_and_optical_frames_look(heading, roll, pitch):
    world_T_body = from_euler(roll, pitch, heading, (3.0, -2.0, 1.5))
    for world_T_sensor in (world_T_body, world_T_body @ BODY_T_OPTICAL):
        level = level_pose(world_T_sensor)
        np.testing.assert_allclose(level[:3, 3], [3.0, -2.0, 1.5])
        np.testing.assert_allclose(level[2, :3], [0, 0, 1], atol=1e-12)
        ahead = world_T_body[:3, 0]
        assert level[:3, 0] @ ahead == pytest.approx(np.hypot(*ahead[:2]))


@settings(max_examples=30)
@given(angle, angle, st.booleans())
def test_boxes_keep_their_place_and_heading_in_the_level_frame(heading, yaw, optical):
    level_T_source = from_euler(0, 0, heading, (1.0, 2.0, 3.0))
    if optical:
        level_T_source = level_T_source @ BODY_T_OPTICAL
    level_T_box = from_euler(0, 0, yaw, (10.0, -4.0, 0.5))
    box = Box3D(invert(level_T_source) @ level_T_box, (4.0, 1.8, 1.5))
    message = to_detection_array([Detection(CAR, 0.7, box3d=box)], TAXONOMY, Header())
    arrays, strange = from_detections_3d(message, IDS, level_T_source)
    assert not strange
    assert arrays.class_id.tolist() == [CAR]
    assert arrays.score.tolist() == [0.7]
    np.testing.assert_allclose(arrays.boxes[0, :3], [10.0, -4.0, 0.5], atol=1e-9)
    assert np.cos(arrays.boxes[0, 3] - yaw) == pytest.approx(1)
    np.testing.assert_allclose(arrays.boxes[0, 4:], [4.0, 1.8, 1.5])


def test_an_orientation_of_zeros_is_no_heading():
    box = Box3D(np.eye(4), (4.0, 1.8, 1.5))
    message = to_detection_array([Detection(CAR, 0.7, box3d=box)], TAXONOMY, Header())
    message.detections[0].bbox.center.orientation.w = 0.0
    assert np.isnan(from_detections_3d(message, IDS, np.eye(4))[0].boxes[0, 3])
    empty, _ = from_detections_3d(to_detection_array([], TAXONOMY, Header()), IDS, np.eye(4))
    assert empty.boxes.shape == (0, 7)


def image_detection(*hypotheses):
    detection = Detection2D(bbox=BoundingBox2D(size_x=20.0, size_y=10.0))
    detection.bbox.center.position.x, detection.bbox.center.position.y = 50.0, 30.0
    for name, score in hypotheses:
        hypothesis = ObjectHypothesis(class_id=name, score=score)
        detection.results.append(ObjectHypothesisWithPose(hypothesis=hypothesis))
    return detection


def test_the_best_class_counts_and_names_are_mapped():
    detections = [
        image_detection(('truck', 0.2), ('Person', 0.7), ('visibility', 0.9)),
        image_detection(('unicorn', 0.9)),
        image_detection(),
        image_detection(('car', 0.9), ('visibility', 0.1)),
    ]
    message = Detection2DArray(detections=detections)
    arrays, strange = from_detections_2d(message, IDS, min_visibility=0.5)
    assert arrays.class_id.tolist() == [TAXONOMY.id_of('pedestrian'), -1, -1]
    np.testing.assert_array_equal(arrays.score, [0.7, 0.9, np.nan])
    np.testing.assert_array_equal(arrays.boxes, [[40, 25, 60, 35]] * 3)
    assert strange == {'unicorn', ''}
    assert len(from_detections_2d(message, IDS)[0].score) == 4


@pytest.mark.parametrize('text', ['person', 'person=human', '=car', 'a=car, b'])
def test_a_wrong_class_map_says_how_to_write_it(text):
    with pytest.raises(ValueError, match="write 'theirs=ours, "):
        parse_class_map(text, TAXONOMY)


def test_what_was_not_used_is_told_with_its_reason():
    assert unused_detections(Rejected(weak=3), set()) == ''
    text = unused_detections(Rejected(invalid=1, unknown_class=2, surplus=4), {'unicorn'})
    assert '1 with an invalid position' in text
    assert "2 of a class that is not tracked ('unicorn'; see class_map)" in text
    assert '4 beyond the most' in text


def test_a_track_becomes_a_detection_with_visibility_second():
    header = Header(frame_id='sensor')
    sensor_T_odom = from_euler(0, 0, np.pi / 2, (1.0, 0.0, 0.0))
    message = to_track_array([track()], TAXONOMY, header, sensor_T_odom)
    detection = message.detections[0]
    listed = [(r.hypothesis.class_id, r.hypothesis.score) for r in detection.results]
    assert [name for name, _ in listed] == ['car', 'visibility', 'truck']
    np.testing.assert_allclose([score for _, score in listed], [0.72, 0.3, 0.18])
    covariance = detection.results[0].pose.covariance.reshape(6, 6)
    np.testing.assert_allclose(covariance[:3, :3], np.diag([1.0, 4.0, 0.25]), atol=1e-12)
    assert detection.id == '7'
    np.testing.assert_allclose(
        from_pose(detection.bbox.center), sensor_T_odom @ track().box3d.parent_T_box, atol=1e-12
    )
    states = track_states([track(occluded=True)], sensor_T_odom)
    np.testing.assert_allclose([states[n][0] for n in ('vx', 'vy', 'vz')], [0, 3, 0], atol=1e-6)
    place = transform_points(sensor_T_odom, np.array([5.0, 2.0, 1.0]))
    np.testing.assert_allclose([states[n][0] for n in 'xyz'], place, atol=1e-6)
    assert (states['id'][0], states['class'][0], states['occluded'][0]) == (7, CAR, 1)


def test_image_boxes_outside_are_left_out():
    tracks = [track(id=1), track(id=2)]
    boxes = np.array([[10.0, 20, 30, 60], [np.nan] * 4])
    message = to_track_array_2d(tracks, boxes, TAXONOMY, Header())
    assert [d.id for d in message.detections] == ['1']
    box = message.detections[0].bbox
    assert (box.center.position.x, box.center.position.y) == (20, 40)
    assert (box.size_x, box.size_y) == (20, 40)


def test_occluded_tracks_are_ghosts_and_moving_ones_have_arrows():
    arrays = [to_track_array([track(id=n)], TAXONOMY, Header(), np.eye(4)) for n in (1, 2)]
    velocities = {'1': np.zeros(3), '2': np.array([3.0, 0.0, 0.0])}
    first, *markers = track_markers(*arrays, velocities, TAXONOMY).markers
    assert first.action == Marker.DELETEALL
    spaces = {(m.ns, m.id) for m in markers}
    assert spaces == {('boxes', 0), ('names', 0), ('ghosts', 2), ('velocities', 2)}
    ghost = next(m for m in markers if m.ns == 'ghosts')
    assert ghost.color.a < 0.5
    assert (ghost.scale.x, ghost.type) == (4.0, Marker.CUBE)
    start, end = next(m for m in markers if m.ns == 'velocities').points
    assert (end.x - start.x, end.y - start.y) == (3.0, 0.0)


def test_without_transforms_one_sensor_stays_one_sensor():
    placement = Placement(lambda *_: np.eye(4), 'none', 'odom', 'tracker_odom')
    place = placement.locate('camera_optical_frame', 1)
    frame, camera_T_tracking = placement.output(place, np.eye(4))
    assert frame == 'camera_optical_frame'
    np.testing.assert_allclose(camera_T_tracking[:3, 0], [0, 0, 1], atol=1e-12)
    with pytest.raises(ValueError, match='one tracker per sensor'):
        placement.locate('lidar', 2)
    with pytest.raises(ValueError, match=r'set header\.frame_id'):
        placement.locate('', 3)
    placement.reset()
    assert placement.locate('lidar', 4).source == 'lidar'


def level_of(source, **options):
    """Return where x of a frame points in the sensor's level frame, and what was reported."""
    told = []
    axes = Axes(report=told.append, **options)
    placement = Placement(lambda *_: np.eye(4), 'none', 'odom', 'tracker_odom', axes=axes)
    return placement.locate(source, 1).level_T_source[:3, :3], told


OPTICAL, BODY = BODY_T_OPTICAL[:3, :3], np.eye(3)


@pytest.mark.parametrize(
    ('source', 'options', 'expected', 'said'),
    [
        ('camera_optical_frame', {}, OPTICAL, False),
        ('cam0_optical', {}, OPTICAL, False),
        ('left_camera_optical_link', {}, OPTICAL, False),
        ('/camera_optical_frame', {}, OPTICAL, False),
        ('lidar', {}, BODY, True),
        ('default_cam', {}, BODY, True),
        # images come in optical frames, whatever they are called
        ('default_cam', {'images': True}, OPTICAL, False),
        ('default_cam', {'chosen': 'optical'}, OPTICAL, False),
        ('camera_optical_frame', {'chosen': 'body'}, BODY, False),
        # a transform knows better than a name
        ('default_cam', {'newest': lambda *_: BODY_T_OPTICAL}, OPTICAL, False),
        ('wrong_optical', {'newest': lambda *_: np.eye(4)}, BODY, False),
        ('default_cam', {'images': True, 'newest': lambda *_: np.eye(4)}, BODY, False),
    ],
)
def test_which_way_a_frame_looks(source, options, expected, said):
    rotation, told = level_of(source, **options)
    np.testing.assert_allclose(rotation, expected, atol=1e-12)
    assert bool(told) is said
    assert not told or 'sensor_axes' in told[0]


def test_a_transform_tells_a_camera_s_pitch_too():
    pitched = from_euler(0, 0.3, 0.2, (1.0, 2.0, 1.5)) @ BODY_T_OPTICAL
    rotation, _ = level_of('eye', newest=lambda *_: pitched)
    up = rotation.T @ [0, 0, 1]
    np.testing.assert_allclose(up, pitched[:3, :3].T @ [0, 0, 1], atol=1e-12)


def test_slashes_of_frames_make_no_difference():
    placement = Placement(lambda *_: np.eye(4), 'none', 'odom', 'tracker_odom')
    place = placement.locate('/camera_optical_frame', 1)
    assert placement.locate('camera_optical_frame', 2).source == place.source
    np.testing.assert_array_equal(
        placement.level_T(place, '/camera_optical_frame', 2), place.level_T_source
    )


def test_detections_in_odom_are_seen_from_the_sensor():
    odom_T_base = from_euler(0, 0, 0.5, (100.0, 20.0, 0.0))
    placement = Placement(lambda *_: odom_T_base, 'tf', 'odom', 'tracker_odom', 'base_link')
    place = placement.locate('odom', 1)
    np.testing.assert_allclose(place.tracking_T_level, odom_T_base, atol=1e-12)
    np.testing.assert_allclose(place.level_T_source, invert(odom_T_base), atol=1e-12)
