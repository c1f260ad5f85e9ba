"""Boxes of detections as markers for rviz, which has no display of its own for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import Point, Vector3
from std_msgs.msg import ColorRGBA
from vision_msgs.msg import Detection3D, Detection3DArray
from visualization_msgs.msg import Marker, MarkerArray

from sim_perception.geometry.boxes import box_corners, box_edges
from sim_perception.ros.detections import VISIBILITY, from_pose, to_pose
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import Box3D

_HIDDEN_ALPHA = 0.25
_SLOWEST = 0.3  # m/s; slower objects have no arrow


def box_markers(array: Detection3DArray, taxonomy: Taxonomy) -> MarkerArray:
    """Return wire boxes and name tags; hidden objects are fainter.

    The first marker deletes those of the message before, so objects that left disappear.
    """
    markers = [Marker(header=array.header, action=Marker.DELETEALL)]
    for number, detection in enumerate(array.detections):
        markers.extend(_box(array, detection, number, taxonomy))
    return MarkerArray(markers=markers)


def _box(
    array: Detection3DArray, detection: Detection3D, number: int, taxonomy: Taxonomy
) -> list[Marker]:
    scores = {r.hypothesis.class_id: r.hypothesis.score for r in detection.results}
    visibility = scores.pop(VISIBILITY, 1.0)
    name = max(scores, key=lambda key: scores[key]) if scores else ''
    alpha = _HIDDEN_ALPHA + (1 - _HIDDEN_ALPHA) * visibility
    color = _color(name, taxonomy, alpha)
    size = detection.bbox.size
    box = Box3D(from_pose(detection.bbox.center), (size.x, size.y, size.z))
    corners = box_corners(box)
    wire = Marker(header=array.header, ns='boxes', id=number, type=Marker.LINE_LIST, color=color)
    wire.pose.orientation.w = 1.0
    wire.scale.x = 0.06
    wire.points = [
        Point(x=float(x), y=float(y), z=float(z)) for x, y, z in corners[box_edges().reshape(-1)]
    ]
    tag = Marker(
        header=array.header,
        ns='names',
        id=number,
        type=Marker.TEXT_VIEW_FACING,
        color=color,
        text=f'{name} {detection.id}',
    )
    tag.pose.position.x, tag.pose.position.y = (float(v) for v in corners[:, :2].mean(0))
    tag.pose.position.z = float(corners[:, 2].max()) + 0.4
    tag.pose.orientation.w = 1.0
    tag.scale.z = 0.6
    return [wire, tag]


def track_markers(
    visible: Detection3DArray,
    occluded: Detection3DArray,
    velocities: Mapping[str, npt.NDArray[np.floating]],
    taxonomy: Taxonomy,
) -> MarkerArray:
    """Return wire boxes of visible tracks, translucent ghosts of occluded ones, and arrows.

    Args:
        visible: tracks that are seen.
        occluded: tracks that are hidden, in the same frame.
        velocities: (3,) m/s in that frame by id; an arrow is as long as a second's way.
        taxonomy: gives the colours.
    """
    markers = box_markers(visible, taxonomy).markers
    for detection in occluded.detections:
        center, size = detection.bbox.center, detection.bbox.size
        ghost = Marker(header=occluded.header, ns='ghosts', id=int(detection.id), type=Marker.CUBE)
        ghost.pose, ghost.scale = to_pose(from_pose(center)), Vector3(x=size.x, y=size.y, z=size.z)
        ghost.color = _color(_class_of(detection), taxonomy, _HIDDEN_ALPHA)
        markers.append(ghost)
    markers.extend(_arrows([*visible.detections, *occluded.detections], velocities, taxonomy))
    return MarkerArray(markers=markers)


def _arrows(
    detections: Iterable[Detection3D],
    velocities: Mapping[str, npt.NDArray[np.floating]],
    taxonomy: Taxonomy,
) -> Iterable[Marker]:
    for detection in detections:
        velocity = velocities[detection.id]
        if np.linalg.norm(velocity) < _SLOWEST:
            continue
        start = detection.bbox.center.position
        x, y, z = (float(v) for v in velocity)
        arrow = Marker(
            header=detection.header, ns='velocities', id=int(detection.id), type=Marker.ARROW
        )
        arrow.pose.orientation.w = 1.0
        end = Point(x=start.x + x, y=start.y + y, z=start.z + z)
        arrow.points = [Point(x=start.x, y=start.y, z=start.z), end]
        arrow.scale = Vector3(x=0.1, y=0.25, z=0.3)
        arrow.color = _color(_class_of(detection), taxonomy, 1.0)
        yield arrow


def _class_of(detection: Detection3D) -> str:
    """Return the name of the first hypothesis: a track's class."""
    return str(detection.results[0].hypothesis.class_id)


def _color(name: str, taxonomy: Taxonomy, alpha: float) -> ColorRGBA:
    known = name in taxonomy.names
    red, green, blue = taxonomy.classes[taxonomy.id_of(name)].color if known else (255, 255, 255)
    return ColorRGBA(r=red / 255, g=green / 255, b=blue / 255, a=float(alpha))
