"""How far apart two domains of images are, by a network's features."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor
from torchmetrics.image.kid import poly_mmd

#: Images whose features a distance is estimated from.
REMEMBERED = 256
#: With fewer a distance would be noise.
ENOUGH = 16


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
