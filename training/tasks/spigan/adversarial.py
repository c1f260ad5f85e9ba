"""What adversarial trainings share: the discriminator and its losses."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from sim_perception.models.decoders import NORM_GROUPS


class PatchDiscriminator(nn.Module):
    """Tells patches of two domains apart (Isola et al., "pix2pix", CVPR 2017, section 3.2.2)."""

    def __init__(self, width: int = 32, layers: int = 3) -> None:
        """Build the network.

        Args:
            width: channels of the first layer, doubled with every layer up to eight times.
            layers: steps of stride 2; with 3 a patch is 70 pixels wide.
        """
        super().__init__()
        parts: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        inputs = width
        for layer in range(1, layers + 1):
            outputs = width * min(2**layer, 8)
            parts += [
                nn.Conv2d(inputs, outputs, 4, 2 if layer < layers else 1, 1, bias=False),
                nn.GroupNorm(NORM_GROUPS, outputs),
                nn.LeakyReLU(0.2, inplace=True),
            ]
            inputs = outputs
        self.body = nn.Sequential(*parts, nn.Conv2d(inputs, 1, 4, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Return (B, 1, h, w): 1 where a patch of (B, 3, H, W) looks real, 0 where made."""
        return self.body(image).float()

    def fixed(self, image: Tensor) -> Tensor:
        """Return the same, with gradients to the image but none to the discriminator.

        So both players' losses can be summed and descended in one step.
        """
        weights = {name: value.detach() for name, value in self.named_parameters()}
        return functional_call(self, weights, (image,))


def discriminator_loss(
    real: Tensor, made: Tensor, weights: tuple[Tensor | None, Tensor | None] = (None, None)
) -> Tensor:
    """Return the least-squares loss of a discriminator (Mao et al., "LSGAN", ICCV 2017, eq. 9).

    Args:
        real: its answers to real images.
        made: its answers to made ones, which must be detached from their maker.
        weights: of both answers, see ``matched_weights``; None for all alike.
    """
    of_real, of_made = weights
    return 0.5 * (_mean((real - 1).square(), of_real) + _mean(made.square(), of_made))


def generator_loss(made: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the least-squares loss of a generator whose images got these answers."""
    return 0.5 * _mean((made - 1).square(), weights)


def matched_weights(real: Tensor, made: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return weights of patches with which both domains hold as much of every class.

    So a discriminator cannot tell them by what streets are full of, only by how it looks
    (Richter et al., "Enhancing photorealism enhancement", TPAMI 2022, section 3.3, match patches
    for this reason). A class that one of them lacks counts nothing.

    Args:
        real: (B, H, W) classes of real images, any id beyond them where unknown.
        made: those of made images.
        size: height and width of the discriminator's answers.

    Returns:
        Two (B, 1, h, w) weights of mean 1, or of zeros where no class is in both.
    """
    found = [
        functional.interpolate(classes[:, None].float(), size, mode='nearest').long()
        for classes in (real, made)
    ]
    count = int(max(classes.max() for classes in found)) + 1
    shares = [
        torch.bincount(classes.flatten(), minlength=count) / classes.numel() for classes in found
    ]
    common = torch.minimum(*shares)
    common = common / common.sum().clamp(min=1e-6)
    of_real, of_made = (
        (common / share.clamp(min=1e-6))[classes]
        for share, classes in zip(shares, found, strict=True)
    )
    return of_real, of_made


def _mean(values: Tensor, weights: Tensor | None) -> Tensor:
    return values.mean() if weights is None else (weights * values).mean()


def feature_distance(first: list[Tensor], second: list[Tensor]) -> Tensor:
    """Return the mean absolute difference of feature maps whose channels have unit length.

    A perceptual loss (Johnson et al., ECCV 2016), on cosines so that every stage counts alike.
    """
    distances = [
        (functional.normalize(a.float(), dim=1) - functional.normalize(b.float(), dim=1))
        .abs()
        .sum(1)
        .mean()
        for a, b in zip(first, second, strict=True)
    ]
    return torch.stack(distances).mean()
