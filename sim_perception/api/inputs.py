"""Arrays of callers as the values that engines take: cameras, poses, frames with points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_perception.calibration import read_camera
from sim_perception.geometry.lidar_frame import LidarFrame
from sim_perception.geometry.transforms import BODY_T_OPTICAL, invert, transform_points
from sim_perception.types import Camera, FloatArray


def as_camera(
    camera: Camera | str | Path | npt.ArrayLike, image: npt.NDArray[Any] | None
) -> Camera:
    """Return a calibration given as a ``Camera``, a file or a (3, 3) matrix of a pinhole's image.

    Files are those of ``calibration.read_camera``; of an image of another size than the
    calibration's the camera is scaled.

    Raises:
        ValueError: for a file that is not there or no calibration; for a matrix that is none of
            a camera, or one without an image, whose size nobody knows then.
    """
    if isinstance(camera, Camera):
        return camera
    if isinstance(camera, str | Path):
        file = str(camera).partition('#')[0]
        if not Path(file).exists():
            raise ValueError(
                'camera must be a calibration file, a sim_perception.Camera or a matrix; there is '
                f'no file {file!r}'
            )
        size = None
        if image is not None and np.ndim(image) >= 2:
            size = image.shape[1], image.shape[0]
        return read_camera(camera, size)
    try:
        matrix = np.asarray(camera, float)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    if matrix.shape != (3, 3) or not np.array_equal(matrix[2], [0, 0, 1]):
        raise ValueError(
            'camera must be a sim_perception.Camera, a calibration file, or a matrix '
            '[[fx, 0, cx], [0, fy, cy], [0, 0, 1]] of an image without distortion; got '
            f'{type(camera).__name__}'
        )
    if image is None or np.ndim(image) < 2:
        raise ValueError(
            'a camera matrix does not say how large its image is: give the image as a numpy array '
            '(H, W, 3), or a sim_perception.Camera'
        )
    height, width = image.shape[:2]
    (fx, _, cx), (_, fy, cy) = matrix[:2].tolist()
    return Camera(width, height, fx, fy, cx, cy)


def as_pose(pose: npt.ArrayLike | None, name: str, default: FloatArray) -> FloatArray:
    """Return a rigid (4, 4) transform, or the default without one.

    Raises:
        ValueError: for anything else.
    """
    if pose is None:
        return default
    matrix = np.asarray(pose, float)
    turn = matrix[:3, :3] if matrix.shape == (4, 4) else np.zeros((3, 3))
    if not np.allclose(turn @ turn.T, np.eye(3), atol=1e-3) or np.linalg.det(turn) < 0:
        raise ValueError(
            f'{name} must be a (4, 4) rigid transform: rotation, translation in metres, and a '
            f'last row 0 0 0 1; got shape {matrix.shape}'
        )
    return matrix


def level_pose(level_T_camera: npt.ArrayLike | None) -> FloatArray:
    """Return the pose of the optical frame in the level frame.

    Without one the camera looks at the horizon: the level frame has its place, x where it looks,
    y left, z up.
    """
    return as_pose(level_T_camera, 'level_T_camera', BODY_T_OPTICAL)


def as_frame(
    points: npt.ArrayLike | None,
    camera: Camera,
    camera_T_points: npt.ArrayLike | None,
    level_T_camera: npt.ArrayLike | None,
) -> LidarFrame:
    """Return rectified camera and points of one moment in the level frame.

    Args:
        points: (N, 3) or more columns of which the first are x, y, z, metres; None is no points.
        camera: of the image.
        camera_T_points: (4, 4), maps the points to the optical frame; None if they are in it. Its
            origin is where the LiDAR is.
        level_T_camera: see ``level_pose``.

    Raises:
        ValueError: for points or transforms of another shape.
    """
    level = level_pose(level_T_camera)
    level_T_points = level @ as_pose(camera_T_points, 'camera_T_points', np.eye(4))
    places = np.zeros((0, 3)) if points is None else np.asarray(points)
    if places.dtype.names is not None or places.ndim != 2 or places.shape[1] < 3:
        raise ValueError(
            f'points must be an array (N, 3) of x, y, z in metres, got shape {places.shape} of '
            f'{places.dtype}; of named columns: np.stack([points[n] for n in "xyz"], 1)'
        )
    moved = transform_points(level_T_points, places[:, :3].astype(float))
    return LidarFrame(camera.ideal, invert(level), moved, level_T_points[:3, 3].copy())
