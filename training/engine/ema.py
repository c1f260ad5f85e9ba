"""Exponential moving average of a module's weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """Average of the parameters that a module trains; the others and buffers have none.

    After step s (from 0) the decay is ``min(decay, (1 + s) / (10 + s))``, so that the average
    forgets the initial weights quickly: the warm-up of TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        """Start at the module's weights; it is this module that the average follows."""
        self.decay = decay
        # Looked up once: finding hundreds of names takes longer than averaging them.
        trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self._names = list(trained)
        self._weights = [parameter.detach() for parameter in trained.values()]
        self._averages = [weight.clone() for weight in self._weights]

    def decay_at(self, step: int) -> float:
        """Return the decay used after the given step."""
        return min(self.decay, (1 + step) / (10 + step))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average towards the module's weights."""
        if self._weights:
            torch._foreach_lerp_(self._averages, self._weights, 1.0 - self.decay_at(step))

    def state_dict(self) -> dict[str, Tensor]:
        """Return the averaged tensors by name."""
        return dict(zip(self._names, self._averages, strict=True))

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """Restore the averaged tensors.

        Raises:
            ValueError: if the names differ.
        """
        if set(tensors) != set(self._names):
            raise ValueError('the averaged weights are of another model')
        for name, average in zip(self._names, self._averages, strict=True):
            average.copy_(tensors[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the module the averaged weights inside a ``with`` block."""
        plain = [weight.clone() for weight in self._weights]
        self._write(self._averages)
        try:
            yield
        finally:
            self._write(plain)

    @torch.no_grad()
    def _write(self, values: list[Tensor]) -> None:
        for weight, value in zip(self._weights, values, strict=True):
            weight.copy_(value)
