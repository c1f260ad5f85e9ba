"""How losses average: over the counted pixels of an image, then over the images with any."""

from __future__ import annotations

import torch
from torch import Tensor


def mean_over_images(values: Tensor, counts: Tensor) -> Tensor:
    """Average (N,) values over the images whose count is positive; 0 if there is none."""
    present = (counts > 0).to(values.dtype)
    return (values * present).sum() / present.sum().clamp(min=1)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Average (N, H, W) values over each image's pixels in the mask, then over images."""
    count = mask.flatten(1).sum(1)
    total = torch.where(mask, values, 0.0).flatten(1).sum(1)
    return mean_over_images(total / count.clamp(min=1), count)
