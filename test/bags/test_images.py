"""Images of every kind that cameras publish become the right pixels, or one sentence."""

from __future__ import annotations

import struct
import time
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_perception.bags import messages
from sim_perception.bags.compressed import announced_size
from sim_perception.bags.errors import MessageError
from sim_perception.bags.images import depth_image, image_array, plain_image, rgb_image
from sim_perception.bags.typestore import message_class

STAMP = 1_700_000_000_000_000_000
LAYOUTS = [
    ('rgb8', np.uint8, 3), ('bgr8', np.uint8, 3), ('rgba8', np.uint8, 4), ('bgra8', np.uint8, 4),
    ('mono8', np.uint8, 1), ('mono16', np.uint16, 1), ('16UC1', np.uint16, 1),
    ('rgb16', np.uint16, 3), ('bayer_rggb16', np.uint16, 1), ('32FC1', np.float32, 1),
    ('32FC3', np.float32, 3), ('64FC1', np.float64, 1), ('16SC1', np.int16, 1),
]  # fmt: skip


def image(pixels: np.ndarray, encoding: str, /, **changes: Any) -> Any:
    """Return an Image whose bytes are an array's."""
    data = np.ascontiguousarray(pixels)
    message = message_class('sensor_msgs/msg/Image')(
        header=messages.header(STAMP, 'camera'),
        height=data.shape[0],
        width=data.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=data.strides[0],
        data=data.reshape(-1).view(np.uint8),
    )
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def packed(data: bytes | np.ndarray, form: str = 'jpeg') -> Any:
    """Return a CompressedImage."""
    return message_class('sensor_msgs/msg/CompressedImage')(
        header=messages.header(STAMP, 'camera'),
        format=form,
        data=np.frombuffer(bytes(data), np.uint8),
    )


def encoded(pixels: np.ndarray, kind: str = '.png') -> bytes:
    """Return RGB or grey pixels as a file."""
    bgr = pixels[..., ::-1] if pixels.ndim == 3 else pixels
    return bytes(cv2.imencode(kind, np.ascontiguousarray(bgr))[1])


@settings(max_examples=60, deadline=None)
@given(
    layout=st.sampled_from(LAYOUTS),
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    padding=st.integers(0, 9),
    big=st.booleans(),
)
def test_step_and_byte_order_are_honoured(
    layout: tuple[str, type, int], height: int, width: int, padding: int, big: bool
) -> None:
    encoding, dtype, channels = layout
    shape = (height, width) if channels == 1 else (height, width, channels)
    pixels = (np.arange(np.prod(shape)).reshape(shape) * 7).astype(dtype)
    swapped = pixels.astype(pixels.dtype.newbyteorder('>' if big else '<'))
    rows = swapped.view(np.uint8).reshape(height, -1)
    data = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    message = image(data, encoding, width=width, is_bigendian=int(big))
    found = image_array(message)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, pixels)
    assert big or np.shares_memory(found, message.data)


RGB = np.random.default_rng(1).integers(0, 256, (4, 6, 3), np.uint8)
ALPHA = np.full((4, 6, 1), 9, np.uint8)
GREY = np.repeat(RGB[..., :1], 3, -1)


@pytest.mark.parametrize(
    ('encoding', 'pixels', 'expected'),
    [
        ('rgb8', RGB, RGB),
        ('bgr8', RGB[..., ::-1], RGB),
        ('8UC3', RGB[..., ::-1], RGB),
        ('rgba8', np.dstack([RGB, ALPHA]), RGB),
        ('bgra8', np.dstack([RGB[..., ::-1], ALPHA]), RGB),
        ('8UC4', np.dstack([RGB[..., ::-1], ALPHA]), RGB),
        ('mono8', RGB[..., 0], GREY),
        ('8UC1', RGB[..., 0], GREY),
        ('rgb16', RGB.astype(np.uint16) << 8, RGB),
        ('bgr16', RGB[..., ::-1].astype(np.uint16) << 8, RGB),
        ('16UC3', RGB[..., ::-1].astype(np.uint16) << 8, RGB),
        ('rgba16', np.dstack([RGB, ALPHA]).astype(np.uint16) << 8, RGB),
        ('bgra16', np.dstack([RGB[..., ::-1], ALPHA]).astype(np.uint16) << 8, RGB),
        ('mono16', RGB[..., 0].astype(np.uint16) << 8, GREY),
        ('16UC1', RGB[..., 0].astype(np.uint16) << 8, GREY),
    ],
)
def test_every_colour_encoding_gives_the_same_rgb(
    encoding: str, pixels: np.ndarray, expected: np.ndarray
) -> None:
    np.testing.assert_array_equal(rgb_image(image(pixels, encoding)), expected)


