"""Poses of all objects and instances of an assembled scene at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.assembly import Assembly
from sim_perception.simulator.motion import Motion, Paths, Pose
from sim_perception.simulator.scene import WorldState

F64 = npt.NDArray[np.float64]

#: Distance between the axles assumed for the steering angle, metres.
_WHEELBASE = 2.7


def compose(a: F64, b: F64) -> F64:
    """Return (N, 4, 4) products of rigid transforms, summed in a fixed order."""
    result = np.zeros(np.broadcast_shapes(a.shape, b.shape))
    for k in range(4):
        result += a[..., :, k, None] * b[..., None, k, :]
    return result


def turn(axis: int, angle: F64) -> F64:
    """Return (N, 4, 4) rotations by ``angle`` about a coordinate axis (0 x, 1 y, 2 z)."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.zeros((len(angle), 4, 4))
    matrix[:, axis, axis] = 1.0
    matrix[:, 3, 3] = 1.0
    matrix[:, i, i], matrix[:, j, j] = c, c
    matrix[:, i, j], matrix[:, j, i] = -s, s
    return matrix


class Poser:
    """Turns time into a ``WorldState``.

    Args:
        assembly: the finished scene.
        paths: of the movers and, as the last mover, of the ego.
        path_of: (N,) path of each mover.
        motion: arc lengths over time of the N movers.
    """

    def __init__(
        self,
        assembly: Assembly,
        paths: Paths,
        path_of: npt.NDArray[np.integer],
        motion: Motion,
    ) -> None:
        self._paths, self._path_of, self._motion = paths, path_of, motion
        objects, parts = assembly.objects, assembly.parts
        self._mover = np.array([o.mover for o in objects], np.int64)
        self._moving = np.flatnonzero(self._mover >= 0)
        self._ground = np.array([o.pose for o in objects]).reshape(-1, 4, 4)
        self._box_height = np.array([o.box_height for o in objects])
        self._mass = np.array([o.mass for o in objects])
        self._owner = np.array([p.object for p in parts], np.int64)
        self._local = np.array([p.local for p in parts]).reshape(-1, 4, 4)
        self._owned = np.flatnonzero(self._owner >= 0)
        joints = np.array([p.joint for p in parts])
        self._radius = np.array([p.parameter for p in parts])
        self._wheels = np.flatnonzero((joints == 'wheel') | (joints == 'steered'))
        self._steered = joints[self._wheels] == 'steered'

    def state(self, time: float) -> WorldState:
        """Return where everything is at ``time``, seconds."""
        s, v, a = self._motion.at(time)
        pose = self._paths.evaluate(self._path_of, s, v, a)
        ground = self._ground.copy()
        velocity = np.zeros((len(ground), 3))
        acceleration, angular = np.zeros_like(velocity), np.zeros_like(velocity)
        rows, movers = self._moving, self._mover[self._moving]
        ground[rows] = _planar(pose.position[movers], pose.yaw[movers])
        velocity[rows], acceleration[rows] = pose.velocity[movers], pose.acceleration[movers]
        angular[rows, 2] = pose.yaw_rate[movers]
        boxes = ground.copy()
        boxes[:, 2, 3] += self._box_height
        ego = len(self._path_of) - 1
        return WorldState(
            time=float(time),
            world_T_instance=self._instances(ground, s, pose),
            world_T_object=boxes,
            velocity=velocity,
            acceleration=acceleration,
            net_force=self._mass[:, None] * acceleration,
            angular_velocity=angular,
            world_T_base=_planar(pose.position[ego:], pose.yaw[ego:])[0],
            base_velocity=pose.velocity[ego].copy(),
            base_angular_velocity=np.array([0.0, 0.0, pose.yaw_rate[ego]]),
        )

    def _instances(self, ground: F64, s: F64, pose: Pose) -> F64:
        local = self._local.copy()
        wheels = self._wheels
        if len(wheels):
            mover = self._mover[self._owner[wheels]]
            spin = turn(1, np.where(mover >= 0, s[mover] / self._radius[wheels], 0.0))
            steer = np.arctan(pose.curvature[mover] * _WHEELBASE)
            steer = turn(2, np.where(self._steered & (mover >= 0), steer, 0.0))
            local[wheels] = compose(local[wheels], compose(steer, spin))
        world = local
        world[self._owned] = compose(ground[self._owner[self._owned]], local[self._owned])
        return world


def _planar(position: F64, yaw: F64) -> F64:
    pose = turn(2, yaw)
    pose[:, :3, 3] = position
    return pose
