"""`ros2 pkg`: which packages there are and where."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ros2_pip_tools.cli.errors import CommandError


def add_to(commands: Any) -> None:
    """Add the verbs."""
    group = commands.add_parser('pkg', help='find packages')
    verbs = group.add_subparsers(metavar='verb', required=True)
    listing = verbs.add_parser('list', help='print all packages')
    listing.set_defaults(run=_list)
    prefix = verbs.add_parser('prefix', help="print a package's prefix")
    prefix.add_argument('package')
    prefix.add_argument('--share', action='store_true', help='print its share folder instead')
    prefix.set_defaults(run=_prefix)
    executables = verbs.add_parser('executables', help='print executables')
    executables.add_argument('package')
    executables.set_defaults(run=_executables)


def package_prefix(package: str) -> Path:
    """Return the prefix of a package; CommandError if there is no such package."""
    from ament_index_python.packages import PackageNotFoundError, get_package_prefix

    try:
        return Path(get_package_prefix(package))
    except (PackageNotFoundError, ValueError) as error:
        raise CommandError(f'package not found: {error}') from error


def executables(package: str) -> list[Path]:
    """Return the executables of a package, those in <prefix>/lib/<package>."""
    folder = package_prefix(package) / 'lib' / package
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return [file for file in files if file.is_file() and file.stat().st_mode & 0o111]


def _list(options: argparse.Namespace) -> None:
    from ament_index_python.packages import get_packages_with_prefixes

    print('\n'.join(sorted(get_packages_with_prefixes())))


def _prefix(options: argparse.Namespace) -> None:
    prefix = package_prefix(options.package)
    print(prefix / 'share' / options.package if options.share else prefix)


def _executables(options: argparse.Namespace) -> None:
    for file in executables(options.package):
        print(f'{options.package} {file.name}')
