"""Transforms at the stamp of the data, with a bounded wait and errors that say what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import Quaternion, TransformStamped, Vector3
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time
from std_msgs.msg import Header
from tf2_ros import (
    Buffer,
    ConnectivityException,
    ExtrapolationException,
    LookupException,
    TransformBroadcaster,
    TransformException,
)
from tf_transformations import quaternion_matrix

from sim_perception.geometry.frames import frame_name
from sim_perception.geometry.transforms import to_quaternion
from sim_perception.ros.transform_feed import TransformFeed

Transform = npt.NDArray[np.floating[Any]]


class TransformError(RuntimeError):
    """A transform is not available; the text names cause and remedy."""


class TransformLookup:
    """Looks transforms up at the time of the data.

    Call ``lookup`` from a worker thread, never from a callback of the node's executor: that
    would keep the listener from receiving what it waits for.

    Args:
        node: receives the transforms.
        timeout: longest wait of a look-up, seconds.
        cache_time: how long transforms are kept, seconds.
    """

    def __init__(self, node: Node, timeout: float = 0.1, cache_time: float = 10.0) -> None:
        self._timeout = timeout
        self.buffer = Buffer(cache_time=Duration(seconds=cache_time))
        self._feed = TransformFeed(node, self.buffer, cache_time)

    def lookup(self, target: str, source: str, stamp: int) -> Transform:
        """Return the 4x4 ``target_T_source`` at a stamp in nanoseconds.

        Raises:
            TransformError: if it is not available within the timeout.
        """
        target, source = frame_name(target), frame_name(source)
        try:
            found = self.buffer.lookup_transform(
                target, source, Time(nanoseconds=stamp), Duration(seconds=self._timeout)
            )
        except TransformException as error:
            raise TransformError(
                f'no transform from {source!r} to {target!r} at {stamp * 1e-9:.3f} s within '
                f'{self._timeout:g} s: {_remedy(error)}'
            ) from error
        return _matrix(found)

    def newest(self, target: str, source: str) -> Transform | None:
        """Return the newest 4x4 ``target_T_source`` without a wait, None if it is not known."""
        try:
            found = self.buffer.lookup_transform(frame_name(target), frame_name(source), Time())
        except TransformException:
            return None
        return _matrix(found)

    def reset(self) -> None:
        """Forget dynamic transforms: after a clock jump."""
        self._feed.reset()

    def close(self) -> None:
        """Stop listening."""
        self._feed.close()


class TransformSender:
    """Sends transforms on ``/tf``."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._broadcaster = TransformBroadcaster(node)

    def send(self, parent_T_child: Transform, header: Header, child: str) -> None:
        """Send the (4, 4) pose of a frame in the frame of a header, at its stamp."""
        x, y, z, w = to_quaternion(parent_T_child).tolist()
        message = TransformStamped(header=header, child_frame_id=child)
        message.transform.rotation = Quaternion(x=x, y=y, z=z, w=w)
        place = parent_T_child[:3, 3].tolist()
        message.transform.translation = Vector3(**dict(zip('xyz', place, strict=True)))
        self._broadcaster.sendTransform(message)

    def close(self) -> None:
        """Destroy the publisher."""
        self._node.destroy_publisher(self._broadcaster.pub_tf)


def _matrix(stamped: TransformStamped) -> Transform:
    t, q = stamped.transform.translation, stamped.transform.rotation
    matrix: Transform = quaternion_matrix([q.x, q.y, q.z, q.w])
    matrix[:3, 3] = t.x, t.y, t.z
    return matrix


def _remedy(error: TransformException) -> str:
    if isinstance(error, LookupException):
        return f'{error}; publish it on /tf or /tf_static, or correct the frame_id of the data'
    if isinstance(error, ConnectivityException):
        return 'the frames are in separate trees; publish the transform that joins them'
    if isinstance(error, ExtrapolationException):
        return (
            f'{error}; is the publisher of /tf running, are clocks equal (use_sim_time), is '
            'tf_timeout long enough?'
        )
    return str(error)
