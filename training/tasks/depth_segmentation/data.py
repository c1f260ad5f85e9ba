"""Labelled images from bags, augmented, as the network wants them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from pydantic import Field

from sim_perception.inference.preprocess import PreprocessConfig, focal_length, normalize
from training.datasets.sample import DatasetError
from training.datasets.simulated.bags import SimulatedBags
from training.datasets.views.appearance import (
    AppearanceConfig,
    GeometryConfig,
    LabelledImage,
    random_appearance,
    random_view,
)
from training.engine.config import Section


class DataConfig(Section):
    """Training data and how it is varied."""

    bags: list[str] = Field(default_factory=list)
    """Bag folders, folders of bags, or patterns such as ``data/train/*``."""
    stride: int = Field(default=1, ge=1)
    """Take every so many-th frame of a bag."""
    max_depth: float = Field(default=120.0, gt=0)
    """Truth beyond it does not count, metres."""
    geometry: GeometryConfig = GeometryConfig()
    appearance: AppearanceConfig = AppearanceConfig()


class LabelledImages(Protocol):
    """A source of labelled images by index."""

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def __getitem__(self, index: int) -> LabelledImage:
        """Return one image with its truth."""
        ...


class LabelledData:
    """Training samples: a random view under a random appearance, normalised."""

    def __init__(
        self, source: LabelledImages, config: DataConfig, preprocess: PreprocessConfig
    ) -> None:
        self.source, self.config, self.preprocess = source, config, preprocess

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.source)

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """Return image, focal, K, depth and semantic tensors; see the task for shapes."""
        view = random_view(self.source[index], self.config.geometry, rng)
        image = random_appearance(view.image, view.depth, self.config.appearance, rng)
        return {
            'image': normalize(image[None], self.preprocess)[0],
            'focal': torch.tensor(focal_length(view.camera), dtype=torch.float32),
            'K': torch.from_numpy(view.camera.matrix.astype(np.float32)),
            'depth': torch.from_numpy(view.depth),
            'semantic': torch.from_numpy(view.semantic),
        }


class BagImages:
    """Simulated bags as labelled images.

    Raises:
        DatasetError: if there is no bag or no frame.
        BagError: if a bag cannot be read or lacks a topic.
    """

    def __init__(self, bags: Sequence[str], stride: int = 1) -> None:
        self._samples = SimulatedBags(bags, stride=stride)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._samples)

    def __getitem__(self, index: int) -> LabelledImage:
        """Return one image with its truth."""
        sample = self._samples[index]
        if sample.camera is None or sample.depth is None or sample.semantic is None:
            raise DatasetError(f'{sample.name} has no camera, depth or classes')
        return LabelledImage(sample.image, sample.depth, sample.semantic, sample.camera)
