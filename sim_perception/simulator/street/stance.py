"""How a body stands on the ground: the plane through the places where its wheels touch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.street.relief import Relief

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Support:
    """Where N bodies touch the ground, in their own frames, metres.

    Attributes:
        middle: (N,) x of the middle between the axles.
        base: (N,) half the wheelbase; 0 for who stands upright.
        track: (N,) half the track; 0 for who does not roll, as riders.
    """

    middle: F64
    base: F64
    track: F64

    def repeated(self, count: int) -> Support:
        """Return one body's support for ``count`` of its poses."""
        return Support(*(np.repeat(x, count) for x in (self.middle, self.base, self.track)))


@dataclass(frozen=True)
class Stance:
    """N bodies' heights and tilts.

    Attributes:
        z: (N,) height of the body's ground frame, metres.
        pitch: (N,) radians, the nose upwards.
        roll: (N,) radians, the left side upwards.
    """

    z: F64
    pitch: F64
    roll: F64


def stance(relief: Relief | None, position: F64, yaw: F64, support: Support) -> Stance:
    """Return how bodies stand.

    Args:
        relief: the ground, None where it is flat.
        position: (N, 3) places of the plan.
        yaw: (N,) headings, radians.
        support: where they touch the ground.
    """
    level = np.zeros(len(yaw))
    if relief is None:
        return Stance(position[:, 2].copy(), level, level)
    ahead = np.stack([np.cos(yaw), np.sin(yaw), level], -1)
    left = np.stack([-np.sin(yaw), np.cos(yaw), level], -1)
    heights = np.array([
        relief.lifted(
            position
            + (support.middle + end * support.base)[:, None] * ahead
            + (side * support.track)[:, None] * left
        )
        for end in (1, -1)
        for side in (1, -1)
    ])  # fmt: skip
    rise = (heights[0] + heights[1] - heights[2] - heights[3]) / 2
    lean = (heights[0] + heights[2] - heights[1] - heights[3]) / 2
    pitch = np.where(support.base > 0, rise / np.maximum(2 * support.base, 1e-9), 0.0)
    roll = np.where(support.track > 0, lean / np.maximum(2 * support.track, 1e-9), 0.0)
    return Stance(heights.mean(0) - pitch * support.middle, np.arctan(pitch), np.arctan(roll))


def poses(position: F64, yaw: F64, standing: Stance) -> F64:
    """Return the (N, 4, 4) poses of bodies: turned by yaw, then pitched, then rolled.

    Args:
        position: (N, 3) places; their x and y are used.
        yaw: (N,) radians.
        standing: heights and tilts.
    """
    cy, sy = np.cos(yaw), np.sin(yaw)
    cp, sp = np.cos(standing.pitch), np.sin(standing.pitch)
    cr, sr = np.cos(standing.roll), np.sin(standing.roll)
    pose = np.zeros((len(yaw), 4, 4))
    pose[:, 0, :3] = np.stack([cy * cp, -cy * sp * sr - sy * cr, -cy * sp * cr + sy * sr], -1)
    pose[:, 1, :3] = np.stack([sy * cp, -sy * sp * sr + cy * cr, -sy * sp * cr - cy * sr], -1)
    pose[:, 2, :3] = np.stack([sp, cp * sr, cp * cr], -1)
    pose[:, :2, 3], pose[:, 2, 3], pose[:, 3, 3] = position[:, :2], standing.z, 1.0
    return pose
