"""Strings the camera's motions from image to image together: pose, velocity, covariance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from scipy.linalg import logm
from scipy.spatial.transform import Rotation

from sim_perception.geometry.transforms import BODY_T_OPTICAL, invert
from sim_perception.types import FloatArray

V = TypeVar('V')

#: Longest time between two images whose motion is still told, seconds.
MAX_GAP_S = 1.0
# Standard deviations of one motion: a share of it and a floor.
_TRANSLATION_SHARE, _TRANSLATION_FLOOR_M = 0.05, 0.02
_ROTATION_SHARE, _ROTATION_FLOOR_RAD = 0.05, 0.002


@dataclass(frozen=True)
class Mounting:
    """Which frame the odometry is about, and how the camera sits on it.

    Attributes:
        frame_id: of the body.
        body_T_camera: 4x4, maps optical-frame points to the body's frame.
    """

    frame_id: str
    body_T_camera: FloatArray

    @property
    def height(self) -> float | None:
        """Height of the camera above the body's origin, metres; None without a body."""
        return (
            None
            if np.array_equal(self.body_T_camera, np.eye(4))
            else float(self.body_T_camera[2, 3])
        )

    @classmethod
    def of_camera(cls, frame_id: str) -> Mounting:
        """Return the mounting of a camera about whose robot nothing is known."""
        return cls(frame_id, np.eye(4))

    def same(self, other: Mounting) -> bool:
        """Return whether another mounting is this one, apart from rounding."""
        return self.frame_id == other.frame_id and np.allclose(
            self.body_T_camera, other.body_T_camera, atol=1e-6
        )


@dataclass(frozen=True)
class OdometryEstimate:
    """Where the body is and how it moves, as ``nav_msgs/Odometry`` wants it.

    Attributes:
        start_T_body: 4x4 pose in a frame that is fixed where the odometry started: x forward
            and z up (REP-103) as the body or, without one, the camera stood then.
        pose_covariance: (6, 6) of x, y, z and rotations about the fixed axes, m^2 and rad^2.
        twist: (6,) linear m/s and angular rad/s velocity in the body's frame.
        twist_covariance: (6, 6) of the twist.
    """

    start_T_body: FloatArray
    pose_covariance: FloatArray
    twist: FloatArray
    twist_covariance: FloatArray


class VisualOdometry(Generic[V]):
    """Integrates the motion between consecutive views of one camera.

    It starts afresh, at the identity, when a view comes from another camera or mounting, is not
    later than the one before, or more than a second later.
    """

    def __init__(self, motion: Callable[[V, V], FloatArray], max_gap: float = MAX_GAP_S) -> None:
        """Start without any view.

        Args:
            motion: returns the 4x4 ``source_T_target`` between the optical frames of (target,
                source), in metres, for example ``GeometricMotion.between``.
            max_gap: longest time between two views, seconds.
        """
        self._motion = motion
        self._max_gap = max_gap
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self._last: tuple[int, V, object] | None = None
        self._mounting: Mounting | None = None
        self._pose: FloatArray = np.eye(4)
        self._covariance: FloatArray = np.zeros((6, 6))

    def update(
        self, stamp: int, view: V, camera: object, mounting: Mounting
    ) -> OdometryEstimate | None:
        """Add a view; None if it is the first after a fresh start.

        Args:
            stamp: nanoseconds.
            view: what ``motion`` compares.
            camera: tells cameras apart by ``==``.
            mounting: of the camera.
        """
        previous = self._last
        seconds = 0.0 if previous is None else (stamp - previous[0]) * 1e-9
        if (
            previous is None
            or self._mounting is None
            or previous[2] != camera
            or not self._mounting.same(mounting)
            or not 0 < seconds <= self._max_gap
        ):
            self._start(mounting)
            self._last = stamp, view, camera
            return None
        before_T_now = self._motion(view, previous[1])
        self._last = stamp, view, camera
        body_T_camera = mounting.body_T_camera
        step = body_T_camera @ before_T_now @ invert(body_T_camera)
        return self._advance(np.asarray(step, np.float64), seconds)

    def _start(self, mounting: Mounting) -> None:
        self._mounting = mounting
        # A camera without a known body stands with its optical axis forward.
        bare = np.array_equal(mounting.body_T_camera, np.eye(4))
        self._pose = BODY_T_OPTICAL.astype(np.float64) if bare else np.eye(4)
        self._covariance = np.zeros((6, 6))

    def _advance(self, step: FloatArray, seconds: float) -> OdometryEstimate:
        """Append the 4x4 ``before_T_now`` of the body."""
        translation = step[:3, 3]
        rotation = Rotation.from_matrix(step[:3, :3])
        noise = _step_covariance(translation, rotation.as_rotvec())
        around = self._pose[:3, :3]
        self._covariance = _propagated(self._covariance, around @ translation, around, noise)
        self._pose = self._pose @ step
        # Long runs of products drift off the rotations; this keeps them there.
        self._pose[:3, :3] = Rotation.from_matrix(self._pose[:3, :3]).as_matrix()
        # The constant velocity whose integral over the time is this motion.
        velocity = np.real(logm(step)) / seconds
        twist = np.concatenate([velocity[:3, 3], rotation.as_rotvec() / seconds])
        return OdometryEstimate(
            self._pose.copy(), self._covariance.copy(), twist, noise / seconds**2
        )


def _step_covariance(translation: FloatArray, rotation: FloatArray) -> FloatArray:
    """Return the (6, 6) covariance of one motion: equal in all directions."""
    metres = _TRANSLATION_FLOOR_M + _TRANSLATION_SHARE * float(np.linalg.norm(translation))
    radians = _ROTATION_FLOOR_RAD + _ROTATION_SHARE * float(np.linalg.norm(rotation))
    return np.diag([metres**2] * 3 + [radians**2] * 3)


def _propagated(
    covariance: FloatArray, way: FloatArray, around: FloatArray, noise: FloatArray
) -> FloatArray:
    """Return the pose's covariance after one more motion, to first order.

    Args:
        covariance: (6, 6) before, about the fixed frame's axes.
        way: (3,) translation of the motion along those axes.
        around: (3, 3) rotation from the body before the motion to those axes.
        noise: (6, 6) covariance of the motion in the body's axes.
    """
    x, y, z = way
    jacobian = np.eye(6)
    # An error of direction moves the end of the way: d(R way) = rotation error x (R way).
    jacobian[:3, 3:] = -np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    axes = np.zeros((6, 6))
    axes[:3, :3] = axes[3:, 3:] = around
    return np.asarray(jacobian @ covariance @ jacobian.T + axes @ noise @ axes.T)
