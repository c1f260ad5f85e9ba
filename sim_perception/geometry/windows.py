"""Windows: the part of an image about a box, resampled to a fixed size without deforming it.

A window is ``x1 y1 x2 y2`` in pixels of the image, whose pixel centres lie on integers; the cells
of a raster over it tile it. Training and run time cut windows here.
"""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
Pixels = TypeVar('Pixels', bound=np.generic)

_BEYOND = 127.0
"""Grey of what lies beyond the image: the middle of all values."""
_SHRINKS = 1.2


def window_about(
    box: npt.NDArray[np.floating], aspect: float, context: float
) -> npt.NDArray[np.float64]:
    """Return the (4,) window about an image box.

    Args:
        box: (4,) x1 y1 x2 y2, pixels.
        aspect: width over height of the window.
        context: how many times the box's size it is at least.

    Raises:
        ValueError: for a box that is not finite or has no area.
    """
    x1, y1, x2, y2 = (float(value) for value in box)
    if not (np.isfinite([x1, y1, x2, y2]).all() and x2 > x1 and y2 > y1):
        raise ValueError(f'an image box must be finite x1 < x2, y1 < y2, got {np.asarray(box)}')
    width = context * max(x2 - x1, (y2 - y1) * aspect)
    half = 0.5 * np.array([width, width / aspect])
    centre = 0.5 * np.array([x1 + x2, y1 + y2])
    return np.concatenate([centre - half, centre + half])


def cut_window(
    image: npt.NDArray[Pixels], window: npt.NDArray[np.floating], width: int, height: int,
    *, smooth: bool = True, beyond: float = _BEYOND,
) -> npt.NDArray[Pixels]:  # fmt: skip
    """Return a (height, width, ...) raster over a window.

    Args:
        image: (H, W) or (H, W, C).
        window: (4,), see above.
        width, height: of the raster.
        smooth: interpolate, without aliasing; else the nearest pixel's value is taken.
        beyond: value of what lies beyond the image.
    """
    x1, y1, x2, y2 = (float(value) for value in window)
    step = np.array([(x2 - x1) / width, (y2 - y1) / height])
    rows, columns = image.shape[:2]
    # Only what the window needs is filtered, with a margin for the filter.
    margin = 2 + int(2 * step.max())
    left, top = max(0, int(x1) - margin), max(0, int(y1) - margin)
    right, bottom = min(columns, int(x2) + margin + 2), min(rows, int(y2) + margin + 2)
    if left >= right or top >= bottom:
        return np.full((height, width, *image.shape[2:]), beyond).astype(image.dtype)
    part = np.ascontiguousarray(image[top:bottom, left:right])
    if smooth and step.max() > _SHRINKS:
        sigma = np.maximum(0.01, 0.4 * (step - 0.5))
        part = cv2.GaussianBlur(part, (0, 0), float(sigma[0]), sigmaY=float(sigma[1]))
    matrix = np.array(
        [[step[0], 0.0, x1 + 0.5 * step[0] - left], [0.0, step[1], y1 + 0.5 * step[1] - top]]
    )
    how = cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST
    cut = cv2.warpAffine(
        part, matrix, (width, height), flags=how | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT, borderValue=(beyond,) * 4,
    )  # fmt: skip
    return np.asarray(cut, image.dtype)


def cell_places(window: npt.NDArray[np.floating], width: int, height: int) -> F64:
    """Return the (height, width, 2) image places of the centres of a raster's cells."""
    x1, y1, x2, y2 = (float(value) for value in window)
    u = x1 + (x2 - x1) * (np.arange(width) + 0.5) / width
    v = y1 + (y2 - y1) * (np.arange(height) + 0.5) / height
    return np.stack(np.broadcast_arrays(u[None], v[:, None]), -1)
