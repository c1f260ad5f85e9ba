"""ROS images, camera calibrations and stamps to plain values and back.

Views do not copy: they alias the message, so copy before writing into them.
"""

from __future__ import annotations

import re
import sys
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from sim_perception.geometry.cameras import crop_camera, resize_camera
from sim_perception.types import Camera

Array = npt.NDArray[Any]


class _Layout(NamedTuple):
    dtype: str
    channels: int


_LAYOUTS = {
    'rgb8': _Layout('u1', 3),
    'bgr8': _Layout('u1', 3),
    'rgba8': _Layout('u1', 4),
    'bgra8': _Layout('u1', 4),
    'mono8': _Layout('u1', 1),
    'mono16': _Layout('u2', 1),
    'rgb16': _Layout('u2', 3),
    'bgr16': _Layout('u2', 3),
    'yuv422': _Layout('u1', 2),
    'uyvy': _Layout('u1', 2),
    'yuv422_yuy2': _Layout('u1', 2),
    'yuyv': _Layout('u1', 2),
    'bayer_rggb8': _Layout('u1', 1),
    'bayer_bggr8': _Layout('u1', 1),
    'bayer_gbrg8': _Layout('u1', 1),
    'bayer_grbg8': _Layout('u1', 1),
}
_GENERIC = re.compile(r'(8|16|32|64)([USF])C([1-4])')
# OpenCV names a Bayer pattern by its second row, ROS by its first.
_TO_RGB = {
    'bgr8': cv2.COLOR_BGR2RGB,
    'rgba8': cv2.COLOR_RGBA2RGB,
    'bgra8': cv2.COLOR_BGRA2RGB,
    'mono8': cv2.COLOR_GRAY2RGB,
    '8UC1': cv2.COLOR_GRAY2RGB,
    'yuv422': cv2.COLOR_YUV2RGB_UYVY,
    'uyvy': cv2.COLOR_YUV2RGB_UYVY,
    'yuv422_yuy2': cv2.COLOR_YUV2RGB_YUY2,
    'yuyv': cv2.COLOR_YUV2RGB_YUY2,
    'bayer_rggb8': cv2.COLOR_BayerBG2RGB,
    'bayer_bggr8': cv2.COLOR_BayerRG2RGB,
    'bayer_gbrg8': cv2.COLOR_BayerGR2RGB,
    'bayer_grbg8': cv2.COLOR_BayerGB2RGB,
}


def stamp_to_ns(stamp: Time) -> int:
    """Return a stamp in nanoseconds.

    Raises:
        ValueError: for negative seconds, which no clock of ROS has.
    """
    if stamp.sec < 0:
        raise ValueError(
            f'data with a stamp of {stamp.sec} seconds; set header.stamp at the source'
        )
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def ns_to_stamp(nanoseconds: int) -> Time:
    """Return nanoseconds as a stamp."""
    return Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)


def _layout(encoding: str) -> _Layout | None:
    generic = _GENERIC.fullmatch(encoding)
    if generic:
        bits, kind, channels = generic.groups()
        return _Layout(f'{kind.lower().replace("s", "i")}{int(bits) // 8}', int(channels))
    return _LAYOUTS.get(encoding)


def image_view(message: Image) -> Array:
    """Return an image's pixels as a view on the message: (H, W) or (H, W, channels).

    Row padding and big-endian data are honoured by strides and dtype.

    Raises:
        ValueError: for no pixels, an unknown encoding, a step that is too small for the width,
            or data that are shorter than the rows need.
    """
    height, width, step = message.height, message.width, message.step
    if height == 0 or width == 0:
        raise ValueError(f'image has zero size ({width}x{height}); is the camera running?')
    layout = _layout(message.encoding)
    if layout is None:
        raise ValueError(
            f'unknown image encoding {message.encoding!r}; '
            f'use rgb8, or one of {", ".join(sorted(_LAYOUTS))} or an OpenCV type such as 32FC1'
        )
    order = '>' if message.is_bigendian else '<'
    dtype = np.dtype(order + layout.dtype)
    row = width * layout.channels * dtype.itemsize
    if step < row:
        raise ValueError(
            f'image step {step} does not match its width: {width} pixels of '
            f'{message.encoding} need at least {row} bytes per row'
        )
    needed = step * (height - 1) + row
    if len(message.data) < needed:
        raise ValueError(
            f'image data are truncated: {len(message.data)} bytes where {height} rows of step '
            f'{step} need {needed}'
        )
    shape: tuple[int, ...] = (height, width)
    strides: tuple[int, ...] = (step, layout.channels * dtype.itemsize)
    if layout.channels > 1:
        shape, strides = (*shape, layout.channels), (*strides, dtype.itemsize)
    return np.ndarray(shape, dtype, buffer=message.data, strides=strides)


