# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""Rain between the camera and the scene: streaks in the image."""

from __future__ import annotations

import math

import numpy as np

from sim_perception.kernels import kernel
from sim_perception.simulator.common.noise import salt, uniform
from sim_perception.simulator.common.scene import F32, F64

#: Streaks per pixel of image area in heavy rain.
_DENSITY = 0.006
#: How long drops are in view, seconds: their fall draws the streak.
_SHUTTER = 0.02
_FALL = 7.0


@kernel
def _draw(light, count, focal, slant, key, color):
    """Blend ``count`` streaks into the (H, W, 3) radiance."""
    height, width = light.shape[0], light.shape[1]
    for drop in range(count):
        place = np.uint32(drop * 8) ^ key
        x = uniform(place) * (width + 40) - 20
        y = uniform(place + np.uint32(1)) * height
        # Most drops are far: short and faint.
        distance = 1.5 + 10.0 * uniform(place + np.uint32(2)) ** 0.5
        length = max(2.0, focal * _FALL * _SHUTTER / distance)
        strength = (0.10 + 0.16 * uniform(place + np.uint32(3))) * min(1.0, 3.0 / distance)
        steps = int(length)
        lean = slant + 0.06 * (uniform(place + np.uint32(4)) - 0.5)
        for k in range(steps):
            row = int(y + k)
            across = x + lean * k
            column = math.floor(across)
            part = across - column
            # Streaks fade in and out and cover two columns in part.
            fade = strength * math.sin(math.pi * (k + 0.5) / steps)
            if row < 0 or row >= height:
                continue
            for side in range(2):
                i = int(column) + side
                if 0 <= i < width:
                    share = fade * (part if side == 1 else 1.0 - part)
                    for c in range(3):
                        light[row, i, c] += (color[c] - light[row, i, c]) * share


def add_rain(light: F32, rain: float, focal: float, sky: F64, seed: int) -> None:
    """Draw rain streaks into (H, W, 3) radiance, in place.

    Args:
        light: linear radiance of the image.
        rain: 0 none to 1 heavy.
        focal: focal length in pixels.
        sky: (3,) radiance of the sky that drops scatter.
        seed: of the drops, different for every frame.
    """
    height, width = light.shape[:2]
    count = round(min(max(rain, 0.0), 1.0) * _DENSITY * height * width)
    if count:
        # The wind's slant stays for a whole scene; drops are new in every frame.
        _draw(light, count, focal, 0.08, salt(seed), np.asarray(sky, np.float64) * 1.1)
