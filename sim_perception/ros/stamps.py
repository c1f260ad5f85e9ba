"""Whether the stamps of data move forward, jump, or are wrong once."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

_HOUR = 3600.0


class StrayStamps:
    """Finds single stamps far ahead of their stream: one of a broken source must not count.

    A second one that goes on from there is a jump of the source, which is accepted.

    Args:
        ahead: seconds that a stamp may be ahead of the newest, beside the time that has passed.
        clock: seconds of a clock that does not jump.
    """

    def __init__(self, ahead: float = _HOUR, clock: Callable[[], float] = time.monotonic) -> None:
        self._ahead = ahead
        self._clock = clock
        self._newest: dict[Hashable, tuple[int, float]] = {}
        self._held: dict[Hashable, int] = {}

    def reset(self) -> None:
        """Accept any stamp next."""
        self._newest.clear()
        self._held.clear()

    def is_stray(self, stamp: int, stream: Hashable = 0) -> bool:
        """Return whether a stamp in nanoseconds is to be dropped; count it otherwise."""
        now = self._clock()
        if stream in self._newest:
            newest, at = self._newest[stream]
            if stamp - newest > (self._ahead + now - at) * 1e9:
                held = self._held.get(stream)
                self._held[stream] = stamp
                if held is None or stamp <= held:
                    return True
        self._held.pop(stream, None)
        self._newest[stream] = stamp, now
        return False


class StampGuard:
    """Checks that stamps move forward; tells a jump from data out of order.

    Several streams of data are checked each by itself, and a jump of one is one of all.
    """

    def __init__(self, jump_threshold: float) -> None:
        self._threshold = round(jump_threshold * 1e9)
        self._newest: dict[int, int] = {}
        self._strays = StrayStamps()

    def reset(self) -> None:
        """Accept any stamp next."""
        self._newest.clear()
        self._strays.reset()

    def jumped(self, stamp: int, stream: int = 0) -> bool:
        """Accept a stamp; True if it went back by more than the threshold.

        Raises:
            ValueError: for a zero stamp, one that is not later than the one before, or one
                that is more than an hour ahead unless the next goes on from there.
        """
        if stamp == 0:
            raise ValueError('data with zero stamp; set header.stamp at the source')
        last = self._newest.get(stream, 0)
        if last - self._threshold <= stamp <= last:
            raise ValueError(
                f'data out of order: stamp {stamp * 1e-9:.3f} s after {last * 1e-9:.3f} s; dropped'
            )
        if self._strays.is_stray(stamp, stream):
            raise ValueError(
                f'data from the future: stamp {stamp * 1e-9:.3f} s after {last * 1e-9:.3f} s; '
                'dropped, unless more of them follow'
            )
        jumped = stamp < last
        if jumped:
            self._newest.clear()
        self._newest[stream] = stamp
        return jumped
