"""Corners of one image found again in another (Shi and Tomasi; Lucas and Kanade; OpenCV)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sim_perception.geometry.lenses import slopes_of
from sim_perception.odometry.views import MotionView

F64 = npt.NDArray[np.float64]

_CORNERS, _QUALITY, _SPACING = 1500, 0.002, 6
_WINDOW, _LEVELS = (15, 15), 4
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.01)
# A corner that is tracked forth and back ends where it began, pixels.
_RETURN = 0.5


@dataclass(frozen=True)
class Correspondences:
    """Points of an image and where another image shows them.

    Attributes:
        now, before: (N, 2) normalised coordinates (x / z, y / z) in the two views.
        depth: (N,) predicted depth in the first view, metres; NaN where unknown.
        focal: pixels per unit of the normalised coordinates.
    """

    now: F64
    before: F64
    depth: F64
    focal: float

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.now)

    def chosen(self, keep: npt.NDArray[np.bool_]) -> Correspondences:
        """Return those that a mask keeps."""
        return Correspondences(self.now[keep], self.before[keep], self.depth[keep], self.focal)


def correspond(now: MotionView, before: MotionView) -> Correspondences:
    """Return where points of ``now`` that stand still were in ``before``."""
    mask = now.still.astype(np.uint8)
    corners = cv2.goodFeaturesToTrack(now.grey, _CORNERS, _QUALITY, _SPACING, mask=mask)
    if corners is None:
        return Correspondences(np.empty((0, 2)), np.empty((0, 2)), np.empty(0), now.camera.fx)
    found, there = _tracked(now.grey, before.grey, corners)
    again, back = _tracked(before.grey, now.grey, found)
    kept = (there.ravel() == 1) & (back.ravel() == 1)
    kept &= np.linalg.norm((again - corners)[:, 0], axis=1) < _RETURN
    at, to = corners[kept, 0].astype(np.float64), found[kept, 0].astype(np.float64)
    column, row = np.rint(at).astype(int).T
    depth = now.depth[row, column].astype(np.float64)
    slopes = [
        np.asarray(slopes_of(view.camera, places), np.float64)
        for view, places in ((now, at), (before, to))
    ]
    seen = np.isfinite(slopes[0]).all(1) & np.isfinite(slopes[1]).all(1)
    return Correspondences(slopes[0][seen], slopes[1][seen], depth[seen], now.camera.fx)


def _tracked(image: Any, other: Any, places: Any) -> tuple[Any, Any]:
    """Return where an image's (N, 1, 2) places are in another image, and whether they are."""
    found, status, _ = cv2.calcOpticalFlowPyrLK(
        image, other, places, None, winSize=_WINDOW, maxLevel=_LEVELS,
        criteria=_STOP,
    )  # fmt: skip
    return found, status
