"""Publishes static transforms on ``/tf_static``."""

from __future__ import annotations

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile
from tf2_msgs.msg import TFMessage


class StaticTransformBroadcaster:
    """Sends latched transforms; a later one for the same child frame replaces the earlier."""

    def __init__(self, node: Node, qos: QoSProfile | int | None = None) -> None:
        if qos is None:
            qos = QoSProfile(
                depth=1,
                durability=DurabilityPolicy.TRANSIENT_LOCAL,
                history=HistoryPolicy.KEEP_LAST,
            )
        self.net_transforms: dict[str, TransformStamped] = {}
        self.pub_tf = node.create_publisher(TFMessage, '/tf_static', qos)

    def sendTransform(self, transform: TransformStamped | list[TransformStamped]) -> None:
        """Add one transform or several and publish all sent so far."""
        transforms = transform if hasattr(transform, '__iter__') else [transform]
        self.net_transforms.update({t.child_frame_id: t for t in transforms})
        self.pub_tf.publish(TFMessage(transforms=list(self.net_transforms.values())))
