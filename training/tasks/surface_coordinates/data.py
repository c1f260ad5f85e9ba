"""Training crops for the coordinates network: a random view and appearance of each."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pydantic import Field

from sim_perception.geometry.windows import cut_window, window_about
from sim_perception.inference.preprocess import PreprocessConfig, normalize
from sim_perception.models.surface_coordinates import STRIDE, SurfaceCoordinatesConfig
from training.datasets.objects.crops import CELL, Crop, CropFolder, decode_coordinates
from training.datasets.sample import DatasetError
from training.datasets.views.appearance import AppearanceConfig, random_appearance
from training.engine.config import Section

_FOG_DEPTH = 30.0


class CropDataConfig(Section):
    """Training crops and how they are varied."""

    crops: list[str] = Field(default_factory=list)
    """Folders made by the verb ``crops``."""
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

    def __len__(self) -> int:
        """Return the number of crops."""
        return len(self._crops)

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """Return the tensors of ``view_of`` under a random window, mirror and appearance."""
        config, crop = self.config, self._crops[index]
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


def window_of(crop: Crop, net: SurfaceCoordinatesConfig) -> np.ndarray:
    """Return the (4,) window in the image that the network would be shown."""
    return window_about(crop['box'].astype(np.float64), net.width / net.height, net.context)


def view_of(
    crop: Crop, window: np.ndarray, net: SurfaceCoordinatesConfig, mirror: bool = False
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the part of a crop within a window, as the network is shown it, and its truth.

    Args:
        crop: of the data set.
        window: (4,) in the image the crop is of.
        net: gives size and stride.
        mirror: whether left and right are exchanged.

    Returns:
        (H, W, 3) uint8 RGB; and ``visible``, ``amodal`` (1, h, w), ``coordinates`` (3, h, w) in
        shares of the box, ``angle`` (), ``log_size`` (3,), ``latent`` (K,), ``log_distance`` ()
        for a focal length of one pixel of the view, ``weight`` ().
    """
    stored, width = crop['window'].astype(np.float64), crop['image'].shape[1]
    step = (stored[2] - stored[0]) / width
    # The window in pixels of the crop, whose first pixel's centre is 0.
    own = (window - np.tile(stored[:2], 2)) / step - 0.5
    image = cut_window(crop['image'], own, net.width, net.height)
    raster = (net.width // STRIDE, net.height // STRIDE)
    cells = (own + 0.5) / CELL - 0.5
    maps = [
        cut_window(crop[name], cells, *raster, smooth=False, beyond=0)
        for name in ('visible', 'amodal', 'coordinates')
    ]
    visible, amodal, coded = maps
    coordinates = decode_coordinates(coded)
    angle = float(crop['angle'])
    if mirror:
        image, visible, amodal = (np.ascontiguousarray(m[:, ::-1]) for m in (image, *maps[:2]))
        coordinates = coordinates[:, ::-1] * np.array([1, -1, 1], np.float32)
        angle = -angle
    focal = float(np.sqrt(crop['intrinsics'][0] * crop['intrinsics'][1]))
    focal *= net.width / float(window[2] - window[0])
    distance = float(crop['camera_T_box'][2, 3])
    return image, {
        'visible': torch.from_numpy(visible[None].astype(np.float32)),
        'amodal': torch.from_numpy(amodal[None].astype(np.float32)),
        'coordinates': torch.from_numpy(
            np.ascontiguousarray(coordinates.transpose(2, 0, 1)) * visible[None]
        ),
        'angle': torch.tensor(angle, dtype=torch.float32),
        'log_size': torch.from_numpy(np.log(crop['body_size'].astype(np.float32))),
        'latent': torch.from_numpy(crop['latent'].astype(np.float32)),
        'log_distance': torch.tensor(np.log(distance / focal), dtype=torch.float32),
        'weight': torch.tensor(float(crop['weight']), dtype=torch.float32),
    }
