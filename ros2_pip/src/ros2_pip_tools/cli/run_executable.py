"""`ros2 run`: start an executable of a package."""

from __future__ import annotations

import argparse
import os
from typing import Any

from ros2_pip_tools.cli.errors import CommandError
from ros2_pip_tools.cli.packages import executables


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser('run', help='run an executable of a package')
    parser.add_argument('package')
    parser.add_argument('executable')
    parser.add_argument('argv', nargs=argparse.REMAINDER, help='arguments of the executable')
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    found = {file.name: file for file in executables(options.package)}
    if options.executable not in found:
        raise CommandError(
            f"no executable '{options.executable}' in package '{options.package}'; "
            f'it has: {", ".join(found) or "none"}'
        )
    # The executable takes this process's place, so that it gets its signals and gives its code.
    path = str(found[options.executable])
    os.execv(path, [path, *options.argv])
