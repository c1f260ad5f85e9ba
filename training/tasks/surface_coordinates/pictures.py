"""Pictures of what the coordinates network says of crops."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch

from sim_perception.models.surface_coordinates import SurfaceCoordinatesOutput
from training.engine.task import Batch

_SHOWN = 8


def crop_picture(batch: Batch, output: SurfaceCoordinatesOutput) -> npt.NDArray[np.uint8]:
    """Return crops in rows: image, true coordinates, found coordinates where seen, mask."""
    rows = []
    for k in range(min(_SHOWN, len(batch['image']))):
        image = batch['image'][k].float().cpu()
        low, high = image.amin(), image.amax()
        plain = ((image - low) / (high - low + 1e-6) * 255).permute(1, 2, 0).numpy()
        size = (plain.shape[1], plain.shape[0])
        true = _painted(batch['coordinates'][k], batch['visible'][k])
        mask = output.visible[k].float().sigmoid()
        found = _painted(output.coordinates[k], (mask > 0.5).float())
        gray = (mask[0].cpu().numpy() * 255)[..., None].repeat(3, -1)
        parts = [plain, *(cv2.resize(p.astype(np.float32), size) for p in (true, found, gray))]
        rows.append(np.hstack(parts))
    return np.vstack(rows).clip(0, 255).astype(np.uint8)


def _painted(coordinates: torch.Tensor, mask: torch.Tensor) -> npt.NDArray[np.float32]:
    colour = (coordinates.float() + 0.5) * 255 * mask.float()
    return colour.permute(1, 2, 0).cpu().numpy()
