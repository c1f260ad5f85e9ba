"""The time for the objects of one frame."""

from __future__ import annotations

import time


class Budget:
    """Tells whether another object may be begun, so that a frame's time is kept within one object.

    The first one may always be begun, however late it is: a slow machine labels one object a
    frame rather than none. Others may if there is time for one that takes as long as those before.

    Args:
        seconds: from now on; infinite for no limit, none at all if not positive.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._start = time.perf_counter()
        self._begun: float | None = None
        self._objects = 0

    def allows_next(self) -> bool:
        """Return whether the next object may be begun; call it once before each."""
        if self._seconds <= 0:
            return False
        now = time.perf_counter()
        if self._begun is None:
            self._begun = now
        elif now + (now - self._begun) / self._objects - self._start > self._seconds:
            self._seconds = 0.0  # what follows is not begun either
            return False
        self._objects += 1
        return True
