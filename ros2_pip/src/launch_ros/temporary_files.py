"""Parameter files that live as long as the launch."""

from __future__ import annotations

import atexit
import contextlib
import os
from tempfile import NamedTemporaryFile


def write_temporary(prefix: str, text: str) -> str:
    """Return the path of a new file with the text, deleted when this process ends."""
    with NamedTemporaryFile('w', prefix=prefix, suffix='.yaml', delete=False) as file:
        file.write(text)
    atexit.register(_remove, file.name, os.getpid())
    return file.name


def _remove(path: str, owner: int) -> None:
    if os.getpid() == owner:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
