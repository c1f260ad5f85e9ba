"""Subset of ROS 2's ``message_filters`` for machines without a distro: same names, same behaviour.

Holds what this project uses: Subscriber, Cache, TimeSynchronizer, ApproximateTimeSynchronizer.
One difference on purpose: the lock is released when a callback raises (the original stays
locked and the node falls silent), so users must not rely on either behaviour.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

from rclpy.clock import ROSClock
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.time import Time


class SimpleFilter:
    """Passes what it receives to its callbacks."""

    def __init__(self) -> None:
        self.callbacks: dict[int, tuple[Callable[..., Any], tuple[Any, ...]]] = {}

    def registerCallback(self, cb: Callable[..., Any], *args: Any) -> int:
        """Call ``cb(*messages, *args)`` for every output; returns the connection's number."""
        connection = len(self.callbacks)
        self.callbacks[connection] = (cb, args)
        return connection

    def signalMessage(self, *msg: Any) -> None:
        """Hand messages to every callback."""
        for cb, args in self.callbacks.values():
            cb(*msg, *args)


class Subscriber(SimpleFilter):
    """A subscription as a filter; arguments as for ``Node.create_subscription``."""

    def __init__(self, node: Node, msg_type: type, topic: str, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.node = node
        self.topic = topic
        if not args:
            kwargs.setdefault('qos_profile', 10)
        self.sub = node.create_subscription(msg_type, topic, self.callback, *args, **kwargs)

    def callback(self, msg: Any) -> None:
        """Pass a message on."""
        self.signalMessage(msg)

    def getTopic(self) -> str:
        """Return the topic as it was given."""
        return self.topic

    def __getattr__(self, key: str) -> Any:
        if key == 'sub':
            raise AttributeError(key)
        return getattr(self.sub, key)


def _stamp_of(msg: Any, allow_headerless: bool, who: str) -> Time | None:
    """Return a message's stamp, the current time if allowed, or None with a warning."""
    if hasattr(msg, 'header') and hasattr(msg.header, 'stamp'):
        stamp = msg.header.stamp
        return stamp if hasattr(stamp, 'nanoseconds') else Time.from_msg(stamp)
    if allow_headerless:
        return ROSClock().now()
    get_logger(who).warning(
        'cannot filter a message without a header stamp; set allow_headerless to use the '
        'time of receipt instead'
    )
    return None


class Cache(SimpleFilter):
    """Keeps the last ``cache_size`` messages for look-up by time."""

    def __init__(self, f: SimpleFilter, cache_size: int = 1, allow_headerless: bool = False):
        super().__init__()
        self.cache_size = cache_size
        self.cache_msgs: list[Any] = []
        self.cache_times: list[Time] = []
        self.allow_headerless = allow_headerless
        self.connectInput(f)

    def connectInput(self, f: SimpleFilter) -> None:
        """Take the messages of another filter."""
        self.incoming_connection = f.registerCallback(self.add)

    def add(self, msg: Any) -> None:
        """Store a message and pass it on."""
        stamp = _stamp_of(msg, self.allow_headerless, 'message_filters_cache')
        if stamp is None:
            return
        self.cache_times.append(stamp)
        self.cache_msgs.append(msg)
        if len(self.cache_msgs) > self.cache_size:
            del self.cache_msgs[0]
            del self.cache_times[0]
        self.signalMessage(msg)

    def getInterval(self, from_stamp: Time, to_stamp: Time) -> list[Any]:
        """Return the messages from one time to another, both included."""
        assert from_stamp <= to_stamp
        pairs = zip(self.cache_msgs, self.cache_times, strict=True)
        return [msg for msg, time in pairs if from_stamp <= time <= to_stamp]

    def getElemAfterTime(self, stamp: Time) -> Any:
        """Return the oldest message at or after a time, or None."""
        pairs = zip(self.cache_msgs, self.cache_times, strict=True)
        return next((msg for msg, time in pairs if time >= stamp), None)

    def getElemBeforeTime(self, stamp: Time) -> Any:
        """Return the newest message at or before a time, or None."""
        pairs = zip(reversed(self.cache_msgs), reversed(self.cache_times), strict=True)
        return next((msg for msg, time in pairs if time <= stamp), None)

    def getLastestTime(self) -> Time | None:
        """Return the newest stamp, or None (the name is spelt as in the original)."""
        return self.cache_times[-1] if self.cache_times else None

    def getOldestTime(self) -> Time | None:
        """Return the oldest stamp, or None."""
        return self.cache_times[0] if self.cache_times else None

    def getLast(self) -> Any:
        """Return the newest message, or None."""
        newest = self.getLastestTime()
        return None if newest is None else self.getElemAfterTime(newest)


class TimeSynchronizer(SimpleFilter):
    """Calls back with one message of every input when their stamps are equal."""

    def __init__(self, fs: list[SimpleFilter], queue_size: int) -> None:
        super().__init__()
        self.queue_size = queue_size
        self.lock = threading.Lock()
        self.connectInput(fs)

    def connectInput(self, fs: list[SimpleFilter]) -> None:
        """Take the messages of these filters; forgets earlier messages."""
        self.queues: list[dict[int, Any]] = [{} for _ in fs]
        self.input_connections = [
            f.registerCallback(self.add, queue, index)
            for index, (f, queue) in enumerate(zip(fs, self.queues, strict=True))
        ]

    def _store(self, stamp: int, msg: Any, queue: dict[int, Any]) -> None:
        queue[stamp] = msg
        while len(queue) > self.queue_size:
            del queue[min(queue)]

    def _signal(self, stamps: list[int]) -> None:
        messages = [queue[stamp] for queue, stamp in zip(self.queues, stamps, strict=True)]
        self.signalMessage(*messages)
        for queue, stamp in zip(self.queues, stamps, strict=True):
            del queue[stamp]

    def add(self, msg: Any, my_queue: dict[int, Any], my_queue_index: int | None = None) -> None:
        """Store a message of one input and signal every complete set."""
        with self.lock:
            self._store(Time.from_msg(msg.header.stamp).nanoseconds, msg, my_queue)
            for stamp in sorted(set.intersection(*(set(queue) for queue in self.queues))):
                self._signal([stamp] * len(self.queues))


class ApproximateTimeSynchronizer(TimeSynchronizer):
    """Calls back with one message of every input when their stamps lie within ``slop`` seconds."""

    def __init__(
        self,
        fs: list[SimpleFilter],
        queue_size: int,
        slop: float,
        allow_headerless: bool = False,
    ) -> None:
        super().__init__(fs, queue_size)
        self.slop = Duration(seconds=slop)
        self.allow_headerless = allow_headerless

    def add(self, msg: Any, my_queue: dict[int, Any], my_queue_index: int | None = None) -> None:
        """Store a message of one input and signal the nearest set within the slop."""
        time = _stamp_of(msg, self.allow_headerless, 'message_filters_approx')
        if time is None:
            return
        stamp, slop = time.nanoseconds, self.slop.nanoseconds
        with self.lock:
            self._store(stamp, msg, my_queue)
            candidates = []
            for index, queue in enumerate(self.queues):
                if index == my_queue_index:
                    candidates.append([stamp])
                    continue
                near = [s for s in queue if abs(s - stamp) <= slop]
                if not near:
                    return
                candidates.append(sorted(near, key=lambda s: abs(s - stamp)))
            for stamps in itertools.product(*candidates):
                present = all(s in queue for queue, s in zip(self.queues, stamps, strict=True))
                if present and max(stamps) - min(stamps) < slop:
                    self._signal(list(stamps))
                    return
