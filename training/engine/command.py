"""The command that started this process, kept with what it made."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from pathlib import Path

_PROGRAMS = ('training', 'benchmark')
INTERRUPTED = 130
"""Exit status after Ctrl-C."""


class VerbError(RuntimeError):
    """A verb failed in its own process; what it printed says why."""


def command_line() -> str:
    """Return the command as a person would type it."""
    program = Path(sys.argv[0]).parent.name
    if program not in _PROGRAMS:
        program = _PROGRAMS[0]
    return f'python -m {program} {shlex.join(sys.argv[1:])}'


def run_verb(*arguments: str) -> None:
    """Run a verb of ``python -m training`` in its own process, so that every run begins alike.

    Raises:
        VerbError: if it fails.
        KeyboardInterrupt: after Ctrl-C, which the verb has had, too, once it has ended.
    """
    command = [sys.executable, '-m', 'training', *arguments]
    with subprocess.Popen(command) as process:
        try:
            status = process.wait()
        except KeyboardInterrupt:
            process.wait()  # it saves what it has; subprocess.run would kill it
            raise
    if status in (INTERRUPTED, -signal.SIGINT):
        raise KeyboardInterrupt
    if status != 0:
        raise VerbError(f'failed: {shlex.join(command)}')
