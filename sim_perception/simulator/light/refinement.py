# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""Rays for a part of the pixels: a coarse grid first, then wherever neighbours disagree.

Every second pixel of every second row is of level 0, the middles between four of them are of
level 1, and what lies between those is of level 2. Pixels of a later level may take over what
their four neighbours have found, if that belongs to the same thing, instead of a ray: borders
are found in full wherever a coarser level saw a part of them, and even surfaces cost a quarter
of the rays.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sim_perception.kernels import inlined
from sim_perception.simulator.common.parallel import Workers
from sim_perception.simulator.common.scene import I32

LEVELS = 3
#: The level of samples beside the image's pixels; they have no neighbours.
BESIDE = -1

Marks = npt.NDArray[np.uint8]


@inlined
def first_column(level, y, width):
    """Return the first column of a level in row ``y``, the width for none; they lie 2 apart."""
    odd = y & 1
    if level == 2:
        return 1 - odd
    return level if level == odd else width


@inlined
def neighbours(level, s, width):
    """Return the four samples of coarser levels around sample ``s``, which is on no border."""
    if level == 1:
        return s - width - 1, s - width + 1, s + width - 1, s + width + 1
    return s - width, s - 1, s + 1, s + width


def refine(
    size: tuple[int, int],
    beside: int,
    choose: Callable[[int, int, int, Marks], None],
    cast: Callable[[I32], None],
    workers: Workers,
) -> None:
    """Cast the rays of an image, level by level.

    Args:
        size: height and width.
        beside: how many samples follow the pixels; they are looked at with level 0.
        choose: for a level and rows [first, last), writes 1 to the (S,) marks of samples that
            need a ray; for ``BESIDE`` these are samples, not rows.
        cast: casts rays for the samples of the given numbers.
        workers: threads.
    """
    height, width = size
    pixels = height * width
    for level in range(LEVELS):
        marks = np.zeros(pixels + beside, np.uint8)

        def part(first: int, last: int, level: int = level, marks: Marks = marks) -> None:
            choose(level, first, last, marks)

        workers.split(part, height)
        if level == 0 and beside:
            choose(BESIDE, pixels, pixels + beside, marks)
        cast(np.flatnonzero(marks).astype(np.int32))
