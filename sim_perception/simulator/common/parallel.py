"""A few worker threads for kernels that release the GIL.

Numba's own thread pools must not be entered from two Python threads at once, which nodes
in one process would do; a plain executor over `nogil` kernels has no such limit.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def usable_cores() -> int:
    """Return how many cores this process may run on."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers:
    """Runs numbered pieces of one job on a fixed number of threads.

    What a job writes must depend on the piece's number only, never on the thread, so that
    results are the same for any thread count.
    """

    def __init__(self, threads: int | None = None) -> None:
        self.threads = usable_cores() if threads is None else threads
        if self.threads < 1:
            raise ValueError(f'threads must be at least 1, got {threads}')
        # The calling thread takes part, so one thread less is needed.
        self._pool = ThreadPoolExecutor(self.threads - 1) if self.threads > 1 else None

    def run(self, job: Callable[[int], None], pieces: int) -> None:
        """Call ``job(piece)`` for every piece below ``pieces`` and wait for all of them."""
        if self._pool is None or pieces < 2:
            for piece in range(pieces):
                job(piece)
            return
        remaining = iter(range(pieces))

        def drain() -> None:
            # next() on one range iterator is atomic: each piece is taken once.
            for piece in remaining:
                job(piece)

        futures = [self._pool.submit(drain) for _ in range(min(self.threads, pieces) - 1)]
        drain()
        for future in futures:
            future.result()

    def split(self, job: Callable[[int, int], None], length: int, pieces: int = 0) -> None:
        """Call ``job(start, stop)`` over equal ranges that cover ``range(length)``."""
        pieces = min(pieces or 4 * self.threads, length) if self.threads > 1 else min(length, 1)

        def part(piece: int) -> None:
            job(piece * length // pieces, (piece + 1) * length // pieces)

        self.run(part, pieces)
