from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from sim_perception.geometry import transforms as tf

angles = st.floats(-3.1, 3.1)
metres = st.floats(-100, 100)
poses = st.builds(
    lambda r, p, y, a, b, c: tf.from_euler(r, p, y, np.array([a, b, c])),
    angles, angles, angles, metres, metres, metres,
)  # fmt: skip


@given(poses)
def test_invert_is_the_matrix_inverse(pose: np.ndarray) -> None:
    np.testing.assert_allclose(tf.invert(pose), np.linalg.inv(pose), atol=1e-9)


@given(poses, poses)
def test_points_map_through_a_chain_like_the_product(a: np.ndarray, b: np.ndarray) -> None:
    points = np.array([[1.0, 2.0, 3.0], [-4.0, 0.5, 0.0]])
    chained = tf.transform_points(a, tf.transform_points(b, points))
    np.testing.assert_allclose(tf.transform_points(a @ b, points), chained, atol=1e-9)


@given(poses)
def test_quaternion_round_trip(pose: np.ndarray) -> None:
    again = tf.from_quaternion(tf.to_quaternion(pose), pose[:3, 3])
    np.testing.assert_allclose(again, pose, atol=1e-9)


def test_euler_is_urdf_rpy() -> None:
    roll, pitch, yaw = 0.1, -0.2, 0.3
    expected = (
        Rotation.from_rotvec([0, 0, yaw])
        * Rotation.from_rotvec([0, pitch, 0])
        * Rotation.from_rotvec([roll, 0, 0])
    )
    rotation = tf.from_euler(roll, pitch, yaw, np.zeros(3))[:3, :3]
    np.testing.assert_allclose(rotation, expected.as_matrix(), atol=1e-12)


def test_optical_axes_follow_rep_103() -> None:
    forward, right, down = np.eye(3)[2], np.eye(3)[0], np.eye(3)[1]
    rotate = tf.BODY_T_OPTICAL[:3, :3]
    np.testing.assert_array_equal(rotate @ forward, [1, 0, 0])
    np.testing.assert_array_equal(rotate @ right, [0, -1, 0])
    np.testing.assert_array_equal(rotate @ down, [0, 0, -1])


def test_interpolate_moves_at_constant_rate() -> None:
    start = tf.from_euler(0, 0, 0.2, np.array([0.0, 0.0, 0.0]))
    end = tf.from_euler(0, 0, 1.2, np.array([4.0, 2.0, 0.0]))
    quarter = tf.interpolate(start, end, 0.25)
    np.testing.assert_allclose(quarter, tf.from_euler(0, 0, 0.45, np.array([1.0, 0.5, 0])))
    np.testing.assert_allclose(tf.interpolate(start, end, np.array([0.0, 1.0])), [start, end])


def test_batched_inverse() -> None:
    batch = np.stack([tf.from_euler(0, 0, y, np.array([y, 1, 2])) for y in (0.1, 0.5, 2.0)])
    np.testing.assert_allclose(tf.invert(batch) @ batch, np.tile(np.eye(4), (3, 1, 1)), atol=1e-12)


def test_optical_constant_is_read_only() -> None:
    with pytest.raises(ValueError, match='read-only'):
        tf.BODY_T_OPTICAL[0, 0] = 1
