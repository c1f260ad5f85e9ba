"""Light that a lens scatters: glow around bright lamps and the sun, ghosts opposite to them."""

from __future__ import annotations

import cv2
import numpy as np

from sim_perception.simulator.common.scene import F32
from sim_perception.types import Camera

#: Glow and ghosts are soft: every so many pixels are enough.
_COARSE = 4
#: Widths of the glow, shares of the image's width, and how much light each gets.
_GLOWS = ((0.006, 0.55), (0.02, 0.30), (0.07, 0.15))
#: Ghosts: place along the line through the principal point, colour, strength.
_GHOSTS = (
    (-0.45, (0.5, 0.9, 0.6), 0.10),
    (-0.85, (0.9, 0.6, 0.4), 0.06),
    (0.4, (0.5, 0.6, 1.0), 0.07),
    (-1.5, (0.7, 0.5, 0.9), 0.03),
)  # fmt: skip
#: Lamps and the sun are rendered no brighter than this part of what they are.
_BRIGHTER = 4.0


def add_glare(light: F32, camera: Camera, gain: float, bloom: float, flare: float) -> F32:
    """Return (H, W, 3) radiance with glow and ghosts of what is brighter than white.

    Args:
        light: linear radiance.
        camera: for the principal point.
        gain: of the exposure: what it makes white.
        bloom, flare: strength of glow and ghosts, 0 to 1.
    """
    height, width = light.shape[:2]
    excess = np.maximum(light * np.float32(gain) - 1.0, 0.0).astype(np.float32)
    if not excess.any():
        return light
    excess = np.minimum(excess, 4.0) * (_BRIGHTER / gain)
    size = (-(-width // _COARSE), -(-height // _COARSE))
    coarse = cv2.resize(excess, size, interpolation=cv2.INTER_AREA)
    spread = np.zeros_like(coarse)
    for share, weight in _GLOWS:
        sigma = max(share * size[0], 0.5)
        blurred = cv2.GaussianBlur(coarse, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
        spread += np.float32(bloom * weight) * blurred
    if flare > 0:
        sharp = cv2.GaussianBlur(coarse, (0, 0), max(0.015 * size[0], 1.5))
        for place, color, weight in _GHOSTS:
            spread += _ghost(sharp, camera, place) * np.float32(flare * weight * np.array(color))
    fine = cv2.resize(spread, (width, height), interpolation=cv2.INTER_LINEAR)
    return light + np.asarray(fine, np.float32)


def _ghost(bright: F32, camera: Camera, place: float) -> F32:
    """Return the image of bright things, scaled by ``place`` about the principal point."""
    x, y = ((c + 0.5) / _COARSE - 0.5 for c in (camera.cx, camera.cy))
    matrix = np.array([[place, 0, x - place * x], [0, place, y - place * y]], np.float64)
    flags = cv2.INTER_LINEAR
    moved = cv2.warpAffine(
        bright, matrix, (bright.shape[1], bright.shape[0]), flags=flags,
        borderMode=cv2.BORDER_CONSTANT,
    )  # fmt: skip
    return np.asarray(moved, np.float32)
