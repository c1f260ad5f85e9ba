"""When a live simulation sends which topics."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from sim_perception.bags import topics as t_


class Moment(NamedTuple):
    """A simulated time in nanoseconds and the topics that have a message then."""

    time: int
    topics: frozenset[str]


def schedule(
    duration: float, sensors: Mapping[float, Iterable[str]], clock_rate: float
) -> Iterator[Moment]:
    """Yield the moments of one run in order of time.

    Args:
        duration: seconds.
        sensors: names of topics by their period in seconds.
        clock_rate: Hz of the clock and the pose.
    """
    light = (t_.CLOCK.name, t_.TF.name)

    def every(period: float, topics: Iterable[str]) -> Iterator[Moment]:
        names = frozenset((*light, *topics))
        # The end itself is not part of the run, also when the division is not exact.
        for i in range(math.ceil(duration / period - 1e-9)):
            yield Moment(round(i * period * 1e9), names)

    streams = [every(1 / clock_rate, ()), *(every(*stream) for stream in sensors.items())]
    for moment, group in itertools.groupby(heapq.merge(*streams), key=lambda m: m.time):
        yield Moment(moment, frozenset().union(*(m.topics for m in group)))
