"""Procedural tileable textures: (SIZE, SIZE, 3) uint8 sRGB, each a pure function of its key."""

from __future__ import annotations

import zlib
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sim_perception.simulator.content.textures import ground, prints, walls
from sim_perception.simulator.content.textures.noise import SIZE, Maker

__all__ = ['KINDS', 'SIZE', 'texture']

#: Every kind of texture and its maker.
KINDS: dict[str, Maker] = {**ground.KINDS, **walls.KINDS, **prints.KINDS}


@lru_cache(maxsize=400)
def texture(kind: str, variant: int, domain: str) -> npt.NDArray[np.uint8]:
    """Return one texture; row 0 is v = 0.

    Args:
        kind: one of ``KINDS``.
        variant: which of the endlessly many of its kind.
        domain: 'clean' or 'target'; the latter is more worn.

    Raises:
        KeyError: for an unknown kind.
    """
    worn = domain == 'target'
    key = [zlib.crc32(kind.encode()), variant, int(worn)]
    image = KINDS[kind](np.random.default_rng(key), worn)
    result = (np.clip(image[::-1], 0, 1) * 255 + 0.5).astype(np.uint8)
    result.setflags(write=False)
    return result
