"""What the odometry keeps of an image: brightness, depth, and which pixels may be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sim_perception.geometry.cameras import resize_camera
from sim_perception.geometry.rectification import rectify
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import Camera, DepthSegmentation

#: Wider images are reduced: sharper corners do not pay for their time.
MAX_WIDTH = 1280
_ROAD, _UNKNOWN = ('road',), 255
# Road so near to something that moves is not looked at, share of the image's width.
_SHADOW = 0.015


@dataclass(frozen=True)
class MotionView:
    """One image, ready to be compared with the next.

    Attributes:
        stamp: nanoseconds.
        grey: (H, W) uint8.
        camera: of ``grey``; an ideal pinhole.
        depth: (H, W) float32 metres, as a network predicts them.
        still: (H, W) bool, False on things that may move by themselves.
        road: (H, W) bool, road away from things that may move.
    """

    stamp: int
    grey: npt.NDArray[np.uint8]
    camera: Camera
    depth: npt.NDArray[np.float32]
    still: npt.NDArray[np.bool_]
    road: npt.NDArray[np.bool_]


def motion_view(
    stamp: int,
    image: npt.NDArray[np.uint8],
    camera: Camera,
    seen: DepthSegmentation,
    taxonomy: Taxonomy,
) -> MotionView:
    """Return the view of an image.

    Args:
        stamp: nanoseconds.
        image: (H, W, 3) RGB.
        camera: of the image; what a lens bends is made straight.
        seen: depth and classes of the image.
        taxonomy: of the classes.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    depth, classes = seen.depth.astype(np.float32), seen.segmentation
    if not camera.is_ideal:
        grey, depth = rectify(camera, grey), rectify(camera, depth, np.nan)
        classes, camera = rectify(camera, classes, _UNKNOWN), camera.ideal
    if camera.width > MAX_WIDTH:
        size = MAX_WIDTH, round(camera.height * MAX_WIDTH / camera.width)
        camera = resize_camera(camera, *size)
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        depth = cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST)
        classes = cv2.resize(classes, size, interpolation=cv2.INTER_NEAREST)
    movers = np.isin(classes, taxonomy.thing_ids)
    road = np.isin(classes, [taxonomy.id_of(name) for name in _ROAD if name in taxonomy.names])
    # Shadows go with what throws them.
    reach = 2 * round(_SHADOW * camera.width) + 1
    shadows = cv2.dilate(movers.astype(np.uint8), np.ones((reach, reach), np.uint8))
    return MotionView(
        stamp, np.asarray(grey, np.uint8), camera, np.asarray(depth, np.float32), ~movers,
        road & (shadows == 0),
    )  # fmt: skip
