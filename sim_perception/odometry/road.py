"""The road as a plane: how far the camera went in units of its height above the road.

A plane maps one view to the other by a homography (Hartley and Zisserman, 13.1). Rotation and
direction are known, so only the way per height and the plane's tilt are left; they are found by
aligning the road's brightness itself, which has few corners.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sim_perception.geometry.lenses import slopes_of
from sim_perception.geometry.road_plane import FAR, NEAR, RoadPlane, thinned
from sim_perception.geometry.transforms import homogeneous
from sim_perception.odometry.two_view import TwoView
from sim_perception.odometry.views import MotionView
from sim_perception.types import Camera

F64 = npt.NDArray[np.float64]

_ASIDE = 5.0
_MIN_PIXELS, _PIXELS = 300, 5000
# From blurred to sharp: standard deviations of the blur, pixels.
_BLURS, _ITERATIONS = (2.4, 1.2, 0.6), 12
# How far the plane may tilt from the predicted one and pitch and direction may be off, radians,
# and in how many pixels' worth of evidence that is believed.
_SIGMAS, _PRIOR_WEIGHT = (0.02, 0.03, 0.0005, 0.003), 20.0
_MIN_CORRELATION = 0.8


def way_per_height(
    now: MotionView, before: MotionView, motion: TwoView, plane: RoadPlane, way: float
) -> float | None:
    """Return the length of the camera's way over its height above the road, or None.

    Args:
        now, before: the views.
        motion: rotation and direction between them.
        plane: about where the road is.
        way: about how long the way is, metres on the scale of ``plane``.
    """
    rows, columns = np.nonzero(now.road)
    rays = homogeneous(slopes_of(now.camera, np.column_stack([columns, rows]).astype(np.float64)))
    down = rays @ plane.normal
    depth = np.where(down > 1e-3, plane.height / np.maximum(down, 1e-3), np.inf)
    near = (depth > NEAR) & (depth < FAR) & (np.abs(rays[:, 0]) * depth < _ASIDE)
    rows, columns, rays = thinned(near, rows, columns, rays, count=_PIXELS)
    if len(rows) < _MIN_PIXELS:
        return None
    warp = _Warp(rays, motion, plane.normal, before.camera)
    state = np.array([way / plane.height, 0.0, 0.0, 0.0, 0.0])
    correlation = 0.0
    for blur in _BLURS:
        sharp = cv2.GaussianBlur(now.grey.astype(np.float32), (0, 0), blur)
        other = cv2.GaussianBlur(before.grey.astype(np.float32), (0, 0), blur)
        state, correlation = _align(sharp[rows, columns], other, warp, state)
    if correlation < _MIN_CORRELATION or not 0 < state[0] < 10:
        return None
    normal = plane.normal + np.array([state[1], 0.0, state[2]])
    return float(state[0] * np.linalg.norm(normal))


@dataclass(frozen=True)
class _Warp:
    """Where another view shows points of the road, and how that changes with the state.

    The state is the way per height, the plane's tilt about two axes, and what the two-view
    solution may be off by: pitch, and the direction's downward part. A hundredth of a degree of
    pitch looks like a per cent of the way.
    """

    rays: F64
    motion: TwoView
    normal: F64
    camera: Camera

    def at(self, state: F64) -> tuple[F64, F64, F64, F64]:
        """Return (N,) pixel columns and rows, and (N, 5) their derivatives."""
        fx, fy = self.camera.fx, self.camera.fy
        down = self.rays @ (self.normal + np.array([state[1], 0.0, state[2]]))
        direction = self.motion.direction + np.array([0.0, state[4], 0.0])
        turn = np.array([[1, 0, 0], [0, 1, -state[3]], [0, state[3], 1.0]]) @ self.motion.rotation
        point = self.rays @ turn.T + direction * (state[0] * down)[:, None]
        x, y, z = point.T
        # How the projection moves with a step of the way.
        along_x = fx * (direction[0] - x / z * direction[2]) / z
        along_y = fy * (direction[1] - y / z * direction[2]) / z
        steps = np.column_stack([down, state[0] * self.rays[:, 0], np.full(len(down), state[0])])
        change_x = np.column_stack(
            [along_x[:, None] * steps, -fx * x * y / z**2, np.zeros(len(down))]
        )
        change_y = np.column_stack(
            [along_y[:, None] * steps, -fy * (1 + (y / z) ** 2), fy * state[0] * down / z]
        )
        columns, rows = fx * x / z + self.camera.cx, fy * y / z + self.camera.cy
        return columns, rows, change_x, change_y


def _align(
    brightness: npt.NDArray[np.float32],
    other: npt.NDArray[np.float32],
    warp: _Warp,
    state: F64,
) -> tuple[F64, float]:
    """Return the state that aligns brightness best, and how well it then correlates."""
    slope_x = cv2.Sobel(other, cv2.CV_32F, 1, 0, scale=1 / 8)
    slope_y = cv2.Sobel(other, cv2.CV_32F, 0, 1, scale=1 / 8)
    correlation = 0.0
    for _ in range(_ITERATIONS):
        columns, rows, change_x, change_y = warp.at(state)
        x, y = columns.astype(np.float32), rows.astype(np.float32)
        inside = (x >= 0) & (y >= 0) & (x < other.shape[1] - 1) & (y < other.shape[0] - 1)
        if np.count_nonzero(inside) < _MIN_PIXELS:
            return state, 0.0
        shown, gradient_x, gradient_y = (
            cv2.remap(image, x, y, cv2.INTER_LINEAR).ravel() for image in (other, slope_x, slope_y)
        )
        error = (shown - brightness).astype(np.float64)
        error -= np.median(error[inside])
        noise = 1.4826 * float(np.median(np.abs(error[inside]))) + 1e-3
        weight = inside / (1 + (error / (2 * noise)) ** 2)
        slopes = change_x * gradient_x[:, None] + change_y * gradient_y[:, None]
        slopes = np.column_stack([slopes, np.ones(len(slopes))])
        pull = np.diag([0.0, *(1 / np.square(_SIGMAS)), 0.0]) * noise**2 * _PRIOR_WEIGHT
        matrix = (slopes * weight[:, None]).T @ slopes + pull + 1e-9 * np.eye(6)
        gradient = slopes.T @ (weight * error) + pull @ np.array([*state, 0.0])
        step = np.linalg.solve(matrix, -gradient)
        state = state + step[:5]
        correlation = float(np.corrcoef(brightness[inside], shown[inside])[0, 1])
        if abs(step[0]) < 1e-5:
            break
    return state, correlation
