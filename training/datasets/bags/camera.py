"""Recordings as unlabelled camera images; any truth in them is left alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from sim_perception.bags.errors import MessageError
from sim_perception.bags.reader import BagReader
from training.datasets.bags.lidar import image_topic
from training.datasets.bags.motion import bags_motion
from training.datasets.bags.open_bags import OpenBags, expand
from training.datasets.clips import Motion, Timeline
from training.datasets.sample import DatasetError, LabelSpace, Sample


class CameraBags(Dataset[Sample]):
    """Every camera image of many bags, by index, without truth.

    The image topic is found by its type, the calibration by the image's namespace. An
    uncalibrated or absent ``CameraInfo`` leaves the intrinsics unknown.

    Args:
        bags: bag folders, folders of bags or glob patterns.

    Raises:
        DatasetError: if there is no bag, or a bag has several cameras.
        MissingTopicError: if a bag has no camera; the message lists what it has.
    """

    label_space: LabelSpace = 'taxonomy'

    def __init__(self, bags: Sequence[Path | str]) -> None:
        self._bags = OpenBags(expand(bags))
        self._topics: list[tuple[str, str | None]] = []
        numbers, stamps = [], []
        for number, path in enumerate(self._bags.paths):
            with BagReader(path) as bag:
                image = image_topic(bag)
                self._topics.append((image, info_topic(bag, image)))
                stamps.append(bag.stamps(image))
            numbers.append(np.full(len(stamps[-1]), number, np.int64))
        self._time = Timeline(np.concatenate(numbers), np.concatenate(stamps))
        self._place = self._time.place
        if not len(self._place):
            raise DatasetError(f'no camera image in {len(numbers)} bags')

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._place)

    def __getitem__(self, index: int) -> Sample:
        """Return one image.

        Raises:
            CorruptBagError: if that part of the bag is damaged.
        """
        number, place = int(self._time.sequence[index]), int(self._place[index])
        image, info = self._topics[number]
        frame = self._bags[number].frame(image, place, info)
        path = self._bags.paths[number]
        return Sample(
            image=frame.image,
            camera=frame.camera,
            depth=None,
            semantic=None,
            name=f'{path.name}_{place:04d}',
            sequence=str(path),
            index=place,
            stamp=frame.stamp,
        )

    def timeline(self) -> Timeline:
        """Return bags and stamps of the images."""
        return self._time

    def motion(self) -> Motion:
        """Return what odometry, transforms or speeds in the bags tell of the camera."""
        return bags_motion(self._bags.paths, self._time, image_topic)


def info_topic(bag: BagReader, image: str) -> str | None:
    """Return the usable calibration topic of an image topic, or None.

    Of several the one with the longest namespace in common is taken.
    """
    found = [n for n in bag.of_type('sensor_msgs/msg/CameraInfo') if 'ground_truth' not in n]
    parents = {name: f'{name.rpartition("/")[0]}/' for name in found}
    matching = [name for name in found if image.startswith(parents[name])]
    if not matching and len(found) == 1:
        matching = found
    if not matching:
        return None
    best = max(matching, key=lambda name: len(parents[name]))
    try:
        bag.camera(best)
    except MessageError:
        return None
    return best
