"""Ego-motion from detections: how the sensor moved, judged by what it sees stand still.

The pose in the tracking frame is planar: x, y, heading. Its prediction is a constant speed and
yaw rate; the correction is a robust weighted registration of detections with the tracks that
they match (iteratively re-weighted least squares with Cauchy weights). Objects at rest have
small uncertainties and decide; moving ones have large ones and hardly count. Where nothing is
known yet, the forward motion and turn are searched for which most objects lie on a track.

A tracking frame that itself moves evenly (all objects seen are traffic of one speed) cannot be
told from one at rest, and serves as well: constant velocities stay constant in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.rectangle_overlap import remainder
from sim_perception.kernels import kernel, strided
from sim_perception.tracking.tables import Rows

Array = npt.NDArray[np.float64]

CAUCHY = 4.0
"""Squared Mahalanobis distance at which a pair's weight is halved."""
ITERATIONS = 4
SIDESLIP = 0.3
"""Standard deviation of the sensor's sideways speed, m/s: it does not sit on the rear axle."""
START_TURNING = 0.3
"""Standard deviation of the yaw rate before anything is known, rad/s."""
REST_SPEED = 1.0
"""A sensor that seems slower forwards may be at rest, m/s; backwards at any speed."""
REST_NOISE = 3.0
"""Standard deviation of the speed that this is worth, m/s: more than what stands."""
REST_AFTER = 1.0
"""How long the motion must have been seen before, seconds: at first nothing is sure to stand."""
SEARCH_STEP, SEARCH_TURN = 0.15, math.radians(0.75)
SEARCH_TURNS = 5
SEARCH_WIDTH = 0.35
"""Distance at which an object still counts as lying on a track, metres."""


@dataclass
class EgoMotion:
    """The sensor's planar pose and motion.

    Attributes:
        pose: x, y, heading in the tracking frame.
        speed: m/s along the heading, and its variance.
        turning: yaw rate, rad/s, and its variance.
        locked: whether the motion has been seen at all.
        seen: how long something has told it, seconds.
    """

    acceleration: float
    turning_noise: float
    max_speed: float

    def __post_init__(self) -> None:
        self.pose = np.zeros(3)
        self.speed = np.array([0.0, (self.max_speed / 3) ** 2])
        self.turning = np.array([0.0, START_TURNING**2])
        self.locked = False
        self.seen = 0.0

    def predict(self, dt: float) -> Array:
        """Return the pose ``dt`` seconds on, at constant speed and yaw rate."""
        turn, way = self.turning[0] * dt, self.speed[0] * dt
        x, y, heading = self.pose
        middle = heading + turn / 2
        return np.array([x + way * math.cos(middle), y + way * math.sin(middle), heading + turn])

    def search(self, predicted: Array, tracks: Rows, detections: Rows, dt: float) -> Array:
        """Return the pose at which most detections lie on a track of their class.

        Forward motions up to ``max_speed`` and small turns are tried around the last pose. With
        fewer than two objects that agree, the prediction is returned.
        """
        steps = np.arange(-2, math.ceil(self.max_speed * dt / SEARCH_STEP) + 1) * SEARCH_STEP
        turns = np.arange(-SEARCH_TURNS, SEARCH_TURNS + 1) * SEARCH_TURN
        best, way, turn = _search(
            tracks['mean'], tracks['kind'], detections['sensor'], detections['kind'],
            self.pose, steps, turns, SEARCH_WIDTH,
        )  # fmt: skip
        if best < 1.5:
            return predicted
        self.locked = True
        self.speed = np.array([way / dt, (SEARCH_WIDTH / dt) ** 2])
        self.turning = np.array([turn / dt, START_TURNING**2])
        x, y, heading = self.pose
        middle = heading + turn / 2
        return np.array([x + way * math.cos(middle), y + way * math.sin(middle), heading + turn])

    def correct(
        self,
        predicted: Array,
        tracks: Rows,
        detections: Rows,
        matches: npt.NDArray[np.int64],
        yaw_noise: Array,
        dt: float,
    ) -> None:
        """Set pose and motion from the prediction and the pairs that were matched at it.

        Args:
            predicted: pose from ``predict`` or ``search``.
            tracks: rows of ``track_dtype`` predicted to the same time.
            detections: rows of ``DETECTION_DTYPE``.
            matches: (K, 2) pairs.
            yaw_noise: (C,) of the classes.
            dt: seconds since the last pose.
        """
        q, w = self.acceleration**2, self.turning_noise**2
        prior = np.array(
            [
                self.speed[1] * dt * dt + q * dt**3 / 3,
                (SIDESLIP * dt) ** 2 + 1e-6,
                self.turning[1] * dt * dt + w * dt**3 / 3,
            ]
        )
        shift, spread = np.zeros(3), prior
        if len(matches):
            self.seen += dt
            rest = np.array([-self.speed[0] * dt, 0.0])
            if self.speed[0] < REST_SPEED and self.seen > REST_AFTER:
                rest[1] = 1 / (REST_NOISE * dt) ** 2
            shift, spread = _register(
                predicted, prior, rest, tracks['mean'], tracks['cov'], tracks['yaw'],
                tracks['yaw_cov'], tracks['kind'], detections['sensor'],
                detections['sensor_noise'], matches, yaw_noise, CAUCHY, ITERATIONS,
            )  # fmt: skip
        c, s = math.cos(predicted[2]), math.sin(predicted[2])
        forward, left, turn = shift
        self.pose = predicted + np.array([c * forward - s * left, s * forward + c * left, turn])
        self.speed = _smooth(self.speed, q, dt, prior[0], shift[0], spread[0])
        self.turning = _smooth(self.turning, w, dt, prior[2], shift[2], spread[2])


