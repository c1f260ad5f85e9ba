"""Depth that takes long to find, found once: in memory, and in a folder from run to run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

Depth = npt.NDArray[np.float32]


class DepthStore:
    """Keeps depth images by what they were made from.

    They are kept with 11 bits, finer than what they are worth. Several processes may fill one
    folder: files appear when they are complete.

    Args:
        folder: where they stay from run to run, or None for memory only.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = None if folder is None else Path(folder)
        self._kept: dict[str, npt.NDArray[np.float16]] = {}

    def of(self, key: str, find: Callable[[], Depth]) -> Depth:
        """Return the (H, W) float32 depth of a key; ``find`` is asked if there is none yet."""
        if key not in self._kept:
            self._kept[key] = self._from_folder(key, find)
        return self._kept[key].astype(np.float32)

    def _from_folder(self, key: str, find: Callable[[], Depth]) -> npt.NDArray[np.float16]:
        if self.folder is None:
            return find().astype(np.float16)
        path = self.folder / f'{hashlib.sha256(key.encode()).hexdigest()[:32]}.npy'
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            growing = path.with_suffix(f'.{os.getpid()}')
            with growing.open('wb') as file:
                np.save(file, find().astype(np.float16), allow_pickle=False)
            growing.replace(path)
        found: npt.NDArray[np.float16] = np.load(path, allow_pickle=False)
        return found
