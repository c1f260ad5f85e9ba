"""One shape for a whole track: a car that was seen several times is fitted once.

One view cannot see a car's length; several can. All sightings share size and shape, a parked car
has one pose in the world, a moving one changes its velocity smoothly (as "Offboard 3D object
detection from point cloud sequences", Qi et al., CVPR 2021, section 4.3, refines tracks; here by
a joint second-order fit instead of networks).

The unknowns are the poses ``x y z yaw`` of all sightings, in a frame that stands still, and one
vector of log size and latent. The normal equations are sums of those of single sightings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sim_perception.autolabel.fit.kernels import Evidence, Weights, evaluate
from sim_perception.autolabel.fit.posed_shape import POSE, SHAPE, Space
from sim_perception.autolabel.fit.refine import make_view
from sim_perception.autolabel.tracks.motion import headings, motion_matrices
from sim_perception.geometry.transforms import from_euler, invert, transform_points
from sim_perception.types import Camera, ShapeLabel

F64 = npt.NDArray[np.float64]

_PARKED_WAY = 1.0
"""Cars whose sightings lie nearer to each other may be parked, metres."""
_PARKED_COST = 1.25
"""A parked car's sightings cost at most so many times what they cost alone."""
_WORN = frozenset({'', 'low_confidence'})
"""Reasons of labels that may take part: the others are no fits of this object."""


@dataclass(frozen=True)
class Sighting:
    """An object in one frame.

    Attributes:
        label: its label alone, with a fit.
        evidence: what was measured of it, level frame.
        camera: of the frame.
        camera_T_level, world_T_level: 4x4 poses.
        time: seconds.
    """

    label: ShapeLabel
    evidence: Evidence
    camera: Camera
    camera_T_level: npt.NDArray[np.floating]
    world_T_level: npt.NDArray[np.floating]
    time: float


@dataclass(frozen=True)
class TrackFit:
    """A track's fit.

    Attributes:
        states: (T, 7 + K) of the used sightings, in the level frame of each.
        covariances: (T, 7 + K, 7 + K) of them.
        costs: (T,) of each sighting's own evidence.
        used: (T,) which sightings these are.
        moving: whether the object moves.
    """

    states: F64
    covariances: F64
    costs: F64
    used: npt.NDArray[np.int64]
    moving: bool


def fit_track(
    sightings: Sequence[Sighting],
    space: Space,
    weights: Weights,
    *,
    scales: tuple[float, float] = (0.3, 0.12),
    iterations: int = 14,
    most_frames: float = 1.0,
    trusted: Sequence[int] | None = None,
) -> TrackFit | None:
    """Fit one shape and smooth motion to an object's sightings.

    Args:
        sightings: in order of time.
        space: the shape space.
        weights: of single fits.
        scales: distances beyond which points are outliers, in the beginning and in the end.
        iterations: of the fit.
        most_frames: points of more sightings count as those of these: shapes that the space lacks
            err alike.
        trusted: numbers of the sightings that may take part, whose labels then are where the fit
            begins; None for those whose labels were not rejected.

    Returns:
        The fit, or None where fewer than two sightings agree with each other.
    """
    if trusted is None:
        trusted = [k for k, one in enumerate(sightings) if one.label.reason in _WORN]
    used = np.array(trusted, np.int64)
    if len(used) < 2:
        return None
    poses = np.array([world_pose(sightings[k]) for k in used])
    moving = float(np.ptp(poses[:, :2], axis=0).max()) > _PARKED_WAY
    poses[:, 3], agree = headings(poses, [sightings[k].label for k in used], moving)
    used, poses = used[agree], poses[agree]
    if len(used) < 2:
        return None
    chosen = [sightings[k] for k in used]
    origin = np.array([*poses[:, :3].mean(0)])
    problem = _Problem(chosen, origin, space, weights, scales, iterations, most_frames)
    first = poses.copy()
    first[:, :3] -= origin
    shape = mean_shape([one.label for one in chosen])
    for k, one in enumerate(chosen):
        _keep_near_face(first[k], one, shape, origin)
    alone = sum(problem.data_cost(k, first[k], own_shape(one)) for k, one in enumerate(chosen))
    if not moving:
        fit = problem.solve(first, shape, moving=False)
        if fit.costs.sum() > _PARKED_COST * alone + 5.0 * len(chosen):
            moving = True
    if moving:
        fit = problem.solve(first, shape, moving=True)
    return _in_level(fit, chosen, origin, used)


def own_shape(sighting: Sighting) -> F64:
    """Return the (3 + K,) log size of the body and latent of a sighting's own label."""
    label = sighting.label
    assert label.body_size is not None
    assert label.latent is not None
    return np.concatenate([np.log(label.body_size), label.latent])


