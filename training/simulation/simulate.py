"""``python -m training simulate``: scenarios to bags, by many processes or machines, resumable.

Every bag is a pure function of scenario, seed and options: its bytes do not depend on the
number of workers. Bags grow hidden and appear when they are complete, so a second run of
the same command skips what is there and redoes what a killed run left unfinished.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from training.engine.jobs import in_cluster, in_pool, job_bar
from training.simulation.bags import Bags, LocalBags
from training.simulation.plans import BagPlan

_frames_done: Any = None


@dataclass(frozen=True)
class Summary:
    """What a run did.

    Attributes:
        bags: paths of all bags, skipped ones included.
        skipped: how many were there already.
        frames: camera frames rendered now.
        seconds: wall time.
        size: bytes written now.
    """

    bags: tuple[Path, ...]
    skipped: int
    frames: int
    seconds: float
    size: int


class SimulateError(ValueError):
    """Some bags could not be made; the message says which and why."""


def _start_worker(counter: Any) -> None:
    global _frames_done
    _frames_done = counter


def _count_frame() -> None:
    with _frames_done.get_lock():
        _frames_done.value += 1


def _work(bags: Bags, plan: BagPlan) -> int:
    """Make one bag in a worker process, with one thread: the workers share the cores."""
    return bags.make(plan, 1, _count_frame)


def _attempt(bags: Bags, plan: BagPlan) -> tuple[int, str]:
    """Make one bag on a machine of a cluster; return its size and what went wrong."""
    try:
        # Another machine may have made it since.
        return (0 if bags.is_done(plan) else bags.make(plan, 1, lambda: None)), ''
    # The border of the machine: the others go on, the one who asked tells what failed.
    except Exception as error:
        return 0, repr(error)


def run(
    plans: Sequence[BagPlan],
    workers: int,
    console: Console | None = None,
    *,
    ray: str | None = None,
    bags: Bags | None = None,
) -> Summary:
    """Make the bags that are not there yet, with a progress bar, and the manifest of several.

    Args:
        plans: all of them.
        workers: processes, of a single bag threads.
        console: for the bar.
        ray: address of a Ray cluster, or ``local``; replaces ``workers``.
        bags: where they go; None for the folders that the plans name.

    Raises:
        FileExistsError: if a bag's place is taken by something else.
        SimulateError: if bags failed; the others are complete.
        ImportError: if Ray is asked for and not installed.
    """
    bags = bags or LocalBags()
    todo = [plan for plan in plans if not bags.is_done(plan)]
    frames = sum(plan.frames for plan in todo)
    start = time.perf_counter()
    with job_bar(console) as bar:
        task = bar.add_task('frames', total=frames, note='')

        def show(done: int) -> None:
            rate = done / max(time.perf_counter() - start, 1e-9)
            bar.update(task, completed=done, note=f'{rate:.1f}/s')

        if ray is not None:
            size = _run_ray(todo, ray, bags, show)
        elif workers <= 1 or len(todo) <= 1:
            size = _run_here(todo, workers, bags, show)
        else:
            size = _run_pool(todo, workers, bags, show)
    if len(plans) > 1:
        bags.write_manifest(plans)
    paths = tuple(plan.path for plan in plans)
    return Summary(paths, len(plans) - len(todo), frames, time.perf_counter() - start, size)


def _run_here(
    todo: Sequence[BagPlan], threads: int, bags: Bags, show: Callable[[int], None]
) -> int:
    """Make bags one by one in this process, each with all threads."""
    size = done = 0

    def count() -> None:
        nonlocal done
        done += 1
        show(done)

    for plan in todo:
        size += bags.make(plan, threads, count)
    return size


def _run_ray(
    todo: Sequence[BagPlan], address: str, bags: Bags, show: Callable[[int], None]
) -> int:
    """Make bags on a cluster, one per core at a time."""
    size = done = 0
    failures = []
    for plan, (made, problem) in in_cluster(partial(_attempt, bags), todo, address):
        size, done = size + made, done + plan.frames
        if problem:
            failures.append(f'{plan.path}: {problem}')
        show(done)
    _tell(failures, len(todo))
    return size


def _run_pool(
    todo: Sequence[BagPlan], workers: int, bags: Bags, show: Callable[[int], None]
) -> int:
    """Make bags in worker processes, one bag per process at a time."""
    counter = multiprocessing.get_context('spawn').Value('q', 0)
    size, failures = 0, []
    with in_pool(partial(_work, bags), todo, workers, (_start_worker, counter)) as running:
        while running:
            finished, _ = wait(running, timeout=0.3, return_when=FIRST_COMPLETED)
            for future in finished:
                plan, error = running.pop(future), future.exception()
                if error is None:
                    size += future.result()
                else:
                    failures.append(f'{plan.path}: {error!r}')
            show(counter.value)
    _tell(failures, len(todo))
    return size


def _tell(failures: Sequence[str], count: int) -> None:
    if failures:
        raise SimulateError(
            f'{len(failures)} of {count} bags failed (the others are complete; the same command '
            'resumes): ' + '; '.join(failures[:3])
        )
