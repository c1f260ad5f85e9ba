"""Rigid transforms as 4x4 float64 matrices; ``a_T_b`` maps points in ``b`` to ``a``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation, Slerp

Array = npt.NDArray[np.floating]

#: Rotation that maps optical-frame vectors (x right, y down, z forward) to a body frame
#: (x forward, y left, z up) with the same origin, as a 4x4 transform (REP-103).
BODY_T_OPTICAL: Array = np.array(
    [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)
BODY_T_OPTICAL.setflags(write=False)


def make_transform(rotation: Array, translation: Array | tuple[float, ...]) -> Array:
    """Build (..., 4, 4) from (..., 3, 3) rotations and (..., 3) translations."""
    rotation = np.asarray(rotation, float)
    transform = np.zeros((*rotation.shape[:-2], 4, 4))
    transform[..., :3, :3] = rotation
    transform[..., :3, 3] = translation
    transform[..., 3, 3] = 1.0
    return transform


def from_quaternion(xyzw: Array | tuple[float, ...], translation: Array) -> Array:
    """Build a transform from a unit quaternion (x, y, z, w) and a translation."""
    return make_transform(Rotation.from_quat(xyzw).as_matrix(), translation)


def to_quaternion(transform: Array) -> Array:
    """Return the (..., 4) quaternion (x, y, z, w) of (..., 4, 4) transforms."""
    shape = transform.shape[:-2]
    rotation = Rotation.from_matrix(np.asarray(transform)[..., :3, :3].reshape(-1, 3, 3))
    return rotation.as_quat().reshape(*shape, 4)


def from_euler(roll: float, pitch: float, yaw: float, translation: Array) -> Array:
    """Build a transform from roll, pitch, yaw about fixed x, y, z (URDF's rpy), radians."""
    return make_transform(Rotation.from_euler('xyz', [roll, pitch, yaw]).as_matrix(), translation)


def invert(a_T_b: Array) -> Array:
    """Return ``b_T_a`` of (..., 4, 4) rigid transforms."""
    rotation = np.swapaxes(a_T_b[..., :3, :3], -1, -2)
    return make_transform(rotation, -(rotation @ a_T_b[..., :3, 3:])[..., 0])


def transform_points(a_T_b: Array, points: Array) -> Array:
    """Map (..., 3) points from frame b to frame a with one 4x4 transform."""
    return points @ a_T_b[:3, :3].T + a_T_b[:3, 3]


def homogeneous(points: Array) -> Array:
    """Return (N, D + 1) points with a last coordinate of 1."""
    return np.concatenate([points, np.ones((len(points), 1))], 1)


def interpolate(start: Array, end: Array, fraction: Array | float) -> Array:
    """Return transforms between two 4x4 poses: linear in position, slerp in rotation.

    Args:
        start: pose at fraction 0.
        end: pose at fraction 1.
        fraction: scalar or (N,) in [0, 1].

    Returns:
        (4, 4) for a scalar, else (N, 4, 4).
    """
    key = Rotation.from_matrix(np.stack([start[:3, :3], end[:3, :3]]))
    fraction = np.asarray(fraction, float)
    rotation = Slerp([0.0, 1.0], key)(fraction).as_matrix()
    translation = start[:3, 3] + fraction[..., None] * (end[:3, 3] - start[:3, 3])
    return make_transform(rotation, translation)
