"""Labels as a rosbag2 bag: a Detection3DArray per frame, and where its frame was."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from sim_perception.autolabel.records import LabelledFrame
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
from sim_perception.types import FloatArray, ShapeLabel

LABELS = Topic('/auto_labeler/labels', 'vision_msgs/msg/Detection3DArray', QosHint.RELIABLE)


def pose_covariance(label: ShapeLabel) -> FloatArray:
    """Return the (36,) covariance of x, y, z and turns about them; 0 where it is not known."""
    full = np.zeros((6, 6))
    if label.covariance is not None:
        full[np.ix_([0, 1, 2, 5], [0, 1, 2, 5])] = label.covariance[:4, :4]
    return full.reshape(-1)


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
