"""Jobs that fill a folder part by part: what it is for, processes, a bar."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from sim_perception.extras import require
from sim_perception.files import FileError, mapping, read_json, write_json
from training.engine.command import command_line

Part = TypeVar('Part')
Done = TypeVar('Done')


class Job(Protocol):
    """What a data set is made from: a dataclass of plain values."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def fingerprint(self) -> str:
        """A hash of all that determines the data set."""
        ...


def claim(path: Path, job: Job, holds: str) -> None:
    """Note in a data set's folder what it is for, for the next run of the same job.

    Args:
        path: the file of the note.
        job: what is going to be done.
        holds: for messages, such as ``labels``.

    Raises:
        FileExistsError: if the folder is for something else.
        FileError: if the note is damaged.
    """
    if path.exists():
        try:
            known = mapping(read_json(path), path).get('fingerprint')
        except FileError as error:
            raise FileError(f'{error}; remove the folder') from error
        if known != job.fingerprint:
            raise FileExistsError(
                f'{path.parent} holds {holds} that were made with other settings or networks; '
                'choose another --out or remove it'
            )
        return
    facts = {'fingerprint': job.fingerprint, 'command': command_line(), **asdict(job)}
    write_json(path, facts)


def in_processes(
    work: Callable[[Part], Done], parts: Sequence[Part], workers: int
) -> Iterator[tuple[Part, Done]]:
    """Do parts in several processes, in any order; yield each with what it gave.

    Args:
        work: a function of a module, or a partial of one, so that processes find it.
        parts: plain values.
        workers: processes; with one, or for one part, this one does it.
    """
    if workers <= 1 or len(parts) <= 1:
        for part in parts:
            yield part, work(part)
        return
    with in_pool(work, parts, workers) as running:
        for future in as_completed(running):
            yield running[future], future.result()


@contextlib.contextmanager
def in_pool(
    work: Callable[[Part], Done],
    parts: Sequence[Part],
    workers: int,
    start: tuple[Callable[..., None], Any] | None = None,
) -> Iterator[dict[Future[Done], Part]]:
    """Begin parts in processes, which end with this one's block, done or not.

    Args:
        work: see ``in_processes``.
        parts: plain values.
        workers: processes, at most.
        start: what every process calls first, and its argument.

    Yields:
        What will come of each part.
    """
    context = multiprocessing.get_context('spawn')
    begin, *arguments = start or (None,)
    others = multiprocessing.active_children()
    with ProcessPoolExecutor(min(workers, len(parts)), context, begin, tuple(arguments)) as pool:
        try:
            # Ctrl-C reaches every process of a terminal; those that are started now are deaf.
            with _deaf():
                running = {pool.submit(work, part): part for part in parts}
            yield running
        except BaseException:
            for process in set(multiprocessing.active_children()) - set(others):
                process.terminate()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Ignore Ctrl-C; only the main thread may."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def in_cluster(
    work: Callable[[Part], Done], parts: Sequence[Part], address: str
) -> Iterator[tuple[Part, Done]]:
    """Do parts on a Ray cluster, in any order; yield each with what it gave.

    Relative paths mean the same there as here, where the machines share this folder.

    Args:
        work: a function of a module, or a partial of one; what it raises is raised here.
        parts: plain values.
        address: of the cluster, ``auto`` for the one that runs here, or ``local`` for one that is
            started on this machine and ends with this.

    Raises:
        ImportError: if Ray is not installed.
        ConnectionError: if there is no such cluster.
    """
    require('--ray', 'ray')
    import ray
    from ray.exceptions import RayTaskError

    started, folder = not ray.is_initialized(), os.getcwd()
    if started:
        ray.init(address=address, log_to_driver=False)
    try:

        @ray.remote
        def task(part: Part) -> Done:
            # a cluster that was started elsewhere works there
            with contextlib.suppress(OSError):
                os.chdir(folder)
            return work(part)

        running = {task.remote(part): part for part in parts}
        while running:
            finished, _ = ray.wait(list(running), num_returns=1)
            for done in finished:
                yield running.pop(done), ray.get(done)
    except RayTaskError as error:
        raise error.cause from None
    finally:
        if started:
            ray.shutdown()


def job_bar(console: Console | None) -> Progress:
    """Return a bar of parts done; its tasks have a ``note``."""
    return Progress(
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn('{task.fields[note]}'),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console or Console(stderr=True),
    )
