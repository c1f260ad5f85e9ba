"""Losses on logarithmic depth.

Every loss is computed per image and averaged over the images that have valid pixels, so that
the mean over accumulated micro-batches equals the loss of the whole batch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from training.losses.averaging import mean_over_images

_TINY = 1e-12


def silog(
    log_prediction: Tensor, log_target: Tensor, valid: Tensor, lambda_: float = 0.85
) -> Tensor:
    """Scale-invariant logarithmic error ``sqrt(mean(d^2) - lambda mean(d)^2)``, d = log ratio.

    Eigen, Puhrsch and Fergus, "Depth map prediction from a single image" (NeurIPS 2014), in the
    square-root form and with the lambda of Lee et al., "From big to small" (2019).

    Args:
        log_prediction: (N, H, W) logarithm of the predicted depth.
        log_target: (N, H, W) logarithm of the true depth; any value where invalid.
        valid: (N, H, W) bool.
        lambda_: 1 ignores the overall scale, 0 is the plain root mean square.

    Returns:
        Scalar, averaged over images.
    """
    weight = valid.to(log_prediction.dtype)
    difference = torch.where(valid, log_prediction - log_target, 0.0).flatten(1)
    count = weight.flatten(1).sum(1)
    safe = count.clamp(min=1)
    mean_square = difference.square().sum(1) / safe
    square_mean = (difference.sum(1) / safe).square()
    # sqrt has an infinite slope at 0; the small constant keeps a perfect prediction finite.
    value = (mean_square - lambda_ * square_mean).clamp(min=0).add(_TINY).sqrt()
    return mean_over_images(value, count)


def balanced_log_error(
    log_prediction: Tensor, log_target: Tensor, valid: Tensor, per_octave: int = 2
) -> Tensor:
    """Mean absolute log error in which every range of depth counts alike.

    Most pixels of a street are near; a mean over pixels lets far depth shrink towards the middle
    almost for free. Here the mean is taken over bins of depth, each the mean of its pixels.

    Args:
        log_prediction: (N, H, W) logarithm of the predicted depth.
        log_target: (N, H, W) logarithm of the true depth; any value where invalid.
        valid: (N, H, W) bool.
        per_octave: bins per doubling of the true depth, the first one from 1 m down, the last
            one from 64 m up.

    Returns:
        Scalar, averaged over images.
    """
    last = 6 * per_octave  # log2 of 64 m
    bins = (log_target / math.log(2) * per_octave).long().clamp(0, last)
    bins = torch.where(valid, bins, last + 1).flatten(1)
    error = torch.where(valid, log_prediction - log_target, 0.0).abs().flatten(1)
    zeros = error.new_zeros(len(error), last + 2)
    count = zeros.scatter_add(1, bins, torch.ones_like(error))[:, :-1]
    total = zeros.scatter_add(1, bins, error)[:, :-1]
    # a bin of a few stray pixels does not speak for its depth
    filled = (count >= 16).to(error.dtype)
    value = (total / count.clamp(min=1) * filled).sum(1) / filled.sum(1).clamp(min=1)
    return mean_over_images(value, filled.sum(1))


def gradient_matching(
    log_prediction: Tensor, log_target: Tensor, valid: Tensor, scales: int = 4
) -> Tensor:
    """Mean absolute gradient of the log-depth error over several scales.

    Keeps depth edges sharp and surfaces smooth: Li and Snavely, "MegaDepth" (CVPR 2018), eq. 5.
    Scale k looks at every 2^k-th pixel. Pairs with an invalid end do not count.

    Args:
        log_prediction: (N, H, W) logarithm of the predicted depth.
        log_target: (N, H, W) logarithm of the true depth; any value where invalid.
        valid: (N, H, W) bool.
        scales: number of scales, each half as fine as the one before.

    Returns:
        Scalar: sum over scales of the mean absolute difference, averaged over images.
    """
    error = torch.where(valid, log_prediction - log_target, 0.0)
    total = error.new_zeros(())
    for scale in range(scales):
        stride = 2**scale
        e, v = error[:, ::stride, ::stride], valid[:, ::stride, ::stride]
        both_x, both_y = v[:, :, 1:] & v[:, :, :-1], v[:, 1:] & v[:, :-1]
        gradient_x = (e[:, :, 1:] - e[:, :, :-1]).abs() * both_x
        gradient_y = (e[:, 1:] - e[:, :-1]).abs() * both_y
        count = both_x.flatten(1).sum(1) + both_y.flatten(1).sum(1)
        value = (gradient_x.flatten(1).sum(1) + gradient_y.flatten(1).sum(1)) / count.clamp(min=1)
        total = total + mean_over_images(value, count)
    return total
