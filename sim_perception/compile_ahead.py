"""A second process that fills the cache of compiled loops while the first one needs them.

Compiling is Python code under one lock, so that a thread would not help. ``compiled_forms.json``
names the loops and the types that they are called with, in the order of their first use; the
second process takes them from the end, and the first finds its results in the cache.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from importlib.resources import files
from typing import Any

from numba.core.dispatcher import Dispatcher
from numba.core.sigutils import normalize_signature

FORMS = 'compiled_forms.json'
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def compiled_forms(package: str) -> list[tuple[str, str]]:
    """Return name (module:function) and types of the loops of a package, in order of use."""
    forms = json.loads(files('sim_perception').joinpath(FORMS).read_text())
    return [(name, kinds) for name, kinds in forms if name.startswith(f'{package}.')]


def forms_in_use(package: str) -> list[tuple[str, str]]:
    """Return the forms in which this process has called the loops of a package."""
    found: dict[tuple[str, str], None] = {}
    for module in [m for name, m in sys.modules.items() if name.startswith(f'{package}.')]:
        for loop in vars(module).values():
            if isinstance(loop, Dispatcher):
                function = loop.py_func
                for kinds in loop.signatures:
                    found[f'{function.__module__}:{function.__name__}', str(kinds)] = None
    return list(found)


@functools.cache
def compile_ahead(package: str) -> None:
    """Start the second process, once, if a loop of a package is not in the cache yet.

    Nothing depends on it: without a cache or a second core, all is compiled as it is called.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    forms = compiled_forms(package)
    if (cores or 1) < 2 or not sys.executable or all(_is_cached(*form) for form in forms):
        return
    with contextlib.suppress(OSError):
        process = subprocess.Popen(
            [sys.executable, '-m', __name__, package],
            env={**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        threading.Thread(target=process.wait, name='compile_ahead', daemon=True).start()


def _loop(name: str) -> Any:
    module, function = name.split(':')
    return getattr(importlib.import_module(module), function)


def _is_cached(name: str, kinds: str) -> bool:
    """Return whether a form is in the cache; True as well where there is no cache at all."""
    loop = _loop(name)
    files_of = getattr(loop._cache, '_cache_file', None)
    if files_of is None:
        return True
    key = loop._cache._index_key(normalize_signature(kinds)[0], loop.targetctx.codegen())
    return key in files_of._load_index()


def main(package: str) -> int:
    """Compile the loops of a package from the last to the first while the parent lives."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = os.getppid()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)
    for name, kinds in reversed(compiled_forms(package)):
        if os.getppid() != parent:
            break
        # What cannot be compiled here is compiled, or complained of, where it is called.
        with contextlib.suppress(Exception):
            _loop(name).compile(normalize_signature(kinds)[0])
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1]))
