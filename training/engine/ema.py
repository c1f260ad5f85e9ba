"""Exponential moving average of a module's weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """Averaged copy of a module's parameters; buffers are copied as they are.

    After step s (from 0) the decay is ``min(decay, (1 + s) / (10 + s))``, so that the average
    forgets the initial weights quickly: the warm-up of TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors = {k: v.detach().clone() for k, v in module.state_dict().items()}
        self._averaged = {name for name, _ in module.named_parameters()}

    def decay_at(self, step: int) -> float:
        """Return the decay used after the given step."""
        return min(self.decay, (1 + step) / (10 + step))

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move the average towards the module's weights."""
        weight = 1.0 - self.decay_at(step)
        for name, value in module.state_dict().items():
            if name in self._averaged:
                self.tensors[name].lerp_(value, weight)
            else:
                self.tensors[name].copy_(value)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the averaged tensors by name."""
        return self.tensors

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """Restore the averaged tensors.

        Raises:
            ValueError: if the names differ.
        """
        if tensors.keys() != self.tensors.keys():
            raise ValueError('the averaged weights are of another model')
        for name, value in tensors.items():
            self.tensors[name].copy_(value)

    @contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """Give the module the averaged weights inside a ``with`` block."""
        plain = {k: v.detach().clone() for k, v in module.state_dict().items()}
        module.load_state_dict(self.tensors)
        try:
            yield
        finally:
            module.load_state_dict(plain)
