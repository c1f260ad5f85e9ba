"""Message objects to numpy arrays and this package's types.

Works on any object with the fields of the ROS message, those of rosbags and of rclpy alike.
Arrays are views of the message's bytes where the encoding allows it.
"""

from __future__ import annotations

import sys
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sim_perception.bags.errors import MessageError
from sim_perception.geometry.transforms import from_quaternion
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import Box3D, Camera, Detection

Array = npt.NDArray[Any]

#: OpenCV's name of a depth to numpy's, for encodings such as 32FC1.
_DEPTHS = {
    '8U': 'u1', '8S': 'i1', '16U': 'u2', '16S': 'i2', '32S': 'i4', '32F': 'f4', '64F': 'f8',
}  # fmt: skip
_NAMED = {
    'mono8': ('u1', 1), 'mono16': ('u2', 1),
    'rgb8': ('u1', 3), 'bgr8': ('u1', 3), 'rgba8': ('u1', 4), 'bgra8': ('u1', 4),
    'rgb16': ('u2', 3), 'bgr16': ('u2', 3),
    'bayer_rggb8': ('u1', 1), 'bayer_bggr8': ('u1', 1),
    'bayer_gbrg8': ('u1', 1), 'bayer_grbg8': ('u1', 1),
    'yuv422': ('u1', 2), 'uyvy': ('u1', 2), 'yuv422_yuy2': ('u1', 2), 'yuyv': ('u1', 2),
}  # fmt: skip
# ROS names a Bayer pattern by its first two rows' corner, OpenCV by the second row's.
_TO_RGB = {
    'bgr8': cv2.COLOR_BGR2RGB,
    'rgba8': cv2.COLOR_RGBA2RGB,
    'bgra8': cv2.COLOR_BGRA2RGB,
    'mono8': cv2.COLOR_GRAY2RGB,
    '8UC1': cv2.COLOR_GRAY2RGB,
    '8UC3': cv2.COLOR_BGR2RGB,
    'bayer_rggb8': cv2.COLOR_BayerBG2RGB,
    'bayer_bggr8': cv2.COLOR_BayerRG2RGB,
    'bayer_gbrg8': cv2.COLOR_BayerGR2RGB,
    'bayer_grbg8': cv2.COLOR_BayerGB2RGB,
    'yuv422': cv2.COLOR_YUV2RGB_UYVY,
    'uyvy': cv2.COLOR_YUV2RGB_UYVY,
    'yuv422_yuy2': cv2.COLOR_YUV2RGB_YUY2,
    'yuyv': cv2.COLOR_YUV2RGB_YUY2,
}


def image_layout(encoding: str) -> tuple[str, int]:
    """Return an encoding's numpy scalar type (without byte order) and channel count.

    Raises:
        MessageError: for an unknown encoding, listing the known ones.
    """
    if encoding in _NAMED:
        return _NAMED[encoding]
    depth, _, channels = encoding.partition('C')
    if depth in _DEPTHS and channels.isdigit() and 1 <= int(channels) <= 4:
        return _DEPTHS[depth], int(channels)
    raise MessageError(
        f'unknown image encoding {encoding!r}; known: {", ".join(_NAMED)} and '
        f'{{{",".join(_DEPTHS)}}}C{{1..4}}'
    )


def image_array(message: Any) -> Array:
    """Return a ``sensor_msgs/Image`` as (H, W) or (H, W, C), its channels as encoded.

    The array is a view of the message's data with honoured ``step``; big-endian data are
    converted.

    Raises:
        MessageError: for an unknown encoding, a zero size, a step too short for the width or
            fewer bytes than ``step * height``.
    """
    scalar, channels = image_layout(message.encoding)
    dtype = np.dtype(scalar).newbyteorder('>' if message.is_bigendian else '<')
    height, width, step = int(message.height), int(message.width), int(message.step)
    if height < 1 or width < 1:
        raise MessageError(f'image of size {width}x{height}: nothing to see')
    pixel = dtype.itemsize * channels
    if step < width * pixel:
        raise MessageError(
            f'image step {step} is shorter than a row: {width} px of {message.encoding} need '
            f'{width * pixel} bytes'
        )
    data = np.frombuffer(message.data, np.uint8)
    needed = step * (height - 1) + width * pixel
    if len(data) < needed:
        raise MessageError(f'image has {len(data)} bytes, {width}x{height} with step {step} '
                           f'needs {needed}; was it truncated?')  # fmt: skip
    array: Array = np.ndarray(
        (height, width, channels), dtype, data, strides=(step, pixel, dtype.itemsize)
    )
    if dtype.byteorder == ('>' if sys.byteorder == 'little' else '<'):
        array = array.astype(dtype.newbyteorder('='))
    return array[..., 0] if channels == 1 else array


