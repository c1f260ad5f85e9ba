"""Copies of networks that are faster and cannot be trained."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import nn

Net = TypeVar('Net', bound=nn.Module)


def inference_copy(net: Net, exact: Sequence[str], dtype: torch.dtype) -> Net:
    """Return a copy that computes the same: the encoder's norms folded, the body in ``dtype``.

    Args:
        net: a network with an ``encoder``.
        exact: parts that stay in float32, by name as in ``get_submodule``.
        dtype: of the rest.
    """
    made = copy.deepcopy(net).eval().requires_grad_(False)
    encoder: Any = made.encoder
    encoder.fold_norms()
    parts = [made.get_submodule(name) for name in exact]
    weights = [copy.deepcopy(part.state_dict()) for part in parts]
    made.to(dtype)
    for part, values in zip(parts, weights, strict=True):
        part.float().load_state_dict(values)
    return made
