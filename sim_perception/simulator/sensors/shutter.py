# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""What moves while the shutter is open: motion blur and rolling shutter, from the exact motion.

Both start from the one image that is rendered at the frame's stamp and from how fast every pixel's
surface point moves in it, which is known exactly. Rendering sub-frames instead would cost as many
whole frames; what this way lacks is what comes into view behind an edge while the shutter is open:
it is filled with what is seen beside the edge, over a few pixels.

The stamp is the middle of the exposure of the image's middle row, so blur spreads evenly to both
sides of where labels say that things are.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from sim_perception.kernels import kernel
from sim_perception.simulator.common.parallel import Workers
from sim_perception.simulator.common.scene import F32

#: Seconds over which the velocity of pixels is measured.
MOMENT = 0.004
_SETTLED = 4
_TILE, _MOST_TAPS = 16, 41


def roll(light: F32, velocity: F32, nearness: F32, readout: float) -> tuple[F32, F32, F32]:
    """Return radiance, velocity and nearness as rows see them that are read one after the other.

    Args:
        light: (H, W, 3) linear radiance at the stamp.
        velocity: (H, W, 2) pixels per second.
        nearness: (H, W) inverse depth.
        readout: seconds from the first row to the last; the middle one is read at the stamp.
    """
    height, width = light.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    late = (y / np.float32(max(height - 1, 1)) - np.float32(0.5)) * np.float32(readout)
    u, v = x, y
    # What row y shows came from where it was at the stamp: a fixed point, as motion is smooth.
    for _ in range(_SETTLED):
        moved = cv2.remap(velocity, u, v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
        u, v = x - moved[..., 0] * late, y - moved[..., 1] * late
    rolled = cv2.remap(light, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    moved = cv2.remap(velocity, u, v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    near = cv2.remap(nearness, u, v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return (
        np.asarray(rolled, np.float32),
        np.asarray(moved, np.float32),
        np.asarray(near, np.float32),
    )


def _fastest(streak: F32) -> F32:
    """Return per tile of the image the longest streak of its surroundings: (h, w, 2)."""
    height, width = streak.shape[:2]
    rows, columns = -(-height // _TILE), -(-width // _TILE)
    padded = np.zeros((rows * _TILE, columns * _TILE, 2), np.float32)
    padded[:height, :width] = streak
    tiles = padded.reshape(rows, _TILE, columns, _TILE, 2).swapaxes(1, 2)
    tiles = tiles.reshape(rows, columns, -1, 2)
    best = np.take_along_axis(tiles, (tiles**2).sum(-1).argmax(-1)[..., None, None], 2)[:, :, 0]
    around = np.pad(best, ((1, 1), (1, 1), (0, 0)))
    views = np.stack(
        [around[j : j + rows, i : i + columns] for j in range(3) for i in range(3)], 2
    )
    longest = (views**2).sum(-1).argmax(-1)[..., None, None]
    return np.ascontiguousarray(np.take_along_axis(views, longest, 2)[:, :, 0])


@kernel
def _smear(light, streak, nearness, fastest, first, last, out):
    """Average along streaks (after McGuire et al., 2012): what blurs over a pixel."""
    height, width = light.shape[0], light.shape[1]
    for y in range(first, last):
        for x in range(width):
            along_x, along_y = (
                fastest[y // _TILE, x // _TILE, 0],
                fastest[y // _TILE, x // _TILE, 1],
            )
            length = math.sqrt(along_x * along_x + along_y * along_y)
            if length < 0.5:
                for c in range(3):
                    out[y, x, c] = light[y, x, c]
                continue
            own = 0.5 * math.sqrt(streak[y, x, 0] ** 2 + streak[y, x, 1] ** 2)
            taps = min(_MOST_TAPS, 2 * int(length / 2 + 1) + 1)
            total = r = g = b = 0.0
            for k in range(taps):
                share = (k + 0.5) / taps - 0.5
                i = math.floor(x + share * along_x + 0.5)
                j = math.floor(y + share * along_y + 0.5)
                if i < 0 or j < 0 or i >= width or j >= height:
                    continue
                away = abs(share) * length
                theirs = 0.5 * math.sqrt(streak[j, i, 0] ** 2 + streak[j, i, 1] ** 2)
                # What is in front covers the pixel by its own streak, what is behind shines
                # through the pixel's.
                reach = theirs if nearness[j, i] >= 0.98 * nearness[y, x] else own
                weight = min(1.0, max(0.0, reach - away + 1.0)) / max(reach, 0.5)
                total += weight
                r += weight * light[j, i, 0]
                g += weight * light[j, i, 1]
                b += weight * light[j, i, 2]
            if total > 0.0:
                out[y, x, 0], out[y, x, 1], out[y, x, 2] = r / total, g / total, b / total
            else:
                for c in range(3):
                    out[y, x, c] = light[y, x, c]


def smear(light: F32, velocity: F32, nearness: F32, exposure: float, workers: Workers) -> F32:
    """Return (H, W, 3) radiance blurred by what moves during an exposure.

    Args:
        light: linear radiance.
        velocity: (H, W, 2) pixels per second.
        nearness: (H, W) inverse depth, 0 in the sky.
        exposure: seconds.
        workers: threads.
    """
    streak = np.ascontiguousarray(velocity * np.float32(exposure))
    fastest, out = _fastest(streak), np.empty_like(light)

    def part(first: int, last: int) -> None:
        _smear(light, streak, nearness, fastest, first, last, out)

    workers.split(part, len(light))
    return out
