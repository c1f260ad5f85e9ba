"""Labels as a rosbag2 bag: a Detection3DArray per frame, and where its frame was."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sim_perception.autolabel.export.base import LabelExport, LabelledRecording, folders_of
from sim_perception.autolabel.records import LabelledFrame, pose_covariance
from sim_perception.bags.messages import (
    StampedMessage,
    header,
    pose_message,
    tf_message,
    transform_message,
)
from sim_perception.bags.topics import TF, QosHint, Topic
from sim_perception.bags.typestore import message_class, serialize
from sim_perception.bags.writer import BagWriter
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import ShapeLabel

LABELS = Topic('/auto_labeler/labels', 'vision_msgs/msg/Detection3DArray', QosHint.RELIABLE)


class BagExport(LabelExport):
    """``bag/``: what ``write_bag`` writes."""

    def write_all(
        self, recordings: Sequence[LabelledRecording], taxonomy: Taxonomy, out: Path
    ) -> None:
        """Write the bag, of several recordings a folder of bags."""
        shutil.rmtree(out / 'bag', ignore_errors=True)
        for recording, folder in folders_of(recordings, out / 'bag'):
            write_bag(recording.frames, taxonomy, folder)


def labels_message(frame: LabelledFrame, taxonomy: Taxonomy) -> Any:
    """Return ``vision_msgs/Detection3DArray`` of the accepted labels, in the level frame."""
    head = header(frame.stamp, frame.level_frame)
    array = message_class('vision_msgs/msg/Detection3DArray')
    detections = [_detection(label, taxonomy, head) for label in frame.accepted]
    return array(header=head, detections=detections)


def _detection(label: ShapeLabel, taxonomy: Taxonomy, head: Any) -> Any:
    assert label.box3d is not None
    pose = pose_message(np.asarray(label.box3d.parent_T_box))
    length, width, height = (float(v) for v in label.box3d.size)
    size = message_class('geometry_msgs/msg/Vector3')(x=length, y=width, z=height)
    hypothesis = message_class('vision_msgs/msg/ObjectHypothesis')(
        class_id=taxonomy.names[label.class_id], score=float(label.confidence)
    )
    placed = message_class('geometry_msgs/msg/PoseWithCovariance')(
        pose=pose, covariance=pose_covariance(label)
    )
    result = message_class('vision_msgs/msg/ObjectHypothesisWithPose')
    return message_class('vision_msgs/msg/Detection3D')(
        header=head,
        results=[result(hypothesis=hypothesis, pose=placed)],
        bbox=message_class('vision_msgs/msg/BoundingBox3D')(center=pose, size=size),
        id=label.id,
    )


def write_bag(frames: Iterable[LabelledFrame], taxonomy: Taxonomy, path: Path) -> None:
    """Write a bag with ``/auto_labeler/labels`` and, where it is known, ``/tf`` of their frame.

    Raises:
        FileExistsError: if ``path`` exists.
    """
    with BagWriter(path) as bag:
        bag.add_topic(LABELS)
        for frame in frames:
            if frame.world_T_level is not None:
                transform = transform_message(
                    frame.world_T_level, frame.stamp, frame.world_frame, frame.level_frame
                )
                data = serialize(tf_message([transform]))
                bag.write(StampedMessage(TF.name, frame.stamp, data))
            data = serialize(labels_message(frame, taxonomy))
            bag.write(StampedMessage(LABELS.name, frame.stamp, data))
