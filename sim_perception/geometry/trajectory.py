"""Smooth rigid motion through given poses: where, how fast and how it turns at any time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, RotationSpline

from sim_perception.geometry.transforms import make_transform

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Kinematics:
    """The motion of one body at one time, in the world, SI units.

    Attributes:
        pose: (4, 4) world_T_body.
        velocity, acceleration: (3,) of the body's origin.
        angular_velocity: (3,).
    """

    pose: F64
    velocity: F64
    acceleration: F64
    angular_velocity: F64


class Trajectory:
    """A motion through poses; before the first and after the last it goes on uniformly.

    Positions are natural cubic splines, turns are splines of rotations with continuous angular
    acceleration. One pose is a body that stands still.

    Args:
        times: (T,) seconds, ascending.
        poses: (T, 4, 4) world_T_body.

    Raises:
        ValueError: if the arrays do not fit each other, times do not ascend, or a pose is not
            a rigid transform.
    """

    def __init__(self, times: npt.ArrayLike, poses: npt.ArrayLike) -> None:
        self.times = np.asarray(times, np.float64)
        self.poses = np.asarray(poses, np.float64)
        count = len(self.times)
        if self.times.ndim != 1 or not count or self.poses.shape != (count, 4, 4):
            raise ValueError(
                f'a trajectory needs T times and (T, 4, 4) poses, got {self.times.shape} and '
                f'{self.poses.shape}'
            )
        if not (np.isfinite(self.poses).all() and np.isfinite(self.times).all()):
            raise ValueError('a trajectory has numbers that are not finite')
        if (np.diff(self.times) <= 0).any():
            raise ValueError('the times of a trajectory must ascend')
        turn = self.poses[:, :3, :3]
        if not np.allclose(turn @ turn.swapaxes(1, 2), np.eye(3), atol=1e-4):
            raise ValueError('a pose of a trajectory is not a rigid transform')
        self._places = self._turns = None
        if count > 1:
            self._places = CubicSpline(self.times, self.poses[:, :3, 3], bc_type='natural')
            self._turns = RotationSpline(self.times, Rotation.from_matrix(turn))

    def at(self, time: float) -> Kinematics:
        """Return the motion at a time, seconds."""
        if self._places is None or self._turns is None:
            return Kinematics(self.poses[0].copy(), np.zeros(3), np.zeros(3), np.zeros(3))
        inside = float(np.clip(time, self.times[0], self.times[-1]))
        beyond = time - inside
        velocity = np.asarray(self._places(inside, 1), np.float64)
        place = np.asarray(self._places(inside), np.float64) + beyond * velocity
        turn, rate = self._turns(inside), np.asarray(self._turns(inside, 1), np.float64)
        angular = turn.apply(rate)
        acceleration = np.asarray(self._places(inside, 2), np.float64)
        if beyond:
            turn, acceleration = Rotation.from_rotvec(beyond * angular) * turn, np.zeros(3)
        pose = np.asarray(make_transform(turn.as_matrix(), place), np.float64)
        return Kinematics(pose, velocity, acceleration, angular)
