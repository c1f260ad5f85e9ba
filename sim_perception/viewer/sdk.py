"""The rerun SDK, an extra: imported when it is needed, with one error where it is missing."""

from __future__ import annotations

import importlib.util
from typing import Any

OLDEST = (0, 36)
"""The oldest version that is known to do."""
INSTALL = "make view, or: pip install 'rerun-sdk>={}.{}'".format(*OLDEST)


class ViewerMissingError(ImportError):
    """The viewer is not installed; the message says how to install it."""


def is_installed() -> bool:
    """Return whether there is a rerun SDK, of whatever version, without importing it."""
    return importlib.util.find_spec('rerun') is not None


def rerun_sdk() -> Any:
    """Return the module ``rerun``; errors in its use are raised.

    Raises:
        ViewerMissingError: if it is not installed, or too old.
    """
    try:
        import rerun
        import rerun.blueprint
    except ImportError as error:
        raise ViewerMissingError(
            f'the viewer needs rerun, which is not installed; install it with: {INSTALL}'
        ) from error
    version = tuple(int(part) for part in rerun.__version__.split('.')[:2])
    if version < OLDEST:
        raise ViewerMissingError(
            f'the viewer needs rerun {OLDEST[0]}.{OLDEST[1]} or newer, not '
            f'{rerun.__version__}; install it with: {INSTALL}'
        )
    rerun.set_strict_mode(True)
    return rerun
