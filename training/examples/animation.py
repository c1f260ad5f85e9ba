"""Moving pictures of the examples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as Picture


def write_animation(
    frames: Sequence[npt.NDArray[np.uint8]], path: Path, seconds: float, quality: int = 60
) -> None:
    """Write an animated WebP or GIF, by the path's suffix, that starts again at its end.

    Args:
        frames: (H, W, 3) RGB, at least one.
        path: to write.
        seconds: between frames.
        quality: of WebP, 1 to 100.
    """
    pictures = [Picture.fromarray(frame) for frame in frames]
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=round(1000 * seconds), loop=0,
        quality=quality, method=4,
    )  # fmt: skip
