"""Dense depth of a network pulled to what the LiDAR measured."""

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
