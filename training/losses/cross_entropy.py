"""Cross-entropy that looks at the hardest pixels only."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def bootstrapped_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    fraction: float = 1.0,
    ignore_index: int = 255,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Mean cross-entropy over the hardest ``fraction`` of every image's labelled pixels.

    Wu, Shen and van den Hengel, "Bridging category-level and instance-level semantic image
    segmentation" (2016). ``fraction=1`` is the plain (weighted) cross-entropy.

    Args:
        logits: (N, C, H, W).
        labels: (N, H, W) integer class ids; ``ignore_index`` marks unlabelled pixels.
        fraction: in (0, 1].
        ignore_index: label to skip.
        class_weights: (C,) factor on every pixel's loss by its label, or None. The mean is over
            pixels, not over weights, so a rare class keeps its greater say.

    Returns:
        Scalar, averaged over the images that have labelled pixels.

    Raises:
        ValueError: if the fraction is outside (0, 1].
    """
    if not 0 < fraction <= 1:
        raise ValueError(f'fraction must be in (0, 1], got {fraction}')
    labels = labels.long()
    loss = functional.cross_entropy(logits, labels, ignore_index=ignore_index, reduction='none')
    valid = labels != ignore_index
    if class_weights is not None:
        loss = loss * class_weights.to(loss)[torch.where(valid, labels, 0)]
    values = []
    for image_loss, image_valid in zip(loss, valid, strict=True):
        candidates = image_loss[image_valid]
        if candidates.numel() == 0:
            continue
        if fraction < 1:
            keep = max(1, round(fraction * candidates.numel()))
            candidates = candidates.topk(keep, sorted=False).values
        values.append(candidates.mean())
    return torch.stack(values).mean() if values else logits.sum() * 0.0
