"""Images that take long to find, found once: in memory, and in a folder from run to run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Depth = npt.NDArray[np.float32]


class ImageStore:
    """Keeps arrays by what they were made from.

    Several processes may fill one folder: files appear when they are complete.

    Args:
        folder: where they stay from run to run, or None for memory only.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = None if folder is None else Path(folder)
        self._kept: dict[str, npt.NDArray[Any]] = {}

    def of(self, key: str, find: Callable[[], npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Return the array of a key; ``find`` is asked if there is none yet."""
        if key not in self._kept:
            self._kept[key] = self._from_folder(key, find)
        return self._kept[key]

    def _from_folder(self, key: str, find: Callable[[], npt.NDArray[Any]]) -> npt.NDArray[Any]:
        if self.folder is None:
            return find()
        path = self.folder / f'{hashlib.sha256(key.encode()).hexdigest()[:32]}.npy'
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            growing = path.with_suffix(f'.{os.getpid()}')
            with growing.open('wb') as file:
                np.save(file, find(), allow_pickle=False)
            growing.replace(path)
        found: npt.NDArray[Any] = np.load(path, allow_pickle=False)
        return found


class DepthStore:
    """Keeps depth images, with 11 bits, finer than what they are worth; see ``ImageStore``."""

    def __init__(self, folder: Path | str | None = None) -> None:
        self._images = ImageStore(folder)

    def of(self, key: str, find: Callable[[], Depth]) -> Depth:
        """Return the (H, W) float32 depth of a key; ``find`` is asked if there is none yet."""
        return self._images.of(key, lambda: find().astype(np.float16)).astype(np.float32)
