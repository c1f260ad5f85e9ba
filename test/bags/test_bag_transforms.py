"""The transform tree of a bag."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_perception.bags import messages as m
from sim_perception.bags.errors import MessageError, TransformError
from sim_perception.bags.transforms import TransformTree
from sim_perception.bags.typestore import serialize, typestore
from sim_perception.geometry.transforms import from_euler, invert


def drive() -> TransformTree:
    """odom -> base turns and moves; base -> camera and base -> lidar are fixed."""
    tree = TransformTree()
    for stamp in (2000, 1000, 3000):  # out of order
        pose = from_euler(0, 0, stamp / 1000, np.array([stamp, 0.0, 0.0]))
        tree.add_pose('base', 'odom', pose, stamp, static=False)
    tree.add_pose('camera', 'base', from_euler(0.1, 0.2, 0.3, np.array([1.0, 2, 3])), 0, True)
    tree.add_pose('lidar', 'base', from_euler(0, 0, 1, np.array([0.0, 0, 2])), 0, True)
    return tree


def test_static_siblings_need_no_time() -> None:
    tree = drive()
    expected = invert(from_euler(0.1, 0.2, 0.3, np.array([1.0, 2, 3]))) @ from_euler(
        0, 0, 1, np.array([0.0, 0, 2])
    )
    np.testing.assert_allclose(tree.lookup('camera', 'lidar'), expected, atol=1e-12)


@given(st.floats(1000, 3000))
def test_poses_are_interpolated(time: float) -> None:
    stamp = int(time)
    pose = drive().lookup('odom', 'base', stamp)
    expected = from_euler(0, 0, stamp / 1000, np.array([stamp, 0.0, 0.0]))
    np.testing.assert_allclose(pose, expected, atol=1e-9)


def test_directions_are_inverse_and_self_is_identity() -> None:
    tree = drive()
    there, back = tree.lookup('odom', 'camera', 1500), tree.lookup('camera', 'odom', 1500)
    np.testing.assert_allclose(there @ back, np.eye(4), atol=1e-9)
    np.testing.assert_array_equal(tree.lookup('base', 'base', 99), np.eye(4))


def test_times_outside_and_unknown_frames_are_errors() -> None:
    tree = drive()
    for stamp in (999, 3001):
        with pytest.raises(TransformError, match="'odom' -> 'base' is known from"):
            tree.lookup('odom', 'camera', stamp)
    with pytest.raises(
        TransformError, match=r"'roof' is not in .*known: base, camera, lidar, odom"
    ):
        tree.lookup('odom', 'roof', 1500)
    tree.add_pose('island', 'sea', np.eye(4), 0, True)
    with pytest.raises(TransformError, match='not connected'):
        tree.lookup('odom', 'island', 1500)
    with pytest.raises(TransformError, match='known: none'):
        TransformTree().lookup('a', 'b')


def test_loop_is_an_error() -> None:
    tree = TransformTree()
    tree.add_pose('a', 'b', np.eye(4), 0, True)
    tree.add_pose('b', 'a', np.eye(4), 0, True)
    with pytest.raises(TransformError, match='form a loop: b -> a -> b'):
        tree.lookup('a', 'b')


def test_static_transform_is_replaced_by_a_newer_one() -> None:
    tree = drive()
    tree.add_pose('lidar', 'base', np.eye(4), 5, True)
    np.testing.assert_array_equal(tree.lookup('base', 'lidar'), np.eye(4))


def test_slash_and_message_form() -> None:
    tree = TransformTree()
    tree.add(m.tf_message([m.transform_message(np.eye(4), 10, '/a', '/b')]), static=False)
    np.testing.assert_array_equal(tree.lookup('a', 'b', 10), np.eye(4))


@given(st.lists(st.floats(-3, 3), min_size=6, max_size=6))
def test_messages_keep_the_pose(values: list[float]) -> None:
    pose = from_euler(*values[:3], np.array(values[3:]))
    message = m.tf_message([m.transform_message(pose, 1_500_000_000, 'odom', 'base')])
    tree = TransformTree()
    tree.add(typestore().deserialize_cdr(serialize(message), 'tf2_msgs/msg/TFMessage'), False)
    np.testing.assert_allclose(tree.lookup('odom', 'base', 1_500_000_000), pose, atol=1e-12)
    with pytest.raises(TransformError, match='not at'):
        tree.lookup('odom', 'base', 1_500_000_001)


@pytest.mark.parametrize(('name', 'value'), [('w', 0.0), ('x', np.nan), ('y', np.inf)])
def test_broken_transform_is_refused(name: str, value: float) -> None:
    message = m.tf_message([m.transform_message(np.eye(4), 5, 'a', 'b')])
    setattr(message.transforms[0].transform.rotation, name, value)
    with pytest.raises(MessageError, match="transform of 'b' is not finite or has no rotation"):
        TransformTree().add(message, static=False)
