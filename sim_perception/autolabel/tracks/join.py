"""A track's shape for those of its sightings that could not help to find it.

An object that is cut by the image's border, far away or badly boxed makes a poor fit by itself,
which must not spoil the others'. But what it is they know: its size and shape are taken from the
track, and only its pose is fitted, from where it was and from where the others say that it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sim_perception.autolabel.fit.kernels import Weights, evaluate, minimise
from sim_perception.autolabel.fit.posed_shape import POSE, Space
from sim_perception.autolabel.fit.refine import make_view
from sim_perception.autolabel.tracks.tracks import Sighting, TrackFit, level_pose, world_pose
from sim_perception.geometry.transforms import invert

F64 = npt.NDArray[np.float64]

_FIXED = 1e6
"""Precision of a shape that is not to change."""
_FARTHEST, _FARTHEST_PER_SECOND = 0.5, 1.0
"""Poses farther from where the others say that the object is are of something else: metres, and
metres per second between the sighting and the nearest of them if the object moves."""
_ITERATIONS = 14


def join_track(
    sightings: Sequence[Sighting],
    fit: TrackFit,
    space: Space,
    weights: Weights,
    *,
    scales: tuple[float, float] = (0.3, 0.12),
) -> TrackFit | None:
    """Fit the poses of sightings that took no part in a track's fit, with its shape.

    Args:
        sightings: of the object, in order of time, those of the fit among them.
        fit: of the track.
        space: the shape space.
        weights: of single fits.
        scales: see ``fit_track``.

    Returns:
        The same for the other sightings as ``fit`` has for those in it, their own uncertainty and
        that of the shape in the covariance; None if there are no others. What was measured of
        something else says nothing: those are where they are expected, at infinite cost.
    """
    left = np.setdiff1d(np.arange(len(sightings)), fit.used)
    if not len(left):
        return None
    shape, spread = fit.states[0, POSE:], fit.covariances[0, POSE:, POSE:]
    fixed = weights._replace(prior=shape, precision=_FIXED * np.eye(len(shape)))
    loose = weights._replace(prior=shape, precision=np.asarray(np.linalg.inv(spread), np.float64))
    known = np.array([sightings[k].time for k in fit.used])
    poses = [
        world_pose(sightings[k], level_pose(state))
        for k, state in zip(fit.used, fit.states, strict=True)
    ]
    states, covariances, costs = [], [], []
    for one in (sightings[k] for k in left):
        expected = _in_level(
            one, expected_pose(known, np.array(poses), one.time, moving=fit.moving)
        )
        view = make_view(one.camera, one.camera_T_level)
        ends = []
        for pose in (expected, _turned_like(expected, one)):
            state, normal = np.concatenate([pose, shape]), np.empty((POSE + len(shape),) * 2)
            cost = minimise(
                space, view, one.evidence, fixed, *scales, _ITERATIONS, state, normal
            )  # fmt: skip
            ends.append((cost, state))
        cost, state = min(ends, key=lambda end: end[0])
        away = float(np.abs(known - one.time).min()) if fit.moving else 0.0
        reach = _FARTHEST + _FARTHEST_PER_SECOND * away
        if np.hypot(*(state[:2] - expected[:2])) <= reach:
            normal, slope = np.empty((len(state),) * 2), np.empty(len(state))
            evaluate(space, view, one.evidence, loose, scales[1], state, normal, slope)
            whole = np.tril(normal) + np.tril(normal, -1).T
            covariance = np.linalg.inv(whole + 1e-6 * np.eye(len(state)))
        else:
            cost, state = np.inf, np.concatenate([expected, shape])
            covariance = np.zeros((len(state),) * 2)
            covariance[:POSE, :POSE] = np.diag([reach, reach, 0.2, 0.2]) ** 2
            covariance[POSE:, POSE:] = spread
        states.append(state)
        covariances.append(covariance)
        costs.append(cost)
    return TrackFit(np.array(states), np.array(covariances), np.array(costs), left, fit.moving)


def expected_pose(times: F64, poses: F64, time: float, *, moving: bool) -> F64:
    """Return where an object is between or beyond the times of its poses.

    Args:
        times: (T,) seconds, ascending.
        poses: (T, 4) x y z yaw in a frame that stands still.
        time: seconds.
        moving: whether it moves, evenly between two poses; if not it stays at their median.
    """
    poses = poses.copy()
    poses[:, 3] = np.unwrap(poses[:, 3])
    if not moving or len(times) < 2:
        return np.asarray(np.median(poses, axis=0), np.float64)
    after = int(np.clip(np.searchsorted(times, time), 1, len(times) - 1))
    step = max(times[after] - times[after - 1], 1e-3)
    share = (time - times[after - 1]) / step
    found = (1 - share) * poses[after - 1] + share * poses[after]
    # Turning goes on no longer than it was seen.
    found[3] = poses[after - 1, 3] + np.clip(share, 0, 1) * (poses[after, 3] - poses[after - 1, 3])
    return np.asarray(found, np.float64)


def _in_level(sighting: Sighting, pose: F64) -> F64:
    """Return x y z yaw of a pose of the world in a sighting's level frame."""
    level_T_world = invert(np.asarray(sighting.world_T_level, np.float64))
    turned = level_T_world @ level_pose(pose)
    return np.array([*turned[:3, 3], np.arctan2(turned[1, 0], turned[0, 0])])


def _turned_like(expected: F64, sighting: Sighting) -> F64:
    """Return the pose of a sighting's own label, with the track's sense of ahead."""
    assert sighting.label.box3d is not None
    own = sighting.label.box3d.parent_T_box
    yaw = float(np.arctan2(own[1, 0], own[0, 0]))
    if np.cos(yaw - expected[3]) < 0:
        yaw += np.pi
    return np.array([*own[:3, 3], yaw])
