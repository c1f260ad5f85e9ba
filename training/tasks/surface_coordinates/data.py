"""Training crops for the coordinates network: a random view and appearance of each."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from sim_perception.inference.preprocess import PreprocessConfig, normalize
from sim_perception.models.surface_coordinates import SurfaceCoordinatesConfig
from training.datasets.objects.crop_views import view_of, window_of
from training.datasets.objects.crops import CropFolder
from training.datasets.sample import DatasetError
from training.datasets.views.appearance import AppearanceConfig, random_appearance
from training.engine.config import Section

_FOG_DEPTH = 30.0


class CropDataConfig(Section):
    """Training crops and how they are varied."""

    crops: list[str] = Field(default_factory=list)
    """Folders made by the verb ``crops``."""
    labelled: list[str] = Field(default_factory=list)
    """More of them, of labels of real images (``crops --labels``); they are few and count more."""
    labelled_share: float = Field(default=0.2, ge=0, le=1)
    """Share of the samples that are of these."""
    scale: float = Field(default=1.2, ge=1)
    """The window grows or shrinks by this factor at most."""
    shift: float = Field(default=0.08, ge=0)
    """It is moved by this share of its sides at most: detectors' boxes are not exact."""
    mirror: float = Field(default=0.5, ge=0, le=1)
    """Probability of a left-right mirror image."""
    appearance: AppearanceConfig = AppearanceConfig(cutout=0.3, fog=0.0)


class CropData:
    """Training samples of the task ``surface_coordinates``.

    Raises:
        DatasetError: if no folder is named, or one is absent or unusable.
    """

    def __init__(
        self, config: CropDataConfig, net: SurfaceCoordinatesConfig, preprocess: PreprocessConfig
    ) -> None:
        if not config.crops:
            raise DatasetError('no training data: name folders of crops in data.crops')
        self.config, self.net, self.preprocess = config, net, preprocess
        self._crops = CropFolder(config.crops)
        self._labelled = CropFolder(config.labelled) if config.labelled else None

    def __len__(self) -> int:
        """Return the number of crops."""
        return len(self._crops)

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """Return the tensors of ``view_of`` under a random window, mirror and appearance."""
        config, crop = self.config, self._crops[index]
        if self._labelled is not None and rng.random() < config.labelled_share:
            crop = self._labelled[int(rng.integers(len(self._labelled)))]
        window = window_of(crop, self.net)
        centre, half = 0.5 * (window[:2] + window[2:]), 0.5 * (window[2:] - window[:2])
        half = half * config.scale ** rng.uniform(-1, 1)
        centre = centre + 2 * half * config.shift * rng.uniform(-1, 1, 2)
        window = np.concatenate([centre - half, centre + half])
        mirror = bool(rng.random() < config.mirror)
        image, tensors = view_of(crop, window, self.net, mirror)
        depth = np.full(image.shape[:2], _FOG_DEPTH, np.float32)
        image = random_appearance(image, depth, config.appearance, rng)
        return {'image': normalize(image[None], self.preprocess)[0], **tensors}
