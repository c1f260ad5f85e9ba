"""How long the loop waits for its data."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar('Item')


class Timed(Iterator[Item], Generic[Item]):
    """An iterator that counts the seconds spent waiting for its items."""

    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items
        self._seconds = 0.0

    def __next__(self) -> Item:
        began = time.perf_counter()
        try:
            return next(self._items)
        finally:
            self._seconds += time.perf_counter() - began

    def take_seconds(self) -> float:
        """Return the seconds since the last call, and count anew."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds
