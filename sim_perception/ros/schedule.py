"""When a live simulation sends which topics."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

from sim_perception.bags import topics as t_


class Moment(NamedTuple):
    """A simulated time in nanoseconds and the topics that have a message then."""

    time: int
    topics: frozenset[str]


def schedule(
    duration: float, frame_period: float, scan_period: float | None, clock_rate: float
) -> Iterator[Moment]:
    """Yield the moments of one run in order of time; all durations in seconds."""

    def every(period: float, topics: tuple[t_.Topic, ...]) -> Iterator[Moment]:
        names = frozenset(topic.name for topic in topics)
        # The end itself is not part of the run, also when the division is not exact.
        for i in range(math.ceil(duration / period - 1e-9)):
            yield Moment(round(i * period * 1e9), names)

    streams = [
        every(1 / clock_rate, (t_.CLOCK, t_.TF)),
        every(frame_period, (t_.CLOCK, t_.TF, *t_.CAMERA_TOPICS)),
    ]
    if scan_period is not None:
        streams.append(every(scan_period, (t_.CLOCK, t_.TF, t_.POINTS)))
    for moment, group in itertools.groupby(heapq.merge(*streams), key=lambda m: m.time):
        yield Moment(moment, frozenset().union(*(m.topics for m in group)))
