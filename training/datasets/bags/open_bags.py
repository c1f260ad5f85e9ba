"""Bag readers for data sets: opened when first needed, in the process that needs them."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sim_perception.bags.reader import BagReader
from training.datasets.sample import DatasetError

_MAX_OPEN = 32


class OpenBags:
    """A few open readers out of many bags.

    Loader workers, forked or spawned, open their own: readers hold files and must not be
    shared. At most ``_MAX_OPEN`` stay open.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)
        self._readers: OrderedDict[int, BagReader] = OrderedDict()
        self._process = os.getpid()

    def __getitem__(self, number: int) -> BagReader:
        """Return the reader of one bag."""
        if self._process != os.getpid():
            self._readers, self._process = OrderedDict(), os.getpid()
        reader = self._readers.pop(number, None) or BagReader(self.paths[number])
        self._readers[number] = reader
        if len(self._readers) > _MAX_OPEN:
            self._readers.popitem(last=False)[1].close()
        return reader

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open readers behind when sent to another process."""
        return {'paths': self.paths, '_readers': OrderedDict(), '_process': -1}


def expand(patterns: Sequence[Path | str]) -> list[Path]:
    """Return the bags that folders, folders of bags and glob patterns name, sorted.

    Raises:
        DatasetError: naming a pattern without a bag.
    """
    found: list[Path] = []
    for pattern in patterns:
        path = Path(pattern)
        if path.exists():
            candidates = [path]
        else:
            anchor = Path(path.anchor) if path.is_absolute() else Path()
            candidates = sorted(anchor.glob(str(path.relative_to(path.anchor))))
        bags = [bag for candidate in candidates for bag in _bags_at(candidate)]
        if not bags:
            raise DatasetError(
                f'no bag at {pattern}; make some with `python -m training simulate`'
            )
        found.extend(bag for bag in bags if bag not in found)
    return found


def _bags_at(path: Path) -> list[Path]:
    """Return the path if it is a bag, else the bags directly below it; hidden ones grow yet."""
    if path.name.startswith('.'):
        return []
    if path.suffix in ('.mcap', '.db3') or (path / 'metadata.yaml').exists():
        return [path]
    if not path.is_dir():
        return []
    below = (child for child in sorted(path.iterdir()) if not child.name.startswith('.'))
    return [child for child in below if (child / 'metadata.yaml').exists()]