@pytest.mark.parametrize('bits', [10, 12, 14, 16])
@pytest.mark.parametrize('encoding', ['mono16', '16UC1', 'bayer_rggb16', 'rgb16'])
def test_bits_that_a_sensor_has_not_are_not_shifted_away(bits: int, encoding: str) -> None:
    shape = (8, 8, 3) if encoding == 'rgb16' else (8, 8)
    white = np.full(shape, 2**bits - 1, np.uint16)
    grey = white // 2
    grey[0, 0] = white[0, 0]
    assert (rgb_image(image(white, encoding)) == 255).all()
    assert (rgb_image(image(grey, encoding))[2:, 2:] == 127).all()


def test_a_black_image_stays_black() -> None:
    assert not rgb_image(image(np.zeros((4, 4), np.uint16), 'mono16')).any()


@pytest.mark.parametrize('bits', [8, 16])
@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_bayer_patterns_put_colours_right(pattern: str, bits: int) -> None:
    colour = {'r': 200, 'g': 120, 'b': 40}
    tile = np.array([colour[c] for c in pattern]).reshape(2, 2)
    mosaic = np.tile(tile, (6, 6)).astype(np.uint8 if bits == 8 else np.uint16)
    if bits == 16:
        mosaic <<= 8
    found = rgb_image(image(mosaic, f'bayer_{pattern}{bits}'))
    assert (found[4:8, 4:8] == [200, 120, 40]).all()
    # what image_transport makes of it: the mosaic as a grey picture, its pattern in the format
    name = f'bayer_{pattern}{bits}; png compressed bayer_{pattern}{bits}'
    again = rgb_image(packed(encoded(mosaic), name))
    assert (again[4:8, 4:8] == [200, 120, 40]).all()


def yuv(rgb: np.ndarray) -> np.ndarray:
    """Return full-range-free BT.601 Y, U, V of (H, W, 3) RGB, as cameras send it."""
    r, g, b = (rgb[..., i].astype(float) for i in range(3))
    y = 16 + (65.738 * r + 129.057 * g + 25.064 * b) / 256
    u = 128 + (-37.945 * r - 74.494 * g + 112.439 * b) / 256
    v = 128 + (112.439 * r - 94.154 * g - 18.285 * b) / 256
    return np.rint(np.stack([y, u, v], -1)).astype(np.uint8)


@pytest.mark.parametrize('width', [8, 7])
@pytest.mark.parametrize(
    ('encoding', 'order'),
    [('yuv422', 'uyvy'), ('uyvy', 'uyvy'), ('yuyv', 'yuyv'), ('yuv422_yuy2', 'yuyv'),
     ('yvyu', 'yvyu')],
)  # fmt: skip
def test_yuv422_gives_its_colours_also_of_odd_width(encoding: str, order: str, width: int) -> None:
    blocks = np.repeat(np.random.default_rng(3).integers(20, 235, (4, 4, 3)), 2, 1)
    y, u, v = np.moveaxis(yuv(blocks), -1, 0)
    pairs = {'y': [y[:, ::2], y[:, 1::2]], 'u': [u[:, ::2]], 'v': [v[:, ::2]]}
    data = np.stack([pairs[c].pop(0) for c in order], -1).reshape(4, 8, 2)
    message = image(data, encoding, width=width)
    np.testing.assert_allclose(rgb_image(message), blocks[:, :width], atol=3)
    np.testing.assert_array_equal(plain_image(message), rgb_image(message))


@pytest.mark.parametrize('encoding', ['yuv422', 'yuyv'])
def test_odd_width_without_the_last_pair_is_refused(encoding: str) -> None:
    message = image(np.full((47, 63, 2), 128, np.uint8), encoding)
    with pytest.raises(MessageError, match=f'{encoding} images need an even width, got 63'):
        rgb_image(message)


