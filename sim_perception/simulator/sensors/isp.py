# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""From linear light to the camera's bytes: lens, exposure, tone curve, noise, JPEG."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from sim_perception.kernels import kernel
from sim_perception.simulator.common.noise import NORMAL, normal, salt
from sim_perception.simulator.common.parallel import Workers
from sim_perception.simulator.common.scene import F32, Sensor

_TABLE = 4096


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


def develop(light: F32, sensor: Sensor, seed: int, workers: Workers) -> npt.NDArray[np.uint8]:
    """Turn (H, W, 3) linear radiance into (H, W, 3) uint8 RGB as the sensor delivers it.

    Args:
        light: linear radiance.
        sensor: the camera's properties.
        seed: of the noise, different for every frame.
        workers: threads.
    """
    if sensor.blur > 0:
        light = cv2.GaussianBlur(light, (0, 0), sensor.blur, borderType=cv2.BORDER_REPLICATE)
    gain = np.array(sensor.white_balance) * sensor.exposure
    parameters = np.array(
        [
            *gain,
            sensor.contrast,
            sensor.saturation,
            sensor.vignetting,
            sensor.shot_noise,
            sensor.read_noise,
        ]
    )
    image = np.empty(light.shape, np.uint8)
    key = salt(seed)

    def part(first: int, last: int) -> None:
        _expose(light, first, last, parameters, key, _SRGB, NORMAL, image)

    workers.split(part, len(image))
    if sensor.jpeg_quality > 0:
        options = [cv2.IMWRITE_JPEG_QUALITY, sensor.jpeg_quality]
        _, data = cv2.imencode('.jpg', image[..., ::-1], options)
        decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
        image = np.ascontiguousarray(decoded[..., ::-1])
    return image
