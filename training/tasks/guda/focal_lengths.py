"""Unknown focal lengths of real recordings as parameters of a training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from training.datasets.sources import SourceConfig
from training.engine.config import ConfigError
from training.engine.task import Batch

#: Natural logarithm of the focal length per unit of the parameter. An optimizer moves a parameter
#: by about its learning rate per step; at 5e-4 this makes half a percent of focal length.
STEP = 10.0


class FocalLengths(nn.Module):
    """One factor on the assumed focal length per recording that asks for it.

    View synthesis and ego-motion depend on the intrinsics, so their losses can correct them
    (Gordon et al., "Depth from videos in the wild", ICCV 2019, section 4.3). A turning camera
    shows its focal length in the image motion itself; for one that goes straight it is only
    known up to the depth's scale, which the network's knowledge of sizes and a measured speed
    then decide.
    """

    def __init__(self, names: Sequence[str], ratios: Sequence[float]) -> None:
        """Start at the assumed values.

        Args:
            names: of the recordings.
            ratios: their assumed focal length / image width.
        """
        super().__init__()
        self.names = tuple(names)
        self._assumed = torch.tensor(list(ratios), dtype=torch.float64)
        self.factor = nn.Parameter(torch.zeros(len(self.names)))

    def forward(self, batch: Batch) -> Batch:
        """Return a batch of clips with learnt intrinsics.

        Args:
            batch: ``focal`` (N,), ``K`` (N, 3, 3) and ``focal_index`` (N,): which of the
                recordings a clip is from, -1 for one whose camera is known.
        """
        index = batch['focal_index']
        learnt = (STEP * self.factor)[index.clamp(min=0)].exp()
        scale = torch.where(index >= 0, learnt, torch.ones_like(learnt))
        # fx and fy alone; the principal point of a view does not depend on them
        factors = torch.ones_like(batch['K'])
        factors[:, (0, 1), (0, 1)] = scale[:, None]
        matrix = batch['K'] * factors
        return {**batch, 'focal': batch['focal'] * scale, 'K': matrix}

    @torch.no_grad()
    def ratios(self) -> dict[str, float]:
        """Return focal length / image width by recording."""
        learnt = self._assumed * (STEP * self.factor.detach().double().cpu()).exp()
        return dict(zip(self.names, learnt.tolist(), strict=True))


def learnt_focal_lengths(sources: Sequence[SourceConfig]) -> FocalLengths | None:
    """Return the focal lengths of the sources that ask for them, None if none does.

    Raises:
        ConfigError: if such a source has no ``focal_ratio`` to start from.
    """
    learnt = [source for source in sources if source.learn_focal]
    ratios = [source.focal_ratio for source in learnt if source.focal_ratio is not None]
    if len(ratios) < len(learnt):
        raise ConfigError('learn_focal needs a focal_ratio to start from, such as 0.9')
    return FocalLengths([source.spec for source in learnt], ratios) if learnt else None
