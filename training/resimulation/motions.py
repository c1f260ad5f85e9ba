"""One object's sightings over time as one size and one smooth motion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.interpolate import make_smoothing_spline

from sim_perception.geometry.transforms import from_euler
from sim_perception.simulator.drive import Motion
from training.resimulation.sightings import Sighting

Array = npt.NDArray[np.floating]

_STILL_SPEED, _STILL_WAY = 0.4, 0.5
"""Slower and shorter ones stand still, m/s and m."""
_SMOOTH = 0.02
"""Weight of the spline's bending, s^3 per squared weight of a sighting."""


def weighted_median(values: npt.ArrayLike, weights: Array) -> Array:
    """Return the (K,) weighted medians of (N, K) values."""
    rows = np.asarray(values, np.float64).reshape(len(weights), -1)
    order = np.argsort(rows, axis=0, kind='stable')
    share = np.cumsum(weights[order], axis=0) / weights.sum()
    middle = (share >= 0.5).argmax(0)
    columns = np.arange(rows.shape[1])
    return rows[order[middle, columns], columns]


def headings(poses: Array, weights: Array) -> Array:
    """Return (N,) continuous headings, those turned by half a turn put right by the majority."""
    yaw = np.arctan2(poses[:, 1, 0], poses[:, 0, 0])
    double = np.arctan2((weights * np.sin(2 * yaw)).sum(), (weights * np.cos(2 * yaw)).sum()) / 2
    axis = np.array([np.cos(double), np.sin(double)])
    along = np.cos(yaw) * axis[0] + np.sin(yaw) * axis[1]
    if len(yaw) > 1 and (np.abs(along) < 0.7).mean() > 0.2:
        return np.unwrap(yaw)  # it turns a corner
    front = np.sign((weights * along).sum()) or 1.0
    return np.unwrap(np.where(along * front < 0, yaw + np.pi, yaw))


def motion_of(items: Sequence[Sighting], seconds: Array, exact: bool = False) -> Motion:
    """Return an object's motion.

    Args:
        items: its sightings, in the order of time.
        seconds: (N,) times of the recording's frames.
        exact: sightings are the truth: they are taken as they are.
    """
    times = np.array([seconds[item.frame] for item in items])
    poses = np.stack([item.world_T_box for item in items])
    weights = np.array([item.weight for item in items])
    places = poses[:, :3, 3]
    if exact:
        moved = np.abs(poses - poses[0]).max() > 1e-3
        return Motion(times, poses) if moved else Motion(times[:1], poses[:1])
    yaw = headings(poses, weights)
    if _stands(times, places, weights):
        place, turn = weighted_median(places, weights), weighted_median(yaw, weights)[0]
        return Motion(times[:1], from_euler(0, 0, float(turn), place)[None])
    values = np.concatenate([places, yaw[:, None]], 1)
    if len(times) >= 5:
        values = np.stack(
            [make_smoothing_spline(times, column, weights, lam=_SMOOTH)(times)
             for column in values.T], 1
        )  # fmt: skip
    else:
        slope, level = np.polyfit(times, values, 1, w=np.sqrt(weights))
        values = times[:, None] * slope + level
        values[:, 3] = weighted_median(yaw, weights)
    smooth = [from_euler(0, 0, float(row[3]), row[:3]) for row in values]
    return Motion(times, np.stack(smooth))


def _stands(times: Array, places: Array, weights: Array) -> bool:
    """Return whether places are those of one that stands still, apart from noise."""
    if len(times) < 3:
        return True
    slope, _ = np.polyfit(times, places[:, :2], 1, w=np.sqrt(weights))
    speed = float(np.hypot(*slope))
    return speed < _STILL_SPEED or speed * float(np.ptp(times)) < _STILL_WAY


def size_of(items: Sequence[Sighting]) -> tuple[float, float, float]:
    """Return one size for all sightings."""
    weights = np.array([item.weight for item in items])
    length, width, height = weighted_median([item.size for item in items], weights)
    return float(length), float(width), float(height)
