"""QoS between rclpy and the rosbags library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rclpy.qos import QoSProfile
    from rosbags.interfaces import Qos

# A bag does not know the depth of most publishers: discovery does not tell it.
_DEFAULT_DEPTH = 10


def to_publisher(offers: Sequence[Qos], message_count: int) -> QoSProfile:
    """Return the QoS to publish a recorded topic with.

    Args:
        offers: what its publishers offered when it was recorded; reliable if nothing is known.
        message_count: how many messages the bag has; all of a latched topic are kept.
    """
    from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
    from rosbags.interfaces import QosDurability, QosReliability

    latched = any(offer.durability == QosDurability.TRANSIENT_LOCAL for offer in offers)
    best_effort = any(offer.reliability == QosReliability.BEST_EFFORT for offer in offers)
    depth = max([_DEFAULT_DEPTH, *(offer.depth for offer in offers if offer.depth < 10_000)])
    return QoSProfile(
        depth=max(depth, min(message_count, 1000)) if latched else depth,
        reliability=ReliabilityPolicy.BEST_EFFORT if best_effort else ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def from_publishers(infos: Sequence[Any]) -> list[Qos]:
    """Return what publishers offer, to be written into a bag, each kind once."""
    from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
    from rosbags.interfaces import (
        Qos,
        QosDurability,
        QosHistory,
        QosLiveliness,
        QosReliability,
        QosTime,
    )

    forever = QosTime(2147483647, 4294967295)
    offers = []
    for info in infos:
        profile = info.qos_profile
        reliable = profile.reliability == ReliabilityPolicy.RELIABLE
        latched = profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
        offer = Qos(
            history=QosHistory.KEEP_LAST if profile.depth else QosHistory.UNKNOWN,
            depth=profile.depth,
            reliability=QosReliability.RELIABLE if reliable else QosReliability.BEST_EFFORT,
            durability=QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
            deadline=forever,
            lifespan=forever,
            liveliness=QosLiveliness.AUTOMATIC,
            liveliness_lease_duration=forever,
            avoid_ros_namespace_conventions=False,
        )
        if offer not in offers:
            offers.append(offer)
    return offers
