"""Smooth depth where the image is smooth."""

from __future__ import annotations

from torch import Tensor


def edge_aware_smoothness(inverse_depth: Tensor, image: Tensor) -> Tensor:
    """Mean absolute gradient of relative inverse depth, less where the image has edges.

    Godard et al., "Digging into self-supervised monocular depth estimation" (ICCV 2019), eq. 3.
    Inverse depth is divided by its mean over the image, so that making everything far does not
    make it smooth.

    Args:
        inverse_depth: (B, H, W), positive.
        image: (B, 3, H, W) in 0..1.

    Returns:
        Scalar, averaged over images.
    """
    relative = inverse_depth / inverse_depth.mean((1, 2), keepdim=True)
    total = relative.new_zeros(())
    for dim in (-1, -2):
        change = relative.diff(dim=dim).abs()
        total = total + (change * (-image.diff(dim=dim).abs().mean(1)).exp()).mean()
    return total
