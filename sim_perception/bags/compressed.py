"""Compressed images: JPEG, PNG and depth as ``compressed_depth_image_transport`` packs it."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sim_perception.bags.errors import MessageError

Array = npt.NDArray[Any]

MOST_PIXELS = 2**27
"""Larger images are not unpacked."""
_DEFLATE = 1032
"""No byte of a PNG can stand for more."""
_PNG = b'\x89PNG\r\n\x1a\n'
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_JPEG = b'\xff\xd8'
_JPEG_PIXELS = 1024
"""No byte of a JPEG stands for more pixels: a block of 64 takes a bit at least."""
_MOST_MARKERS = 4096
# Start of frame; C4, C8 and CC are other tables.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset(range(0xD0, 0xD9)) | {0x01}
_DEPTH_HEADER = struct.Struct('<iff')


def source_encoding(message: Any) -> str:
    """Return the encoding that was compressed, as ``format`` has it first: 'rgb8; jpeg ...'."""
    name, separator, _ = message.format.partition(';')
    return name.strip() if separator else ''


def is_depth(message: Any) -> bool:
    """Return whether a CompressedImage is one of ``compressedDepth``."""
    return 'compressedDepth' in message.format


def decompress(message: Any) -> Array:
    """Return (H, W) or (H, W, C) pixels of a JPEG or PNG in OpenCV's order, 8 or 16 bits.

    Raises:
        MessageError: for empty, damaged or other data, or a size that they cannot have.
    """
    return _decoded(np.frombuffer(message.data, np.uint8), message.format)


def _decoded(data: npt.NDArray[np.uint8], name: str) -> Array:
    what = f'compressed image ({name!r}, {len(data)} bytes)'
    if not len(data):
        raise MessageError(f'{what} is empty; is the camera running?')
    size = announced_size(data)
    if size is None:
        raise MessageError(f'{what} cannot be decoded: it is neither JPEG nor PNG')
    width, height, least = size
    if width < 1 or height < 1 or width * height > MOST_PIXELS or least > len(data):
        raise MessageError(
            f'{what} cannot be decoded: it says that it has {width}x{height} pixels, for which '
            'it is too small or which are too many'
        )
    try:
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise MessageError(f'{what} cannot be decoded: {error.err}') from error
    if image is None or image.dtype not in (np.uint8, np.uint16):
        raise MessageError(f'{what} cannot be decoded; was it truncated?')
    return image


def announced_size(data: npt.NDArray[np.uint8]) -> tuple[int, int, int] | None:
    """Return width, height and the least bytes that such an image takes; None for other data."""
    head = data[:32].tobytes()
    if head.startswith(_PNG) and len(head) >= 29:
        width, height, bits, colour = struct.unpack('>IIBB', head[16:26])
        row = (width * bits * _PNG_CHANNELS.get(colour, 1) + 7) // 8 + 1
        return width, height, row * height // _DEFLATE
    if not head.startswith(_JPEG):
        return None
    place = 2
    for _ in range(_MOST_MARKERS):
        if place + 9 > len(data) or data[place] != 0xFF:
            return None
        kind = int(data[place + 1])
        if kind == 0xFF:  # padding
            place += 1
        elif kind in _JPEG_BARE:
            place += 2
        elif kind in _JPEG_FRAMES:
            height, width = struct.unpack('>HH', data[place + 5 : place + 9].tobytes())
            return width, height, width * height // _JPEG_PIXELS
        else:
            place += 2 + int.from_bytes(data[place + 2 : place + 4].tobytes(), 'big')
    return None


def unpacked_depth(message: Any) -> Array:
    """Return the (H, W) depth of ``compressedDepth``: uint16 as the sensor says, or float32 m.

    Raises:
        MessageError: for damaged data or another codec than PNG.
    """
    data = np.frombuffer(message.data, np.uint8)
    name = message.format
    if 'rvl' in name:
        raise MessageError(
            f'depth compressed as {name!r} cannot be read; set the publisher to png '
            '(compressedDepth.format)'
        )
    if len(data) <= _DEPTH_HEADER.size:
        raise MessageError(f'compressed depth ({name!r}) of {len(data)} bytes is empty')
    _, a, b = _DEPTH_HEADER.unpack(data[: _DEPTH_HEADER.size].tobytes())
    packed = _decoded(data[_DEPTH_HEADER.size :], name)
    if packed.ndim != 2 or packed.dtype != np.uint16:
        raise MessageError(f'compressed depth ({name!r}) is not one channel of 16 bits')
    if source_encoding(message) != '32FC1':
        return packed
    with np.errstate(divide='ignore', invalid='ignore'):
        depth = np.float32(a) / (packed.astype(np.float32) - np.float32(b))
    depth[packed == 0] = np.nan
    return depth
