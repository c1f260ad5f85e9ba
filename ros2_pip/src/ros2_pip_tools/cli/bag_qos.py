"""QoS between rclpy and the rosbags library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ros2_pip_tools.cli.errors import CommandError

if TYPE_CHECKING:
    from rclpy.qos import QoSProfile
    from rosbags.interfaces import Connection, Qos

# A listener to /tf_static expects latched messages, also where a bag knows no QoS.
_LATCHED_BY_NAME = ('/tf_static',)
# A bag does not know the depth of most publishers: discovery does not tell it.
_DEFAULT_DEPTH = 10


def to_publisher(connection: Connection, overrides: Mapping[str, QoSProfile]) -> QoSProfile:
    """Return the QoS to publish a recorded topic with.

    That is what its publishers offered when it was recorded, reliable if nothing is known. All
    messages of a latched topic are kept.

    Args:
        connection: of the bag.
        overrides: QoS by topic, over what the bag says.
    """
    from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
    from rosbags.interfaces import QosDurability, QosReliability

    if connection.topic in overrides:
        return overrides[connection.topic]
    offers = connection.ext.offered_qos_profiles
    latched = any(offer.durability == QosDurability.TRANSIENT_LOCAL for offer in offers) or (
        not offers and connection.topic in _LATCHED_BY_NAME
    )
    best_effort = any(offer.reliability == QosReliability.BEST_EFFORT for offer in offers)
    depth = max([_DEFAULT_DEPTH, *(offer.depth for offer in offers if offer.depth < 10_000)])
    return QoSProfile(
        depth=max(depth, min(connection.msgcount, 1000)) if latched else depth,
        reliability=ReliabilityPolicy.BEST_EFFORT if best_effort else ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def load_overrides(path: Path | None) -> dict[str, QoSProfile]:
    """Return QoS by topic from a YAML file; keys reliability, durability, history, depth.

    Raises:
        CommandError: the file cannot be read or has other content.
    """
    from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

    if path is None:
        return {}
    try:
        content = yaml.safe_load(path.read_text()) or {}
        profiles = {}
        for topic, values in content.items():
            fields = {'history': 'keep_last', 'depth': _DEFAULT_DEPTH, **values}
            profiles[topic] = QoSProfile(
                history=HistoryPolicy[fields['history'].upper()],
                depth=int(fields['depth']),
                reliability=ReliabilityPolicy[fields.get('reliability', 'reliable').upper()],
                durability=DurabilityPolicy[fields.get('durability', 'volatile').upper()],
            )
        return profiles
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise CommandError(f'cannot read QoS overrides from {path}: {error!r}') from error


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
