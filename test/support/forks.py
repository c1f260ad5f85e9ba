"""Data sets loaded by forked workers, whatever threads the tests before have left."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import cv2
from torch.utils.data import DataLoader, Dataset


def one_thread(_worker: int) -> None:
    """Keep OpenCV's threads out of a worker."""
    cv2.setNumThreads(1)


def load_by_forks(
    make: Callable[[], Dataset[Any]], opened: Sequence[int] = (), workers: int = 2
) -> list[Any]:
    """Return all samples of a data set, loaded by forked workers.

    They are forks of a new process: threads of ROS, numba and torch that earlier tests started
    in this one could be in the middle of anything when it forks.

    Args:
        make: called in that process.
        opened: samples that are read there before it forks.
        workers: so many.
    """
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(1, mp_context=context) as fresh:
        return fresh.submit(_load, make, tuple(opened), workers).result(timeout=120)


def _load(make: Callable[[], Dataset[Any]], opened: tuple[int, ...], workers: int) -> list[Any]:
    data = make()
    for index in opened:
        data[index]
    threads = cv2.getNumThreads()
    loader: DataLoader[Any] = DataLoader(
        data,
        batch_size=None,
        num_workers=workers,
        multiprocessing_context='fork',
        worker_init_fn=one_thread,
        timeout=60,
    )
    samples = list(loader)
    assert cv2.getNumThreads() == threads, 'workers are no reason to change their parent'
    return samples
