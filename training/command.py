"""The command that started this process, kept with what it made."""

from __future__ import annotations

import shlex
import sys


def command_line() -> str:
    """Return the command as a person would type it."""
    return 'python -m training ' + shlex.join(sys.argv[1:])
