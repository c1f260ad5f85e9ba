"""Removes the sensor's own motion from a scan that took time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.transforms import invert, transform_points

Array = npt.NDArray[np.floating]

_KNOTS = 9


def still_points(
    points: Array,
    seconds: Array,
    world_T_sensor: Callable[[float], npt.NDArray[np.floating]],
    world_T_level: npt.NDArray[np.floating],
) -> Array:
    """Return the (N, 3) points as one moment's level frame has them; moving objects stay smeared.

    Args:
        points: (N, 3) in the sensor's frame, each at its own time.
        seconds: (N,) those times.
        world_T_sensor: gives the sensor's 4x4 pose at a time in a frame that stands still.
        world_T_level: pose of the level frame at the moment, in the same frame.
    """
    level_T_world = invert(np.asarray(world_T_level, np.float64))
    start, end = float(seconds.min()), float(seconds.max())
    if end - start < 1e-6:
        return transform_points(level_T_world @ world_T_sensor(start), points)
    poses = np.array([level_T_world @ world_T_sensor(t) for t in np.linspace(start, end, _KNOTS)])
    spot = (seconds - start) / (end - start) * (_KNOTS - 1)
    before = np.clip(spot.astype(np.int64), 0, _KNOTS - 2)
    share = (spot - before)[:, None]
    ends = [
        np.einsum('nij,nj->ni', poses[k, :3, :3], points) + poses[k, :3, 3]
        for k in (before, before + 1)
    ]
    return (1 - share) * ends[0] + share * ends[1]
