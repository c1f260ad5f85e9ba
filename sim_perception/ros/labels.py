"""Labels as messages: boxes with covariance, and meshes as markers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from geometry_msgs.msg import Point, Vector3
from rclpy.duration import Duration
from std_msgs.msg import ColorRGBA, Header
from vision_msgs.msg import (
    BoundingBox3D,
    Detection3D,
    Detection3DArray,
    ObjectHypothesis,
    ObjectHypothesisWithPose,
)
from visualization_msgs.msg import Marker, MarkerArray

from sim_perception.autolabel.records import pose_covariance
from sim_perception.models.shape import Surface
from sim_perception.ros.detections import to_pose
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import ShapeLabel

_MESH_ALPHA = 0.8
_LIFETIME_S = 2.0


def to_label_array(
    labels: Iterable[ShapeLabel], taxonomy: Taxonomy, header: Header
) -> Detection3DArray:
    """Return labels with a 3D box, in their level frame; the score is the confidence.

    The pose has a covariance; 0 stands for what is not estimated (roll and pitch).
    """
    array = Detection3DArray(header=header)
    for label in labels:
        if label.box3d is None:
            continue
        pose = to_pose(label.box3d.parent_T_box)
        length, width, height = (float(v) for v in label.box3d.size)
        result = ObjectHypothesisWithPose()
        result.hypothesis = ObjectHypothesis(
            class_id=taxonomy.names[label.class_id], score=float(label.confidence)
        )
        result.pose.pose = pose
        result.pose.covariance = pose_covariance(label)
        size = Vector3(x=length, y=width, z=height)
        box = BoundingBox3D(center=pose, size=size)
        array.detections.append(
            Detection3D(header=header, id=label.id, bbox=box, results=[result])
        )
    return array


def mesh_markers(
    labels: Sequence[ShapeLabel],
    surfaces: Sequence[Surface],
    taxonomy: Taxonomy,
    header: Header,
) -> MarkerArray:
    """Return the surfaces of labels as triangle lists, in place of those of the message before.

    Args:
        labels: with 3D boxes.
        surfaces: their meshes, metres of the box frames.
        taxonomy: gives the colours.
        header: of the labels.
    """
    markers = [Marker(header=header, action=Marker.DELETEALL)]
    for number, (label, surface) in enumerate(zip(labels, surfaces, strict=True)):
        assert label.box3d is not None
        red, green, blue = (v / 255 for v in taxonomy.classes[label.class_id].color)
        marker = Marker(header=header, ns='meshes', id=number, type=Marker.TRIANGLE_LIST)
        marker.pose = to_pose(label.box3d.parent_T_box)
        marker.scale = Vector3(x=1.0, y=1.0, z=1.0)
        marker.color = ColorRGBA(r=red, g=green, b=blue, a=_MESH_ALPHA)
        marker.lifetime = Duration(seconds=_LIFETIME_S).to_msg()
        corners = surface.vertices[surface.faces.reshape(-1)].tolist()
        marker.points = [Point(x=x, y=y, z=z) for x, y, z in corners]
        markers.append(marker)
    return MarkerArray(markers=markers)
