"""The part of a crop that the coordinates network is shown, and the truth about it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sim_perception.geometry.windows import cut_window, window_about
from sim_perception.models.surface_coordinates import STRIDE, SurfaceCoordinatesConfig
from training.datasets.objects.crops import CELL, Crop, decode_coordinates


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