@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize(('encoding', 'order'), [('nv12', (1, 2)), ('nv21', (2, 1))])
def test_planes_of_brightness_and_colour(
    encoding: str, order: tuple[int, int], padding: int
) -> None:
    blocks = np.random.default_rng(4).integers(20, 235, (3, 4, 3)).repeat(2, 0).repeat(2, 1)
    values = yuv(blocks)
    colour = values[::2, ::2, list(order)].reshape(3, 8)
    planes = np.concatenate([values[..., 0], colour])
    data = np.pad(planes, ((0, 0), (0, padding)))
    message = image(data, encoding, height=6, width=8)
    np.testing.assert_allclose(rgb_image(message), blocks, atol=3)
    message.data = message.data[: 8 * len(planes) - 1]
    with pytest.raises(MessageError, match='truncated'):
        rgb_image(message)
    message.height = 5
    with pytest.raises(MessageError, match='even width and height'):
        rgb_image(message)


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'encoding': 'purple'}, "unknown image encoding 'purple'; use rgb8"),
        ({'encoding': '8UC9'}, 'unknown image encoding'),
        ({'encoding': '8UC²'}, 'unknown image encoding'),
        ({'encoding': ''}, 'unknown image encoding'),
        ({'width': 0}, 'zero size'),
        ({'height': 0}, 'zero size'),
        ({'step': 14}, 'step 14 does not match its width'),
        ({'step': 0}, 'step 0 does not match its width'),
        ({'height': 5}, 'truncated'),
        ({'height': 2**32 - 1, 'width': 2**32 - 1, 'step': 2**32 - 1}, 'does not match'),
        ({'height': 2**32 - 1}, 'truncated'),
        ({'encoding': '32FC1'}, 'step 15 does not match its width'),
    ],
)
def test_contradicting_images_are_refused(changes: dict[str, Any], words: str) -> None:
    for read in (rgb_image, plain_image, depth_image):
        with pytest.raises(MessageError, match=words):
            read(image(np.zeros((4, 5, 3), np.uint8), 'rgb8', **changes))


@pytest.mark.parametrize(
    'pixels',
    [np.ones((2, 2), np.float32), np.ones((2, 2, 2), np.uint8), np.ones((2, 2), np.int16)],
)
def test_what_is_no_colour_image_is_refused(pixels: np.ndarray) -> None:
    kind = {'f': '32FC1', 'u': '8UC2', 'i': '16SC1'}[pixels.dtype.kind]
    with pytest.raises(MessageError, match=f'{kind} image is not a colour image'):
        rgb_image(image(pixels, kind))
    np.testing.assert_array_equal(plain_image(image(pixels, kind)), pixels)


def test_what_opencv_cannot_do_is_a_sentence() -> None:
    tiny = image(np.zeros((1, 1), np.uint8), 'bayer_rggb8')
    try:
        assert rgb_image(tiny).shape == (1, 1, 3)
    except MessageError as error:
        assert 'cannot be converted to RGB' in str(error)  # noqa: PT017


@pytest.mark.parametrize('name', ['png', 'rgb8; png compressed bgr8', '', 'nonsense'])
def test_png_is_exact_whatever_the_format_says(name: str) -> None:
    np.testing.assert_array_equal(rgb_image(packed(encoded(RGB), name)), RGB)
    np.testing.assert_array_equal(plain_image(packed(encoded(RGB), name)), RGB)
    np.testing.assert_array_equal(rgb_image(packed(encoded(RGB[..., 0]), name)), GREY)
    alpha = bytes(cv2.imencode('.png', np.dstack([RGB[..., ::-1], ALPHA]))[1])
    np.testing.assert_array_equal(rgb_image(packed(alpha, name)), RGB)


def test_png_of_16_bits_keeps_depth_and_shows_a_12_bit_camera() -> None:
    y, x = np.mgrid[:48, :64]
    depth = (x * 700 + y).astype(np.uint16)
    message = packed(encoded(depth), '16UC1; png compressed')
    np.testing.assert_array_equal(plain_image(message), depth)
    np.testing.assert_allclose(
        depth_image(message), np.where(depth > 0, depth / 1000, np.nan), rtol=1e-6
    )
    white = np.full((8, 8), 4095, np.uint16)
    assert (rgb_image(packed(encoded(white), 'mono16; png compressed')) == 255).all()


def test_jpeg_comes_close() -> None:
    y, x = np.mgrid[:48, :64]
    smooth = np.dstack([x * 3, y * 4, (x + y) * 2]).astype(np.uint8)
    found = rgb_image(packed(encoded(smooth, '.jpg'), 'rgb8; jpeg compressed bgr8'))
    assert np.abs(found.astype(int) - smooth).mean() < 3


@pytest.mark.parametrize(
    ('data', 'words'),
    [
        (b'', 'is empty; is the camera running'),
        (b'not an image', 'neither JPEG nor PNG'),
        (encoded(RGB)[:20], 'neither JPEG nor PNG'),
        (encoded(RGB)[:40], 'cannot be decoded'),
        (encoded(RGB, '.jpg')[:20], 'cannot be decoded'),
        (encoded(RGB, '.bmp'), 'neither JPEG nor PNG'),
        (b'\xff\xd8' + b'\xff' * 5_000_000, 'neither JPEG nor PNG'),
    ],
)
def test_damaged_compressed_images_are_refused(data: bytes, words: str) -> None:
    before = time.process_time()
    for read in (rgb_image, plain_image, depth_image):
        with pytest.raises(MessageError, match=words):
            read(packed(data))
    assert time.process_time() - before < 1


