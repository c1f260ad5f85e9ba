"""The transform buffer against matrices from scipy."""

import threading

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='no ROS 2 installed')
import tf2_ros
import tf_transformations as tft
from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.time import Time
from scipy.spatial.transform import Rotation, Slerp


def stamped(parent, child, seconds, translation=(0.0, 0.0, 0.0), xyzw=(0.0, 0.0, 0.0, 1.0)):
    message = TransformStamped()
    message.header.frame_id = parent
    message.child_frame_id = child
    message.header.stamp = at(seconds).to_msg()
    vector, rotation = message.transform.translation, message.transform.rotation
    vector.x, vector.y, vector.z = (float(v) for v in translation)
    rotation.x, rotation.y, rotation.z, rotation.w = (float(v) for v in xyzw)
    return message


def at(seconds):
    return Time(nanoseconds=round(seconds * 1e9))


def matrix(message):
    t, q = message.transform.translation, message.transform.rotation
    return tft.translation_matrix([t.x, t.y, t.z]) @ tft.quaternion_matrix([q.x, q.y, q.z, q.w])


def test_look_ups_between_any_two_frames_match_interpolated_matrices():
    rng = np.random.default_rng(3)
    parents = {'odom': 'map', 'base': 'odom', 'camera': 'base', 'lidar': 'base', 'lens': 'camera'}
    buffer = tf2_ros.Buffer()
    knots = {}
    for child, parent in parents.items():
        rotations, translations = Rotation.random(3, random_state=rng), rng.normal(size=(3, 3))
        knots[child] = (rotations, translations)
        for i in range(3):
            buffer.set_transform(
                stamped(parent, child, 10 + i, translations[i], rotations[i].as_quat()), 'test'
            )

    def map_T(frame, time):
        result = np.eye(4)
        while frame != 'map':
            rotations, translations = knots[frame]
            step = np.eye(4)
            step[:3, :3] = Slerp([10, 11, 12], rotations)(time).as_matrix()
            step[:3, 3] = [np.interp(time, [10, 11, 12], translations[:, k]) for k in range(3)]
            result, frame = step @ result, parents[frame]
        return result

    frames = ['map', *parents]
    for time in rng.uniform(10, 12, 20):
        time = round(time, 6)
        for target in frames:
            for source in frames:
                found = matrix(buffer.lookup_transform(target, source, at(time)))
                expected = np.linalg.inv(map_T(target, time)) @ map_T(source, time)
                np.testing.assert_allclose(found, expected, atol=1e-9)


def test_latest_common_time_and_static_links():
    buffer = tf2_ros.Buffer()
    buffer.set_transform_static(stamped('base', 'camera', 0, (1, 0, 0)), 'test')
    for seconds in (1, 2, 3):
        buffer.set_transform(stamped('odom', 'base', seconds, (seconds, 0, 0)), 'test')
    buffer.set_transform(stamped('map', 'odom', 1), 'test')
    buffer.set_transform(stamped('map', 'odom', 2), 'test')
    latest = buffer.lookup_transform('odom', 'camera', Time())
    assert latest.transform.translation.x == pytest.approx(4)
    assert latest.header.stamp.sec == 3
    assert buffer.lookup_transform('map', 'camera', Time()).header.stamp.sec == 2
    assert buffer.lookup_transform('base', 'camera', at(99)).transform.translation.x == 1
    buffer.clear()
    assert buffer.can_transform('base', 'camera', Time())
    assert not buffer.can_transform('odom', 'camera', Time())


def test_errors_name_their_cause():
    buffer = tf2_ros.Buffer()
    buffer.set_transform(stamped('odom', 'base', 1), 'test')
    buffer.set_transform(stamped('odom', 'base', 2), 'test')
    buffer.set_transform(stamped('other', 'thing', 1), 'test')
    with pytest.raises(tf2_ros.LookupException, match=r'"nowhere".*does not exist'):
        buffer.lookup_transform('odom', 'nowhere', Time())
    with pytest.raises(tf2_ros.ConnectivityException, match='unconnected'):
        buffer.lookup_transform('odom', 'thing', Time())
    with pytest.raises(tf2_ros.ExtrapolationException, match='future'):
        buffer.lookup_transform('odom', 'base', at(3))
    with pytest.raises(tf2_ros.ExtrapolationException, match='past'):
        buffer.lookup_transform('odom', 'base', at(0.5))
    with pytest.raises(tf2_ros.InvalidArgumentException):
        buffer.lookup_transform('odom', '', Time())
    assert issubclass(tf2_ros.LookupException, tf2_ros.TransformException)


def test_invalid_transforms_and_old_data_are_left_out():
    buffer = tf2_ros.Buffer(cache_time=Duration(seconds=5))
    buffer.set_transform(stamped('odom', 'base', 1, xyzw=(0, 0, 0, 0)), 'test')
    buffer.set_transform(stamped('odom', 'base', 1, (np.nan, 0, 0)), 'test')
    buffer.set_transform(stamped('base', 'base', 1), 'test')
    with pytest.raises(tf2_ros.LookupException):
        buffer.lookup_transform('odom', 'base', Time())
    buffer.set_transform(stamped('odom', 'base', 20, (7, 0, 0)), 'test')
    buffer.set_transform(stamped('odom', 'base', 10, (1, 0, 0)), 'test')
    assert not buffer.can_transform('odom', 'base', at(10))
    assert buffer.lookup_transform('odom', 'base', at(20)).transform.translation.x == 7


def test_a_waiting_look_up_is_woken_by_data_and_bounded_without():
    buffer = tf2_ros.Buffer()
    waiting = threading.Event()
    found = []

    def wait():
        waiting.set()
        found.append(buffer.lookup_transform('odom', 'base', at(1), Duration(seconds=30)))

    thread = threading.Thread(target=wait)
    thread.start()
    waiting.wait(10)
    future = buffer.wait_for_transform_async('odom', 'base', at(1))
    assert not future.done()
    buffer.set_transform(stamped('odom', 'base', 1, (5, 0, 0)), 'test')
    thread.join(10)
    assert found[0].transform.translation.x == 5
    assert future.done()
    answer, reason = buffer.can_transform(
        'odom', 'base', at(2), Duration(seconds=0.02), return_debug_tuple=True
    )
    assert not answer
    assert 'extrapolation' in reason


def test_quaternions_and_euler_angles_match_scipy():
    for rotation in Rotation.random(20, random_state=0):
        quaternion = rotation.as_quat()
        np.testing.assert_allclose(
            tft.quaternion_matrix(quaternion)[:3, :3], rotation.as_matrix(), atol=1e-12
        )
        back = tft.quaternion_from_matrix(tft.quaternion_matrix(quaternion))
        assert abs(back @ quaternion) == pytest.approx(1)
        angles = rotation.as_euler('xyz')
        assert tft.euler_from_quaternion(quaternion) == pytest.approx(angles)
        assert abs(tft.quaternion_from_euler(*angles) @ quaternion) == pytest.approx(1)
        unit = tft.quaternion_multiply(quaternion, tft.quaternion_inverse(quaternion))
        np.testing.assert_allclose(np.abs(unit), [0, 0, 0, 1], atol=1e-12)
    moved = tft.concatenate_matrices(tft.translation_matrix([1, 2, 3]), tft.euler_matrix(0, 0, 1))
    np.testing.assert_allclose(tft.translation_from_matrix(moved), [1, 2, 3])
    np.testing.assert_allclose(tft.inverse_matrix(moved) @ moved, np.eye(4), atol=1e-12)
