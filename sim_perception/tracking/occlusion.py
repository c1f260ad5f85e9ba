"""Occlusion reasoning: is a lost track hidden, out of view, or is its place seen empty?

A view looks at the predicted boxes of all tracks in the sensor's level frame (x forward, y left,
z up) and says for the lost ones what is known about their places.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sim_perception.kernels import strided
from sim_perception.tracking.tables import OCCLUDED, OUTSIDE, UNKNOWN
from sim_perception.types import Camera

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


class View(Protocol):
    """What the sensor sees at one moment."""

    def look(self, boxes: Array, lost: npt.NDArray[np.intp]) -> tuple[Places, Array]:
        """Judge the places of lost tracks.

        Args:
            boxes: (N, 7) of all tracks, in the sensor's level frame.
            lost: rows of those without a detection in this frame.

        Returns:
            One of ``tables``' places, and the visible fraction in [0, 1], per lost track.
        """
        ...


OUTSIDE_BELOW = 0.5
"""A box with a smaller share of its area inside the image is out of view."""
CLEARANCE = 0.5
"""How much nearer than a track something must be to hide it, metres."""
NEAR = 0.3
"""Depth to which nearer corners are moved, metres: their boxes reach far beyond the image."""


def image_boxes(camera: Camera, camera_T_sensor: Array, boxes: Array) -> Array:
    """Return (N, 4) amodal image boxes x1 y1 x2 y2 of (N, 7) boxes, NaN where behind the camera.

    An ideal pinhole is assumed.

    Args:
        camera: intrinsics.
        camera_T_sensor: (4, 4), maps the boxes' frame to the optical frame.
        boxes: rows ``x y z yaw length width height``.
    """
    intrinsics = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
    return _image_boxes(np.ascontiguousarray(boxes, float), camera_T_sensor, intrinsics)


@strided
def _image_boxes(boxes: Array, camera_T_sensor: Array, intrinsics: Array) -> Array:
    out = np.full((len(boxes), 4), np.nan)
    m = camera_T_sensor
    for i in range(len(boxes)):
        x, y, z = boxes[i, 0], boxes[i, 1], boxes[i, 2]
        if m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3] < NEAR:
            continue
        c, s = math.cos(boxes[i, 3]), math.sin(boxes[i, 3])
        low_u, low_v, high_u, high_v = np.inf, np.inf, -np.inf, -np.inf
        for n in range(8):
            a = boxes[i, 4] * (0.5 if n & 1 else -0.5)
            b = boxes[i, 5] * (0.5 if n & 2 else -0.5)
            px, py = x + c * a - s * b, y + s * a + c * b
            pz = z + boxes[i, 6] * (0.5 if n & 4 else -0.5)
            depth = max(m[2, 0] * px + m[2, 1] * py + m[2, 2] * pz + m[2, 3], NEAR)
            u = (m[0, 0] * px + m[0, 1] * py + m[0, 2] * pz + m[0, 3]) / depth
            v = (m[1, 0] * px + m[1, 1] * py + m[1, 2] * pz + m[1, 3]) / depth
            u, v = u * intrinsics[0] + intrinsics[2], v * intrinsics[1] + intrinsics[3]
            low_u, high_u = min(low_u, u), max(high_u, u)
            low_v, high_v = min(low_v, v), max(high_v, v)
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = low_u, low_v, high_u, high_v
    return out


@dataclass(frozen=True)
class BoxView:
    """Judges by the other tracks' boxes alone, where there is neither depth nor LiDAR.

    A lost track is occluded as far as nearer boxes of seen tracks cover its image box, and
    outside if most of it lies beyond the image. Nothing else is known.

    Attributes:
        camera: ideal pinhole.
        camera_T_sensor: maps the sensor's level frame to the optical frame.
        hidden: covered fraction from which it counts as occluded.
        margin: width of the border of the image that counts as outside, pixels.
    """

    camera: Camera
    camera_T_sensor: Array
    hidden: float = 0.5
    margin: float = 10.0

    def look(self, boxes: Array, lost: npt.NDArray[np.intp]) -> tuple[Places, Array]:
        """See ``View.look``."""
        image = image_boxes(self.camera, self.camera_T_sensor, boxes)
        size = np.array([self.camera.width, self.camera.height], float)
        return _judge(boxes, image, np.asarray(lost, np.int64), size, self.hidden, self.margin)


@strided
def _judge(
    boxes: Array, image: Array, lost: npt.NDArray[np.int64], size: Array, hidden: float,
    margin: float,
) -> tuple[Places, Array]:  # fmt: skip
    """Places and visible fractions of lost boxes behind the boxes that are not lost."""
    places = np.full(len(lost), UNKNOWN)
    visibility = np.zeros(len(lost))
    seen = np.ones(len(boxes), np.bool_)
    for i in lost:
        seen[i] = False
    for n in range(len(lost)):
        a = image[lost[n]]
        area = (a[2] - a[0]) * (a[3] - a[1])
        width = min(a[2], size[0] - margin) - max(a[0], margin)
        height = min(a[3], size[1] - margin) - max(a[1], margin)
        if not (width > 0 and height > 0 and width * height >= OUTSIDE_BELOW * area):
            places[n] = OUTSIDE
            continue
        distance = math.hypot(boxes[lost[n], 0], boxes[lost[n], 1])
        covered = 0.0
        for i in range(len(boxes)):
            if not seen[i] or math.hypot(boxes[i, 0], boxes[i, 1]) + CLEARANCE >= distance:
                continue
            b = image[i]
            width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
            if width > 0 and height > 0:
                covered = max(covered, width * height / area)
        visibility[n] = 1 - covered
        if covered >= hidden:
            places[n] = OCCLUDED
    return places, visibility