def png(width: int, height: int, data: bytes, bits: int = 8, colour: int = 2) -> bytes:
    """Return a PNG that announces a size."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack('>I', len(body)) + name + body + struct.pack('>I', zlib.crc32(name + body))
        )

    head = struct.pack('>IIBBBBB', width, height, bits, colour, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head) + chunk(b'IDAT', data) + chunk(b'IEND', b'')


@pytest.mark.parametrize(('width', 'height'), [(40_000, 43_000), (30_000, 4_000), (2**31, 2**31)])
@pytest.mark.parametrize('bits', [8, 16])
def test_sizes_that_the_data_cannot_fill_are_not_believed(
    width: int, height: int, bits: int
) -> None:
    bomb = png(width, height, zlib.compress(bytes(10_000_000))[:100_000], bits)
    with pytest.raises(MessageError, match=f'it says that it has {width}x{height} pixels'):
        rgb_image(packed(bomb, 'png'))
    jpeg = bytearray(encoded(RGB, '.jpg'))
    at = jpeg.index(b'\xff\xc0') + 5
    jpeg[at : at + 4] = struct.pack('>HH', 50_000, 50_000)
    with pytest.raises(MessageError, match='it says that it has 50000x50000 pixels'):
        rgb_image(packed(bytes(jpeg)))


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from(['.jpg', '.png']))
@settings(max_examples=40, deadline=None)
def test_honest_sizes_are_known_before_decoding(width: int, height: int, kind: str) -> None:
    data = np.frombuffer(encoded(np.zeros((height, width, 3), np.uint8), kind), np.uint8)
    size = announced_size(data)
    assert size is not None
    assert size[:2] == (width, height)
    assert size[2] <= len(data)


def test_depth_images_become_metres() -> None:
    millimetres = image(np.array([[0, 1500]], np.uint16), '16UC1')
    np.testing.assert_allclose(depth_image(millimetres), [[np.nan, 1.5]])
    metres = np.array([[np.nan, 2.5, 0, -1, np.inf, -np.inf]], np.float32)
    found = depth_image(image(metres, '32FC1'))
    np.testing.assert_allclose(found, [[np.nan, 2.5] + [np.nan] * 4])
    assert found.dtype == np.float32
    for pixels, encoding in ((np.zeros((1, 1), np.uint8), 'mono8'), (RGB, 'rgb8')):
        with pytest.raises(MessageError, match=f'{encoding!r}; use 32FC1 or 16UC1'):
            depth_image(image(pixels, encoding))


def compressed_depth(depth: np.ndarray, encoding: str) -> Any:
    """Return depth as ``compressed_depth_image_transport`` packs it, by its inverse."""
    a, b = 0.0, 0.0
    if encoding == '32FC1':
        a, b = 100.0 * 101.0, 1 - 100.0 * 101.0 / 10.0
        with np.errstate(invalid='ignore'):
            depth = np.where(depth < 10, np.rint(a / depth + b), 0).astype(np.uint16)
    data = struct.pack('<iff', 0, a, b) + encoded(depth)
    return packed(data, f'{encoding}; compressedDepth png')


def test_compressed_depth_is_depth() -> None:
    metres = np.random.default_rng(5).uniform(0.5, 8, (12, 16)).astype(np.float32)
    metres[0, 0], metres[0, 1] = np.nan, 20
    found = depth_image(compressed_depth(metres, '32FC1'))
    assert np.isnan(found[0, :2]).all()
    np.testing.assert_allclose(found.ravel()[2:], metres.ravel()[2:], rtol=0.01)
    sensor = (np.nan_to_num(metres) * 1000).astype(np.uint16)
    message = compressed_depth(sensor, '16UC1')
    np.testing.assert_array_equal(plain_image(message), sensor)
    np.testing.assert_allclose(depth_image(message)[1:], metres[1:], atol=0.001)
    with pytest.raises(MessageError, match='is a depth image'):
        rgb_image(message)


@pytest.mark.parametrize(
    ('data', 'name', 'words'),
    [
        (b'123', '16UC1; compressedDepth png', 'is empty'),
        (bytes(12) + b'junk', '16UC1; compressedDepth png', 'neither JPEG nor PNG'),
        (bytes(12) + encoded(RGB), '16UC1; compressedDepth png', 'not one channel of 16 bits'),
        (bytes(99), '16UC1; compressedDepth rvl', 'set the publisher to png'),
    ],
)
def test_damaged_compressed_depth_is_refused(data: bytes, name: str, words: str) -> None:
    for read in (plain_image, depth_image):
        with pytest.raises(MessageError, match=words):
            read(packed(data, name))
