"""What adversarial trainings share: the discriminator, its losses, and distances of features."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torchmetrics.image.kid import poly_mmd

from sim_perception.models.decoders import NORM_GROUPS

#: Images whose features a distance is estimated from.
REMEMBERED = 256
#: With fewer a distance would be noise.
ENOUGH = 16


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


class DomainGap:
    """Kernel distance (KID) between domains, of the features of the images seen last.

    Binkowski et al., "Demystifying MMD GANs" (ICLR 2018): the squared maximum mean discrepancy
    under a cubic kernel; 0 for images of one domain, and as unbiased for few images as for many.
    """

    def __init__(self) -> None:
        self._features: dict[str, deque[Tensor]] = {}

    def add(self, domain: str, features: Tensor) -> None:
        """Remember (B, C, h, w) feature maps by their means."""
        kept = self._features.setdefault(domain, deque(maxlen=REMEMBERED))
        kept.extend(features.detach().float().mean((2, 3)).cpu())

    def distance(self, first: str, second: str) -> float | None:
        """Return the distance of two domains, None while too few images were seen."""
        kept = [self._features.get(domain, deque()) for domain in (first, second)]
        count = min(len(features) for features in kept)
        if count < ENOUGH:
            return None
        a, b = (torch.stack(list(features)[-count:]) for features in kept)
        both = torch.cat([a, b])
        middle, scale = both.mean(0), both.std(0).clamp(min=1e-6)
        return float(poly_mmd((a - middle) / scale, (b - middle) / scale))
