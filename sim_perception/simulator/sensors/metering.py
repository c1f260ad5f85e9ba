"""Auto-exposure: a gain that follows the light with some delay, as a function of time alone.

A camera's control loop remembers; frames here are made in any order and by any worker. So the
meter reads small images at fixed moments before the frame and weighs them by how long ago they
were: the same gain for a time, whatever was rendered before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from sim_perception.simulator.common.scene import F32

#: Seconds between readings, and how many delays back they still count.
STEP = 0.2
_MEMORY = 4.0
#: Log-mean radiance of a street by day, which needs no correction.
DAYLIGHT = 0.25
_LEAST, _MOST = 1 / 8, 8.0
_KEPT = 64


class Meter:
    """Reads the light of one camera.

    Args:
        read: returns a small (h, w, 3) image's radiance at a time, seconds.
        strength: 0 leaves the gain at 1, 1 makes all scenes equally bright.
        delay: seconds after which the gain has followed by 63 %.
    """

    def __init__(self, read: Callable[[float], F32], strength: float, delay: float) -> None:
        self._read, self._strength, self._delay = read, strength, delay
        self._known: dict[int, float] = {}

    def gain(self, time: float) -> float:
        """Return the factor on the exposure at ``time``; before the start all was as then."""
        newest = math.floor(time / STEP + 1e-9)
        count = max(1, math.ceil(_MEMORY * self._delay / STEP)) + 1
        steps = np.arange(newest, newest - count, -1)
        weights = np.exp(-(time - steps * STEP) / max(self._delay, 1e-3))
        readings = np.array([self._reading(max(0, int(step))) for step in steps])
        level = float((weights * readings).sum() / weights.sum())
        gain = math.exp(self._strength * (math.log(DAYLIGHT) - level))
        return min(max(gain, _LEAST), _MOST)

    def _reading(self, step: int) -> float:
        """Return the log-mean radiance at a moment, read once."""
        if step not in self._known:
            if len(self._known) >= _KEPT:
                self._known.clear()
            grey = self._read(step * STEP) @ np.array([0.299, 0.587, 0.114], np.float32)
            self._known[step] = float(np.log(np.maximum(grey, 1e-4)).mean())
        return self._known[step]
