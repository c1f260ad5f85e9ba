"""Losses of object detectors that predict centres."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def centre_focal(
    logits: Tensor,
    target: Tensor,
    weight: Tensor,
    alpha: float = 2.0,
    beta: float = 4.0,
    least: float = 1.0,
) -> Tensor:
    """Return the penalty-reduced focal loss of centre heatmaps, per weight of the centres.

    Law and Deng, "CornerNet" (ECCV 2018), eq. 1, as used by CenterNet and PermaTrack: a cell
    with target 1 is a centre, the others count the less the nearer they are to one.

    Args:
        logits: (..., h, w).
        target: the same shape, 0 to 1.
        weight: the same shape; 0 ignores a cell.
        alpha, beta: exponents.
        least: weight of centres to divide by where there is less.
    """
    log_p, log_q = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    p = torch.sigmoid(logits)
    centre = target == 1
    loss = torch.where(
        centre, -((1 - p) ** alpha) * log_p, -((1 - target) ** beta) * p**alpha * log_q
    )
    return (weight * loss).sum() / (weight * centre).sum().clamp(min=least)


def weighted_l1(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the mean absolute error of (..., C) values with (...) weights; 0 without weight."""
    error = (prediction - target).abs().mean(-1)
    # what has no weight may be anything, also not a number
    error = torch.where(weight > 0, error, 0.0)
    return (weight * error).sum() / weight.sum().clamp(min=1)


def visibility_focal(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the focal loss of visible fractions: (N,) logits, fractions and weights.

    The cross-entropy with a fraction, less where the prediction is already near it (the quality
    focal loss of Li et al., "Generalized focal loss", NeurIPS 2020, eq. 3).
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction='none')
    loss = (torch.sigmoid(logits) - target).abs() ** 2 * entropy
    return (weight * loss).sum() / weight.sum().clamp(min=1)
