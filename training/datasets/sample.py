"""The one type that every data set yields, and what a data set is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from sim_perception.types import Camera

#: Value of pixels without a label, in every label space.
IGNORE = 255

#: What label values mean: ids of this package's taxonomy, or CamVid's.
LabelSpace = Literal['taxonomy', 'camvid']


class DatasetError(ValueError):
    """A data set cannot be used; the message says what is wrong and what to do."""


def require_truth(known: bool, data: object) -> None:
    """Refuse to score where there is nothing to score against.

    Raises:
        DatasetError: naming the data, if nothing is ``known``.
    """
    if not known:
        raise DatasetError(
            f'{data} has no truth to score: nothing that is evaluated is known in any frame'
        )


@dataclass(frozen=True)
class Sample:
    """One image with whatever truth its data set has.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        camera: its intrinsics, or None when unknown.
        depth: (H, W) float32 metres along the optical axis, NaN where unknown; or None.
        semantic: (H, W) uint8 in the data set's label space, 255 where unknown; or None.
        name: for files and messages, unique within the data set.
        sequence: which recording it is from; neighbours in time share it.
        index: place within the sequence, from 0.
        stamp: nanoseconds, or 0 when unknown.
        instance: (H, W) uint16 object ids, 0 = none; or None.
        normals: (H, W, 3) float32 unit normals in the optical frame; or None.
        flow: (H, W, 3) float32 u, v, valid: to this surface's place in the previous frame;
            or None.
    """

    image: npt.NDArray[np.uint8]
    camera: Camera | None
    depth: npt.NDArray[np.float32] | None
    semantic: npt.NDArray[np.uint8] | None
    name: str
    sequence: str = ''
    index: int = 0
    stamp: int = 0
    instance: npt.NDArray[np.uint16] | None = None
    normals: npt.NDArray[np.float32] | None = None
    flow: npt.NDArray[np.float32] | None = None


def parse_numbers(text: str, what: str) -> list[int]:
    """Return numbers written like ``7``, ``0-3`` or ``0,2,5-6``.

    Raises:
        DatasetError: for anything else; ``what`` names the numbers.
    """
    numbers: list[int] = []
    for part in text.split(','):
        low, dash, high = part.strip().partition('-')
        if not low.isdigit() or (dash and not high.isdigit()) or int(high or low) < int(low):
            raise DatasetError(f'{what} {text!r} must look like 7, 0-3 or 0,2,5')
        numbers.extend(range(int(low), int(high or low) + 1))
    return numbers


class Samples(Protocol):
    """Samples by index, and what their labels mean."""

    label_space: LabelSpace

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def __getitem__(self, index: int) -> Sample:
        """Return one sample."""
        ...