def rgb_image(message: Any) -> npt.NDArray[np.uint8]:
    """Return a raw or compressed colour or grey image as (H, W, 3) uint8 RGB.

    Raises:
        MessageError: as ``image_array``, or for pixels that are not 8-bit colours.
    """
    if hasattr(message, 'format'):
        return cv2.cvtColor(_decompress(message, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    array = image_array(message)
    if message.encoding == 'rgb8':
        return array
    code = _TO_RGB.get(message.encoding)
    if code is None:
        raise MessageError(
            f'{message.encoding} image is not a colour image; known: rgb8, {", ".join(_TO_RGB)}'
        )
    return np.asarray(cv2.cvtColor(array, code), np.uint8)


def _decompress(message: Any, flags: int) -> Array:
    data = np.frombuffer(message.data, np.uint8)
    image = cv2.imdecode(data, flags) if len(data) else None
    if image is None:
        raise MessageError(
            f'compressed image ({message.format!r}, {len(data)} bytes) cannot be decoded; '
            'was it truncated?'
        )
    return image


def plain_image(message: Any) -> Array:
    """Return an image with its own channels and type: colours as RGB, others as they are.

    Depth (``32FC1`` in metres, ``16UC1`` as the sensor says), labels, normals and flow keep
    their values; a compressed image may be PNG of 8 or 16 bits.

    Raises:
        MessageError: as ``image_array``.
    """
    if not hasattr(message, 'format'):
        if message.encoding in _TO_RGB and image_layout(message.encoding) != ('u1', 1):
            return rgb_image(message)
        return image_array(message)
    image = _decompress(message, cv2.IMREAD_UNCHANGED)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if image.ndim == 3 else image


def camera_of(message: Any) -> Camera:
    """Return the camera of a ``sensor_msgs/CameraInfo``.

    Raises:
        MessageError: for an uncalibrated camera or another distortion model.
    """
    k, d = np.asarray(message.k, float), np.asarray(message.d, float)
    if message.distortion_model not in ('', 'plumb_bob') and d.any():
        raise MessageError(
            f'camera distortion model {message.distortion_model!r} is not supported; rectify '
            'the images or calibrate with plumb_bob'
        )
    distortion = tuple(float(v) for v in d) if d.any() else ()
    try:
        return Camera(
            int(message.width), int(message.height),
            float(k[0]), float(k[4]), float(k[2]), float(k[5]), distortion,
        )  # fmt: skip
    except (ValueError, IndexError) as error:
        raise MessageError(f'unusable camera info: {error}') from error


def _class_and_visibility(results: Any, taxonomy: Taxonomy) -> tuple[int, float, float | None]:
    """Split hypotheses into class id, score and visible fraction."""
    class_id, score, visibility = taxonomy.ignore_id, 0.0, None
    for result in results:
        name = result.hypothesis.class_id
        if name == 'visibility':
            visibility = float(result.hypothesis.score)
        elif result.hypothesis.score >= score and name in taxonomy.names:
            class_id, score = taxonomy.id_of(name), float(result.hypothesis.score)
    return class_id, score, visibility


def detections_of(message: Any, taxonomy: Taxonomy) -> list[Detection]:
    """Return the objects of a ``vision_msgs`` Detection2DArray or Detection3DArray.

    Classes that the taxonomy does not have get its ``ignore_id``.
    """
    detections = []
    for item in message.detections:
        class_id, score, visibility = _class_and_visibility(item.results, taxonomy)
        box3d = box2d = None
        if hasattr(item.bbox, 'size_x'):
            x, y = item.bbox.center.position.x, item.bbox.center.position.y
            w, h = item.bbox.size_x / 2, item.bbox.size_y / 2
            box2d = (x - w, y - h, x + w, y + h)
        else:
            p, q = item.bbox.center.position, item.bbox.center.orientation
            pose = from_quaternion((q.x, q.y, q.z, q.w), np.array([p.x, p.y, p.z]))
            size = item.bbox.size
            box3d = Box3D(pose, (float(size.x), float(size.y), float(size.z)))
        detections.append(Detection(class_id, score, item.id, box3d, box2d, visibility))
    return detections