class _Problem:
    """The joint least squares of a track."""

    def __init__(
        self,
        sightings: Sequence[Sighting],
        origin: F64,
        space: Space,
        weights: Weights,
        scales: tuple[float, float],
        iterations: int,
        most_frames: float,
    ) -> None:
        self.space, self.scales, self.iterations = space, scales, iterations
        self.prior, self.precision = weights.prior, weights.precision
        # Points err alike in all frames where the space lacks the shape; edges and ground do not.
        share = min(1.0, most_frames / len(sightings))
        self.weights = weights._replace(
            precision=np.zeros_like(weights.precision), sigma=weights.sigma / np.sqrt(share)
        )
        self.times = np.array([one.time for one in sightings])
        self.evidence, self.views = [], []
        for one in sightings:
            here = np.array(one.world_T_level, np.float64)
            here[:3, 3] -= origin
            self.evidence.append(moved(one.evidence, here))
            self.views.append(make_view(one.camera, one.camera_T_level @ invert(here)))

    def data_cost(self, k: int, pose: F64, shape: F64) -> float:
        """Return what a sighting costs by itself at the last scale."""
        size = POSE + len(shape)
        return float(
            evaluate(
                self.space, self.views[k], self.evidence[k], self.weights, self.scales[1],
                np.concatenate([pose, shape]), np.empty((size, size)), np.empty(size),
            )
        )  # fmt: skip

    def normal(self, poses: F64, shape: F64, scale: float, motion: F64) -> tuple[float, F64, F64]:
        """Return the cost, and the normal matrix and slope of poses and shape."""
        count, size = len(poses), POSE + len(shape)
        own, slope = np.empty((size, size)), np.empty(size)
        last = POSE * count
        whole, down = np.zeros((last + len(shape),) * 2), np.zeros(last + len(shape))
        total = 0.0
        for k in range(count):
            state = np.concatenate([poses[k], shape])
            total += evaluate(
                self.space, self.views[k], self.evidence[k], self.weights, scale, state, own, slope
            )
            full = np.tril(own) + np.tril(own, -1).T
            at = slice(POSE * k, POSE * (k + 1))
            whole[at, at] += full[:POSE, :POSE]
            whole[at, last:] += full[:POSE, POSE:]
            whole[last:, at] += full[POSE:, :POSE]
            whole[last:, last:] += full[POSE:, POSE:]
            down[at] += slope[:POSE]
            down[last:] += slope[POSE:]
        pull = self.precision @ (shape - self.prior)
        total += 0.5 * float((shape - self.prior) @ pull)
        whole[last:, last:] += self.precision
        down[last:] += pull
        for axis in range(POSE):
            rows = slice(axis, last, POSE)
            force = motion[axis] @ poses[:, axis]
            total += 0.5 * float(poses[:, axis] @ force)
            whole[rows, rows] += motion[axis]
            down[rows] += force
        return total, whole, down

    def solve(self, poses: F64, shape: F64, *, moving: bool) -> TrackFit:
        """Return the fit from a start, by Levenberg-Marquardt; states in the world."""
        motion = motion_matrices(self.times, moving=moving)
        poses, shape = poses.copy(), shape.copy()
        if not moving:
            poses[:] = np.median(poses, axis=0)
        damping, scale = 1e-3, -1.0
        cost, whole, down = np.inf, np.empty(0), np.empty(0)
        for i in range(self.iterations):
            share = min(1.0, i / max(1.0, 0.5 * self.iterations))
            now = self.scales[0] * (self.scales[1] / self.scales[0]) ** share
            if now != scale:
                scale = now
                cost, whole, down = self.normal(poses, shape, scale, motion)
            damped = whole + damping * np.diag(np.diag(whole) + 1e-3)
            step = -np.linalg.solve(damped, down)
            limit = np.array([0.5, 0.5, 0.3, 0.2])
            turned = np.clip(step[: poses.size].reshape(poses.shape), -limit, limit)
            grown = np.clip(step[poses.size :], -0.3, 0.3)
            grown[SHAPE - POSE :] = np.clip(step[poses.size + SHAPE - POSE :], -1.0, 1.0)
            trial = self.normal(poses + turned, shape + grown, scale, motion)
            if trial[0] < cost:
                gain, (cost, whole, down) = cost - trial[0], trial
                poses, shape = poses + turned, shape + grown
                damping = max(0.3 * damping, 1e-6)
                if scale == self.scales[1] and gain < 1e-3 * cost:
                    break
            else:
                damping = min(8.0 * damping, 1e3)
        spread = np.linalg.inv(whole)
        last = poses.size
        picks = [
            np.r_[POSE * k : POSE * (k + 1), last : last + len(shape)] for k in range(len(poses))
        ]
        return TrackFit(
            np.array([np.concatenate([pose, shape]) for pose in poses]),
            np.array([spread[np.ix_(pick, pick)] for pick in picks]),
            np.array([self.data_cost(k, pose, shape) for k, pose in enumerate(poses)]),
            np.arange(len(poses)),
            moving,
        )


