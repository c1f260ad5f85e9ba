"""One writer at a time: locks of folders that end with their process, however that ends."""

from __future__ import annotations

import errno
import fcntl
import os
import shlex
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sim_perception.files import FileError, read_text

_HOLDER = '.writer'
_NOT_SUPPORTED = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)

_held: set[int] = set()


class BusyError(OSError):
    """Another process writes into a folder; the message says which."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes that do the same out of a folder, which is made if it is absent.

    The lock ends with the process, also with ``kill -9``; processes that it forked do not hold
    it. On file systems without locks nothing is kept out.

    Raises:
        BusyError: if another process holds it, naming that process.
        OSError: if the folder cannot be made.
    """
    handle = _take(folder)
    _held.add(handle)
    try:
        words = f'process {os.getpid()} on {socket.gethostname()}: {shlex.join(sys.argv)}'
        (folder / _HOLDER).write_text(words + '\n')
        yield
    finally:
        (folder / _HOLDER).unlink(missing_ok=True)
        if handle in _held:  # a forked process has closed it already
            _held.discard(handle)
            os.close(handle)


def _take(folder: Path) -> int:
    """Return an open handle of a folder that is locked."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NOT_SUPPORTED:
                return handle
            os.close(handle)
            if error.errno != errno.EWOULDBLOCK:
                raise
            raise BusyError(
                f'{folder} is written by {_holder(folder)}; wait for its end, or stop it'
            ) from None
        # The last holder may have moved the folder away between the two lines above.
        if folder.exists() and os.fstat(handle).st_ino == folder.stat().st_ino:
            return handle
        os.close(handle)


def _holder(folder: Path) -> str:
    try:
        return read_text(folder / _HOLDER).strip()
    except (OSError, FileError):
        return 'another process'


def _forget() -> None:
    """Close what a fork has inherited: it would hold the locks after its parent's end."""
    for handle in _held:
        os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_forget)
