"""A camera and a cloud of one moment: points that project into the image, and the ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.transforms import transform_points
from sim_perception.types import Camera

F64 = npt.NDArray[np.float64]

_GROUND_TRIALS = 60
_GROUND_BAND = 0.12
_STEEPEST = 0.15
_NEIGHBOURHOOD = 8.0


class FrameError(ValueError):
    """A camera and a cloud cannot be used together; the message says why and what to do."""


@dataclass(frozen=True)
class LidarFrame:
    """A camera and a cloud of one moment, in a level frame.

    The level frame has z up (against gravity) and may have any heading and origin; ``base_link``
    on a flat street is one.

    Attributes:
        camera: an ideal pinhole (undistorted).
        camera_T_level: 4x4, maps points of the level frame to the optical frame.
        points: (N, 3) metres, motion of the sensor removed; rows that are not finite are ignored.
        sensor: (3,) the LiDAR's place in the level frame.
    """

    camera: Camera
    camera_T_level: npt.NDArray[np.floating]
    points: npt.NDArray[np.floating]
    sensor: npt.NDArray[np.floating]

    def __post_init__(self) -> None:
        if not self.camera.is_ideal:
            raise FrameError('need an undistorted camera; rectify the image first')
        if self.points.ndim != 2 or self.points.shape[1] != 3:
            raise FrameError(f'points must be (N, 3), got {self.points.shape}')
        pose = np.asarray(self.camera_T_level)
        rotation = pose[:3, :3]
        if pose.shape != (4, 4) or not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3):
            raise FrameError('camera_T_level must be a rigid 4x4 transform')
        if np.linalg.det(rotation) < 0:
            raise FrameError(
                'camera_T_level mirrors (its rotation has determinant -1); check the calibration: '
                'is an axis of the LiDAR or the camera flipped?'
            )


class PreparedFrame:
    """A frame with what all objects share computed once.

    Args:
        frame: camera and cloud.
        max_range: metres from the sensor beyond which points are dropped.

    Attributes:
        frame: as given.
        points: (N, 3) finite points in range, level frame.
        pixels: (N, 2) where they project; NaN behind the camera.
        invalid: how many points were not finite.
        ground: (3,) a, b, c of the plane ``z = a x + b y + c``, or None if none was found.
        height: (N,) metres above that plane (0 without one).
    """

    def __init__(self, frame: LidarFrame, max_range: float) -> None:
        self.frame = frame
        points = np.asarray(frame.points, np.float64)
        finite = np.isfinite(points).all(1)
        self.invalid = int((~finite).sum())
        points = points[finite]
        offset = points - frame.sensor
        self.points = points[(offset * offset).sum(1) < max_range**2]
        seen = transform_points(frame.camera_T_level, self.points)
        camera = frame.camera
        with np.errstate(divide='ignore', invalid='ignore'):
            self.pixels = seen[:, :2] / seen[:, 2:]
        self.pixels *= [camera.fx, camera.fy]
        self.pixels += [camera.cx, camera.cy]
        self.pixels[seen[:, 2] < 0.3] = np.nan
        self.ground = fit_ground(self.points, frame.sensor)
        self.height = np.zeros(len(self.points))
        if self.ground is not None:
            a, b, c = self.ground
            self.height = self.points[:, 2] - a * self.points[:, 0] - b * self.points[:, 1] - c

    def inside(self, box: F64, pad: float) -> npt.NDArray[np.int64]:
        """Return the rows of points whose pixels lie in an image box.

        Args:
            box: (4,) x1 y1 x2 y2.
            pad: share of the sides by which it is grown on each side.
        """
        u, v = self.pixels.T
        x, y = pad * (box[2] - box[0]), pad * (box[3] - box[1])
        with np.errstate(invalid='ignore'):
            hit = (u > box[0] - x) & (u < box[2] + x) & (v > box[1] - y) & (v < box[3] + y)
        return np.flatnonzero(hit)

    def ground_near(self, place: F64) -> F64:
        """Return the (3,) plane of the ground about a place of the level frame.

        Points within 8 m refine the frame's plane; where there are few it stays as it is.
        """
        assert self.ground is not None
        offset = self.points[:, :2] - place[:2]
        near = (offset * offset).sum(1) < _NEIGHBOURHOOD**2
        near &= np.abs(self.height) < 2.5 * _GROUND_BAND
        rows = np.flatnonzero(near)
        if len(rows) < 30:
            return self.ground
        x, y = offset[rows].T
        design = np.stack([x, y, np.ones(len(rows))], 1)
        residual = self.height[rows]
        keep = np.ones(len(rows), bool)
        change = np.zeros(3)
        # A weak pull to no change keeps the slope where all points lie on one side.
        pull = np.diag([40.0, 40.0, 1.0])
        for _ in range(3):
            part = design[keep]
            change = np.linalg.solve(part.T @ part + pull, part.T @ residual[keep])
            keep = np.abs(residual - design @ change) < 0.6 * _GROUND_BAND
        a, b, c = self.ground
        da, db, dc = change
        return np.array([a + da, b + db, c + dc - da * place[0] - db * place[1]])


def fit_ground(points: F64, sensor: npt.NDArray[np.floating]) -> F64 | None:
    """Return (a, b, c) of the dominant nearly level plane below the sensor, or None.

    Random planes through three low points; that with the most points nearby wins and is fitted
    to them.
    """
    offset = points[:, :2] - np.asarray(sensor)[:2]
    low = points[(points[:, 2] < sensor[2] - 0.3) & ((offset * offset).sum(1) < 30**2)]
    if len(low) < 50:
        return None
    rng = np.random.default_rng(0)
    low = low[rng.permutation(len(low))[:3000]]
    corners = low[rng.integers(len(low), size=(_GROUND_TRIALS, 3))]
    design = np.concatenate([corners[..., :2], np.ones((*corners.shape[:2], 1))], -1)
    solvable = np.abs(np.linalg.det(design)) > 1.0
    planes = np.linalg.solve(design[solvable], corners[solvable][..., 2:])[..., 0]
    planes = planes[np.hypot(planes[:, 0], planes[:, 1]) < _STEEPEST]
    planes = np.concatenate([planes, [[0.0, 0.0, np.percentile(low[:, 2], 20)]]])
    heights = low[:, 2] - (low[:, :2] @ planes[:, :2].T + planes[:, 2]).T
    # Few points lie below the ground; below other planes, many do.
    score = (np.abs(heights) < _GROUND_BAND).sum(1) - 2 * (heights < -2 * _GROUND_BAND).sum(1)
    plane = planes[int(score.argmax())]
    for _ in range(2):
        near = np.abs(low[:, 2] - low[:, :2] @ plane[:2] - plane[2]) < _GROUND_BAND
        if near.sum() < 30:
            return None
        part = np.concatenate([low[near, :2], np.ones((int(near.sum()), 1))], 1)
        plane, *_ = np.linalg.lstsq(part, low[near, 2], rcond=None)
    return plane