def moved(evidence: Evidence, target_T_source: F64) -> Evidence:
    """Return evidence in another frame whose z axis is up as well."""
    turn = target_T_source[:3, :3]
    a, b, c = evidence.ground[:3]
    # The plane's normal and a point of it, moved.
    normal = turn @ np.array([-a, -b, 1.0])
    point = transform_points(target_T_source, np.array([[0.0, 0.0, c]]))[0]
    a, b = -normal[0] / normal[2], -normal[1] / normal[2]
    return evidence._replace(
        points=np.ascontiguousarray(transform_points(target_T_source, evidence.points)),
        rays=np.ascontiguousarray(evidence.rays @ turn.T),
        past=np.ascontiguousarray(evidence.past @ turn.T),
        origin=transform_points(target_T_source, evidence.origin[None])[0],
        eye=transform_points(target_T_source, evidence.eye[None])[0],
        contour=np.ascontiguousarray(evidence.contour @ turn.T),
        ground=np.array([a, b, point[2] - a * point[0] - b * point[1], evidence.ground[3]]),
    )


def level_pose(state: F64) -> F64:
    """Return the 4x4 pose of a state, or of its first four numbers."""
    return np.asarray(from_euler(0.0, 0.0, float(state[3]), state[:3]), np.float64)


def world_pose(sighting: Sighting, level_T_box: F64 | None = None) -> F64:
    """Return x y z yaw in the world of a pose in a sighting's level frame, its label's if None."""
    if level_T_box is None:
        assert sighting.label.box3d is not None
        level_T_box = np.asarray(sighting.label.box3d.parent_T_box, np.float64)
    pose = np.asarray(sighting.world_T_level) @ level_T_box
    return np.array([*pose[:3, 3], np.arctan2(pose[1, 0], pose[0, 0])])


def mean_shape(labels: Sequence[ShapeLabel]) -> F64:
    """Return the (3 + K,) mean of log sizes and latents, those that know more count more."""
    shapes, trust = [], []
    for label in labels:
        assert label.body_size is not None
        assert label.latent is not None
        assert label.covariance is not None
        shapes.append(np.concatenate([np.log(label.body_size), label.latent]))
        trust.append(1.0 / (label.covariance[4, 4] + 1e-4))
    return np.asarray(np.average(np.array(shapes), axis=0, weights=trust), np.float64)


def _keep_near_face(pose: F64, sighting: Sighting, shape: F64, origin: F64) -> None:
    """Shift a pose so that the face towards the sensor stays when the size becomes the track's."""
    here = np.asarray(sighting.world_T_level, np.float64)
    viewer = transform_points(here, sighting.evidence.origin[None])[0] - origin
    ahead = np.array([np.cos(pose[3]), np.sin(pose[3])])
    aside = np.array([-ahead[1], ahead[0]])
    change = 0.5 * (np.exp(shape[:3]) - np.exp(own_shape(sighting)[:3]))
    offset = pose[:2] - viewer[:2]
    for axis, direction in enumerate((ahead, aside)):
        pose[:2] += np.sign(offset @ direction) * change[axis] * direction
    pose[2] += change[2]


def _in_level(
    fit: TrackFit, sightings: Sequence[Sighting], origin: F64, used: npt.NDArray[np.int64]
) -> TrackFit:
    """Return a fit with every state in the level frame of its sighting."""
    states, spreads = fit.states.copy(), fit.covariances.copy()
    for k, one in enumerate(sightings):
        level_T_world = invert(np.asarray(one.world_T_level, np.float64))
        turn = float(np.arctan2(level_T_world[1, 0], level_T_world[0, 0]))
        states[k, :3] = transform_points(level_T_world, (states[k, :3] + origin)[None])[0]
        states[k, 3] = (states[k, 3] + turn + np.pi) % (2 * np.pi) - np.pi
        rotation = np.eye(states.shape[1])
        rotation[:3, :3] = level_T_world[:3, :3]
        spreads[k] = rotation @ spreads[k] @ rotation.T
    return replace(fit, states=states, covariances=spreads, used=used)
