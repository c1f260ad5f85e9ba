"""Labels with their images as one MCAP recording, for viewers and for tools that read such logs.

Everything is in messages of ROS 2's own packages (profile ``ros2``, CDR, definitions within the
file), so no reader needs more than the file:

| topic | type | what |
|---|---|---|
| ``/camera/image_raw/compressed`` | ``sensor_msgs/CompressedImage`` | the PNG file's bytes |
| ``/camera/camera_info`` | ``sensor_msgs/CameraInfo`` | the pinhole |
| ``/lidar/points`` | ``sensor_msgs/PointCloud2`` | x y z in the level frame, where known |
| ``/tf`` | ``tf2_msgs/TFMessage`` | level frame in the world, where known; camera in it |
| ``/auto_labeler/labels`` | ``vision_msgs/Detection3DArray`` | the labels, as in ``bag`` |
| ``/labels/objects_2d`` | ``vision_msgs/Detection2DArray`` | their image boxes |
| ``/labels/markers`` | ``visualization_msgs/MarkerArray`` | wire boxes, for 3D panels |
| ``/labels/image_markers`` | ``visualization_msgs/ImageMarker`` | boxes, for image panels |
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sim_perception.autolabel.export.bag import LABELS, labels_message
from sim_perception.autolabel.export.base import (
    IMAGES,
    LabelExport,
    LabelledRecording,
    folders_of,
    scan_file,
    scan_points,
)
from sim_perception.autolabel.export.markers import image_markers, wire_boxes
from sim_perception.autolabel.records import LabelledFrame
from sim_perception.bags.messages import (
    StampedMessage,
    camera_info_message,
    header,
    tf_message,
    transform_message,
    xyz_cloud_message,
)
from sim_perception.bags.simulated import box2d_message
from sim_perception.bags.topics import (
    CAMERA_FRAME,
    CAMERA_INFO,
    IMAGE_COMPRESSED,
    POINTS,
    TF,
    QosHint,
    Topic,
)
from sim_perception.bags.typestore import message_class, serialize
from sim_perception.bags.writer import BagWriter
from sim_perception.geometry.transforms import invert
from sim_perception.taxonomy import Taxonomy

BOXES = Topic('/labels/objects_2d', 'vision_msgs/msg/Detection2DArray', QosHint.RELIABLE)
MARKERS = Topic('/labels/markers', 'visualization_msgs/msg/MarkerArray', QosHint.RELIABLE)
IMAGE_MARKERS = Topic(
    '/labels/image_markers', 'visualization_msgs/msg/ImageMarker', QosHint.RELIABLE
)
_LABELLED = (LABELS, BOXES, MARKERS, IMAGE_MARKERS)


class McapExport(LabelExport):
    """``mcap/``: a bag's folder with one MCAP file, and metadata for ``ros2 bag``.

    Of several recordings one such folder each in it: clocks of drives have nothing in common.
    """

    needs_images = True
    needs_scans = True

    def write_all(
        self, recordings: Sequence[LabelledRecording], taxonomy: Taxonomy, out: Path
    ) -> None:
        """Write the recordings."""
        shutil.rmtree(out / 'mcap', ignore_errors=True)
        for recording, folder in folders_of(recordings, out / 'mcap'):
            with BagWriter(folder) as bag:
                for topic in _LABELLED:
                    bag.add_topic(topic)
                for frame in recording.frames:
                    for topic, message in _messages(frame, taxonomy, out):
                        bag.write(StampedMessage(topic.name, frame.stamp, serialize(message)))


def _messages(frame: LabelledFrame, taxonomy: Taxonomy, out: Path) -> Iterator[tuple[Topic, Any]]:
    """Yield what there is of a frame."""
    optical = frame.camera_frame or CAMERA_FRAME
    yield TF, tf_message(_transforms(frame, optical))
    yield CAMERA_INFO, camera_info_message(frame.camera, frame.stamp, optical)
    image = out / IMAGES / f'{frame.name}.png'
    if image.exists():
        yield (
            IMAGE_COMPRESSED,
            message_class('sensor_msgs/msg/CompressedImage')(
                header=header(frame.stamp, optical),
                format='rgb8; png compressed bgr8',
                data=np.frombuffer(image.read_bytes(), np.uint8),
            ),
        )
    scan = scan_file(out, frame.name)
    if scan is not None:
        yield POINTS, xyz_cloud_message(scan_points(scan), frame.stamp, frame.level_frame)
    yield LABELS, labels_message(frame, taxonomy)
    array = message_class('vision_msgs/msg/Detection2DArray')
    head = header(frame.stamp, optical)
    boxes = [
        box2d_message(
            label.box2d, label.id, {taxonomy.names[label.class_id]: label.confidence}, head
        )
        for label in frame.accepted
    ]
    yield BOXES, array(header=head, detections=boxes)
    yield MARKERS, wire_boxes(frame, taxonomy)
    yield IMAGE_MARKERS, image_markers(frame, taxonomy, optical)


def _transforms(frame: LabelledFrame, optical: str) -> list[Any]:
    level_T_camera = invert(np.asarray(frame.camera_T_level, float))
    found = [transform_message(level_T_camera, frame.stamp, frame.level_frame, optical)]
    if frame.world_T_level is not None:
        found.append(
            transform_message(
                frame.world_T_level, frame.stamp, frame.world_frame, frame.level_frame
            )
        )
    return found
