"""Detections of this package to ``vision_msgs`` and back.

The id of a detection is the object's; its first hypothesis is the class name, the second,
``'visibility'``, has the visible fraction as its score.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import Pose, Vector3
from std_msgs.msg import Header
from tf_transformations import quaternion_from_matrix, quaternion_matrix
from vision_msgs.msg import (
    BoundingBox3D,
    Detection3D,
    Detection3DArray,
    LabelInfo,
    ObjectHypothesis,
    ObjectHypothesisWithPose,
    VisionClass,
)

from sim_perception.taxonomy import Taxonomy
from sim_perception.types import Detection

VISIBILITY = 'visibility'
Array = npt.NDArray[np.floating[Any]]


def to_pose(parent_T_object: Array) -> Pose:
    """Return the Pose of a 4x4 transform."""
    pose = Pose()
    pose.position.x, pose.position.y, pose.position.z = (float(v) for v in parent_T_object[:3, 3])
    x, y, z, w = (float(v) for v in quaternion_from_matrix(parent_T_object))
    pose.orientation.x, pose.orientation.y, pose.orientation.z, pose.orientation.w = x, y, z, w
    return pose


def from_pose(pose: Pose) -> Array:
    """Return the 4x4 transform of a Pose.

    Raises:
        ValueError: for a quaternion of zero length or values that are not finite.
    """
    q, p = pose.orientation, pose.position
    values = [q.x, q.y, q.z, q.w, p.x, p.y, p.z]
    if not np.isfinite(values).all() or not any(values[:4]):
        raise ValueError(f'pose with an invalid orientation or position: {values}')
    matrix = quaternion_matrix(values[:4])
    matrix[:3, 3] = values[4:]
    return matrix


def to_detection_array(
    detections: Iterable[Detection], taxonomy: Taxonomy, header: Header
) -> Detection3DArray:
    """Return a Detection3DArray; detections without a 3D box are left out."""
    array = Detection3DArray(header=header)
    for detection in detections:
        if detection.box3d is None:
            continue
        pose = to_pose(detection.box3d.parent_T_box)
        length, width, height = (float(v) for v in detection.box3d.size)
        hypotheses = [(taxonomy.names[detection.class_id], detection.score)]
        if detection.visibility is not None:
            hypotheses.append((VISIBILITY, detection.visibility))
        message = Detection3D(header=header, id=detection.id)
        message.bbox = BoundingBox3D(center=pose, size=Vector3(x=length, y=width, z=height))
        for name, score in hypotheses:
            result = ObjectHypothesisWithPose()
            result.hypothesis = ObjectHypothesis(class_id=name, score=float(score))
            result.pose.pose = pose
            message.results.append(result)
        array.detections.append(message)
    return array


def to_label_info(taxonomy: Taxonomy, header: Header) -> LabelInfo:
    """Return the message that names the values of a label image."""
    classes = [VisionClass(class_id=i, class_name=n) for i, n in enumerate(taxonomy.names)]
    return LabelInfo(header=header, class_map=classes, threshold=0.0)
