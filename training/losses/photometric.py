"""How well one image explains another: structural similarity and view synthesis.

Images are (B, C, H, W) floats in 0..1; every loss is averaged as in ``averaging``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from training.losses.averaging import masked_mean

_C1, _C2 = 0.01**2, 0.03**2


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Return the (B, H, W) structural similarity, mean over channels, 1 where images agree.

    Wang et al., "Image quality assessment: from error visibility to structural similarity"
    (TIP 2004), with means over 3x3 windows and images continued by reflection.
    """
    a, b = (functional.pad(x, (1, 1, 1, 1), mode='reflect') for x in (a, b))
    mean_a, mean_b = _window(a), _window(b)
    variance_a = _window(a * a) - mean_a.square()
    variance_b = _window(b * b) - mean_b.square()
    covariance = _window(a * b) - mean_a * mean_b
    above = (2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)
    below = (mean_a.square() + mean_b.square() + _C1) * (variance_a + variance_b + _C2)
    return (above / below).mean(1)


def photometric_error(prediction: Tensor, target: Tensor, ssim_weight: float = 0.85) -> Tensor:
    """Return the (B, H, W) error ``w (1 - SSIM) / 2 + (1 - w) |difference|``.

    Godard, Mac Aodha and Brostow, "Unsupervised monocular depth estimation with left-right
    consistency" (CVPR 2017), sec. 3.3.
    """
    absolute = (prediction - target).abs().mean(1)
    structure = ((1 - ssim(prediction, target)) / 2).clamp(0, 1)
    return ssim_weight * structure + (1 - ssim_weight) * absolute


def minimum_reprojection(
    target: Tensor,
    sources: Sequence[Tensor],
    warped: Sequence[Tensor],
    valid: Sequence[Tensor],
    ssim_weight: float = 0.85,
    automask: bool = True,
) -> tuple[Tensor, Tensor]:
    """Photometric loss of the best source at every pixel.

    Godard et al., "Digging into self-supervised monocular depth estimation" (ICCV 2019), sec. 3:
    the minimum over sources forgives what one of them does not see; auto-masking leaves out
    pixels that some unmoved source already explains at least as well, such as those of objects
    that move along with the camera, of a camera at rest and of plain surfaces.

    Args:
        target: (B, 3, H, W).
        sources: (B, 3, H, W) each, as they are; used by auto-masking only.
        warped: (B, 3, H, W) each, the sources as the target camera would see them.
        valid: (B, H, W) bool each, where ``warped`` means anything.
        ssim_weight: share of structure in the error.
        automask: leave out pixels as above.

    Returns:
        Scalar, the mean error over each image's counted pixels, averaged over the images that
        have any; and (B, H, W) bool, the counted pixels.

    Raises:
        ValueError: if there is no source or the lists differ in length.
    """
    if not sources or not len(sources) == len(warped) == len(valid):
        raise ValueError(
            'need at least one source, and as many warped images and masks as sources; '
            f'got {len(sources)}, {len(warped)} and {len(valid)}'
        )
    errors = [
        torch.where(seen, photometric_error(image, target, ssim_weight), torch.inf)
        for image, seen in zip(warped, valid, strict=True)
    ]
    best = torch.stack(errors).amin(0)
    mask = torch.isfinite(best)
    if automask:
        with torch.no_grad():
            unmoved = [photometric_error(image, target, ssim_weight) for image in sources]
            mask = mask & (best < torch.stack(unmoved).amin(0))
    return masked_mean(best, mask), mask


def _window(image: Tensor) -> Tensor:
    return functional.avg_pool2d(image, 3, stride=1)
