"""Fills a buffer of transforms from ``/tf`` and ``/tf_static``, safe against what they may hold.

A listener of tf2 gives a message up at its first bad transform, and one transform with a stamp
far ahead keeps all later ones of its frame out of the buffer, which takes them for old.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from tf2_msgs.msg import TFMessage
from tf2_ros import Buffer

from sim_perception.geometry.frames import frame_name
from sim_perception.ros import qos
from sim_perception.ros.conversions import stamp_to_ns
from sim_perception.ros.diagnostics import describe_error
from sim_perception.ros.executor import report
from sim_perception.ros.stamps import StrayStamps

_AUTHORITY = 'unknown_publisher'


class TransformFeed:
    """Puts every transform that is usable into a buffer and reports the others.

    Args:
        node: the owner of the subscriptions; problems are reported to it.
        buffer: to fill.
        cache_time: of the buffer, seconds.
    """

    def __init__(self, node: Node, buffer: Buffer, cache_time: float) -> None:
        self._node = node
        self._buffer = buffer
        self._cache_time = round(cache_time * 1e9)
        self._lock = threading.Lock()
        self._strays = StrayStamps()
        self._newest: dict[str, int] = {}
        self._late: set[str] = set()
        self._subscriptions = [
            qos.subscribe(node, TFMessage, '/tf', self._on_moving, qos.stream_qos()),
            qos.subscribe(node, TFMessage, '/tf_static', self._on_static, qos.latched_qos(100)),
        ]

    def reset(self) -> None:
        """Forget dynamic transforms and their stamps: after a clock jump."""
        with self._lock:
            self._forget()

    def close(self) -> None:
        """Stop listening."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def _on_moving(self, message: TFMessage) -> None:
        with self._lock:
            self._each(message, self._add_moving)

    def _on_static(self, message: TFMessage) -> None:
        self._each(message, self._add_static)

    def _each(self, message: TFMessage, add: Callable[[TransformStamped], Any]) -> None:
        for transform in message.transforms:
            transform.header.frame_id = frame_name(transform.header.frame_id)
            transform.child_frame_id = frame_name(transform.child_frame_id)
            try:
                add(transform)
            # Whatever tf2 raises about one transform must not cost the others of its message.
            except Exception as error:
                report(
                    self._node,
                    f'transform from {transform.header.frame_id!r} to '
                    f'{transform.child_frame_id!r} not used: {describe_error(error)}',
                )

    def _add_static(self, transform: TransformStamped) -> None:
        transform.header.stamp = Time()  # means nothing here, and may be one that tf2 refuses
        self._buffer.set_transform_static(transform, _AUTHORITY)

    def _add_moving(self, transform: TransformStamped) -> None:
        stamp, frame = stamp_to_ns(transform.header.stamp), transform.child_frame_id
        if self._strays.is_stray(stamp, frame):
            raise ValueError(
                f'its stamp {stamp * 1e-9:.3f} s is far ahead of the last, '
                f'{self._newest[frame] * 1e-9:.3f} s; are clocks equal?'
            )
        if stamp < self._newest.get(frame, stamp) - self._cache_time:
            if frame not in self._late:
                self._late.add(frame)
                return
            # A second in a row: time itself went back, or what was ahead of it was wrong.
            self._forget()
        self._late.discard(frame)
        self._newest[frame] = max(stamp, self._newest.get(frame, stamp))
        self._buffer.set_transform(transform, _AUTHORITY)

    def _forget(self) -> None:
        self._buffer.clear()
        self._strays.reset()
        self._newest.clear()
        self._late.clear()
