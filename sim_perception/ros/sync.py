"""Several topics matched by stamp with ``message_filters``, safe against clocks that jump.

The filters of ROS call back under a lock, and after a backward jump (a looped bag) their old
entries block every match. So the callback here only hands the set over, and messages older
than the last match by more than a jump empty the queues.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import message_filters

from sim_perception.ros.conversions import stamp_to_ns


@dataclass(frozen=True)
class SyncSettings:
    """How topics are matched.

    Attributes:
        slop: largest difference of stamps within a set in seconds; 0 means equal stamps.
        queue_size: messages kept per topic while a set is incomplete.
        jump: seconds a stamp may lie before the newest without counting as a jump.
    """

    slop: float = 0.0
    queue_size: int = 5
    jump: float = 1.0


class Synchronizer:
    """Matches messages that are put in by hand from subscriptions.

    Args:
        count: number of topics.
        on_set: called with one message of every topic, in order; must return at once and must
            not raise.
        settings: how topics are matched.
        on_dropped: called with the number of messages of the first topic that will not be part
            of any set.

    Attributes:
        unmatched: how many messages of the first topic in a row found no partners.
    """

    def __init__(
        self,
        count: int,
        on_set: Callable[[Sequence[Any]], None],
        settings: SyncSettings = SyncSettings(),
        on_dropped: Callable[[int], None] = lambda number: None,
    ) -> None:
        self._count = count
        self._on_set = on_set
        self._settings = settings
        self._on_dropped = on_dropped
        self._waiting: set[int] = set()
        self.unmatched = 0
        self.jumps = 0
        self.reset()

    def reset(self) -> None:
        """Forget everything: after a clock jump."""
        settings = self._settings
        self._inputs = [message_filters.SimpleFilter() for _ in range(self._count)]
        if settings.slop > 0:
            filters = message_filters.ApproximateTimeSynchronizer(
                self._inputs, settings.queue_size, settings.slop
            )
        else:
            filters = message_filters.TimeSynchronizer(self._inputs, settings.queue_size)
        filters.registerCallback(self._on_match)
        self._newest = 0
        self._on_dropped(len(self._waiting))
        self._waiting.clear()

    def put(self, index: int, message: Any) -> None:
        """Add a message of topic ``index``; calls ``on_set`` when it completes a set."""
        try:
            stamp = stamp_to_ns(message.header.stamp)
        except ValueError:
            self._on_dropped(index == 0)
            raise
        if stamp < self._newest - round(self._settings.jump * 1e9):
            self.jumps += 1
            self.reset()
        self._newest = max(self._newest, stamp)
        if index == 0:
            self._wait(stamp)
        self._inputs[index].signalMessage(message)

    def _on_match(self, *messages: Any) -> None:
        self._waiting.discard(stamp_to_ns(messages[0].header.stamp))
        self.unmatched = 0
        self._on_set(messages)

    def _wait(self, stamp: int) -> None:
        """Keep account of what the filters hold: one message a stamp, of too many the newest."""
        replaced = stamp in self._waiting
        self._waiting.add(stamp)
        if len(self._waiting) > self._settings.queue_size:
            self._waiting.remove(min(self._waiting))
            self.unmatched += 1
            replaced = True
        if replaced:
            self._on_dropped(1)

    def explain(self, topics: Sequence[str]) -> str:
        """Return why nothing is given although data come; empty while sets are found.

        Args:
            topics: names of what is matched, in order.
        """
        if self.unmatched < self._settings.queue_size:
            return ''
        first, *others = topics
        return (
            f'the last {self.unmatched} messages on {first} match none on {" and ".join(others)}: '
            f'their stamps differ by more than sync_slop ({self._settings.slop:g} s); are both '
            'stamped by one clock, with the time of the measurement?'
        )
