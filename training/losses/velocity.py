"""Metric scale from the distance travelled."""

from __future__ import annotations

import torch
from torch import Tensor


def velocity_loss(translation: Tensor, distance: Tensor) -> Tensor:
    """Mean absolute difference between the length of a translation and the distance travelled.

    Guizilini et al., "3D packing for self-supervised monocular depth estimation" (CVPR 2020),
    sec. 3.2. Directions are not looked at.

    Args:
        translation: (B, 3) metres.
        distance: (B,) metres, speed times time; NaN where unknown.

    Returns:
        Scalar, averaged over known distances; 0 if there are none.
    """
    known = torch.isfinite(distance)
    difference = (translation.norm(dim=1) - torch.where(known, distance, 0.0)).abs()
    return torch.where(known, difference, 0.0).sum() / known.sum().clamp(min=1)
