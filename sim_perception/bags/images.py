"""Camera and depth images to arrays: the one decoder, for bags and nodes alike.

Works on any object with the fields of ``sensor_msgs/Image`` or ``CompressedImage``, those of
rosbags and of rclpy. No size that a message announces is believed before it is compared with the
bytes that are there. Uncompressed pixels are views of the message where the encoding allows it.
"""

from __future__ import annotations

import sys
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sim_perception.bags.compressed import decompress, is_depth, source_encoding, unpacked_depth
from sim_perception.bags.errors import MessageError

Array = npt.NDArray[Any]
Rgb = npt.NDArray[np.uint8]

#: OpenCV's name of a depth to numpy's, for encodings such as 32FC1.
_DEPTHS = {
    '8U': 'u1', '8S': 'i1', '16U': 'u2', '16S': 'i2', '32S': 'i4', '32F': 'f4', '64F': 'f8',
}  # fmt: skip
# ROS names a Bayer pattern by its first two rows' corner, OpenCV by the second row's.
_BAYER = {
    'bayer_rggb': cv2.COLOR_BayerBG2RGB,
    'bayer_bggr': cv2.COLOR_BayerRG2RGB,
    'bayer_gbrg': cv2.COLOR_BayerGR2RGB,
    'bayer_grbg': cv2.COLOR_BayerGB2RGB,
}
_YUV422 = {
    'yuv422': cv2.COLOR_YUV2RGB_UYVY,
    'uyvy': cv2.COLOR_YUV2RGB_UYVY,
    'yuv422_yuy2': cv2.COLOR_YUV2RGB_YUY2,
    'yuyv': cv2.COLOR_YUV2RGB_YUY2,
    'yvyu': cv2.COLOR_YUV2RGB_YVYU,
}
_PLANES = {'nv12': cv2.COLOR_YUV2RGB_NV12, 'nv21': cv2.COLOR_YUV2RGB_NV21}
_TO_RGB = {
    'rgb': None,
    'bgr': cv2.COLOR_BGR2RGB,
    'rgba': cv2.COLOR_RGBA2RGB,
    'bgra': cv2.COLOR_BGRA2RGB,
    'mono': cv2.COLOR_GRAY2RGB,
    **_BAYER,
}
_OPENCV_COLOURS = {1: 'mono', 3: 'bgr', 4: 'bgra'}
_CHANNELS = {'rgb': 3, 'bgr': 3, 'rgba': 4, 'bgra': 4}
_NAMED = {
    **{f'{name}8': ('u1', _CHANNELS.get(name, 1)) for name in _TO_RGB},
    **{f'{name}16': ('u2', _CHANNELS.get(name, 1)) for name in _TO_RGB},
    **dict.fromkeys(_YUV422, ('u1', 2)),
    **dict.fromkeys(_PLANES, ('u1', 1)),
}
_SENSOR_BITS = (10, 12, 14, 16)


def image_layout(encoding: str) -> tuple[str, int]:
    """Return an encoding's numpy scalar type (without byte order) and channel count.

    Raises:
        MessageError: for an unknown encoding, listing the known ones.
    """
    if encoding in _NAMED:
        return _NAMED[encoding]
    depth, _, channels = encoding.partition('C')
    if depth in _DEPTHS and channels in ('1', '2', '3', '4'):
        return _DEPTHS[depth], int(channels)
    raise MessageError(
        f'unknown image encoding {encoding!r}; use rgb8, or one of {", ".join(_NAMED)} or an '
        'OpenCV type such as 32FC1'
    )


def image_array(message: Any) -> Array:
    """Return a ``sensor_msgs/Image`` as (H, W) or (H, W, C), its channels as encoded.

    The array is a view of the message's data with honoured ``step``; big-endian data are
    converted. Images in two planes (nv12, nv21) are (H * 3 / 2, W).

    Raises:
        MessageError: for an unknown encoding, a zero size, a step too short for the width or
            fewer bytes than ``step * height``.
    """
    scalar, channels = image_layout(message.encoding)
    dtype = np.dtype(scalar).newbyteorder('>' if message.is_bigendian else '<')
    height, width, step = int(message.height), int(message.width), int(message.step)
    if height < 1 or width < 1:
        raise MessageError(f'image has zero size ({width}x{height}); is the camera running?')
    if message.encoding in _PLANES:
        if height % 2 or width % 2:
            raise MessageError(
                f'{message.encoding} images need an even width and height, got {width}x{height}'
            )
        height = height * 3 // 2
    elif message.encoding in _YUV422 and width % 2:
        # columns share their colour by twos; the last one's partner must be there
        if step < (width + 1) * 2:
            raise MessageError(f'{message.encoding} images need an even width, got {width}')
        width += 1
    return _strided(message, dtype, (height, width, channels), step)


