"""When to publish what is in a bag: speed, pause and the key that switches it."""

from __future__ import annotations

import contextlib
import select
import sys
import threading
import time
from collections.abc import Iterator

_LOOK_PERIOD = 0.05
"""How often a pause is looked at [s]."""


class Pace:
    """Maps times of a bag to now.

    Args:
        begin: time of the bag at the start [ns].
        rate: speed relative to the recording.
        paused: set while nothing is to be published.
        stop: set when playing is to end.
    """

    def __init__(
        self, begin: int, rate: float, paused: threading.Event, stop: threading.Event
    ) -> None:
        self._begin, self._rate = begin, rate
        self._paused, self._stop = paused, stop
        self._started = time.monotonic()

    def wait_until(self, stamp: int) -> bool:
        """Wait for a time of the bag [ns]; return whether to go on."""
        while not self._stop.is_set():
            if self._paused.is_set():
                self._sit_out()
                continue
            due = self._started + (stamp - self._begin) * 1e-9 / self._rate
            ahead = due - time.monotonic()
            if ahead <= 0:
                return True
            self._stop.wait(min(ahead, _LOOK_PERIOD))
        return False

    def _sit_out(self) -> None:
        paused_at = time.monotonic()
        while self._paused.is_set() and not self._stop.wait(_LOOK_PERIOD):
            pass
        self._started += time.monotonic() - paused_at


@contextlib.contextmanager
def space_toggles(paused: threading.Event) -> Iterator[None]:
    """Let SPACE pause and resume while the block runs, if there is a terminal."""
    if not sys.stdin.isatty():
        yield
        return
    import termios
    import tty

    print('Press SPACE for Pause/Resume', flush=True)
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    ended = threading.Event()
    tty.setcbreak(terminal)  # keys come at once; Ctrl-C stays a signal
    listener = threading.Thread(target=_listen, args=(paused, ended), daemon=True)
    listener.start()
    try:
        yield
    finally:
        ended.set()
        listener.join()
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _listen(paused: threading.Event, ended: threading.Event) -> None:
    while not ended.is_set():
        if not select.select([sys.stdin], [], [], _LOOK_PERIOD)[0]:
            continue
        key = sys.stdin.read(1)
        if not key:
            return
        if key == ' ':
            (paused.clear if paused.is_set() else paused.set)()
            print('Paused' if paused.is_set() else 'Resumed', flush=True)
