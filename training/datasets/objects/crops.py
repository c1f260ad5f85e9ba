"""Crops of objects with what can be known of every pixel: what the coordinates network learns.

A crop data set is a folder with one ``NAME.safetensors`` per scene or recording and
``dataset.json``. Every file holds N crops as plain arrays:

- ``image`` (N, 120, 160, 3) uint8 RGB: the window about the object's image box, half as large
  again as it on each axis at least, so that training can shift and scale it;
- ``visible``, ``amodal`` (N, 60, 80) uint8: 1 where the object is seen, and where it would be if
  nothing hid it, in cells of two by two;
- ``coordinates`` (N, 60, 80, 3) uint8: the place on the object that is seen, in shares of its box
  without mirrors, coded by ``encode_coordinates``; only where ``visible``;
- ``window``, ``box`` (N, 4) float32: x1 y1 x2 y2 in the image, see ``geometry.windows``; the box
  is amodal, cut at the image's border;
- ``intrinsics`` (N, 4) float32: fx fy cx cy;
- ``camera_T_box`` (N, 4, 4) float32: the true box's pose in the optical frame;
- ``size``, ``body_size`` (N, 3) float32: length, width, height with and without mirrors, metres;
- ``angle`` (N,) float32: observation angle, from the line of sight to the object's x axis, to the
  right as seen from above, radians in -pi to pi;
- ``latent`` (N, K) float32 of the shape space; NaN where not known;
- ``occluded``, ``truncated`` (N,) float32: shares that are hidden, and beyond the image's border;
- ``weight`` (N,) float32: how much the crop may be believed, 1 for exact truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sim_perception.files import write_atomically
from sim_perception.models.surface_coordinates import COORDINATE_REACH
from training.datasets.sample import DatasetError

WIDTH, HEIGHT = 160, 120
CELL = 2
CONTEXT = 1.5
SETTINGS = 'dataset.json'
SUFFIX = '.safetensors'
FIELDS = (
    'image', 'visible', 'amodal', 'coordinates', 'window', 'box', 'intrinsics', 'camera_T_box',
    'size', 'body_size', 'angle', 'latent', 'occluded', 'truncated', 'weight',
)  # fmt: skip

Crop = dict[str, npt.NDArray[Any]]
"""One crop: an array per field, without the first axis."""


def encode_coordinates(shares: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Return shares of the box, -.6 to .6, as bytes; ``decode_coordinates`` is the inverse."""
    scaled = (np.nan_to_num(shares) / COORDINATE_REACH + 1) * 127.5
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def decode_coordinates(coded: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return shares of the box from bytes, right to .0024."""
    return ((coded.astype(np.float32) / 127.5) - 1) * np.float32(COORDINATE_REACH)


def write_crops(path: Path, crops: Sequence[Crop], about: dict[str, str]) -> None:
    """Write crops to a file, atomically; no crops make an empty file that says the scene is done.

    Raises:
        ValueError: for a crop that lacks a field.
        OSError: for a full disk and the like.
    """
    lacking = sorted({name for crop in crops for name in FIELDS if name not in crop})
    if lacking:
        raise ValueError(f'a crop lacks {", ".join(lacking)}')
    arrays = {
        name: np.ascontiguousarray(np.stack([crop[name] for crop in crops])) for name in FIELDS
    } if crops else {}  # fmt: skip
    write_atomically(path, save(arrays, {**about, 'crops': str(len(crops))}))


class CropFolder:
    """Crops of one or more folders, by number; nothing is kept in memory.

    Args:
        folders: crop data sets.

    Raises:
        DatasetError: if a folder holds no crops, or a file is damaged.
    """

    def __init__(self, folders: Sequence[Path | str]) -> None:
        self._files: list[Path] = []
        counts = []
        for folder in folders:
            found = sorted(Path(folder).glob(f'[!.]*{SUFFIX}'))
            if not found:
                raise DatasetError(
                    f'no crops in {folder}; make some with `python -m training crops`'
                )
            for path in found:
                count = _count(path)
                if count:
                    self._files.append(path)
                    counts.append(count)
        self._ends = np.cumsum(counts) if counts else np.zeros(0, np.int64)
        if not self._files:
            raise DatasetError(f'the crop files of {", ".join(map(str, folders))} are empty')

    def __len__(self) -> int:
        """Return the number of crops."""
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Crop:
        """Return a crop.

        Raises:
            IndexError: beyond the last one.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = int(np.searchsorted(self._ends, index, 'right'))
        row = index - (int(self._ends[number - 1]) if number else 0)
        with safe_open(self._files[number], framework='numpy') as file:
            return {name: np.asarray(file.get_slice(name)[row : row + 1])[0] for name in FIELDS}

    def field(self, name: str) -> npt.NDArray[Any]:
        """Return a small field of all crops at once."""
        parts = []
        for path in self._files:
            with safe_open(path, framework='numpy') as file:
                parts.append(file.get_tensor(name))
        return np.concatenate(parts)


def _count(path: Path) -> int:
    try:
        with safe_open(path, framework='numpy') as file:
            count = int((file.metadata() or {}).get('crops', -1))
    except SafetensorError as error:
        raise DatasetError(f'{path} is damaged ({error}); remove it and make it again') from error
    if count < 0:
        raise DatasetError(f'{path} is no file of crops')
    return count
