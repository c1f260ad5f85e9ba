"""Views by measured depth: what a depth image or a LiDAR scan tells about lost tracks.

Where measurements lie nearer than a track's box it is occluded; where most lie behind it, its
place is seen to be empty; measurements inside the box neither confirm nor deny it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.transforms import transform_points
from sim_perception.tracking.occlusion import OUTSIDE_BELOW, Places, image_boxes
from sim_perception.tracking.tables import EMPTY, OCCLUDED, OUTSIDE, UNKNOWN
from sim_perception.types import Camera

Array = npt.NDArray[np.float64]

HIDDEN = 0.5
"""Share of nearer measurements from which a track is occluded."""
SEEN_THROUGH = 0.7
"""Share of farther measurements from which a track's place is empty."""
FEWEST = 4
"""Measurements that it takes to judge."""
SAMPLES = 8
"""Depth is sampled at so many rows and columns of an image box."""


def judge(near: int, far: int, total: int) -> tuple[int, float]:
    """Return place and visible fraction from counts of nearer, farther and all measurements."""
    if total < FEWEST:
        return UNKNOWN, 0.0
    visibility = 1 - near / total
    if near >= HIDDEN * total:
        return OCCLUDED, visibility
    if far >= SEEN_THROUGH * total:
        return EMPTY, visibility
    return UNKNOWN, visibility


@dataclass(frozen=True)
class DepthView:
    """Judges by a depth image, from a sensor or a network.

    Attributes:
        camera: ideal pinhole of the depth image.
        camera_T_sensor: (4, 4), maps the sensor's level frame to the optical frame.
        depth: (H, W) metres along the optical axis, NaN where invalid.
        tolerance: error of the depth, metres.
        relative_tolerance: what it grows by per metre.
    """

    camera: Camera
    camera_T_sensor: Array
    depth: npt.NDArray[np.floating]
    tolerance: float = 0.5
    relative_tolerance: float = 0.05

    def __post_init__(self) -> None:
        if self.depth.shape != (self.camera.height, self.camera.width):
            raise ValueError(
                f'depth has shape {self.depth.shape} but the camera is {self.camera.width}x'
                f'{self.camera.height}; resize the camera to the image'
            )

    def look(self, boxes: Array, lost: npt.NDArray[np.intp]) -> tuple[Places, Array]:
        """See ``occlusion.View.look``."""
        chosen = boxes[lost]
        image = image_boxes(self.camera, self.camera_T_sensor, chosen)
        middle = transform_points(self.camera_T_sensor, chosen[:, :3])[:, 2]
        half = np.hypot(chosen[:, 4], chosen[:, 5]) / 2
        places = np.full(len(lost), OUTSIDE)
        visibility = np.zeros(len(lost))
        for n, (x1, y1, x2, y2) in enumerate(image):
            left, right = max(x1, 0.0), min(x2, self.camera.width - 1.0)
            top, bottom = max(y1, 0.0), min(y2, self.camera.height - 1.0)
            if not (right > left and bottom > top):
                continue
            if (right - left) * (bottom - top) < OUTSIDE_BELOW * (x2 - x1) * (y2 - y1):
                continue
            columns = np.linspace(left, right, SAMPLES + 2)[1:-1].round().astype(int)
            rows = np.linspace(top, bottom, SAMPLES + 2)[1:-1].round().astype(int)
            depth = self.depth[np.ix_(rows, columns)]
            slack = half[n] + self.tolerance + self.relative_tolerance * middle[n]
            places[n], visibility[n] = judge(
                int((depth < middle[n] - slack).sum()),
                int((depth > middle[n] + slack).sum()),
                int(np.isfinite(depth).sum()),
            )
        return places, visibility


@dataclass(frozen=True)
class LidarView:
    """Judges by the points of a LiDAR scan.

    Attributes:
        points: (N, 3) in the sensor's level frame.
        origin: (3,) of the LiDAR in that frame.
        tolerance: error of predicted boxes, metres.
    """

    points: npt.NDArray[np.floating]
    origin: Array
    tolerance: float = 0.5

    def look(self, boxes: Array, lost: npt.NDArray[np.intp]) -> tuple[Places, Array]:
        """See ``occlusion.View.look``; places without any return are unknown."""
        points = np.asarray(self.points, float) - self.origin
        points = points[np.isfinite(points).all(1)]
        distance = np.linalg.norm(points, axis=1)
        azimuth = np.arctan2(points[:, 1], points[:, 0])
        slope = points[:, 2] / np.maximum(np.hypot(points[:, 0], points[:, 1]), 1e-6)
        places = np.full(len(lost), UNKNOWN)
        visibility = np.zeros(len(lost))
        for n, box in enumerate(boxes[lost]):
            x, y, z = box[:3] - self.origin
            away = float(np.hypot(x, y))
            half = float(np.hypot(box[4], box[5])) / 2
            if away <= half:
                continue
            turn = (azimuth - np.arctan2(y, x) + np.pi) % (2 * np.pi) - np.pi
            # the middle of the box, which its silhouette covers from every side
            inside = np.abs(turn) < np.arctan(box[5] / 2 / away)
            inside &= np.abs(slope - z / away) < box[6] / 2 / away
            reached = distance[inside]
            middle, slack = float(np.linalg.norm([x, y, z])), half + self.tolerance
            places[n], visibility[n] = judge(
                int((reached < middle - slack).sum()),
                int((reached > middle + slack).sum()),
                len(reached),
            )
        return places, visibility
