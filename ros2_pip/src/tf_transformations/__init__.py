"""Subset of ``tf_transformations``: quaternions are x, y, z, w; matrices 4x4 homogeneous.

Like the original it is a thin layer over ``transforms3d``, whose quaternions are w, x, y, z.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import transforms3d

__all__ = [
    'concatenate_matrices',
    'euler_from_matrix',
    'euler_from_quaternion',
    'euler_matrix',
    'identity_matrix',
    'inverse_matrix',
    'quaternion_conjugate',
    'quaternion_from_euler',
    'quaternion_from_matrix',
    'quaternion_inverse',
    'quaternion_matrix',
    'quaternion_multiply',
    'translation_from_matrix',
    'translation_matrix',
]


def _wxyz(quaternion: Sequence[float]) -> np.ndarray:
    x, y, z, w = quaternion
    return np.array([w, x, y, z], dtype=float)


def _xyzw(quaternion: Sequence[float]) -> np.ndarray:
    w, x, y, z = quaternion
    return np.array([x, y, z, w], dtype=float)


def identity_matrix() -> np.ndarray:
    """Return the 4x4 identity."""
    return np.identity(4)


def translation_matrix(direction: Sequence[float]) -> np.ndarray:
    """Return the matrix that translates by a vector."""
    matrix = np.identity(4)
    matrix[:3, 3] = direction[:3]
    return matrix


def translation_from_matrix(matrix: np.ndarray) -> np.ndarray:
    """Return the translation of a matrix."""
    return np.array(matrix)[:3, 3]


def inverse_matrix(matrix: np.ndarray) -> np.ndarray:
    """Return the inverse of a square matrix."""
    return np.linalg.inv(matrix)


def concatenate_matrices(*matrices: np.ndarray) -> np.ndarray:
    """Return the product of the matrices in the order given."""
    product = np.identity(4)
    for matrix in matrices:
        product = np.dot(product, matrix)
    return product


def euler_matrix(ai: float, aj: float, ak: float, axes: str = 'sxyz') -> np.ndarray:
    """Return the 4x4 rotation of Euler angles in radians."""
    matrix = np.identity(4)
    matrix[:3, :3] = transforms3d.euler.euler2mat(ai, aj, ak, axes=axes)
    return matrix


def euler_from_matrix(matrix: np.ndarray, axes: str = 'sxyz') -> tuple[float, float, float]:
    """Return the Euler angles of a rotation matrix."""
    return transforms3d.euler.mat2euler(np.asarray(matrix)[:3, :3], axes=axes)


def euler_from_quaternion(
    quaternion: Sequence[float], axes: str = 'sxyz'
) -> tuple[float, float, float]:
    """Return the Euler angles of a quaternion."""
    return transforms3d.euler.quat2euler(_wxyz(quaternion), axes=axes)


def quaternion_from_euler(ai: float, aj: float, ak: float, axes: str = 'sxyz') -> np.ndarray:
    """Return the quaternion of Euler angles in radians."""
    return _xyzw(transforms3d.euler.euler2quat(ai, aj, ak, axes=axes))


def quaternion_matrix(quaternion: Sequence[float]) -> np.ndarray:
    """Return the 4x4 rotation of a quaternion."""
    matrix = np.identity(4)
    matrix[:3, :3] = transforms3d.quaternions.quat2mat(_wxyz(quaternion))
    return matrix


def quaternion_from_matrix(matrix: np.ndarray) -> np.ndarray:
    """Return the quaternion of a rotation (the upper left 3x3 is used)."""
    return _xyzw(transforms3d.quaternions.mat2quat(np.asarray(matrix)[:3, :3]))


def quaternion_multiply(quaternion1: Sequence[float], quaternion0: Sequence[float]) -> np.ndarray:
    """Return the product: first ``quaternion0``, then ``quaternion1``."""
    return _xyzw(transforms3d.quaternions.qmult(_wxyz(quaternion1), _wxyz(quaternion0)))


def quaternion_conjugate(quaternion: Sequence[float]) -> np.ndarray:
    """Return the conjugate."""
    return _xyzw(transforms3d.quaternions.qconjugate(_wxyz(quaternion)))


def quaternion_inverse(quaternion: Sequence[float]) -> np.ndarray:
    """Return the inverse."""
    return _xyzw(transforms3d.quaternions.qinverse(_wxyz(quaternion)))
