"""A loss that teaches a network how wrong its own log depth may be."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from training.losses.averaging import mean_over_images


def laplace_nll(
    log_prediction: Tensor,
    log_target: Tensor,
    log_scale: Tensor,
    valid: Tensor,
    *,
    detach_prediction: bool = True,
) -> Tensor:
    """Negative log likelihood of the log-depth error under a Laplace distribution.

    ``log(2 b) + |log_prediction - log_target| / b``: Kendall and Gal, "What uncertainties do we
    need in Bayesian deep learning for computer vision?" (NeurIPS 2017), sec. 2.2, with the
    Laplace in place of the normal distribution. Least where ``b`` is the mean absolute error.

    Args:
        log_prediction: (N, H, W) logarithm of the predicted depth.
        log_target: (N, H, W) logarithm of the true depth; any value where invalid.
        log_scale: (N, H, W) logarithm of the predicted scale ``b``.
        valid: (N, H, W) bool.
        detach_prediction: give ``log_prediction`` no gradient, so that depth is trained by the
            other losses alone and never gets worse because it admits to be uncertain.

    Returns:
        Scalar, averaged over the images that have valid pixels; may be negative.
    """
    if detach_prediction:
        log_prediction = log_prediction.detach()
    error = torch.where(valid, log_prediction - log_target, 0.0).abs()
    value = error * (-log_scale).exp() + log_scale + math.log(2)
    count = valid.flatten(1).sum(1)
    total = torch.where(valid, value, 0.0).flatten(1).sum(1)
    return mean_over_images(total / count.clamp(min=1), count)
