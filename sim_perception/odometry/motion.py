"""The camera's metric motion from image to image, by geometry.

Rotation and direction come from tracked corners; the length comes from the road, whose distance
below the camera is known or predicted, else from predicted depth. Speed changes slowly, so
lengths are filtered over time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.road_plane import RoadPlane, fit_road_plane
from sim_perception.geometry.transforms import homogeneous
from sim_perception.odometry.correspondences import Correspondences, correspond
from sim_perception.odometry.road import way_per_height
from sim_perception.odometry.two_view import MIN_POINTS, TwoView, solve_turn, solve_two_view
from sim_perception.odometry.views import MotionView
from sim_perception.types import FloatArray

F64 = npt.NDArray[np.float64]
Learned = Callable[[], FloatArray]

# A rotation that leaves less than this of the points' shifts is all the motion that two views
# tell without depth, pixels.
_PARALLAX_PX = 0.7
# Standard deviations of a measured length, as shares: by a road at known or at predicted
# height, by predicted depth alone, by a network; and of nothing, metres.
_ROAD_KNOWN, _ROAD_PREDICTED, _DEPTH, _LEARNED = 0.02, 0.05, 0.12, 0.12
_FLOOR_M = 0.01
# Speed may change by so much, m/s^2.
_ACCELERATION = 2.0
# Predicted planes are averaged over so many images: the camera stays where it is on the robot.
_PLANES = 40
# Points that the way moves by more have a depth that two views tell.
_MIN_PARALLAX_PX = 2.0


class GeometricMotion:
    """Estimates ``before_T_now`` of consecutive views of one camera."""

    def __init__(self, camera_height: float | None = None) -> None:
        """Start without a past.

        Args:
            camera_height: above the road, metres; None to go by predicted depth.
        """
        self.camera_height = camera_height
        self.reset()

    def reset(self) -> None:
        """Forget speed and height."""
        self._planes: deque[RoadPlane] = deque(maxlen=_PLANES)
        self._stamp: int | None = None
        self._speed, self._variance = 0.0, np.inf

    def between(self, now: MotionView, before: MotionView, learned: Learned | None = None) -> F64:
        """Return the 4x4 pose of the camera at ``now`` in its frame at ``before``, metric.

        Args:
            now, before: views of one camera; ``before`` is the older.
            learned: a network's estimate of the same: its length is one more measurement, and
                where there is too little to track it is all there is. Without one the camera is
                then taken to stand.
        """
        if before.stamp != self._stamp:
            self._speed, self._variance = 0.0, np.inf
        self._stamp = now.stamp
        plane = fit_road_plane(now.depth, now.road, now.camera)
        if plane is not None:
            self._planes.append(plane)
        points = correspond(now, before)
        pose = np.eye(4)
        if len(points) < MIN_POINTS:
            return pose if learned is None else np.asarray(learned(), np.float64)
        seconds = max((now.stamp - before.stamp) * 1e-9, 1e-3)
        turn, left = solve_turn(points)
        if np.median(left) < _PARALLAX_PX:
            pose[:3, :3] = turn
            pose[:3, 3] = _small_way(points, turn)
            self._filtered(float(np.linalg.norm(pose[:3, 3])), _DEPTH, seconds)
            return pose
        motion = solve_two_view(points)
        if motion is None:
            return pose if learned is None else np.asarray(learned(), np.float64)
        pose[:3, :3] = motion.rotation
        if learned is not None:
            self._filtered(float(np.linalg.norm(learned()[:3, 3])), _LEARNED, seconds)
        length, share = self._length(now, before, points, motion, seconds)
        pose[:3, 3] = motion.direction * self._filtered(length, share, seconds)
        return pose

    def _length(
        self,
        now: MotionView,
        before: MotionView,
        points: Correspondences,
        motion: TwoView,
        seconds: float,
    ) -> tuple[float, float]:
        """Return the measured length of the way and its standard deviation as a share."""
        by_depth = _length_by_depth(points, motion)
        if self._planes:
            plane = self._usual_plane()
            first = by_depth if by_depth is not None else max(self._speed, 1.0) * seconds
            ratio = way_per_height(now, before, motion, plane, first)
            if ratio is not None and self.camera_height is not None:
                return ratio * self.camera_height, _ROAD_KNOWN
            if ratio is not None:
                return ratio * plane.height, _ROAD_PREDICTED
        if by_depth is None:
            return self._speed * seconds, 1.0
        return by_depth, _DEPTH

    def _usual_plane(self) -> RoadPlane:
        """Return the road's plane as the last images have it on the whole."""
        normal = np.median([plane.normal for plane in self._planes], axis=0)
        height = float(np.median([plane.height for plane in self._planes]))
        return RoadPlane(normal / np.linalg.norm(normal), height)

    def _filtered(self, length: float, share: float, seconds: float) -> float:
        """Return the length by a Kalman filter of the speed."""
        measured = (length / seconds, ((share * length + _FLOOR_M) / seconds) ** 2)
        predicted = self._variance + (_ACCELERATION * seconds) ** 2
        gain = 1.0 if np.isinf(predicted) else predicted / (predicted + measured[1])
        self._speed += gain * (measured[0] - self._speed)
        self._variance = measured[1] if np.isinf(predicted) else (1 - gain) * predicted
        return self._speed * seconds


def _length_by_depth(points: Correspondences, motion: TwoView) -> float | None:
    """Return how long the way is if predicted depths are right."""
    told = motion.inliers & (motion.parallax > _MIN_PARALLAX_PX) & (motion.depth > 0)
    told &= np.isfinite(points.depth)
    if np.count_nonzero(told) < MIN_POINTS:
        return None
    return float(np.median(points.depth[told] / motion.depth[told]))


def _small_way(points: Correspondences, rotation: F64) -> F64:
    """Return the (3,) way of a camera that hardly moved, from predicted depths.

    Reprojection is linear in the way once points and rotation are given.
    """
    known = np.isfinite(points.depth)
    point = (homogeneous(points.now) * points.depth[:, None])[known] @ rotation.T
    before = points.before[known]
    weight = np.ones(len(point))
    way = np.zeros(3)
    for _ in range(5):
        scale = np.sqrt(weight) / point[:, 2]
        rows, values = [], []
        for axis in (0, 1):
            row = np.zeros((len(point), 3))
            row[:, axis], row[:, 2] = scale, -scale * before[:, axis]
            rows.append(row)
            values.append(scale * (before[:, axis] * point[:, 2] - point[:, axis]))
        matrix, value = np.concatenate(rows), np.concatenate(values)
        way = np.linalg.lstsq(matrix, value, rcond=None)[0]
        error = (matrix @ way - value).reshape(2, -1)
        pixels = points.focal * np.linalg.norm(error, axis=0) / np.sqrt(weight)
        weight = 1 / (1 + (pixels / 0.5) ** 2)
    return way