def _strided(message: Any, dtype: np.dtype[Any], shape: tuple[int, int, int], step: int) -> Array:
    height, width, channels = shape
    pixel = dtype.itemsize * channels
    if step < width * pixel:
        raise MessageError(
            f'image step {step} does not match its width: {width} pixels of {message.encoding} '
            f'need at least {width * pixel} bytes per row'
        )
    data = np.frombuffer(message.data, np.uint8)
    needed = step * (height - 1) + width * pixel
    if len(data) < needed:
        raise MessageError(
            f'image data are truncated: {len(data)} bytes where {height} rows of step {step} '
            f'need {needed}'
        )
    array: Array = np.ndarray(shape, dtype, data, strides=(step, pixel, dtype.itemsize))
    if dtype.byteorder == ('>' if sys.byteorder == 'little' else '<'):
        array = array.astype(dtype.newbyteorder('='))
    return array[..., 0] if channels == 1 else array


def rgb_image(message: Any) -> Rgb:
    """Return a raw or compressed colour or grey image as (H, W, 3) uint8 RGB.

    A view for rgb8, else a new array. Of 16 bits the upper 8 of those that the sensor has are
    kept: 10, 12, 14 or 16, the fewest that hold the image's greatest value, as the encoding does
    not say. Of a YUV image of odd width the last column is left out.

    Raises:
        MessageError: for a malformed image or one that cannot become a colour image.
    """
    if hasattr(message, 'format'):
        if is_depth(message):
            raise MessageError(f'{message.format!r} is a depth image, not a colour image')
        pixels = decompress(message)
        colours = _OPENCV_COLOURS[1 if pixels.ndim == 2 else pixels.shape[2]]
        mosaic = source_encoding(message)[:10]
        return _converted(pixels, mosaic if colours == 'mono' and mosaic in _BAYER else colours)
    array, encoding = image_array(message), message.encoding
    if encoding in _YUV422 or encoding in _PLANES:
        code = {**_YUV422, **_PLANES}[encoding]
        return _by_opencv(np.ascontiguousarray(array), code)[:, : message.width]
    colours = encoding.removesuffix('16').removesuffix('8')
    if encoding.startswith(('8UC', '16UC')):
        colours = _OPENCV_COLOURS.get(1 if array.ndim == 2 else array.shape[2], '')
    if colours not in _TO_RGB:
        raise MessageError(
            f'{encoding} image is not a colour image; publish rgb8, bgr8 or another encoding that '
            'says its colours'
        )
    return _converted(array, colours)


def _converted(array: Array, colours: str) -> Rgb:
    """Return pixels of 8 or 16 bits as RGB of 8."""
    if array.dtype == np.uint16:
        array = eight_bits(array)
    code = _TO_RGB[colours]
    return array if code is None else _by_opencv(array, code)


def eight_bits(array: npt.NDArray[np.uint16]) -> Rgb:
    """Return the upper 8 of the bits that the sensor of a 16-bit image has."""
    most = int(array.max())
    bits = next(bits for bits in _SENSOR_BITS if most < 2**bits)
    return (array >> (bits - 8)).astype(np.uint8)


def _by_opencv(array: Array, code: int) -> Rgb:
    try:
        return np.asarray(cv2.cvtColor(array, code), np.uint8)
    except cv2.error as error:
        height, width = array.shape[:2]
        raise MessageError(
            f'image of {width}x{height} pixels cannot be converted to RGB: {error.err}'
        ) from error


def plain_image(message: Any) -> Array:
    """Return an image with its own channels and type: colours as RGB, others as they are.

    Depth (``32FC1`` in metres, ``16UC1`` as the sensor says), grey images, labels, normals and
    flow keep their values, compressed ones too.

    Raises:
        MessageError: for a malformed image.
    """
    if hasattr(message, 'format'):
        if is_depth(message):
            return unpacked_depth(message)
        pixels = decompress(message)
        return pixels if pixels.ndim == 2 else _converted(pixels, _OPENCV_COLOURS[pixels.shape[2]])
    encoding = message.encoding
    is_colour = encoding in _NAMED and not encoding.startswith('mono')
    return rgb_image(message) if is_colour or encoding == '8UC3' else image_array(message)


def depth_image(message: Any) -> npt.NDArray[np.float32]:
    """Return a depth image in metres, NaN where invalid (REP-118: 32FC1 m, 16UC1 mm).

    Raises:
        MessageError: for a malformed image or another encoding.
    """
    if hasattr(message, 'format'):
        depth = unpacked_depth(message) if is_depth(message) else decompress(message)
        kind = source_encoding(message) or f'{depth.dtype} of shape {depth.shape}'
    else:
        depth, kind = image_array(message), message.encoding
    if depth.ndim != 2 or depth.dtype not in (np.float32, np.uint16):
        raise MessageError(f'depth image has encoding {kind!r}; use 32FC1 or 16UC1')
    metres = depth * np.float32(0.001 if depth.dtype == np.uint16 else 1)
    metres[~((metres > 0) & np.isfinite(metres))] = np.nan
    return np.asarray(metres, np.float32)
