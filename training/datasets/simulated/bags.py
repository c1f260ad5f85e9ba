"""Simulated bags as training data: image, depth and labels of every frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from sim_perception.bags import topics as t_
from sim_perception.bags.reader import BagReader
from training.datasets.bags.motion import bags_motion
from training.datasets.bags.open_bags import OpenBags, expand
from training.datasets.clips import Motion, Timeline
from training.datasets.sample import DatasetError, LabelSpace, Sample

_OPTIONAL = {'instance': t_.INSTANCE, 'normals': t_.NORMALS, 'flow': t_.FLOW}


class SimulatedBags(Dataset[Sample]):
    """Every synchronised frame of many bags, by index.

    Args:
        bags: bag folders, folders of bags or glob patterns.
        layers: of ``instance``, ``normals``, ``flow``: what to give besides depth and labels.
        stride: take every so many-th frame of each bag.

    Raises:
        DatasetError: if there is no bag or no frame, or a layer is unknown.
        MissingTopicError: if a bag lacks a topic; the message lists what it has.
    """

    label_space: LabelSpace = 'taxonomy'

    def __init__(
        self, bags: Sequence[Path | str], layers: Sequence[str] = (), stride: int = 1
    ) -> None:
        unknown = set(layers) - set(_OPTIONAL)
        if unknown:
            raise DatasetError(f'unknown layers {sorted(unknown)}; choose from {list(_OPTIONAL)}')
        self.layers = tuple(layers)
        self._bags = OpenBags(expand(bags))
        rows, stamps = [], []
        for number, path in enumerate(self._bags.paths):
            with BagReader(path) as bag:
                topics = self._topics(bag)
                found = bag.synchronized(topics)[::stride]
                stamps.append(bag.stamps(topics[0])[found[:, 0]])
            rows.append(np.column_stack([np.full(len(found), number), found]))
        #: (N, 1 + topics): bag number, then the message number on each topic.
        self._rows = np.concatenate(rows)
        self._stamps = np.concatenate(stamps)
        if not len(self._rows):
            raise DatasetError(f'no frame with image, depth and labels in {len(rows)} bags')

    def _topics(self, bag: BagReader) -> list[str]:
        """Return the topics of a sample, the image's first."""
        compressed = bag.count(t_.IMAGE_COMPRESSED.name) > 0
        image = t_.IMAGE_COMPRESSED if compressed else t_.IMAGE
        wanted = [image, t_.CAMERA_INFO, t_.DEPTH, t_.SEMANTIC]
        return [topic.name for topic in (*wanted, *(_OPTIONAL[name] for name in self.layers))]

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._rows)

    def timeline(self) -> Timeline:
        """Return bags and stamps of the frames."""
        return Timeline(self._rows[:, 0], self._stamps)

    def motion(self) -> Motion:
        """Return the true poses of the camera, from ``/tf``."""
        paths = self._bags.paths
        return bags_motion(paths, self.timeline(), [t_.CAMERA_INFO.name] * len(paths))

    def __getitem__(self, index: int) -> Sample:
        """Return one frame; its arrays may be read-only views of the bag.

        Raises:
            CorruptBagError: if that part of the bag is damaged.
        """
        number, *messages = (int(value) for value in self._rows[index])
        bag = self._bags[number]
        image, info, depth, semantic, *others = self._topics(bag)
        extra: dict[str, Any] = {
            layer: bag.image(topic, message)
            for layer, topic, message in zip(self.layers, others, messages[4:], strict=True)
        }
        path = self._bags.paths[number]
        stamp = int(bag.stamps(image)[messages[0]])
        return Sample(
            image=bag.frame(image, messages[0]).image,
            camera=bag.camera(info, stamp),
            depth=bag.image(depth, messages[2]),
            semantic=bag.image(semantic, messages[3]),
            name=f'{path.name}_{messages[0]:04d}',
            sequence=str(path),
            index=messages[0],
            stamp=stamp,
            **extra,
        )
