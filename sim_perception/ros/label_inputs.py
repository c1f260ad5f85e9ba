"""What the labelling node takes: image boxes, a scan and the camera, as values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import PointCloud2
from vision_msgs.msg import Detection2DArray

from sim_perception.geometry.cameras import straight_boxes
from sim_perception.geometry.deskew import still_points
from sim_perception.geometry.lidar_frame import LidarFrame
from sim_perception.geometry.transforms import invert, transform_points
from sim_perception.ros.clouds import cloud_points
from sim_perception.ros.conversions import stamp_to_ns
from sim_perception.ros.parameters import AutoLabelerParameters
from sim_perception.ros.placement import Lookup
from sim_perception.ros.tf import TransformError
from sim_perception.ros.tracks import read_detections_2d
from sim_perception.tracking.detections import LARGEST
from sim_perception.types import Camera

Array = npt.NDArray[np.floating]
_TIME = 'time'
_LONGEST_SCAN_S = 1.0


@dataclass(frozen=True)
class LabelInput:
    """One frame to label.

    Attributes:
        frame: camera and cloud in the level frame.
        boxes: (M, 4) image boxes within the image, the largest first.
        ids: of the boxes.
        world_T_level: pose of the level frame in the fixed frame, or None.
        invalid: how many boxes could not be used.
    """

    frame: LidarFrame
    boxes: Array
    ids: tuple[str, ...]
    world_T_level: Array | None
    invalid: int = 0


def chosen_boxes(
    array: Detection2DArray,
    class_ids: dict[str, int],
    class_id: int,
    parameters: AutoLabelerParameters,
    camera: Camera,
) -> tuple[Array, tuple[str, ...], int]:
    """Return the boxes of a class that are to be labelled, their ids, and how many are invalid.

    The largest come first. Invalid are those with values that are not finite, or out of range.
    """
    used, rows, _ = read_detections_2d(array, class_ids, parameters.min_visibility)
    size = rows.boxes[:, 2:] - rows.boxes[:, :2]
    # a NaN fails every comparison
    valid = (np.abs(rows.boxes) < LARGEST).all(1) & (size > 0).all(1)
    valid &= (rows.score >= 0) & (rows.score <= 1)
    own = rows.class_id == class_id
    chosen = np.flatnonzero(own & valid & (rows.score >= parameters.min_score))
    places = straight_boxes(camera, rows.boxes[chosen])
    # boxes at a fisheye's rim may be beyond what is fitted
    seen = np.isfinite(places).all(1)
    places, chosen = places[seen], chosen[seen]
    order = np.argsort(-(places[:, 2:] - places[:, :2]).prod(1), kind='stable')
    ids = tuple(used[k].id for k in chosen[order])
    return places[order], ids, int((own & ~valid).sum())


def level_cloud(
    message: PointCloud2,
    stamp: int,
    lookup: Lookup,
    level_frame: str,
    fixed_frame: str,
) -> tuple[Array, Array, Array | None]:
    """Return points in the level frame at a stamp, the sensor's place, and world_T_level.

    The robot's motion is removed from scans with a column ``time``, seconds since their stamp,
    where the fixed frame's transforms allow it.

    Raises:
        ValueError: for a malformed cloud.
        TransformError: if the LiDAR's mounting is not known.
    """
    points = cloud_points(message)
    places = np.column_stack([points[name] for name in 'xyz']).astype(float)
    source = message.header.frame_id
    level_T_lidar = np.asarray(lookup(level_frame, source, stamp), float)
    sensor = level_T_lidar[:3, 3].copy()
    world_T_level = fixed_pose(lookup, fixed_frame, level_frame, stamp)
    rigid = transform_points(level_T_lidar, places)
    if world_T_level is None:
        return rigid, sensor, None
    first = stamp_to_ns(message.header.stamp)
    seconds = np.zeros(len(points))
    if _TIME in (points.dtype.names or ()) and points[_TIME].ndim == 1:
        seconds = points[_TIME].astype(float)
    # Columns that are not finite, in other units or since another moment say nothing.
    if not (np.abs(seconds) <= _LONGEST_SCAN_S).all():
        return rigid, sensor, world_T_level

    def pose(time: float) -> npt.NDArray[np.floating]:
        return lookup(fixed_frame, source, first + round(time * 1e9))

    try:
        return still_points(places, seconds, pose, world_T_level), sensor, world_T_level
    except TransformError:
        return rigid, sensor, world_T_level


def fixed_pose(lookup: Lookup, fixed_frame: str, level_frame: str, stamp: int) -> Array | None:
    """Return the level frame's pose in the fixed frame, None without one or its transform."""
    if not fixed_frame:
        return None
    try:
        return np.asarray(lookup(fixed_frame, level_frame, stamp), float)
    except TransformError:
        return None


def read_input(
    array: Detection2DArray,
    cloud: PointCloud2 | None,
    camera: Camera,
    class_ids: dict[str, int],
    class_id: int,
    parameters: AutoLabelerParameters,
    lookup: Lookup,
) -> LabelInput:
    """Return what a pair of messages shows.

    Args:
        array: detections, in the camera's frame.
        cloud: the scan that belongs to them; None where labels rest on the image alone.
        camera: calibration.
        class_ids: by the detector's names; see ``parse_class_map``.
        class_id: the category to label.
        parameters: of the node.
        lookup: gives transforms.

    Raises:
        ValueError: for unusable messages.
        TransformError: if the sensors' mounting is not known.
    """
    if not array.header.frame_id:
        raise ValueError('detections without frame_id; set header.frame_id to the camera')
    stamp = stamp_to_ns(array.header.stamp)
    boxes, ids, invalid = chosen_boxes(array, class_ids, class_id, parameters, camera)
    level = parameters.level_frame
    camera_T_level = np.asarray(lookup(array.header.frame_id, level, stamp), float)
    points: Array
    sensor: Array
    if cloud is None:
        points, sensor = np.zeros((0, 3)), invert(camera_T_level)[:3, 3]
        world_T_level = fixed_pose(lookup, parameters.fixed_frame, level, stamp)
    else:
        points, sensor, world_T_level = level_cloud(
            cloud, stamp, lookup, level, parameters.fixed_frame
        )
    ideal = camera.ideal
    lidar = LidarFrame(ideal, camera_T_level, points, sensor)
    return LabelInput(lidar, boxes, ids, world_T_level, invalid)
