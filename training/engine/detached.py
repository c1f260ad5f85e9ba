"""The task as the data-parallel wrapper may see it."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from training.engine.task import Batch, Task


class LossOnly(nn.Module):
    """Runs a task such that nothing but its loss leads back to the parameters.

    DDP looks from everything that ``forward`` returns for the parameters whose gradients it has
    to wait for. A picture's tensor that depends on a head without a loss would make it wait for
    ever. It also frees the memory of graphs that nobody needs.
    """

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task = task

    def forward(self, batch: Batch) -> dict[str, Any]:
        """Return the task's ``loss`` as it is, its ``terms`` and ``outputs`` detached."""
        result = self.task(batch)
        return {
            'loss': result['loss'],
            'terms': _detached(result['terms']),
            'outputs': _detached(result['outputs']),
        }


def _detached(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in tensors.items()}
