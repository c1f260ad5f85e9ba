# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""Rain between the camera and the scene: streaks in the image."""

from __future__ import annotations

import math

import numpy as np

from sim_perception.kernels import inlined, kernel
from sim_perception.simulator.common.noise import salt, uniform
from sim_perception.simulator.common.scene import F32, F64
from sim_perception.types import Camera

#: Streaks per pixel of image area in heavy rain.
_DENSITY = 0.006
#: How long drops are in view, seconds: their fall draws the streak.
_SHUTTER = 0.02
_FALL = 7.0
#: Velocity of the drops in the world, with a little wind.
DROPS = np.array([0.0, 0.5, -_FALL])


@inlined
def _blend(light, row, across, strength, color):
    """Blend a color into a row of radiance; a place between two columns covers both in part."""
    column = math.floor(across)
    part = across - column
    for side in range(2):
        i = int(column) + side
        if 0 <= i < light.shape[1]:
            share = strength * (part if side == 1 else 1.0 - part)
            for c in range(3):
                light[row, i, c] += (color[c] - light[row, i, c]) * share


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
            # Streaks fade in and out.
            fade = strength * math.sin(math.pi * (k + 0.5) / steps)
            if 0 <= row < height:
                _blend(light, row, across, fade, color)


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


@kernel
def _draw_streaks(light, count, focal, cx, cy, vx, vy, vz, shutter, key, color):
    """Blend drops that move through the view while the shutter is open."""
    height, width = light.shape[0], light.shape[1]
    for drop in range(count):
        place = np.uint32(drop * 8) ^ key
        x = uniform(place) * (width + 40) - 20
        y = uniform(place + np.uint32(1)) * (height + 40) - 20
        distance = 1.0 + 10.0 * uniform(place + np.uint32(2)) ** 0.5
        # The image's motion of a point at this distance, by the camera's and its own.
        along_x = (focal * vx - (x - cx) * vz) * shutter / distance
        along_y = (focal * vy - (y - cy) * vz) * shutter / distance
        length = math.sqrt(along_x * along_x + along_y * along_y)
        steps = int(min(max(length, 2.0), 400.0))
        # A long streak spreads the same light over more pixels.
        strength = (0.10 + 0.16 * uniform(place + np.uint32(3))) * min(1.0, 3.0 / distance)
        strength *= min(1.0, (12.0 / steps) ** 0.5)
        for k in range(steps):
            share = (k + 0.5) / steps - 0.5
            row = math.floor(y + share * along_y)
            across = x + share * along_x
            fade = strength * math.sin(math.pi * (share + 0.5))
            if 0 <= row < height:
                _blend(light, row, across, fade, color)


def add_streaks(
    light: F32, rain: float, camera: Camera, velocity: F64, shutter: float, sky: F64, seed: int
) -> None:
    """Draw rain as an exposure of ``shutter`` seconds sees it, in place.

    Args:
        light: (H, W, 3) linear radiance.
        rain: 0 none to 1 heavy.
        camera: of the image.
        velocity: (3,) of the drops relative to the camera, in its optical frame, m/s.
        shutter: seconds.
        sky: (3,) radiance of the sky that drops scatter.
        seed: of the drops, different for every frame.
    """
    height, width = light.shape[:2]
    count = round(min(max(rain, 0.0), 1.0) * _DENSITY * height * width)
    if count:
        x, y, z = (float(v) for v in velocity)
        color = np.asarray(sky, np.float64) * 1.1
        _draw_streaks(
            light, count, camera.fx, camera.cx, camera.cy, x, y, z, shutter, salt(seed), color
        )
