"""Image files as arrays, with clear errors."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from sim_perception.files import natural_key
from training.datasets.sample import DatasetError

_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp')


def split_frames(text: str) -> tuple[str, str]:
    """Split ``PATH#FRAMES``; a ``#`` in the name of something that exists is part of the name."""
    if Path(text).exists():
        return text, ''
    path, _, frames = text.rpartition('#')
    return (path, frames) if path else (text, '')


def list_images(folder: Path) -> list[Path]:
    """Return a folder's images, sorted by name as people count; hidden files are none.

    Raises:
        DatasetError: if there is no folder or no image.
    """
    if not folder.is_dir():
        raise DatasetError(f'{folder} is not a folder')
    found = sorted(
        (
            path
            for path in folder.iterdir()
            if path.suffix.lower() in _SUFFIXES
            and not path.name.startswith('.')
            and not path.is_dir()
        ),
        key=lambda path: natural_key(path.name),
    )
    if not found:
        raise DatasetError(f'no images ({", ".join(_SUFFIXES)}) in {folder}')
    return found


def read_rgb(path: Path) -> npt.NDArray[np.uint8]:
    """Return (H, W, 3) uint8 RGB; grey images are spread over the channels.

    Raises:
        DatasetError: if the file is no readable image.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise DatasetError(f'{path} is not a readable image; is it truncated?')
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def read_plain(path: Path) -> npt.NDArray[np.uint8]:
    """Return (H, W) uint8 values of a one-channel image such as labels.

    Raises:
        DatasetError: if the file is no readable 8-bit image with one channel.
    """
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise DatasetError(f'{path} is not a readable image; is it truncated?')
    if image.ndim != 2 or image.dtype != np.uint8:
        raise DatasetError(
            f'{path} has shape {image.shape} of {image.dtype}; need one 8-bit channel'
        )
    return np.asarray(image, np.uint8)
