"""Tracking what a network detects in one camera: its place, and image boxes of its tracks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.cameras import distort_boxes
from sim_perception.geometry.transforms import make_transform
from sim_perception.tracking.occlusion import image_boxes
from sim_perception.tracking.tables import Rows, track_boxes
from sim_perception.tracking.tracker import in_sensor
from sim_perception.types import Camera, Detection

Array = npt.NDArray[np.float64]


def level_pose(world_T_sensor: npt.NDArray[np.floating]) -> Array:
    """Return the pose of a sensor's level frame: x where the sensor looks, z up.

    Args:
        world_T_sensor: (4, 4) pose of a body or optical frame in a frame with z up.
    """
    rotation = world_T_sensor[:3, :3]
    optical = -rotation[2, 1] > rotation[2, 2]  # y points down more than z points up
    ahead = rotation[:, 2 if optical else 0]
    heading = np.arctan2(ahead[1], ahead[0])
    c, s = np.cos(heading), np.sin(heading)
    level = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return np.asarray(make_transform(level, world_T_sensor[:3, 3]), float)


def shown_boxes(
    tracks: Rows,
    detections: Sequence[Detection] | None,
    camera: Camera,
    camera_T_level: Array,
    tracking_T_level: Array,
) -> Array:
    """Return (N, 4) amodal image boxes of tracks, NaN where they cannot be shown.

    Those of matched detections are the detections' own, which are sharper than 3D boxes in the
    image; the others are projected. What lies beyond the image is NaN.

    Args:
        tracks: rows of ``tables.track_dtype``.
        detections: of the frame that the tracks were just updated with; None projects all.
        camera: of the image boxes.
        camera_T_level: (4, 4), maps the sensor's level frame to the optical frame.
        tracking_T_level: (4, 4) pose of the level frame in the tracking frame.
    """
    places = in_sensor(track_boxes(tracks), tracking_T_level)
    boxes = np.asarray(
        distort_boxes(camera, image_boxes(camera.ideal, camera_T_level, places)), np.float64
    )
    for box, index in zip(boxes, tracks['detection'].tolist(), strict=True):
        if detections is None or index < 0:
            continue
        own = detections[index].box2d
        if own is not None:
            box[:] = own
    with np.errstate(invalid='ignore'):
        outside = (boxes[:, 2:] < 0).any(1)
        outside |= (boxes[:, :2] > [camera.width - 1, camera.height - 1]).any(1)
    boxes[outside] = np.nan
    return boxes
