"""Labels as marker messages, which viewers draw without knowing what a detection is."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim_perception.autolabel.records import LabelledFrame
from sim_perception.bags.messages import header, pose_message
from sim_perception.bags.typestore import message_class
from sim_perception.geometry.boxes import box_corners, box_edges
from sim_perception.taxonomy import Taxonomy

_LINE_WIDTH = 0.06  # metres
_IMAGE_LINE_WIDTH = 2.0  # pixels
_RECTANGLE = ((0, 1), (2, 1), (2, 1), (2, 3), (2, 3), (0, 3), (0, 3), (0, 1))
"""Which of x1 y1 x2 y2 the ends of a rectangle's sides are."""


def wire_boxes(frame: LabelledFrame, taxonomy: Taxonomy) -> Any:
    """Return ``visualization_msgs/MarkerArray`` of the 3D boxes, in the level frame.

    The first marker deletes those of the frame before.
    """
    kind = message_class('visualization_msgs/msg/Marker')
    markers = [_marker(frame, 0, kind.ARROW, kind.DELETEALL, [], (0.0, 0.0, 0.0))]
    for number, label in enumerate(frame.accepted):
        if label.box3d is None:
            continue
        ends = box_corners(label.box3d)[box_edges().reshape(-1)]
        colour = _colour(label.class_id, taxonomy)
        markers.append(_marker(frame, number, kind.LINE_LIST, kind.ADD, ends.tolist(), colour))
    return message_class('visualization_msgs/msg/MarkerArray')(markers=markers)


def image_markers(frame: LabelledFrame, taxonomy: Taxonomy, frame_id: str) -> Any:
    """Return one ``visualization_msgs/ImageMarker`` with the image boxes as lines, pixels."""
    kind = message_class('visualization_msgs/msg/ImageMarker')
    points, colours = [], []
    for label in frame.accepted:
        points += [(label.box2d[x], label.box2d[y], 0.0) for x, y in _RECTANGLE]
        colours += [_colour_message(_colour(label.class_id, taxonomy))] * len(_RECTANGLE)
    return kind(
        header=header(frame.stamp, frame_id),
        ns='labels',
        id=0,
        type=kind.LINE_LIST,
        action=kind.ADD,
        position=_point((0.0, 0.0, 0.0)),
        scale=_IMAGE_LINE_WIDTH,
        outline_color=_colour_message((1.0, 1.0, 1.0)),
        filled=0,
        fill_color=_colour_message((0.0, 0.0, 0.0)),
        lifetime=_forever(),
        points=[_point(point) for point in points],
        outline_colors=colours,
    )


def _marker(
    frame: LabelledFrame,
    number: int,
    kind: int,
    action: int,
    points: list[Any],
    colour: tuple[float, float, float],
) -> Any:
    vector = message_class('geometry_msgs/msg/Vector3')
    empty = np.zeros(0, np.uint8)
    head = header(frame.stamp, frame.level_frame)
    texture = message_class('sensor_msgs/msg/CompressedImage')(header=head, format='', data=empty)
    mesh = message_class('visualization_msgs/msg/MeshFile')(filename='', data=empty)
    return message_class('visualization_msgs/msg/Marker')(
        header=head,
        ns='labels',
        id=number,
        type=kind,
        action=action,
        pose=pose_message(np.eye(4)),
        scale=vector(x=_LINE_WIDTH, y=0.0, z=0.0),
        color=_colour_message(colour),
        lifetime=_forever(),
        frame_locked=False,
        points=[_point(point) for point in points],
        colors=[],
        texture_resource='',
        texture=texture,
        uv_coordinates=[],
        text='',
        mesh_resource='',
        mesh_file=mesh,
        mesh_use_embedded_materials=False,
    )


def _point(place: Any) -> Any:
    x, y, z = (float(v) for v in place)
    return message_class('geometry_msgs/msg/Point')(x=x, y=y, z=z)


def _colour(class_id: int, taxonomy: Taxonomy) -> tuple[float, float, float]:
    red, green, blue = (float(v) / 255 for v in taxonomy.palette()[class_id])
    return red, green, blue


def _colour_message(colour: tuple[float, float, float]) -> Any:
    red, green, blue = colour
    return message_class('std_msgs/msg/ColorRGBA')(r=red, g=green, b=blue, a=1.0)


def _forever() -> Any:
    return message_class('builtin_interfaces/msg/Duration')(sec=0, nanosec=0)