def _smooth(
    rate: Array, noise: float, dt: float, prior: float, shift: float, spread: float
) -> Array:
    """Return a rate and its variance after its integral was corrected by ``shift``."""
    variance = rate[1] + noise * dt
    both = rate[1] * dt + noise * dt * dt / 2
    gain = both / prior
    return np.array([rate[0] + gain * shift, variance - gain * both * (1 - spread / prior)])


@strided
def _search(
    mean: Array,
    kind: npt.NDArray[np.int64],
    seen: Array,
    seen_kind: npt.NDArray[np.int64],
    pose: Array,
    steps: Array,
    turns: Array,
    width: float,
) -> tuple[float, float, float]:
    best, best_step, best_turn = 0.0, 0.0, 0.0
    for turn in turns:
        c, s = math.cos(pose[2] + turn), math.sin(pose[2] + turn)
        dx, dy = math.cos(pose[2] + turn / 2), math.sin(pose[2] + turn / 2)
        for step in steps:
            total = -0.01 * (abs(step) + abs(turn) * 10)
            for j in range(len(seen)):
                x = pose[0] + step * dx + c * seen[j, 0] - s * seen[j, 1]
                y = pose[1] + step * dy + s * seen[j, 0] + c * seen[j, 1]
                nearest = 9 * width * width
                for i in range(len(mean)):
                    if kind[i] == seen_kind[j]:
                        ex, ey = mean[i, 0] - x, mean[i, 1] - y
                        nearest = min(nearest, ex * ex + ey * ey)
                total += math.exp(-nearest / (2 * width * width))
            if total > best:
                best, best_step, best_turn = total, step, turn
    return best, best_step, best_turn


