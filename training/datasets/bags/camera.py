"""Recordings as unlabelled camera images; any truth in them is left alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from sim_perception.bags.reader import BagReader
from sim_perception.bags.sensors import ANY, Sensors, choose_camera
from training.datasets.bags.motion import bags_motion
from training.datasets.bags.open_bags import OpenBags, expand
from training.datasets.clips import Motion, Timeline
from training.datasets.sample import DatasetError, LabelSpace, Sample


class CameraBags(Dataset[Sample]):
    """Every camera image of many bags, by index, without truth.

    An uncalibrated or absent ``CameraInfo`` leaves the intrinsics unknown.

    Args:
        bags: bag folders, folders of bags or glob patterns.
        sensors: which camera of several is meant.

    Raises:
        DatasetError: if there is no bag.
        AmbiguousSensorError: if a bag has several cameras and none is chosen.
        MessageError: if a calibration is there but not usable.
        MissingTopicError: if a bag has no camera; the message lists what it has.
    """

    label_space: LabelSpace = 'taxonomy'

    def __init__(self, bags: Sequence[Path | str], sensors: Sensors = ANY) -> None:
        self._bags = OpenBags(expand(bags), sensors)
        self._topics: list[tuple[str, str | None]] = []
        numbers, stamps = [], []
        for number, path in enumerate(self._bags.paths):
            with BagReader(path, sensors) as bag:
                camera = choose_camera(bag)
                if camera.info is not None:
                    bag.camera(camera.info)
                self._topics.append((camera.image, camera.info))
                stamps.append(bag.stamps(camera.image))
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
            sequence=self._bags.name(number),
            index=place,
            stamp=frame.stamp,
        )

    def timeline(self) -> Timeline:
        """Return bags and stamps of the images."""
        return self._time

    def motion(self) -> Motion:
        """Return what odometry, transforms or speeds in the bags tell of the camera."""
        return bags_motion(self._bags.paths, self._time, [image for image, _ in self._topics])
