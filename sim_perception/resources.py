"""Where the package's data files (config, models, launch) lie: checkout or installed share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_PACKAGE = 'sim_perception'


def share_path(*parts: str) -> Path:
    """Return the path of a data file of this package.

    Looks in the source checkout first, then in every ament prefix and the Python prefix.

    Raises:
        FileNotFoundError: naming every place that was tried.
    """
    roots = [Path(__file__).resolve().parent.parent]
    prefixes = [p for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    roots += [Path(prefix) / 'share' / _PACKAGE for prefix in [*prefixes, sys.prefix]]
    candidates = [root.joinpath(*parts) for root in roots]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    tried = ', '.join(str(candidate) for candidate in candidates)
    raise FileNotFoundError(
        f'{"/".join(parts)} of package {_PACKAGE} not found; tried {tried}. '
        'Is the package installed or the workspace sourced?'
    )
