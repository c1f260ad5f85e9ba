"""``sensor_msgs/CameraInfo`` to cameras and back, for bags and nodes alike.

Works on any object with the fields of the ROS message, those of rosbags and of rclpy.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_perception.bags.errors import MessageError
from sim_perception.calibration import lens_model
from sim_perception.geometry.cameras import bin_camera, crop_camera
from sim_perception.geometry.lenses import coefficients
from sim_perception.types import Camera

Array = npt.NDArray[np.float64]

_RECTIFIED = re.compile(r'(^|[/_])rect(ified)?([/_]|$)')
_MOST_PIXELS = 2**28


def is_rectified(topic: str) -> bool:
    """Return whether an image topic's name says that its images are rectified: ``image_rect``."""
    return bool(_RECTIFIED.search(topic))


def camera_of(info: Any, rectified: bool = False, size: tuple[int, int] | None = None) -> Camera:
    """Return the camera of a CameraInfo; region of interest and binning are applied.

    A raw image is of K and D. Of a rectified one P is the whole truth, also where the message
    still has the D of the raw image; so it is where D is zero, as nothing is left to rectify.
    P's last column is not used: ``header.frame_id`` names the camera's own frame, not that of
    the first camera of a pair. Where P is zero K stands for it.

    Args:
        info: the message.
        rectified: whether its images are.
        size: width and height of an image that it is of. One as large as the whole sensor is
            neither binned nor a region of it, whatever the message says of others.

    Raises:
        MessageError: for an uncalibrated camera, an unknown distortion model, numbers that are
            not finite or sizes that contradict each other.
    """
    k, p = _numbers(info, 'k', 9), _numbers(info, 'p', 12)
    d = np.trim_zeros(_numbers(info, 'd', None), 'b')
    fisheye = False
    distortion: tuple[float, ...] = ()
    matrix = k[[0, 4, 2, 5]]
    of_p = p[0] > 0 and p[5] > 0
    if not k[0] > 0 and not (rectified and of_p):
        raise MessageError('CameraInfo has no focal length (K is zero); is the camera calibrated?')
    if rectified or not len(d):
        if of_p:
            matrix = p[[0, 5, 2, 6]]
    else:
        fisheye, distortion = _distortion(info.distortion_model, d)
    if info.width * info.height > _MOST_PIXELS:
        raise MessageError(
            f'CameraInfo is of {info.width}x{info.height} pixels; is the message damaged?'
        )
    fx, fy, cx, cy = matrix.tolist()
    try:
        camera = Camera(int(info.width), int(info.height), fx, fy, cx, cy, distortion, fisheye)
    except ValueError as error:
        raise MessageError(f'unusable CameraInfo: {error}') from error
    return camera if size == (camera.width, camera.height) else _seen(info, camera)


def _numbers(info: Any, name: str, count: int | None) -> Array:
    """Return the finite numbers of a field, zeros for an empty one."""
    values = np.asarray(getattr(info, name), np.float64).reshape(-1)
    if count is not None and len(values) != count:
        if len(values):
            raise MessageError(f'CameraInfo has {len(values)} numbers in {name}, not {count}')
        return np.zeros(count)
    if not np.isfinite(values).all():
        raise MessageError(
            f'CameraInfo has NaN or infinite numbers in {name.upper()}; calibrate the camera anew'
        )
    return values


def _distortion(model: str, d: Array) -> tuple[bool, tuple[float, ...]]:
    """Return whether a model is a fisheye's, and its coefficients, filled up."""
    try:
        return lens_model(model, d)
    except ValueError as error:
        raise MessageError(f'CameraInfo: {error}') from error


def _seen(info: Any, camera: Camera) -> Camera:
    """Return the part of the sensor that images are of, with their number of pixels."""
    roi = info.roi
    if roi.width and roi.height:
        x, y, width, height = (int(v) for v in (roi.x_offset, roi.y_offset, roi.width, roi.height))
        if x + width > camera.width or y + height > camera.height:
            raise MessageError(
                f'region of interest {width}x{height} at ({x}, {y}) of a CameraInfo is not '
                f'within its {camera.width}x{camera.height} pixels'
            )
        camera = crop_camera(camera, x, y, width, height)
    binning = max(int(info.binning_x), 1), max(int(info.binning_y), 1)
    if binning == (1, 1):
        return camera
    if binning[0] > camera.width or binning[1] > camera.height:
        raise MessageError(
            f'binning {binning[0]}x{binning[1]} of a CameraInfo leaves nothing of its '
            f'{camera.width}x{camera.height} pixels'
        )
    return bin_camera(camera, *binning)


def info_fields(camera: Camera) -> dict[str, Any]:
    """Return the fields of a CameraInfo of a camera, without header, binning and region."""
    model = 'rational_polynomial' if len(camera.distortion) > 5 else 'plumb_bob'
    projection = np.zeros((3, 4))
    projection[:, :3] = camera.matrix
    return {
        'width': camera.width,
        'height': camera.height,
        'distortion_model': 'equidistant' if camera.fisheye else model,
        'd': coefficients(camera),
        'k': camera.matrix.reshape(-1),
        'r': np.eye(3).reshape(-1),
        'p': projection.reshape(-1),
    }
