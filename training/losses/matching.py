"""Do the ego-motion head's matches move as the true motion says?"""

from __future__ import annotations

import torch
from torch import Tensor

from sim_perception.models.ego_motion import Matches, rigid_flow


def match_loss(matches: Matches, motion: Tensor, K: Tensor) -> Tensor:
    """Negative log likelihood of the rigid flow of a known motion, for training on truth.

    Hundreds of values per pair of images instead of the motion's six. A Laplace density with the
    head's own weights, so that things that move by themselves cost little where the head
    distrusts them, and that trust is learned; up to a constant, in pixels.

    Args:
        matches: of the head; their depth should be right.
        motion: (B, 6) true ``source_T_target``; pairs that are not finite do not count.
        K: (B, 3, 3) intrinsics in pixels of the network's input.

    Returns:
        Scalar, averaged over the pairs whose motion is known; it may be negative.
    """
    known = torch.isfinite(motion).all(1)
    motion = torch.where(known[:, None], motion, 0.0)
    focal = torch.stack([K[:, 0, 0], K[:, 1, 1]], 1)[..., None, None].to(matches.flow)
    flow = rigid_flow(motion, matches.inverse_depth, matches.rays)
    error = ((matches.flow - flow) * focal).abs()
    log_precision = 0.5 * (matches.weight / focal.square()).log()
    value = (error * log_precision.exp() - log_precision).flatten(1).mean(1)
    return torch.where(known, value, 0.0).sum() / known.sum().clamp(min=1)
