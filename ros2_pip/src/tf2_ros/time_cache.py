"""The history of one frame's transform to its parent, with interpolation."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass

from tf2_ros.exceptions import ExtrapolationException

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]  # x, y, z, w


def multiply(a: Quaternion, b: Quaternion) -> Quaternion:
    """Return the rotation ``b`` followed by ``a``."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def conjugate(q: Quaternion) -> Quaternion:
    """Return the inverse of a unit quaternion."""
    return (-q[0], -q[1], -q[2], q[3])


def rotate(q: Quaternion, v: Vector) -> Vector:
    """Return a vector turned by a unit quaternion."""
    x, y, z, _ = multiply(multiply(q, (*v, 0.0)), conjugate(q))
    return (x, y, z)


def slerp(a: Quaternion, b: Quaternion, fraction: float) -> Quaternion:
    """Return the spherical interpolation between two unit quaternions along the short way."""
    dot = sum(p * q for p, q in zip(a, b, strict=True))
    if dot < 0:
        dot, b = -dot, (-b[0], -b[1], -b[2], -b[3])
    if dot > 1 - 1e-12:
        wa, wb = 1 - fraction, fraction
    else:
        angle = math.acos(dot)
        wa = math.sin((1 - fraction) * angle) / math.sin(angle)
        wb = math.sin(fraction * angle) / math.sin(angle)
    x, y, z, w = (wa * p + wb * q for p, q in zip(a, b, strict=True))
    norm = math.sqrt(x * x + y * y + z * z + w * w)
    return (x / norm, y / norm, z / norm, w / norm)


@dataclass(frozen=True)
class Sample:
    """A frame's pose in its parent at one time: maps points of the frame to the parent."""

    stamp: int
    parent: str
    translation: Vector
    rotation: Quaternion


class TimeCache:
    """Samples sorted by time, or one timeless sample if the transform is static."""

    def __init__(self, is_static: bool, cache_time: int) -> None:
        self.is_static = is_static
        self._cache_time = cache_time
        self._stamps: list[int] = []
        self._samples: list[Sample] = []

    @property
    def newest(self) -> Sample:
        """The sample with the latest stamp."""
        return self._samples[-1]

    def insert(self, sample: Sample) -> bool:
        """Add a sample; False if it is older than what is kept."""
        if self.is_static:
            self._samples = [sample]
            return True
        if self._stamps and sample.stamp < self._stamps[-1] - self._cache_time:
            return False
        place = bisect_left(self._stamps, sample.stamp)
        if place < len(self._stamps) and self._stamps[place] == sample.stamp:
            self._samples[place] = sample
        else:
            self._stamps.insert(place, sample.stamp)
            self._samples.insert(place, sample)
        expired = bisect_left(self._stamps, self._stamps[-1] - self._cache_time)
        del self._stamps[:expired], self._samples[:expired]
        return True

    def at(self, stamp: int) -> Sample:
        """Return the interpolated sample at a time; 0 means the newest.

        Raises:
            ExtrapolationException: if the time is not between the oldest and newest sample.
        """
        if self.is_static or stamp == 0:
            return self.newest
        place = bisect_left(self._stamps, stamp)
        if place < len(self._stamps) and self._stamps[place] == stamp:
            return self._samples[place]
        seconds = stamp * 1e-9
        if len(self._stamps) == 1:
            raise ExtrapolationException(
                f'Lookup would require extrapolation at time {seconds:.6f}, but only time '
                f'{self._stamps[0] * 1e-9:.6f} is in the buffer'
            )
        if place == len(self._stamps):
            raise ExtrapolationException(
                f'Lookup would require extrapolation into the future.  Requested time '
                f'{seconds:.6f} but the latest data is at time {self._stamps[-1] * 1e-9:.6f}'
            )
        if place == 0:
            raise ExtrapolationException(
                f'Lookup would require extrapolation into the past.  Requested time '
                f'{seconds:.6f} but the earliest data is at time {self._stamps[0] * 1e-9:.6f}'
            )
        before, after = self._samples[place - 1], self._samples[place]
        if before.parent != after.parent:
            return before
        fraction = (stamp - before.stamp) / (after.stamp - before.stamp)
        start, end = before.translation, after.translation
        translation = (
            start[0] + fraction * (end[0] - start[0]),
            start[1] + fraction * (end[1] - start[1]),
            start[2] + fraction * (end[2] - start[2]),
        )
        rotation = slerp(before.rotation, after.rotation, fraction)
        return Sample(stamp, before.parent, translation, rotation)
