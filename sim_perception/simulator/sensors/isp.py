# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""From linear light to the camera's bytes: lens, exposure, tone curve, noise, JPEG."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from sim_perception.kernels import kernel
from sim_perception.simulator.common.noise import NORMAL, normal, salt
from sim_perception.simulator.common.parallel import Workers
from sim_perception.simulator.common.scene import F32, Sensor

_TABLE = 4096
#: Raw values: counts per unit of exposed light, what saturates, and black's level.
_RAW, _WHITE, _BLACK = 24000.0, 2.0, 0.25
_LOW_PASS = 0.7
#: How much the tone curve amplifies noise in the lower middle.
_SLOPE = 2.5


def _srgb_table() -> F32:
    linear = np.arange(_TABLE) / (_TABLE - 1.0)
    curve = np.where(
        linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055
    )
    return curve.astype(np.float32)


_SRGB: F32 = _srgb_table()


@kernel
def _expose(light, first, last, parameters, seed, curve, noise, out):  # fmt: skip
    height, width = out.shape[0], out.shape[1]
    contrast, saturation, vignetting = parameters[3], parameters[4], parameters[5]
    shot, read = parameters[6], parameters[7]
    half = 0.5 * width
    top = len(curve) - 1
    channel = np.empty(3)
    for y in range(first, last):
        for x in range(width):
            u, v = (x + 0.5) / half - 1.0, (y + 0.5 - 0.5 * height) / half
            shade = 1.0 - vignetting * (u * u + v * v)
            grey = 0.0
            for c in range(3):
                a = max(0.0, light[y, x, c] * parameters[c] * shade)
                # Filmic curve: ACES fitted by Narkowicz, 2016.
                a = (a * (2.51 * a + 0.03)) / (a * (2.43 * a + 0.59) + 0.14)
                channel[c] = curve[int(min(a, 1.0) * top + 0.5)]
                grey += channel[c] * (0.299 if c == 0 else (0.587 if c == 1 else 0.114))
            for c in range(3):
                a = grey + (channel[c] - grey) * saturation
                a = 0.45 + (a - 0.45) * contrast
                if shot > 0.0 or read > 0.0:
                    place = np.uint32((y * width + x) * 3 + c) ^ seed
                    deviation = math.sqrt(shot * shot * max(a, 0.0) + read * read)
                    a += normal(place, noise) * deviation
                out[y, x, c] = np.uint8(min(max(a, 0.0), 1.0) * 255.0 + 0.5)


@kernel
def _mosaic(light, first, last, exposure, vignetting, shot, read, seed, noise, raw):
    """Write the 16-bit values of a sensor with a red-green/green-blue mosaic, with its noise."""
    height, width = raw.shape
    half = 0.5 * width
    for y in range(first, last):
        for x in range(width):
            u, v = (x + 0.5) / half - 1.0, (y + 0.5 - 0.5 * height) / half
            c = (y & 1) + (x & 1)
            a = max(0.0, light[y, x, c]) * exposure * (1.0 - vignetting * (u * u + v * v))
            place = np.uint32(y * width + x) ^ seed
            a += normal(place, noise) * math.sqrt(shot * shot * max(a, 0.0) + read * read)
            # Black lies above 0, so that noise in the dark is not cut off.
            raw[y, x] = np.uint16(min(max(a + _BLACK, 0.0), _WHITE + _BLACK) * _RAW + 0.5)


def _noise(sensor: Sensor, gain: float, slope: float = 1.0) -> tuple[float, float]:
    """Return shot and read noise; half of a gain, as photographers count, is longer exposure."""
    scale = math.sqrt(gain) / slope
    return sensor.shot_noise * scale, sensor.read_noise * scale


def _demosaiced(light: F32, sensor: Sensor, gain: float, key: np.uint32, workers: Workers) -> F32:
    """Return (H, W, 3) exposed radiance as interpolated from one colour per pixel."""
    # The filter in front of a mosaic: without it, edges between pixels would take on colours.
    light = np.asarray(cv2.GaussianBlur(light, (0, 0), _LOW_PASS), np.float32)
    raw = np.empty(light.shape[:2], np.uint16)

    def part(first: int, last: int) -> None:
        _mosaic(
            light, first, last, sensor.exposure * gain, sensor.vignetting,
            *_noise(sensor, gain, _SLOPE), key, NORMAL, raw,
        )  # fmt: skip

    workers.split(part, len(raw))
    colors = cv2.demosaicing(raw, cv2.COLOR_BayerRGGB2RGB_EA)
    return np.asarray(colors, np.float32) / np.float32(_RAW) - np.float32(_BLACK)


def develop(
    light: F32, sensor: Sensor, seed: int, workers: Workers, gain: float = 1.0
) -> npt.NDArray[np.uint8]:
    """Turn (H, W, 3) linear radiance into (H, W, 3) uint8 RGB as the sensor delivers it.

    Args:
        light: linear radiance.
        sensor: the camera's properties.
        seed: of the noise, different for every frame.
        workers: threads.
        gain: of auto-exposure, on top of the sensor's exposure.
    """
    if sensor.blur > 0:
        light = cv2.GaussianBlur(light, (0, 0), sensor.blur, borderType=cv2.BORDER_REPLICATE)
    if sensor.bayer:
        light = _demosaiced(light, sensor, gain, salt(seed), workers)
        sensor = replace(sensor, exposure=1.0, vignetting=0.0, shot_noise=0.0, read_noise=0.0)
        gain = 1.0
    image = _tone_mapped(light, sensor, gain, salt(seed), workers)
    if sensor.sharpening > 0:
        smooth = cv2.GaussianBlur(image, (0, 0), 1.0)
        strength = sensor.sharpening
        image = np.asarray(cv2.addWeighted(image, 1 + strength, smooth, -strength, 0), np.uint8)
    if sensor.jpeg_quality > 0:
        options = [cv2.IMWRITE_JPEG_QUALITY, sensor.jpeg_quality]
        _, data = cv2.imencode('.jpg', image[..., ::-1], options)
        decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
        image = np.ascontiguousarray(decoded[..., ::-1])
    return image


def _tone_mapped(
    light: F32, sensor: Sensor, gain: float, key: np.uint32, workers: Workers
) -> npt.NDArray[np.uint8]:
    channels = np.array(sensor.white_balance) * (sensor.exposure * gain)
    parameters = np.array(
        [
            *channels,
            sensor.contrast,
            sensor.saturation,
            sensor.vignetting,
            *_noise(sensor, gain),
        ]
    )
    image = np.empty(light.shape, np.uint8)

    def part(first: int, last: int) -> None:
        _expose(light, first, last, parameters, key, _SRGB, NORMAL, image)

    workers.split(part, len(image))
    return image
