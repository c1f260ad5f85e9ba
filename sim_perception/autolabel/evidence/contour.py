"""The contour of an object's mask as rays that its shape has to touch."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from sim_perception.autolabel.config import LabelConfig
from sim_perception.autolabel.fit.kernels import Evidence
from sim_perception.geometry.lidar_frame import PreparedFrame
from sim_perception.geometry.transforms import invert

_FOOT = 0.15
"""Share of a mask's height above its lowest pixel that is left out: shadows belong to it there."""
_BESIDE = 8.0
"""Contours this near to points of something nearer are that thing's, pixels."""
_NEARER = 0.5
_LEAST_PIXELS = 30


def with_contour(
    evidence: Evidence,
    prepared: PreparedFrame,
    mask: npt.NDArray[np.bool_],
    config: LabelConfig,
) -> Evidence:
    """Return evidence with rays along a mask's contour.

    Left out is what is no outline of the object: at the image's border, beside things that stand
    before it, and at its foot.

    Args:
        evidence: of the object.
        prepared: the frame.
        mask: (H, W) the object's pixels.
        config: settings.

    Raises:
        ValueError: if the mask has another size than the image.
    """
    camera = prepared.frame.camera
    if mask.shape != (camera.height, camera.width):
        raise ValueError(
            f'a mask is {mask.shape[1]}x{mask.shape[0]}, the image {camera.width}x{camera.height}'
        )
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not found:
        return evidence
    pixels = max(found, key=cv2.contourArea).reshape(-1, 2).astype(np.float64)
    if len(pixels) < _LEAST_PIXELS:
        return evidence
    limit = np.array([camera.width, camera.height]) - 1.0 - config.border
    keep = ((pixels > config.border) & (pixels < limit)).all(1)
    low, high = pixels[:, 1].max(), pixels[:, 1].min()
    keep &= pixels[:, 1] < low - _FOOT * (low - high)
    nearest = np.linalg.norm(evidence.points - evidence.origin, axis=1).min()
    reach = np.linalg.norm(prepared.points - evidence.origin, axis=1)
    before = (reach < nearest - _NEARER) & np.isfinite(prepared.pixels).all(1)
    before &= prepared.height > config.ground_margin
    if before.any():
        gap = cKDTree(prepared.pixels[before]).query(pixels, distance_upper_bound=_BESIDE)[0]
        keep &= ~np.isfinite(gap)
    chosen = np.flatnonzero(keep)
    chosen = chosen[:: max(1, -(-len(chosen) // config.contour_rays))]
    u, v = pixels[chosen].T
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(len(u))], 1)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    level_T_camera = invert(np.asarray(prepared.frame.camera_T_level, np.float64))
    return evidence._replace(
        eye=np.ascontiguousarray(level_T_camera[:3, 3]),
        contour=np.ascontiguousarray(rays @ level_T_camera[:3, :3].T),
        angle=np.full(len(rays), config.contour_sigma / camera.fx),
    )
