"""Lens models, those of OpenCV: from the slopes of a line of sight to its pixel and back.

Slopes are x / z and y / z in the optical frame. A model is a polynomial that was fitted within
the image; where it turns around beyond, its pixels are no pixels and are given as NaN.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from sim_perception.types import Camera

Array = npt.NDArray[np.floating]

_COUNTS = (5, 8, 12, 14)
"""How many coefficients OpenCV's pinhole model takes."""
_RIGHT_ANGLE = np.pi / 2
_STEPS = 4000
_WIDEST = 50.0
"""Greatest slope that a pinhole's model is asked about: 89 degrees."""
_MOST_STEPS = 50
_EXACT = 1e-10
"""Of slopes: a millionth of a pixel."""
_TINY = 1e-300


def coefficients(camera: Camera) -> npt.NDArray[np.float64]:
    """Return the distortion filled up with zeros to as many numbers as OpenCV takes."""
    given = np.asarray(camera.distortion, np.float64)
    count = 4 if camera.fisheye else next(n for n in _COUNTS if n >= len(given))
    return np.pad(given, (0, count - len(given)))


@lru_cache(maxsize=64)
def reach(camera: Camera) -> float:
    """Return up to where the lens model is one to one: a slope, of a fisheye an angle."""
    return float('inf') if camera.is_ideal else float(_curve(camera)[0][-1])


@lru_cache(maxsize=64)
def _curve(camera: Camera) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return slopes, of a fisheye angles, from 0 to the model's reach and what the lens makes
    of them, which grows.
    """
    k = coefficients(camera)
    if camera.fisheye:
        along = np.linspace(0, _RIGHT_ANGLE, _STEPS)
        seen = along * (1 + sum(k[n] * along ** (2 * n + 2) for n in range(4)))
    else:
        k1, k2, _, _, k3, k4, k5, k6 = np.pad(k, (0, 3))[:8]
        along = np.tan(np.linspace(0, np.arctan(_WIDEST), _STEPS))
        r2 = along**2
        below = 1 + r2 * (k4 + r2 * (k5 + r2 * k6))
        above = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        with np.errstate(divide='ignore', invalid='ignore'):
            seen = np.where(below > 0, along * above / below, -np.inf)
    grows = np.diff(seen) > 0
    count = len(along) if grows.all() else int(np.argmin(grows)) + 1
    return along[:count], seen[:count]


def pixels_of(camera: Camera, slopes: Array) -> Array:
    """Return the (..., 2) pixels of slopes, NaN where the lens sees nothing."""
    slopes = np.asarray(slopes, np.float64)
    if camera.is_ideal or not slopes.size:
        return slopes * [camera.fx, camera.fy] + [camera.cx, camera.cy]
    flat = slopes.reshape(-1, 2)
    away = np.hypot(flat[:, 0], flat[:, 1])
    # NaN compares as false
    inside = (np.arctan(away) if camera.fisheye else away) <= reach(camera)
    found = np.full_like(flat, np.nan)
    found[inside] = (
        _fisheye(camera, flat[inside]) if camera.fisheye else _bent(camera, flat[inside])
    )
    return (found * [camera.fx, camera.fy] + [camera.cx, camera.cy]).reshape(slopes.shape)


def _fisheye(camera: Camera, slopes: Array) -> Array:
    """Return (N, 2) normalised pixels of a fisheye."""
    away = np.hypot(slopes[:, 0], slopes[:, 1])
    angle = np.arctan(away)
    k1, k2, k3, k4 = coefficients(camera)
    a2 = angle * angle
    seen = angle * (1 + a2 * (k1 + a2 * (k2 + a2 * (k3 + a2 * k4))))
    return slopes * np.where(away > 0, seen / np.maximum(away, _TINY), 1.0)[:, None]


def _bent(camera: Camera, slopes: Array) -> Array:
    """Return (N, 2) normalised pixels of a pinhole with a lens (Brown-Conrady)."""
    k = coefficients(camera)
    if len(k) > 8:
        points = np.concatenate([slopes, np.ones((len(slopes), 1))], 1)[:, None]
        pixels, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), np.eye(3), k)
        return np.asarray(pixels, np.float64).reshape(-1, 2)
    k1, k2, p1, p2, k3, k4, k5, k6 = np.pad(k, (0, 3))[:8]
    x, y = slopes.T
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    if k4 or k5 or k6:
        radial /= 1 + r2 * (k4 + r2 * (k5 + r2 * k6))
    u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    v = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    return np.stack([u, v], -1)


def within_reach(camera: Camera, slopes: Array) -> Array:
    """Return the (..., 2) slopes, those beyond what the lens shows pulled to its edge."""
    if camera.is_ideal:
        return slopes
    edge = reach(camera)
    most = np.tan(min(edge, np.arctan(_WIDEST))) if camera.fisheye else edge
    away = np.hypot(slopes[..., 0], slopes[..., 1])
    return slopes * np.minimum(1.0, most / np.maximum(away, 1e-9))[..., None]


def slopes_of(camera: Camera, pixels: Array) -> Array:
    """Return the (..., 2) slopes of pixels, NaN where no line of sight leads to one.

    Not by OpenCV, whose iterations do not converge for wide lenses: what bends towards the middle
    is undone by table, the rest and the table's error by steps of the same kind.
    """
    pixels = np.asarray(pixels, np.float64)
    focal = np.array([camera.fx, camera.fy])
    flat = ((pixels - [camera.cx, camera.cy]) / focal).reshape(-1, 2)
    if camera.is_ideal or not pixels.size:
        return flat.reshape(pixels.shape)
    wanted, slopes = pixels.reshape(-1, 2), np.full_like(flat, np.nan)
    left = np.arange(len(flat))
    for _ in range(_MOST_STEPS):
        slopes[left] = found = _unbent(camera, flat[left])
        wrong = (wanted[left] - pixels_of(camera, found)) / focal
        away = np.abs(wrong).max(-1)
        flat[left] += wrong
        left = left[away > _EXACT]  # what is NaN has no line of sight
        if not len(left):
            break
    slopes[left] = np.nan
    return slopes.reshape(pixels.shape)


def _unbent(camera: Camera, flat: Array) -> Array:
    """Return slopes of normalised pixels as if the lens bent towards the middle only."""
    along, seen = _curve(camera)
    away = np.hypot(flat[..., 0], flat[..., 1])
    found = np.interp(away, seen, along, right=np.nan)
    if camera.fisheye:
        found[found >= _RIGHT_ANGLE] = np.nan
        found = np.tan(found)
    return flat * np.where(away > 0, found / np.maximum(away, _TINY), 1.0)[..., None]
