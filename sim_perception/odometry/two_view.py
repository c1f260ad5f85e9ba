"""Rotation and direction of travel from correspondences, without any depth.

The essential matrix by MAGSAC (OpenCV), then the Sampson error of its inliers minimised over
rotation and direction (Hartley and Zisserman, "Multiple View Geometry", 11.4).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from sim_perception.geometry.transforms import homogeneous
from sim_perception.odometry.correspondences import Correspondences

F64 = npt.NDArray[np.float64]

#: Fewer correspondences determine nothing reliably.
MIN_POINTS = 30
_INLIER_PX, _CONFIDENCE = 0.4, 0.9999
_ROBUST_PX, _EVALUATIONS = 0.3, 30


@dataclass(frozen=True)
class TwoView:
    """The motion between two views up to its length.

    Attributes:
        rotation: (3, 3) ``before_R_now``.
        direction: (3,) unit vector of the camera's way, in the frame of ``before``.
        inliers: (N,) bool, correspondences that agree.
        depth: (N,) of the points in ``now``, in units of the way; not positive where none fits.
        parallax: (N,) pixels by which the way, not the rotation, moves the points.
    """

    rotation: F64
    direction: F64
    inliers: npt.NDArray[np.bool_]
    depth: F64
    parallax: F64


def solve_two_view(points: Correspondences) -> TwoView | None:
    """Return rotation and direction, or None if the points do not determine them."""
    if len(points) < MIN_POINTS:
        return None
    matrix, inliers = cv2.findEssentialMat(
        points.now, points.before, np.eye(3), method=cv2.USAC_MAGSAC, prob=_CONFIDENCE,
        threshold=_INLIER_PX / points.focal,
    )  # fmt: skip
    if matrix is None or matrix.shape != (3, 3) or int(inliers.sum()) < MIN_POINTS:
        return None
    _, rotation, direction, kept = cv2.recoverPose(
        matrix, points.now, points.before, np.eye(3), mask=inliers.copy()
    )
    agree = kept.ravel() > 0
    if int(agree.sum()) < MIN_POINTS:
        return None
    turn, way = _refined(points.chosen(agree), rotation, direction.ravel())
    turned = homogeneous(points.now) @ turn.T
    shift = points.before - turned[:, :2] / turned[:, 2:]
    return TwoView(
        turn, way, agree, _depth(points, turned, way),
        points.focal * np.linalg.norm(shift, axis=1),
    )  # fmt: skip


def solve_turn(points: Correspondences) -> tuple[F64, F64]:
    """Return the rotation ``before_R_now`` that explains most, and what it leaves unexplained.

    Returns:
        (3, 3) rotation and (N,) distances that remain, pixels.
    """
    now, before = homogeneous(points.now), homogeneous(points.before)
    now_ray = now / np.linalg.norm(now, axis=1, keepdims=True)
    before_ray = before / np.linalg.norm(before, axis=1, keepdims=True)
    weight = np.ones(len(points))
    left = weight
    for _ in range(5):
        turn, _ = Rotation.align_vectors(before_ray, now_ray, weight)
        left = points.focal * np.linalg.norm(before_ray - turn.apply(now_ray), axis=1)
        weight = 1 / (1 + (left / _ROBUST_PX) ** 2)
    return np.asarray(turn.as_matrix(), np.float64), left


def _refined(points: Correspondences, rotation: F64, direction: F64) -> tuple[F64, F64]:
    now, before = homogeneous(points.now), homogeneous(points.before)
    # Rotations of the direction about two axes across it leave its length.
    across = np.linalg.svd(direction[None])[2][1:]

    def unpack(step: F64) -> tuple[F64, F64]:
        turn = Rotation.from_rotvec(step[:3]).as_matrix() @ rotation
        way = direction + step[3:] @ across
        return turn, way / np.linalg.norm(way)

    def sampson(step: F64) -> F64:
        turn, way = unpack(step)
        essential = np.cross(np.eye(3), way).T @ turn
        line, mirrored = now @ essential.T, before @ essential
        scale = line[:, 0] ** 2 + line[:, 1] ** 2 + mirrored[:, 0] ** 2 + mirrored[:, 1] ** 2
        error = np.einsum('ij,ij->i', before, line) / np.sqrt(np.maximum(scale, 1e-18))
        return np.asarray(points.focal * error)

    solution = least_squares(
        sampson, np.zeros(5), loss='soft_l1', f_scale=_ROBUST_PX, max_nfev=_EVALUATIONS
    )
    return unpack(solution.x)


def _depth(points: Correspondences, turned: F64, direction: F64) -> F64:
    """Return depths in ``now`` in units of the way: least squares of ``z r + t ~ before``."""
    before = homogeneous(points.before)
    a, b = np.cross(before, turned), np.cross(before, direction)
    return np.asarray(-(a * b).sum(1) / np.maximum((a * a).sum(1), 1e-18))
