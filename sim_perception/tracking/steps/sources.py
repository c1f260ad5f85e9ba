"""Several sensors that feed one tracker: whose frames are in time, and whose word counts.

Every sensor's frame is a step of its own: it says nothing about what another sensor sees. So a
track is as visible as the sensor that sees it best says, until that sensor looks again or is
silent.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sim_perception.tracking.tables import EMPTY, OCCLUDED, OUTSIDE, UNKNOWN, VISIBLE, Rows

RANK = np.zeros(5, np.int64)
"""Of two sensors' words about a place the one of higher rank counts."""
RANK[[OUTSIDE, UNKNOWN, OCCLUDED, EMPTY, VISIBLE]] = range(5)


class StampError(ValueError):
    """A frame is not newer than its sensor's last, or far behind; it was not used."""


class Sources:
    """The newest stamp of every sensor.

    Args:
        timeout: seconds of silence after which a sensor's word no longer counts.
        max_lag: seconds that a frame may be older than another sensor's.
    """

    def __init__(self, timeout: float, max_lag: float) -> None:
        self._timeout, self._max_lag = round(1e9 * timeout), round(1e9 * max_lag)
        self._newest: dict[int, int] = {}

    def check(self, source: int, stamp: int) -> None:
        """Check that a sensor's frame can be used; ``accept`` then takes it.

        Raises:
            StampError: if it is not later than the sensor's last frame, or too old.
        """
        last = self._newest.get(source)
        if last is not None and stamp <= last:
            raise StampError(
                f'frame at {stamp} ns is not later than the last at {last} ns: drop it, or '
                'call reset() if the clock was set back'
            )
        newest = max(self._newest.values(), default=stamp)
        if newest - stamp > self._max_lag:
            raise StampError(
                f'frame at {stamp} ns is {1e-9 * (newest - stamp):.3g} s older than that of '
                f'another sensor, more than {1e-9 * self._max_lag:g} s: are their clocks equal?'
            )

    def accept(self, source: int, stamp: int) -> None:
        """Take the stamp of a frame that was checked."""
        self._newest[source] = stamp

    def others(self, source: int, stamp: int) -> list[int]:
        """Return the other sensors that have not been silent for too long at a stamp."""
        return [
            other
            for other, newest in self._newest.items()
            if other != source and stamp - newest <= self._timeout
        ]


def outranked(
    tracks: Rows, places: npt.NDArray[np.int64], others: Sequence[int]
) -> npt.NDArray[np.bool_]:
    """Return of which tracks another sensor's word counts more than a new one.

    Args:
        tracks: (N,) rows of ``track_dtype`` with what was said last.
        places: (N,) what a sensor says now.
        others: the other sensors whose word counts.
    """
    if not len(others):
        return np.zeros(len(tracks), bool)
    return np.isin(tracks['source'], others) & (RANK[tracks['place']] > RANK[places])
