"""Poses of all objects and instances of an assembled scene at a time."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from sim_perception.simulator.common.scene import WorldState
from sim_perception.simulator.street import gait
from sim_perception.simulator.street.gait import compose, turn
from sim_perception.simulator.street.motion import Motion, Paths, Pose
from sim_perception.simulator.street.relief import Relief
from sim_perception.simulator.street.stance import Support, poses, stance
from sim_perception.simulator.street.suspension import Suspension
from sim_perception.simulator.world.assembly import Assembly
from sim_perception.simulator.world.settling import support_of
from sim_perception.simulator.world.signals import Signals

F64 = npt.NDArray[np.float64]

#: Distance between the axles assumed for the steering angle, metres.
_WHEELBASE = 2.7
#: Seconds between poses whose differences give the motion on uneven ground.
_TICK = 0.01
#: Where the wheels of the ego touch the ground in ``base_link``.
EGO_SUPPORT = Support(np.zeros(1), np.full(1, 1.35), np.full(1, 0.76))


@dataclass(frozen=True)
class _Uneven:
    """N moving objects, then the ego, on uneven ground.

    Attributes:
        bodies: (N, 4, 4) poses of the objects' ground frames; base: of the ego.
        velocity, acceleration: (N + 1, 3) of box centres and base, beyond those on the plane.
        angular_velocity: (N + 1, 3).
    """

    bodies: F64
    base: F64
    velocity: F64
    acceleration: F64
    angular_velocity: F64


class Poser:
    """Turns time into a ``WorldState``.

    Args:
        assembly: the finished scene.
        paths: of the movers and, as the last mover, of the ego.
        path_of: (N,) path of each mover.
        motion: arc lengths over time of the N movers.
        relief: the ground, None where it is flat.
        suspension: of the ego, None where it is rigid.
        signals: the lamps that switch, or None.
    """

    def __init__(
        self,
        assembly: Assembly,
        paths: Paths,
        path_of: npt.NDArray[np.integer],
        motion: Motion,
        relief: Relief | None = None,
        suspension: Suspension | None = None,
        signals: Signals | None = None,
    ) -> None:
        self._signals = signals
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
        self._doors = {row: p.door for row, p in enumerate(parts) if p.door is not None}
        limbs = sorted({j for j in joints.tolist() if j not in ('rigid', 'wheel', 'steered')})
        self._relief, self._suspension = relief, suspension
        moving = support_of([objects[row] for row in self._moving], self._axles())
        self._support = Support(
            *(np.append(getattr(moving, f.name), getattr(EGO_SUPPORT, f.name))
              for f in fields(Support))
        )  # fmt: skip
        self._raised = np.append(self._box_height[self._moving], 0.0)
        self._limbs = [(name, np.flatnonzero(joints == name)) for name in limbs]

    def _axles(self) -> dict[int, tuple[float, float]]:
        """Return x of the rear and the front axle of the objects that move, by their order."""
        owner, x = self._owner[self._wheels], self._local[self._wheels, 0, 3]
        return {
            k: (float(x[owner == row].min()), float(x[owner == row].max()))
            for k, row in enumerate(self._moving.tolist())
            if (owner == row).any()
        }

    def state(self, time: float) -> WorldState:
        """Return where everything is at ``time``, seconds."""
        s, v, a = self._motion.at(time)
        pose = self._paths.evaluate(self._path_of, s, v, a)
        uneven = None
        if self._relief is not None or self._suspension is not None:
            uneven = self._uneven(time, s, v, a)
        rows, movers = self._moving, self._mover[self._moving]
        count = len(self._ground)
        velocity = np.zeros((count, 3))
        acceleration, angular = np.zeros_like(velocity), np.zeros_like(velocity)
        velocity[rows], acceleration[rows] = pose.velocity[movers], pose.acceleration[movers]
        angular[rows, 2] = pose.yaw_rate[movers]
        ego = len(self._path_of) - 1
        base_velocity = pose.velocity[ego].copy()
        base_angular = np.array([0.0, 0.0, pose.yaw_rate[ego]])
        ground = self._ground.copy()
        if uneven is None:
            ground[rows] = _planar(pose.position[movers], pose.yaw[movers])
            base = _planar(pose.position[ego:], pose.yaw[ego:])[0]
        else:
            ground[rows], base = uneven.bodies, uneven.base
            velocity[rows] = velocity[rows] + uneven.velocity[:-1]
            acceleration[rows] = acceleration[rows] + uneven.acceleration[:-1]
            angular[rows] = uneven.angular_velocity[:-1]
            base_velocity = base_velocity + uneven.velocity[-1]
            base_angular = uneven.angular_velocity[-1]
        boxes = ground.copy()
        boxes[:, :3, 3] += self._box_height[:, None] * ground[:, :3, 2]
        signals = self._signals
        lamps = None if signals is None else signals.lamps(time)
        return WorldState(
            time=float(time),
            world_T_instance=self._instances(time, ground, s, v, pose),
            world_T_object=boxes,
            velocity=velocity,
            acceleration=acceleration,
            net_force=self._mass[:, None] * acceleration,
            angular_velocity=angular,
            world_T_base=base,
            base_velocity=base_velocity,
            base_angular_velocity=base_angular,
            glow=None if signals is None or lamps is None else signals.glow(time, lamps),
            lamps=lamps,
            lights=None if signals is None else signals.lights(time),
        )

    def base(self, time: float) -> F64:
        """Return ``world_T_base`` of the state at ``time``, without all the rest of it."""
        ego = slice(len(self._path_of) - 1, None)
        s, v, a = (x[ego] for x in self._motion.at(time))
        plan = self._paths.evaluate(self._path_of[ego], s, v, a)
        if self._relief is None and self._suspension is None:
            return np.asarray(_planar(plan.position, plan.yaw)[0])
        return np.asarray(self._standing(plan.position, plan.yaw, EGO_SUPPORT, time)[0])

    def _uneven(self, time: float, s: F64, v: F64, a: F64) -> _Uneven:
        """Return bodies on uneven ground and what that adds to their motion on the plane."""
        frames, shifts = [], []
        who = np.append(self._mover[self._moving], len(self._path_of) - 1)
        for tau in (-_TICK, 0.0, _TICK):
            # Who stands at the end of braking does not roll back.
            way = np.where(v + a * tau > 0, s + tau * (v + 0.5 * a * tau), s)
            plan = self._paths.evaluate(self._path_of, way, v, a)
            place, yaw = plan.position[who], plan.yaw[who]
            frame = self._standing(place, yaw, self._support, time + tau)
            frames.append(frame)
            raised = frame[:, :3, 3] + self._raised[:, None] * frame[:, :3, 2]
            shifts.append(raised - place)
        before, now, after = shifts
        turn = frames[2][:, :3, :3] @ np.swapaxes(frames[0][:, :3, :3], 1, 2)
        return _Uneven(
            bodies=frames[1][:-1],
            base=frames[1][-1],
            velocity=(after - before) / (2 * _TICK),
            acceleration=(after - 2 * now + before) / _TICK**2,
            angular_velocity=Rotation.from_matrix(turn).as_rotvec() / (2 * _TICK),
        )

    def _standing(self, place: F64, yaw: F64, support: Support, time: float) -> F64:
        """Return the poses of bodies, the ego last, at places of the plan."""
        stands = stance(self._relief, place, yaw, support)
        if self._suspension is not None:
            body = self._suspension.at(time)
            stands.z[-1], stands.pitch[-1], stands.roll[-1] = (
                body.z[0],
                body.pitch[0],
                body.roll[0],
            )
        return poses(place, yaw, stands)

    def _instances(self, time: float, ground: F64, s: F64, v: F64, pose: Pose) -> F64:
        local = self._local.copy()
        wheels = self._wheels
        if len(wheels):
            mover = self._mover[self._owner[wheels]]
            spin = turn(1, np.where(mover >= 0, s[mover] / self._radius[wheels], 0.0))
            steer = np.arctan(pose.curvature[mover] * _WHEELBASE)
            steer = turn(2, np.where(self._steered & (mover >= 0), steer, 0.0))
            local[wheels] = compose(local[wheels], compose(steer, spin))
        if self._doors:
            doors, angles = [*self._doors], [door.at(time) for door in self._doors.values()]
            local[doors] = compose(local[doors], turn(2, np.array(angles)))
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
