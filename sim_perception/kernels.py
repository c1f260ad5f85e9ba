"""How loops are compiled: once, kept on disk, without the GIL.

No `fastmath`: contraction and reordering would make the bytes depend on the processor.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

from numba import njit, types
from numba.core import event
from numba.core.caching import FunctionCache

_COMPILING = threading.RLock()
_LOG = logging.getLogger(__name__)


class _Announcement(event.Listener):
    """Says once in a process that loops are being compiled: nothing else happens meanwhile."""

    told = False

    def on_start(self, event: Any) -> None:
        """Say it."""
        if not self.told:
            self.told = True
            _LOG.info('compiling loops for this machine: once, up to a minute ...')

    def on_end(self, event: Any) -> None:
        """Need nothing."""


event.register('numba:compile', _Announcement())


class _Cache(FunctionCache):
    """A cache on disk whose failures cost time only: a full, read-only or damaged folder."""

    @contextlib.contextmanager
    def _guard_against_spurious_io_errors(self) -> Iterator[None]:
        with contextlib.suppress(Exception):
            yield


def kernel(function: Callable[..., Any]) -> Any:
    """Decorate a loop, or a part of one, to be compiled for the types it is called with."""
    return _compiled(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Decorate what a loop does for each of its elements, to be compiled into the loop.

    A call hands over every array as a dozen words on the stack, which takes longer than most of
    what is called; compilers shy away from putting large functions into a loop by themselves.
    """
    return _compiled(function, forceinline=True)


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    dispatcher = njit(nogil=True, error_model='numpy', **options)(function)
    # numba refuses to cache where it finds no folder that it may write to
    with contextlib.suppress(RuntimeError):
        dispatcher._cache = _Cache(dispatcher.py_func)
    return dispatcher


def strided(function: Callable[..., Any]) -> Any:
    """Decorate a loop over columns of records: one compiled form, whatever their strides.

    numba compiles anew for every memory layout, and a column of a record array counts as
    contiguous where it has one row: a tracker would stop to compile when it first holds one
    track. Arrays must be writable, and later calls have the types of the first.
    """
    dispatcher = kernel(function)
    type_of = dispatcher.typeof_pyval

    def compile_first(*arguments: Any) -> Any:
        kinds = tuple(_any_strides(type_of(one)) for one in arguments)
        # One at a time: nodes of one process warm up side by side, and share loops.
        with _COMPILING:
            if (known := dispatcher.overloads.get(kinds)) is not None:
                return known.entry_point
            entry = dispatcher.compile(kinds)
            dispatcher.disable_compile()
        return entry

    dispatcher._compile_for_args = compile_first
    return dispatcher


def _any_strides(kind: Any) -> Any:
    return kind.copy(layout='A', readonly=False) if isinstance(kind, types.Array) else kind
