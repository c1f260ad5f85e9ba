"""Stamps to plain values and back, images and calibrations to messages.

What reads images and calibrations is in ``sim_perception.bags``, the same for bags and nodes;
``to_camera``, ``to_depth`` and ``to_rgb`` are its names here.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from sim_perception.bags.calibration import camera_of as to_camera
from sim_perception.bags.calibration import info_fields
from sim_perception.bags.images import depth_image as to_depth
from sim_perception.bags.images import image_layout
from sim_perception.bags.images import rgb_image as to_rgb
from sim_perception.types import Camera

__all__ = [
    'check_camera_fits',
    'ns_to_stamp',
    'stamp_to_ns',
    'to_camera',
    'to_camera_info',
    'to_depth',
    'to_image',
    'to_rgb',
]

Array = npt.NDArray[Any]


def stamp_to_ns(stamp: Time) -> int:
    """Return a stamp in nanoseconds.

    Raises:
        ValueError: for negative seconds, or a second and more of nanoseconds: no clock of ROS
            has them, and what they would make of it is a moment that the source did not mean.
    """
    if stamp.sec < 0 or stamp.nanosec >= 10**9:
        raise ValueError(
            f'data with a stamp of {stamp.sec} seconds and {stamp.nanosec} nanoseconds; set '
            'header.stamp at the source'
        )
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def ns_to_stamp(nanoseconds: int) -> Time:
    """Return nanoseconds as a stamp."""
    return Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)


def to_image(array: Array, encoding: str, header: Header) -> Image:
    """Return an Image message of (H, W) or (H, W, channels); the header is taken as it is.

    Raises:
        ValueError: if the array does not fit the encoding.
    """
    channels = 1 if array.ndim == 2 else array.shape[-1]
    kind = f'{array.dtype.kind}{array.dtype.itemsize}'
    if (kind, channels) != image_layout(encoding):
        raise ValueError(f'{array.dtype} array of shape {array.shape} is not {encoding}')
    contiguous = np.ascontiguousarray(array)
    message = Image(
        header=header,
        height=array.shape[0],
        width=array.shape[1],
        encoding=encoding,
        is_bigendian=sys.byteorder == 'big',
        step=contiguous.strides[0],
    )
    # 50 times faster than assigning an array: the setter would check every byte.
    message.data.frombytes(contiguous.reshape(-1).view(np.uint8))
    return message


def to_camera_info(camera: Camera, header: Header) -> CameraInfo:
    """Return the CameraInfo of a camera."""
    return CameraInfo(header=header, **info_fields(camera))


def check_camera_fits(camera: Camera, image: Array) -> None:
    """Check that a calibration belongs to an image.

    Raises:
        ValueError: if the sizes differ.
    """
    height, width = image.shape[:2]
    if (camera.width, camera.height) != (width, height):
        raise ValueError(
            f'CameraInfo is for {camera.width}x{camera.height} pixels but the image has '
            f'{width}x{height}; publish the calibration of this image on camera_info'
        )
