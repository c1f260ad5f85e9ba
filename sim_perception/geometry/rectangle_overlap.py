"""Overlap of rotated rectangles, seen from above."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sim_perception.kernels import kernel


@kernel
def remainder(angle: float, period: float) -> float:
    """Return an angle less the nearest multiple of the period."""
    return angle - period * round(angle / period)


@kernel
def _corners(box: npt.NDArray[np.float64], out: npt.NDArray[np.float64]) -> None:
    c, s = math.cos(box[3]), math.sin(box[3])
    half_length, half_width = box[4] / 2, box[5] / 2
    for k in range(4):
        u = half_length if k in (0, 3) else -half_length
        v = half_width if k < 2 else -half_width
        out[k, 0] = box[0] + c * u - s * v
        out[k, 1] = box[1] + s * u + c * v


@kernel
def intersection(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Return the area that two boxes ``x y z yaw length width height`` share from above.

    Sutherland and Hodgman's clipping of one rectangle by the other's four sides.
    """
    polygon = np.empty((12, 2))
    clipped = np.empty((12, 2))
    sides = np.empty((4, 2))
    _corners(a, polygon)
    _corners(b, sides)
    count = 4
    for k in range(4):
        x0, y0 = sides[k, 0], sides[k, 1]
        dx, dy = sides[(k + 1) % 4, 0] - x0, sides[(k + 1) % 4, 1] - y0
        kept = 0
        for i in range(count):
            px, py = polygon[i, 0], polygon[i, 1]
            qx, qy = polygon[(i + 1) % count, 0], polygon[(i + 1) % count, 1]
            p = dx * (py - y0) - dy * (px - x0)
            q = dx * (qy - y0) - dy * (qx - x0)
            if p >= 0:
                clipped[kept, 0], clipped[kept, 1] = px, py
                kept += 1
            if (p > 0 and q < 0) or (p < 0 and q > 0):
                t = p / (p - q)
                clipped[kept, 0], clipped[kept, 1] = px + t * (qx - px), py + t * (qy - py)
                kept += 1
        count = kept
        if count < 3:
            return 0.0
        polygon[:count] = clipped[:count]
    area = 0.0
    for i in range(count):
        j = (i + 1) % count
        area += polygon[i, 0] * polygon[j, 1] - polygon[j, 0] * polygon[i, 1]
    return max(area, 0.0) / 2


@kernel
def overlap(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Return the intersection over union of two boxes from above; 0 where they are far apart."""
    reach = math.hypot(a[4], a[5]) + math.hypot(b[4], b[5])
    dx, dy = a[0] - b[0], a[1] - b[1]
    if dx * dx + dy * dy > reach * reach / 4:
        return 0.0
    shared = intersection(a, b)
    union = a[4] * a[5] + b[4] * b[5] - shared
    return shared / union if union > 0 else 0.0


@kernel
def overlaps(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return (N, M) intersections over union from above of (N, 7) and (M, 7) boxes."""
    out = np.zeros((len(a), len(b)))
    for i in range(len(a)):
        for j in range(len(b)):
            out[i, j] = overlap(a[i], b[j])
    return out
