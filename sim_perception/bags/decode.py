"""Message objects to numpy arrays and this package's types: all of it from one place.

Works on any object with the fields of the ROS message, those of rosbags and of rclpy alike.
Arrays are views of the message's bytes where the encoding allows it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim_perception.bags.calibration import camera_of
from sim_perception.bags.clouds import cloud_array, xyz
from sim_perception.bags.images import depth_image, image_array, plain_image, rgb_image
from sim_perception.geometry.transforms import from_quaternion
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import Box3D, Detection

__all__ = [
    'camera_of',
    'cloud_array',
    'depth_image',
    'detections_of',
    'image_array',
    'plain_image',
    'rgb_image',
    'xyz',
]


def _class_and_visibility(results: Any, taxonomy: Taxonomy) -> tuple[int, float, float | None]:
    """Split hypotheses into class id, score and visible fraction."""
    class_id, score, visibility = taxonomy.ignore_id, 0.0, None
    for result in results:
        name = result.hypothesis.class_id
        if name == 'visibility':
            visibility = float(result.hypothesis.score)
        elif result.hypothesis.score >= score and name in taxonomy.names:
            class_id, score = taxonomy.id_of(name), float(result.hypothesis.score)
    return class_id, score, visibility


def detections_of(message: Any, taxonomy: Taxonomy) -> list[Detection]:
    """Return the objects of a ``vision_msgs`` Detection2DArray or Detection3DArray.

    Classes that the taxonomy does not have get its ``ignore_id``.
    """
    detections = []
    for item in message.detections:
        class_id, score, visibility = _class_and_visibility(item.results, taxonomy)
        box3d = box2d = None
        if hasattr(item.bbox, 'size_x'):
            x, y = item.bbox.center.position.x, item.bbox.center.position.y
            w, h = item.bbox.size_x / 2, item.bbox.size_y / 2
            box2d = (x - w, y - h, x + w, y + h)
        else:
            p, q = item.bbox.center.position, item.bbox.center.orientation
            pose = from_quaternion((q.x, q.y, q.z, q.w), np.array([p.x, p.y, p.z]))
            size = item.bbox.size
            box3d = Box3D(pose, (float(size.x), float(size.y), float(size.z)))
        detections.append(Detection(class_id, score, item.id, box3d, box2d, visibility))
    return detections
