"""Poses of all objects and instances of an assembled scene at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.common.scene import WorldState
from sim_perception.simulator.street import gait
from sim_perception.simulator.street.gait import compose, turn
from sim_perception.simulator.street.motion import Motion, Paths, Pose
from sim_perception.simulator.world.assembly import Assembly

F64 = npt.NDArray[np.float64]

#: Distance between the axles assumed for the steering angle, metres.
_WHEELBASE = 2.7


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
        limbs = sorted({j for j in joints.tolist() if j not in ('rigid', 'wheel', 'steered')})
        self._limbs = [(name, np.flatnonzero(joints == name)) for name in limbs]

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
            world_T_instance=self._instances(ground, s, v, pose),
            world_T_object=boxes,
            velocity=velocity,
            acceleration=acceleration,
            net_force=self._mass[:, None] * acceleration,
            angular_velocity=angular,
            world_T_base=_planar(pose.position[ego:], pose.yaw[ego:])[0],
            base_velocity=pose.velocity[ego].copy(),
            base_angular_velocity=np.array([0.0, 0.0, pose.yaw_rate[ego]]),
        )

    def _instances(self, ground: F64, s: F64, v: F64, pose: Pose) -> F64:
        local = self._local.copy()
        wheels = self._wheels
        if len(wheels):
            mover = self._mover[self._owner[wheels]]
            spin = turn(1, np.where(mover >= 0, s[mover] / self._radius[wheels], 0.0))
            steer = np.arctan(pose.curvature[mover] * _WHEELBASE)
            steer = turn(2, np.where(self._steered & (mover >= 0), steer, 0.0))
            local[wheels] = compose(local[wheels], compose(steer, spin))
        for name, rows in self._limbs:
            local[rows] = compose(self._local[rows], self._limb(name, rows, s, v))
        local[self._owned] = compose(ground[self._owner[self._owned]], local[self._owned])
        return local

    def _limb(self, name: str, rows: npt.NDArray[np.integer], s: F64, v: F64) -> F64:
        """Return the poses of all limbs of one kind in their owners' ground frames."""
        owner = self._owner[rows]
        mover, scale = self._mover[owner], self._radius[rows]
        way = np.where(mover >= 0, s[mover], 0.0)
        kind, _, side = name.partition(':')
        # Owners are out of step with each other.
        if kind in gait.RIDER_LIMBS:
            phase = 2 * np.pi * way / gait.GEAR + 1.7 * owner
            return gait.rider_limb(kind, int(side), phase, scale)
        phase = 2 * np.pi * way / (gait.STRIDE * scale) + 1.7 * owner
        amplitude = gait.swing(np.where(mover >= 0, v[mover], 0.0))
        if kind == 'trunk':
            return gait.shift(0.0 * scale, 0.0, gait.bob(phase, amplitude, scale))
        return gait.walker_limb(kind, int(side), phase, amplitude, scale)


def _planar(position: F64, yaw: F64) -> F64:
    pose = turn(2, yaw)
    pose[:, :3, 3] = position
    return pose
