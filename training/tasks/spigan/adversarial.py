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


def discriminator_loss(real: Tensor, made: Tensor) -> Tensor:
    """Return the least-squares loss of a discriminator (Mao et al., "LSGAN", ICCV 2017, eq. 9).

    Args:
        real: its answers to real images.
        made: its answers to made ones, which must be detached from their maker.
    """
    return 0.5 * ((real - 1).square().mean() + made.square().mean())


def generator_loss(made: Tensor) -> Tensor:
    """Return the least-squares loss of a generator whose images got these answers."""
    return 0.5 * (made - 1).square().mean()


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
