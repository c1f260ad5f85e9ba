"""Agreement of the surface normals that depth implies."""

from __future__ import annotations

import torch
from torch import Tensor

from sim_perception.geometry.warping import normals_from_depth
from training.losses.averaging import masked_mean


def normal_loss(
    log_depth: Tensor, true_depth: Tensor, valid: Tensor, K: Tensor, threshold: float = 0.05
) -> Tensor:
    """Mean ``1 - cos`` of the angle between predicted and true surface normals.

    Guizilini et al., "Geometric unsupervised domain adaptation for semantic segmentation"
    (ICCV 2021), sec. 3.3. A pixel counts if it and its four neighbours are valid and no depth
    edge runs between them, see ``smooth_surface``.

    Args:
        log_depth: (B, H, W) logarithm of the predicted depth.
        true_depth: (B, H, W) metres; any value where invalid.
        valid: (B, H, W) bool.
        K: (B, 3, 3) intrinsics of images of that size.
        threshold: see ``smooth_surface``.

    Returns:
        Scalar, the mean over each image's counted pixels, averaged over images.
    """
    truth = torch.where(valid, true_depth, 1.0)
    cosine = (normals_from_depth(log_depth.exp(), K) * normals_from_depth(truth, K)).sum(1)
    return masked_mean(1 - cosine, smooth_surface(true_depth, valid, threshold))


def smooth_surface(depth: Tensor, valid: Tensor, threshold: float = 0.05) -> Tensor:
    """Return (B, H, W) bool: pixels whose four neighbours lie on the same surface.

    Inverse depth is linear in pixel coordinates on any plane, however steep, so its second
    difference tells edges from slopes: it must stay below ``threshold`` times the inverse depth
    along rows and along columns. Pixels at the image's border have no such difference.
    """
    inverse = torch.where(valid, depth, 1.0).reciprocal()
    result = torch.zeros_like(valid)
    middle = inverse[:, 1:-1, 1:-1]
    seen = valid[:, 1:-1, 1:-1]
    for a, b in (
        ((slice(1, -1), slice(2, None)), (slice(1, -1), slice(None, -2))),
        ((slice(2, None), slice(1, -1)), (slice(None, -2), slice(1, -1))),
    ):
        after, before = (slice(None), *a), (slice(None), *b)
        bend = (inverse[after] + inverse[before] - 2 * middle).abs()
        seen = seen & valid[after] & valid[before] & (bend < threshold * middle)
    result[:, 1:-1, 1:-1] = seen
    return result
