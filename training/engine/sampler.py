"""Which sample comes when: a pure function of the seed and the position in the stream.

Nothing random is hidden in loader processes, so a run resumes at any position and its samples
do not depend on the number of workers.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler


class TrainingData(Protocol):
    """What a task trains on: samples by index, randomised by the generator given."""

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """Return one sample; all its randomness comes from ``rng``."""
        ...


class StreamSampler(Sampler[list[tuple[int, int]]]):
    """Endless micro-batches of (position, index), shuffled anew every pass over the data.

    Global position p belongs to pass ``p // length``. A global micro-batch is a run of
    ``batch_size * world_size`` positions, of which every process takes its own part.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int,
        *,
        first_batch: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if length <= 0:
            raise ValueError('there are no training samples')
        self.length, self.batch_size, self.seed = length, batch_size, seed
        self.first_batch, self.rank, self.world_size = first_batch, rank, world_size

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        batch = self.first_batch
        current, order = -1, np.empty(0, np.int64)
        while True:
            first = (batch * self.world_size + self.rank) * self.batch_size
            items = []
            for position in range(first, first + self.batch_size):
                if position // self.length != current:
                    current = position // self.length
                    order = np.random.default_rng([self.seed, current]).permutation(self.length)
                items.append((position, int(order[position % self.length])))
            yield items
            batch += 1


class _Stream(Dataset[dict[str, Any]]):
    """Gives every (position, index) its sample with the generator of that position."""

    def __init__(self, data: TrainingData, seed: int) -> None:
        self.data, self.seed = data, seed

    def __getitem__(self, item: tuple[int, int]) -> dict[str, Any]:
        position, index = item
        return self.data.sample(index, np.random.default_rng([self.seed, 1, position]))


def _prepare_worker(_worker: int) -> None:
    """Keep a loader process to one thread, and alive until the loop has stopped in order.

    Ctrl-C and a scheduler's SIGTERM reach every process of the group.
    """
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def make_loader(
    data: TrainingData, sampler: StreamSampler, *, workers: int, pin_memory: bool
) -> DataLoader[dict[str, Any]]:
    """Return the endless loader of a task's training data."""
    return DataLoader(
        _Stream(data, sampler.seed),
        batch_sampler=sampler,
        num_workers=workers,
        pin_memory=pin_memory,
        worker_init_fn=_prepare_worker,
        persistent_workers=workers > 0,
        # forking a process whose OpenCV or OpenMP threads have run can hang the child
        multiprocessing_context='spawn' if workers > 0 else None,
        prefetch_factor=4 if workers > 0 else None,
    )
