"""Quality of service in one place: profiles, overrides by parameter, and what went wrong.

Profiles are functions because rclpy's overriding options change the object they are given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription


def _profile(
    depth: int,
    reliability: ReliabilityPolicy = ReliabilityPolicy.RELIABLE,
    durability: DurabilityPolicy = DurabilityPolicy.VOLATILE,
) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=reliability,
        durability=durability,
    )


def sensor_qos() -> QoSProfile:
    """Return the profile of sensor inputs: best effort, newest message only."""
    return _profile(1, ReliabilityPolicy.BEST_EFFORT)


def every_frame_qos(depth: int) -> QoSProfile:
    """Return the profile of inputs of which every message matters: best effort, none skipped."""
    return _profile(depth, ReliabilityPolicy.BEST_EFFORT)


def output_qos() -> QoSProfile:
    """Return the profile of outputs: reliable, which matches every kind of subscriber."""
    return _profile(2)


def stream_qos() -> QoSProfile:
    """Return the profile of outputs of which every message matters, such as /tf."""
    return _profile(100)


def latched_qos(depth: int = 1) -> QoSProfile:
    """Return the profile of latched topics: late subscribers get the last messages."""
    return _profile(depth, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def describe(profile: QoSProfile) -> str:
    """Return the parts of a profile that decide whether two sides match."""
    return f'{profile.reliability.name.lower()}, {profile.durability.name.lower()}'


def subscribe(
    node: Node,
    message_type: type,
    topic: str,
    callback: Callable[[Any], None],
    profile: QoSProfile,
    on_lost: Callable[[str, int], None] | None = None,
    *,
    raw: bool = False,
) -> Subscription:
    """Subscribe with overriding options and an explanation of incompatible publishers.

    Args:
        node: the owner.
        message_type: the ROS message class.
        topic: relative name.
        callback: called with every message.
        profile: the default, changeable by ``qos_overrides.<topic>.subscription.*``.
        on_lost: called with the topic and the number of messages newly lost in transport.
        raw: whether the callback gets the messages' bytes; see ``wire``.
    """
    name = node.resolve_topic_name(topic)
    explained: set[str] = set()

    def incompatible(_: Any) -> None:
        for publisher in node.get_publishers_info_by_topic(name):
            offered = describe(publisher.qos_profile)
            if offered in explained or offered == describe(profile):
                continue
            explained.add(offered)
            node.get_logger().warning(
                f'no messages on {name} from {publisher.node_name}: it offers '
                f'[{offered}], this node asks for [{describe(profile)}]; change one side, here '
                f'with the parameters qos_overrides.{name}.subscription.*'
            )

    def lost(event: Any) -> None:
        if on_lost is not None:
            on_lost(name, event.total_count_change)

    return node.create_subscription(
        message_type,
        topic,
        callback,
        profile,
        event_callbacks=SubscriptionEventCallbacks(
            incompatible_qos=incompatible, message_lost=lost
        ),
        qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        raw=raw,
    )


def advertise(
    node: LifecycleNode, message_type: type, topic: str, profile: QoSProfile
) -> LifecyclePublisher[Any]:
    """Create a lifecycle publisher with ``qos_overrides.<topic>.publisher.*`` parameters."""
    return node.create_lifecycle_publisher(
        message_type,
        topic,
        profile,
        qos_overriding_options=QoSOverridingOptions.with_default_policies(),
    )


def is_wanted(publisher: Publisher) -> bool:
    """Return whether anyone subscribes to a topic."""
    return publisher.get_subscription_count() > 0
