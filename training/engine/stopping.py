"""Orderly stops: a time limit, Ctrl-C, or SIGTERM end the loop after the running step."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any


class StopRequest:
    """Collects the reason to stop while inside its ``with`` block."""

    def __init__(self, max_minutes: float | None = None) -> None:
        self._deadline = None if max_minutes is None else time.monotonic() + 60 * max_minutes
        self._max_minutes = max_minutes
        self._signal: str | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        # Python allows signal handlers in the main thread only; elsewhere just the clock counts.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None:  # a second Ctrl-C means now
            raise KeyboardInterrupt
        self._signal = signal.Signals(number).name

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self._signal == signal.SIGINT.name

    def reason(self) -> str:
        """Return why to stop, or '' to go on."""
        if self._signal is not None:
            return f'received {self._signal}'
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return f'{self._max_minutes:g} minutes are over'
        return ''
