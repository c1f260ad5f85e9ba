"""Images of a lens as the ideal pinhole of the same matrix sees them, and back.

Networks and label fits see rectified pixels where a lens bends much; what they say of single
pixels is given back in the pixels of the image that came in. Of a fisheye the pinhole sees only
the middle; the rest comes back as unknown.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sim_perception.geometry.lenses import pixels_of, slopes_of
from sim_perception.types import Camera

Map = npt.NDArray[np.float32]

MUCH = 0.01
"""Shift of a pixel, share of the image's width, from which networks see rectified images."""
_NOWHERE = -1e6


@lru_cache(maxsize=8)
def _places(seen: Camera, shown: Camera) -> tuple[Map, Map]:
    """Return (H, W) columns and rows in the image of one camera that another one shows."""
    u, v = np.meshgrid(np.arange(shown.width), np.arange(shown.height))
    places = pixels_of(seen, slopes_of(shown, np.stack([u, v], -1)))
    places[~np.isfinite(places).all(-1)] = _NOWHERE
    columns, rows = (np.ascontiguousarray(places[..., i], np.float32) for i in (0, 1))
    return columns, rows


def _moved(layer: npt.NDArray[Any], seen: Camera, shown: Camera, fill: float | None) -> Any:
    if seen.is_ideal and shown.is_ideal:
        return layer
    height, width = layer.shape[:2]
    if (seen.width, seen.height) != (width, height):
        raise ValueError(
            f'image is {width}x{height} but its calibration is for {seen.width}x{seen.height}'
        )
    columns, rows = _places(seen, shown)
    if fill is None:
        border: dict[str, Any] = {'borderMode': cv2.BORDER_REPLICATE}
        return cv2.remap(layer, columns, rows, cv2.INTER_LINEAR, **border)
    border = {'borderMode': cv2.BORDER_CONSTANT, 'borderValue': [fill] * 4}
    return cv2.remap(layer, columns, rows, cv2.INTER_NEAREST, **border)


def rectify(
    camera: Camera, image: npt.NDArray[Any], fill: float | None = None
) -> npt.NDArray[Any]:
    """Return an image of a camera as ``camera.ideal`` sees it; the same array if that is equal.

    Args:
        camera: with its lens.
        image: (H, W) or (H, W, C), of 8 or 16 bits or float32.
        fill: None for colours, which are interpolated and repeat the border where nothing was
            seen. Else pixels are taken as they are, and this is their value there. Depth along
            the axis stays what it is.

    Raises:
        ValueError: for an image of another size than the camera with a lens is of.
    """
    return np.asarray(_moved(image, camera, camera.ideal, fill))


def restore(camera: Camera, layer: npt.NDArray[Any], fill: float) -> npt.NDArray[Any]:
    """Return what is known of rectified pixels in the camera's own, ``fill`` where nothing is."""
    return np.asarray(_moved(layer, camera.ideal, camera, fill))


@lru_cache(maxsize=64)
def bend(camera: Camera) -> float:
    """Return how far the lens moves a pixel at most, as a share of the image's width.

    Infinite where the pinhole does not see all that the lens does.
    """
    if camera.is_ideal:
        return 0.0
    u, v = np.linspace(0, camera.width - 1, 33), np.linspace(0, camera.height - 1, 33)
    pixels = np.stack(np.meshgrid(u, v), -1)
    away = pixels_of(camera.ideal, slopes_of(camera, pixels)) - pixels
    shift = float(np.hypot(away[..., 0], away[..., 1]).max()) / camera.width
    return shift if np.isfinite(shift) else float('inf')


def is_bent(camera: Camera) -> bool:
    """Return whether networks see rectified images of a camera."""
    return bend(camera) > MUCH


def lens_text(camera: Camera, always: bool = False) -> str:
    """Return what is done about a camera's lens, for people.

    Args:
        camera: with its lens.
        always: whether images are rectified however little it bends.
    """
    if camera.is_ideal:
        return 'none, images are taken as rectified'
    count = len(camera.distortion)
    name = 'equidistant' if camera.fisheye else f'{count} coefficients'
    if not always and not is_bent(camera):
        return f'{name}, moves pixels by {100 * bend(camera):.1f} % of the width; images stay'
    return f'{name}, images are rectified for the network'
