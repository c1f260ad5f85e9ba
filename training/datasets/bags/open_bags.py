"""Bag readers for data sets: opened when first needed, in the process that needs them."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sim_perception.bags import topics as t_
from sim_perception.bags.layout import bags_at, find_files
from sim_perception.bags.reader import BagReader
from sim_perception.bags.sensors import (
    ANY,
    INFO,
    Sensors,
    calibrated_camera,
    split_sensors,
    with_sensors,
)
from training.datasets.sample import DatasetError

_MAX_OPEN = 32


class OpenBags:
    """A few open readers out of many bags.

    Loader workers, forked or spawned, open their own: readers hold files and must not be
    shared. At most ``_MAX_OPEN`` stay open.

    Args:
        paths: the bags.
        sensors: which camera and LiDAR of several the user means, in all bags or in each.
    """

    def __init__(self, paths: Sequence[Path], sensors: Sensors | Sequence[Sensors] = ANY) -> None:
        each = [sensors] * len(paths) if isinstance(sensors, Sensors) else sensors
        self.paths, self.sensors = tuple(paths), tuple(each)
        self._readers: OrderedDict[int, BagReader] = OrderedDict()
        self._process = os.getpid()

    @classmethod
    def of(cls, patterns: Sequence[Path | str], sensors: Sensors = ANY) -> OpenBags:
        """Return the bags of patterns as ``expand_each`` takes them.

        Args:
            patterns: bags, folders of bags or glob patterns, perhaps with ``,camera=NAME``.
            sensors: what is meant where a pattern does not say it.
        """
        found = expand_each(patterns)
        chosen = [sensors if each == ANY else each for _, each in found]
        return cls([path for path, _ in found], chosen)

    def name(self, number: int) -> str:
        """Return a bag's path, with the sensors where some are chosen."""
        return with_sensors(str(self.paths[number]), self.sensors[number])

    def __getitem__(self, number: int) -> BagReader:
        """Return the reader of one bag."""
        if self._process != os.getpid():
            self._readers, self._process = OrderedDict(), os.getpid()
        reader = self._readers.pop(number, None) or BagReader(
            self.paths[number], self.sensors[number]
        )
        self._readers[number] = reader
        if len(self._readers) > _MAX_OPEN:
            self._readers.popitem(last=False)[1].close()
        return reader

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open readers behind when sent to another process."""
        kept = {'paths': self.paths, 'sensors': self.sensors}
        return {**kept, '_readers': OrderedDict(), '_process': -1}


def image_with_truth(bag: BagReader) -> tuple[str, str]:
    """Return the topics of a simulated camera's images, compressed ones first, and calibration.

    Raises:
        MissingTopicError: if there is no camera, or none of that name.
        AmbiguousSensorError: if there are several and none is chosen.
        BagError: if it has no calibration.
    """
    if bag.sensors.camera or set(bag.of_type(INFO)) != {t_.CAMERA_INFO.name}:
        image, info = calibrated_camera(bag)
    else:
        image, info = t_.IMAGE.name, t_.CAMERA_INFO.name
    compressed = f'{image}/compressed'
    return (compressed if bag.count(compressed) else image), info


def expand_each(patterns: Sequence[Path | str]) -> list[tuple[Path, Sensors]]:
    """Return bags as ``expand``, each with the sensors that its pattern chooses.

    Raises:
        DatasetError: naming a pattern without a bag.
        BagError: for a path that is something else.
    """
    split = [split_sensors(str(pattern)) for pattern in patterns]
    return [(bag, sensors) for pattern, sensors in split for bag in expand([pattern])]


def expand(patterns: Sequence[Path | str]) -> list[Path]:
    """Return the bags that folders, folders of bags and glob patterns name, sorted.

    Raises:
        DatasetError: naming a pattern without a bag.
        BagError: for a path that is something else.
    """
    found: list[Path] = []
    for pattern in patterns:
        path = Path(pattern)
        if path.exists():
            candidates = [path]
        else:
            anchor = Path(path.anchor) if path.is_absolute() else Path()
            candidates = sorted(anchor.glob(str(path.relative_to(path.anchor))))
        bags = [bag for candidate in candidates for bag in bags_at(candidate)]
        if not bags and path.is_file():
            find_files(path)  # says what it is instead
        if not bags:
            raise DatasetError(
                f'no bag at {pattern}; make some with `python -m training simulate`'
            )
        found.extend(bag for bag in bags if bag not in found)
    return found