def to_rgb(message: Image) -> npt.NDArray[np.uint8]:
    """Return an image as (H, W, 3) uint8 RGB; a view for rgb8, else a new array.

    16-bit images keep their upper 8 bits. Encodings not known here go through ``cv_bridge``
    where it is installed.

    Raises:
        ValueError: for a malformed image or one that cannot become a colour image.
    """
    encoding = message.encoding
    if _layout(encoding) is None and message.height and message.width:
        return _with_cv_bridge(message)
    view = image_view(message)
    if encoding == 'rgb8':
        return view
    if encoding in ('mono16', '16UC1'):
        return cv2.cvtColor((view >> 8).astype(np.uint8), cv2.COLOR_GRAY2RGB)
    if encoding in ('rgb16', 'bgr16'):
        eight = (view >> 8).astype(np.uint8)
        return eight if encoding == 'rgb16' else eight[..., ::-1]
    code = _TO_RGB.get(encoding)
    if code is None:
        raise ValueError(
            f'image encoding {encoding!r} does not say its colours; publish rgb8 or bgr8'
        )
    if encoding in ('yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv') and message.width % 2:
        raise ValueError(f'{encoding} images need an even width, got {message.width}')
    return cv2.cvtColor(view, code)


def _with_cv_bridge(message: Image) -> npt.NDArray[np.uint8]:
    try:
        from cv_bridge import CvBridge, CvBridgeError
    except ImportError:
        image_view(message)  # raises with the list of encodings that work without it
        raise
    try:
        return CvBridge().imgmsg_to_cv2(message, desired_encoding='rgb8')
    except CvBridgeError as error:
        raise ValueError(f'unknown image encoding {message.encoding!r}: {error}') from error


def compressed_to_rgb(message: CompressedImage) -> npt.NDArray[np.uint8]:
    """Decode a JPEG or PNG image to (H, W, 3) uint8 RGB.

    Raises:
        ValueError: for empty or undecodable data.
    """
    if len(message.data) == 0:
        raise ValueError('compressed image is empty; is the camera running?')
    data = np.frombuffer(message.data, np.uint8)
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError(
            f'compressed image of {len(data)} bytes in format {message.format!r} cannot be '
            'decoded; JPEG and PNG work, truncated data do not'
        )
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def to_depth(message: Image) -> npt.NDArray[np.float32]:
    """Return a depth image in metres, NaN where invalid (REP-118: 32FC1 m, 16UC1 mm).

    Raises:
        ValueError: for a malformed image or another encoding.
    """
    view = image_view(message)
    if message.encoding == '32FC1':
        return view.astype(np.float32, copy=False)
    if message.encoding in ('16UC1', 'mono16'):
        return np.where(view == 0, np.float32(np.nan), view * np.float32(0.001))
    raise ValueError(f'depth image has encoding {message.encoding!r}; use 32FC1 or 16UC1')


def to_image(array: Array, encoding: str, header: Header) -> Image:
    """Return an Image message of (H, W) or (H, W, channels); the header is taken as it is.

    Raises:
        ValueError: if the array does not fit the encoding.
    """
    layout = _layout(encoding)
    channels = 1 if array.ndim == 2 else array.shape[-1]
    kind = f'{array.dtype.kind}{array.dtype.itemsize}'
    if layout is None or kind != layout.dtype or channels != layout.channels:
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


def to_camera(info: CameraInfo) -> Camera:
    """Return the camera of a CameraInfo; binning and region of interest are applied.

    Raises:
        ValueError: for zero size or focal length, or a distortion this package cannot model.
    """
    if not info.k[0] > 0:
        raise ValueError('CameraInfo has no focal length (K is zero); is the camera calibrated?')
    coefficients = [float(value) for value in info.d]
    if info.distortion_model not in ('', 'plumb_bob', 'rational_polynomial') and any(coefficients):
        raise ValueError(
            f'distortion model {info.distortion_model!r} is not supported; rectify the image '
            '(image_proc) or calibrate with plumb_bob'
        )
    if any(coefficients[5:]):
        raise ValueError(
            f'{len(coefficients)} distortion coefficients are not supported; rectify the image '
            '(image_proc) or calibrate with plumb_bob'
        )
    camera = Camera(
        width=info.width,
        height=info.height,
        fx=float(info.k[0]),
        fy=float(info.k[4]),
        cx=float(info.k[2]),
        cy=float(info.k[5]),
        distortion=tuple(coefficients[:5]) if any(coefficients) else (),
    )
    roi = info.roi
    if roi.width and roi.height:
        camera = crop_camera(camera, roi.x_offset, roi.y_offset, roi.width, roi.height)
    if info.binning_x > 1 or info.binning_y > 1:
        width = camera.width // max(info.binning_x, 1)
        camera = resize_camera(camera, width, camera.height // max(info.binning_y, 1))
    return camera


def to_camera_info(camera: Camera, header: Header) -> CameraInfo:
    """Return the ``plumb_bob`` CameraInfo of a camera."""
    distortion = [*camera.distortion, 0.0, 0.0, 0.0, 0.0, 0.0][: max(5, len(camera.distortion))]
    fx, fy, cx, cy = (float(v) for v in (camera.fx, camera.fy, camera.cx, camera.cy))
    return CameraInfo(
        header=header,
        height=camera.height,
        width=camera.width,
        distortion_model='plumb_bob',
        d=[float(value) for value in distortion],
        k=[fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )


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
