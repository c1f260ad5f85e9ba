"""Simulated bags as training data: image, depth and labels of every frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from sim_perception.bags import topics as t_
from sim_perception.bags.reader import BagReader
from sim_perception.bags.sensors import ANY, Sensors, truth_topic
from sim_perception.files import safe_name
from training.datasets.bags.motion import bags_motion
from training.datasets.bags.open_bags import OpenBags, image_with_truth
from training.datasets.clips import Motion, Timeline
from training.datasets.sample import DatasetError, LabelSpace, Sample

_OPTIONAL = {'instance': t_.INSTANCE, 'normals': t_.NORMALS, 'flow': t_.FLOW}


class SimulatedBags(Dataset[Sample]):
    """Every synchronised frame of many bags, by index.

    Args:
        bags: bag folders, folders of bags or glob patterns, perhaps with ``,camera=NAME``.
        layers: of ``instance``, ``normals``, ``flow``: what to give besides depth and labels.
        stride: take every so many-th frame of each bag.
        sensors: which camera of several is meant, where ``bags`` do not say it.

    Raises:
        DatasetError: if there is no bag or no frame, or a layer is unknown.
        MissingTopicError: if a bag lacks a topic; the message lists what it has.
    """

    label_space: LabelSpace = 'taxonomy'

    def __init__(
        self,
        bags: Sequence[Path | str],
        layers: Sequence[str] = (),
        stride: int = 1,
        sensors: Sensors = ANY,
    ) -> None:
        unknown = set(layers) - set(_OPTIONAL)
        if unknown:
            raise DatasetError(f'unknown layers {sorted(unknown)}; choose from {list(_OPTIONAL)}')
        self.layers = tuple(layers)
        self._bags = OpenBags.of(bags, sensors)
        self._topics: list[list[str]] = []
        rows, stamps = [], []
        for number, path in enumerate(self._bags.paths):
            with BagReader(path, self._bags.sensors[number]) as bag:
                topics = self._topics_of(bag)
                found = bag.synchronized(topics)[::stride]
                stamps.append(bag.stamps(topics[0])[found[:, 0]])
            self._topics.append(topics)
            rows.append(np.column_stack([np.full(len(found), number), found]))
        #: (N, 1 + topics): bag number, then the message number on each topic.
        self._rows = np.concatenate(rows)
        self._stamps = np.concatenate(stamps)
        if not len(self._rows):
            raise DatasetError(f'no frame with image, depth and labels in {len(rows)} bags')

    def _topics_of(self, bag: BagReader) -> list[str]:
        """Return the topics of a sample, the image's first."""
        wanted = (t_.DEPTH, t_.SEMANTIC, *(_OPTIONAL[name] for name in self.layers))
        return [*image_with_truth(bag), *(truth_topic(bag, topic) for topic in wanted)]

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._rows)

    def timeline(self) -> Timeline:
        """Return bags and stamps of the frames."""
        return Timeline(self._rows[:, 0], self._stamps)

    def motion(self) -> Motion:
        """Return the true poses of the camera, from ``/tf``."""
        paths = self._bags.paths
        return bags_motion(paths, self.timeline(), [topics[1] for topics in self._topics])

    def __getitem__(self, index: int) -> Sample:
        """Return one frame; its arrays may be read-only views of the bag.

        Raises:
            CorruptBagError: if that part of the bag is damaged.
        """
        number, *messages = (int(value) for value in self._rows[index])
        bag = self._bags[number]
        image, info, depth, semantic, *others = self._topics[number]
        extra: dict[str, Any] = {
            layer: bag.image(topic, message)
            for layer, topic, message in zip(self.layers, others, messages[4:], strict=True)
        }
        path, chosen = self._bags.paths[number], self._bags.sensors[number].camera
        suffix = f'_{safe_name(chosen.strip("/"))}' if chosen else ''
        stamp = int(bag.stamps(image)[messages[0]])
        return Sample(
            image=bag.frame(image, messages[0]).image,
            camera=bag.camera(info, stamp),
            depth=bag.image(depth, messages[2]),
            semantic=bag.image(semantic, messages[3]),
            name=f'{path.name}{suffix}_{messages[0]:04d}',
            sequence=self._bags.name(number),
            index=messages[0],
            stamp=stamp,
            **extra,
        )
