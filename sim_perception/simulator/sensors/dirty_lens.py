"""Dirt and water drops on the lens or the screen before it: out of focus, never in depth."""

from __future__ import annotations

import cv2
import numpy as np

from sim_perception.simulator.common.scene import F32

#: Specks and drops on a wholly covered lens.
_SPECKS, _DROPS = 90, 70
#: How opaque a speck is in its middle, and how bright dirt is beside what is around it.
_OPAQUE, _DULL = 0.75, 0.45
_DIRT = np.array([1.0, 0.93, 0.82], np.float32)
#: A drop shows the scene upside down and this much smaller.
_WIDE = 3.5


class DirtyLens:
    """What is on one lens; drops come and go, dirt stays.

    Args:
        width, height: of the image.
        dirt, drops: how much, 0 to 1.
        seed: which.
    """

    def __init__(self, width: int, height: int, dirt: float, drops: float, seed: int) -> None:
        self._size = (width, height)
        self._seed = seed
        self._drops = round(_DROPS * drops)
        self._dirt = self._specks(dirt) if dirt > 0 else None

    def _specks(self, dirt: float) -> F32:
        """Return (H, W, 1) how opaque dirt is."""
        width, height = self._size
        rng = np.random.default_rng([self._seed, 1])
        clear = np.ones((height, width), np.float32)
        count = max(1, round(_SPECKS * dirt))
        places = rng.uniform(0, 1, (count, 2)) * self._size
        radii = width * rng.uniform(0.006, 0.03, count) * rng.uniform(0.5, 1.5, count)
        strength = _OPAQUE * rng.uniform(0.2, 1.0, count)
        for (x, y), radius, opaque in zip(places, radii, strength, strict=True):
            rows, columns, distance = self._disc(x, y, 1.6 * radius)
            soft = np.clip(1.6 - distance * 1.6, 0, 1)
            clear[rows, columns] *= 1 - np.float32(opaque) * soft * soft * (3 - 2 * soft)
        return (1 - clear)[..., None]

    def _disc(self, x: float, y: float, radius: float) -> tuple[slice, slice, F32]:
        """Return the part of the image around a place and the distances there, in radii."""
        width, height = self._size
        rows = slice(max(0, int(y - radius)), min(height, int(y + radius) + 2))
        columns = slice(max(0, int(x - radius)), min(width, int(x + radius) + 2))
        v, u = np.mgrid[rows, columns]
        distance = np.hypot(u - x, v - y) / radius
        return rows, columns, distance.astype(np.float32)

    def apply(self, light: F32, time: float) -> F32:
        """Return (H, W, 3) radiance as it comes through at ``time``, seconds."""
        if self._drops:
            light = self._through_drops(light, time)
        if self._dirt is not None:
            # Dirt close to the lens has no shape of its own: it mixes all light around it.
            around = cv2.blur(light, (self._size[0] // 4 | 1,) * 2)
            light = light + self._dirt * (np.float32(_DULL) * _DIRT * around - light)
        return np.asarray(light, np.float32)

    def _through_drops(self, light: F32, time: float) -> F32:
        width, height = self._size
        soft = cv2.GaussianBlur(light, (0, 0), max(0.004 * width, 0.6))
        out = light.copy()
        for number in range(self._drops):
            # A drop stays for some seconds, then another one falls elsewhere.
            life, phase = np.random.default_rng([self._seed, 2, number]).uniform([1.5, 0], [6, 1])
            age, epoch = np.modf(time / life + phase + 1)
            rng = np.random.default_rng([self._seed, 3, number, int(epoch)])
            x, y = rng.uniform(0, 1, 2) * self._size
            radius = width * rng.uniform(0.005, 0.022) * min(1.0, 0.6 + 2 * float(age))
            rows, columns, distance = self._disc(x, y, radius)
            v, u = np.mgrid[rows, columns].astype(np.float32)
            if not distance.size:
                continue
            bulge = np.sqrt(np.maximum(1 - distance * distance, 0))
            scale = -_WIDE * (1.6 - bulge)
            place_u = np.clip(x + (u - x) * scale, 0, width - 1).astype(np.float32)
            place_v = np.clip(y + (v - y) * scale, 0, height - 1).astype(np.float32)
            seen = cv2.remap(soft, place_u, place_v, cv2.INTER_LINEAR)
            cover = np.clip((1 - distance) * 3, 0, 1)[..., None]
            rim = (1 - 0.35 * distance * distance)[..., None]
            out[rows, columns] += np.float32(0.9) * cover * (seen * rim - out[rows, columns])
        return out