@strided
def _register(
    pose: Array,
    prior: Array,
    rest: Array,
    mean: Array,
    cov: Array,
    yaw: Array,
    yaw_cov: Array,
    kind: npt.NDArray[np.int64],
    seen: Array,
    noise: Array,
    matches: npt.NDArray[np.int64],
    yaw_noise: Array,
    cauchy: float,
    iterations: int,
) -> tuple[Array, Array]:
    """Return the correction (forward, left, turn) in the predicted frame, and its variances.

    ``prior`` are the correction's variances before, ``rest`` the way forward that would mean rest,
    and how much that counts.
    """
    shift = np.zeros(3)
    spread = prior.copy()
    a = np.empty((3, 3))
    b = np.empty(3)
    c, s = math.cos(pose[2]), math.sin(pose[2])
    for _ in range(iterations):
        a[:] = 0.0
        for n in range(3):
            a[n, n] = 1 / prior[n]
            b[n] = -shift[n] / prior[n]
        a[0, 0] += rest[1]
        b[0] += rest[1] * (rest[0] - shift[0])
        ct, st = math.cos(shift[2]), math.sin(shift[2])
        for m in range(len(matches)):
            i, j = matches[m]
            # the track, and its covariance, in the predicted sensor frame
            ux, uy = mean[i, 0] - pose[0], mean[i, 1] - pose[1]
            pxx, pxy, pyy = cov[i, 0, 0], cov[i, 0, 1], cov[i, 1, 1]
            sxx = c * c * pxx + 2 * c * s * pxy + s * s * pyy + noise[j, 0]
            syy = s * s * pxx - 2 * c * s * pxy + c * c * pyy + noise[j, 2]
            sxy = c * s * (pyy - pxx) + (c * c - s * s) * pxy + noise[j, 1]
            determinant = sxx * syy - sxy * sxy
            ixx, ixy, iyy = syy / determinant, -sxy / determinant, sxx / determinant
            rx, ry = ct * seen[j, 0] - st * seen[j, 1], st * seen[j, 0] + ct * seen[j, 1]
            ex, ey = c * ux + s * uy - rx - shift[0], -s * ux + c * uy - ry - shift[1]
            # weight of the pair, and its force and stiffness
            w = 1 / (1 + (ixx * ex * ex + 2 * ixy * ex * ey + iyy * ey * ey) / cauchy)
            fx, fy = w * (ixx * ex + ixy * ey), w * (ixy * ex + iyy * ey)
            kx, ky = w * (-ixx * ry + ixy * rx), w * (-ixy * ry + iyy * rx)
            a[0, 0] += w * ixx
            a[0, 1] += w * ixy
            a[1, 1] += w * iyy
            a[0, 2] += kx
            a[1, 2] += ky
            a[2, 2] += -ry * kx + rx * ky
            b[0] += fx
            b[1] += fy
            b[2] += -ry * fx + rx * fy
            miss = remainder(yaw[i, 0] - pose[2] - shift[2] - seen[j, 3], math.pi)
            doubt = yaw_cov[i, 0] + yaw_noise[kind[i]] ** 2
            w = 1 / (doubt * (1 + miss * miss / doubt / cauchy))
            a[2, 2] += w
            b[2] += w * miss
        _invert(a)
        for n in range(3):
            spread[n] = a[n, n]
            shift[n] += a[n, 0] * b[0] + a[n, 1] * b[1] + a[n, 2] * b[2]
    return shift, spread


@kernel
def _invert(a: Array) -> None:
    """Invert a symmetric positive 3x3 matrix in place, given its upper triangle."""
    xx, xy, xz, yy, yz, zz = a[0, 0], a[0, 1], a[0, 2], a[1, 1], a[1, 2], a[2, 2]
    cxx, cxy, cxz = yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy
    determinant = xx * cxx + xy * cxy + xz * cxz
    a[0, 0], a[0, 1], a[0, 2] = cxx, cxy, cxz
    a[1, 0], a[1, 1], a[1, 2] = cxy, xx * zz - xz * xz, xy * xz - xx * yz
    a[2, 0], a[2, 1], a[2, 2] = cxz, xy * xz - xx * yz, xx * yy - xy * xy
    a /= determinant
