"""Dense depth of a network: pulled to what the LiDAR measured, edges made sharp."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]

_SCALES = (6.0, 20.0, 60.0)
"""Deviations of the smoothing windows, pixels; each fills what the finer one does not reach."""
_EVIDENCE = 2e-3
_CLOSE = 0.25
"""Points whose depth differs by a greater log ratio from their surroundings' are outliers."""
_STEP = 0.25
"""A log ratio of depths within the window below is an edge, not a slope."""


def lidar_aligned(depth: F32, lidar: F32) -> F32:
    """Return depth times a smooth field of ratios between points and network.

    The ratios' logarithm is averaged in windows (normalised convolution, Knutsson and Westin,
    1993), fine ones where points are dense, wide ones elsewhere; what is out of every
    window's reach gets the median ratio.

    Args:
        depth: (H, W) metres, NaN where unknown.
        lidar: (H, W) metres, NaN where there is no point.
    """
    known = np.isfinite(lidar) & np.isfinite(depth) & (lidar > 0) & (depth > 0)
    if known.sum() < 20:
        return depth
    ratio = np.zeros(depth.shape, np.float32)
    ratio[known] = np.log(lidar[known] / depth[known])
    field = np.full(depth.shape, np.median(ratio[known]), np.float32)
    weight = known.astype(np.float32)
    for scale in reversed(_SCALES):
        # Points seen through gaps lie far behind their surroundings.
        weight = np.where(known & (np.abs(ratio - field) < 4 * _CLOSE), 1, 0).astype(np.float32)
        mass = cv2.GaussianBlur(weight, (0, 0), scale)
        mean = cv2.GaussianBlur(ratio * weight, (0, 0), scale) / np.maximum(mass, 1e-12)
        share = mass / (mass + _EVIDENCE)
        field = share * mean + (1 - share) * field
    return (depth * np.exp(field)).astype(np.float32)


def sharp_edges(depth: F32, radius: int = 5) -> F32:
    """Return depth whose ramps between a near and a far surface are steps.

    Networks blur edges; a mesh of such depth has surfaces that lead from one thing to the next.
    Where depth differs much within a window, the nearer in value of the window's least and
    greatest depth is taken (the toggle mapping of Kramer and Bruckner, Pattern Recognition 1975).

    Args:
        depth: (H, W) metres; NaN where unknown, which stays and is no part of any window.
        radius: of the window, pixels: half the width of the ramps.
    """
    window = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    known = np.isfinite(depth) & (depth > 0)
    value = np.log(np.where(known, depth, 1.0)).astype(np.float32)
    least = cv2.erode(np.where(known, value, np.float32(99.0)), window)
    greatest = cv2.dilate(np.where(known, value, np.float32(-99.0)), window)
    nearer = np.where(value - least < greatest - value, least, greatest)
    edge = known & (greatest - least > _STEP)
    return np.where(edge, np.exp(nearer), depth).astype(np.float32)
