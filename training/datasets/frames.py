"""Chosen frames of a data set, with an assumed camera where none is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from torch.utils.data import Dataset

from sim_perception.calibration import read_camera
from sim_perception.geometry.cameras import centred_camera
from sim_perception.types import Camera
from training.datasets.sample import LabelSpace, Sample, Samples


class Frames:
    """Chosen frames of a data set, with an assumed camera where none is known.

    Args:
        samples: all frames.
        indices: the chosen ones.
        focal_ratio: assumed focal length / image width, or None.
        calibration: file of the camera where none is known, see ``calibration.read_camera``; ''
            for none. It goes before ``focal_ratio``.
    """

    def __init__(
        self,
        samples: Samples,
        indices: Sequence[int],
        focal_ratio: float | None = None,
        calibration: str = '',
    ) -> None:
        self.samples, self.focal_ratio, self.calibration = samples, focal_ratio, calibration
        self.indices = np.asarray(indices, np.int64)
        self.label_space: LabelSpace = samples.label_space

    def __len__(self) -> int:
        """Return the number of chosen frames."""
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        """Return one frame.

        Raises:
            IndexError: beyond the end.
            FileError, OSError: if the calibration is unusable, or of other images.
        """
        sample = self.samples[int(self.indices[index])]
        if sample.camera is None and self.calibration:
            height, width = sample.image.shape[:2]
            sample = replace(sample, camera=_known_camera(self.calibration, width, height))
        if sample.camera is None and self.focal_ratio is not None:
            height, width = sample.image.shape[:2]
            sample = replace(sample, camera=centred_camera(width, height, self.focal_ratio))
        return sample


@lru_cache(maxsize=16)
def _known_camera(calibration: str, width: int, height: int) -> Camera:
    return read_camera(calibration, (width, height))


class UnlabelledImages(Frames, Dataset[Sample]):
    """Frames of a source that have no depth and no labels."""
