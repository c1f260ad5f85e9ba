"""Smooth paths and motion along them: position, velocity, acceleration, turning at any time.

A path is sampled at a uniform arc length and interpolated by cubic Hermite splines, a motion
is piecewise constant acceleration along it; so every derivative is exact and continuous
where it should be, and a state is a pure function of time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

#: Arc length between the samples of a path, metres.
SPACING = 0.5


def resample(points: F64, spacing: float = SPACING) -> F64:
    """Return (K, 3) points at (nearly) uniform arc length along a dense (N, 2 or 3) polyline."""
    points = np.asarray(points, float)
    if points.shape[1] == 2:
        points = np.concatenate([points, np.zeros((len(points), 1))], 1)
    step = np.sqrt((np.diff(points, axis=0) ** 2).sum(1))
    along = np.concatenate([[0.0], np.cumsum(step)])
    count = max(3, int(along[-1] / spacing) + 1)
    s = np.arange(count) * spacing
    s[-1] = min(s[-1], along[-1])
    return np.stack([np.interp(s, along, points[:, k]) for k in range(3)], -1)


@dataclass(frozen=True)
class Pose:
    """Motion of P points at one time: all arrays (P, ...), world frame, SI units."""

    position: F64
    yaw: F64
    velocity: F64
    acceleration: F64
    yaw_rate: F64
    curvature: F64


class Paths:
    """A set of paths in one flat table.

    Attributes:
        length: (P,) arc length of each path, metres.
    """

    def __init__(self, polylines: list[F64]) -> None:
        samples = [resample(p) for p in polylines]
        count = np.array([len(p) for p in samples], np.int64)
        self._start = np.concatenate([[0], np.cumsum(count)[:-1]]).astype(np.int64)
        self._count = count
        self.length = (count - 1) * SPACING
        self._points = np.concatenate(samples) if samples else np.zeros((0, 3))
        self._tangents = (
            np.concatenate([np.gradient(p, axis=0) for p in samples]) / SPACING
            if samples
            else np.zeros((0, 3))
        )

    @property
    def table(self) -> tuple[F64, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Sample points (S, 3) of all paths, each path's first sample, and its count."""
        return self._points, self._start, self._count

    def evaluate(self, path: npt.NDArray[np.integer], s: F64, v: F64, a: F64) -> Pose:
        """Return the motion of points on paths.

        Args:
            path: (N,) index of each point's path.
            s: (N,) arc length; beyond either end the path goes on straight.
            v: (N,) speed along the path.
            a: (N,) acceleration along the path.
        """
        inside = np.clip(s, 0.0, self.length[path])
        k = np.minimum((inside / SPACING).astype(np.int64), self._count[path] - 2)
        u = (inside / SPACING - k)[:, None]
        i = self._start[path] + k
        p0, p1 = self._points[i], self._points[i + 1]
        m0, m1 = self._tangents[i] * SPACING, self._tangents[i + 1] * SPACING
        c2, c3 = 3 * (p1 - p0) - 2 * m0 - m1, 2 * (p0 - p1) + m0 + m1
        position = p0 + u * (m0 + u * (c2 + u * c3))
        first = (m0 + u * (2 * c2 + 3 * u * c3)) / SPACING
        second = (2 * c2 + 6 * u * c3) / SPACING**2
        beyond = s - inside
        position = position + beyond[:, None] * first
        second = np.where((beyond == 0)[:, None], second, 0.0)
        norm = first[:, 0] ** 2 + first[:, 1] ** 2
        curvature = (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / np.maximum(
            norm, 1e-12
        )
        return Pose(
            position=position,
            yaw=np.arctan2(first[:, 1], first[:, 0]),
            velocity=first * v[:, None],
            acceleration=second * (v * v)[:, None] + first * a[:, None],
            yaw_rate=curvature * v,
            curvature=curvature,
        )


@dataclass(frozen=True)
class Motion:
    """Arc length over time of N movers: constant acceleration within each step.

    Attributes:
        start: time of the first row, seconds.
        step: seconds between rows.
        s, v, a: (T, N) arc length, speed, and acceleration during the step after the row.
    """

    start: float
    step: float
    s: F64
    v: F64
    a: F64

    def row(self, time: float) -> int:
        """Return the row whose step contains a time."""
        return min(max(int(np.floor((time - self.start) / self.step + 1e-9)), 0), len(self.s) - 1)

    def at(self, time: float) -> tuple[F64, F64, F64]:
        """Return (N,) arc length, speed and acceleration at a time within the rows.

        A mover that stops within a step stays where it stopped.
        """
        row = self.row(time)
        tau = time - self.start - row * self.step
        v, a = self.v[row], self.a[row]
        stops = (a < 0) & (v + a * tau <= 0)
        tau_moving = np.where(stops, v / np.where(a < 0, -a, 1.0), tau)
        s = self.s[row] + tau_moving * (v + 0.5 * a * tau_moving)
        return s, np.where(stops, 0.0, v + a * tau), np.where(stops, 0.0, a)
