"""The thread on which a node works: the newest inputs, one after the other."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Generic, TypeVar

T = TypeVar('T')
_PACKAGE = Path(__file__).resolve().parents[1]


class Newest(Generic[T]):
    """A place for the newest values of every stream, by default for one of each.

    More may wait for a while. If even those become too many, whoever takes them is too slow:
    then only the newest is kept until they are caught up with, or all would be old for ever.
    """

    def __init__(self, capacity: int = 1) -> None:
        self._capacity = capacity
        self._values: deque[tuple[int, T]] = deque()
        self._behind: set[int] = set()
        self._changed = threading.Condition()

    def put(self, value: T, stream: int = 0) -> int:
        """Store a value; returns how many of its stream it replaced."""
        replaced = 0
        with self._changed:
            own = sum(owner == stream for owner, _ in self._values)
            if own >= (1 if stream in self._behind else self._capacity):
                self._behind.add(stream)
                others = [pair for pair in self._values if pair[0] != stream]
                self._values, replaced = deque(others), own
            self._values.append((stream, value))
            self._changed.notify()
        return replaced

    def take(self, timeout: float) -> T | None:
        """Wait for a value and remove the oldest; None after the timeout."""
        with self._changed:
            if not self._values:
                self._behind.clear()
                self._changed.wait(timeout)
            return self._values.popleft()[1] if self._values else None

    def clear(self) -> int:
        """Drop all values; returns how many there were."""
        with self._changed:
            dropped = len(self._values)
            self._values.clear()
        return dropped


class Worker(Generic[T]):
    """Takes values from a place and works on them until it is told to stop.

    Args:
        name: of the thread.
        inbox: where values come from.
        work: called with every value, and with None ten times a second while there is none; must
            not raise.
    """

    def __init__(self, name: str, inbox: Newest[T], work: Callable[[T | None], None]) -> None:
        self._inbox = inbox
        self._work = work
        self._stopping = threading.Event()
        self._since: float | None = None
        # As a daemon it cannot keep the process from its end, whatever it hangs in.
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """Let the thread end as soon as it is done with what it has."""
        self._stopping.set()

    def stuck(self, patience: float) -> str:
        """Return since when and in what the worker is stuck; empty if it is not.

        Args:
            patience: seconds that the work on one value may take.
        """
        since = self._since
        if since is None or time.monotonic() - since < patience:
            return ''
        seconds = time.monotonic() - since
        begin = time.strftime('%H:%M:%S', time.localtime(time.time() - seconds))
        return f'since {begin} ({seconds:.0f} s) in {place_of(self.thread)}'

    def _run(self) -> None:
        while not self._stopping.is_set():
            value = self._inbox.take(0.1)
            self._since = time.monotonic()
            self._work(value)
            self._since = None


def place_of(thread: threading.Thread) -> str:
    """Return the line that a thread is at, and the one of this package that it came from."""
    innermost = sys._current_frames().get(thread.ident or 0)
    if innermost is None:
        return 'a thread that has ended'
    frame: FrameType | None = innermost
    while frame is not None and not Path(frame.f_code.co_filename).is_relative_to(_PACKAGE):
        frame = frame.f_back
    if frame is None or frame is innermost:
        return _line(innermost)
    return f'{_line(innermost)}, called by {_line(frame)}'


def _line(frame: FrameType) -> str:
    path = Path(frame.f_code.co_filename)
    shown = path.relative_to(_PACKAGE.parent) if path.is_relative_to(_PACKAGE) else path.name
    return f'{frame.f_code.co_name} ({shown}:{frame.f_lineno})'
