"""`ros2 interface`: definitions of messages and services."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from ros2_pip_tools.cli.errors import CommandError

_PRIMITIVES = {
    'bool', 'byte', 'char', 'float32', 'float64', 'string', 'wstring',
    *(f'{sign}int{bits}' for sign in ('', 'u') for bits in (8, 16, 32, 64)),
}  # fmt: skip
_FIELD = re.compile(r'\s*([A-Za-z]\w*(?:/\w+)?)(?:<=\d+)?(?:\[[^\]]*\])?\s+\w+')
# A comment begins at a '#' outside quotes.
_COMMENT = re.compile(r"""((?:[^#'"]|'[^']*'|"[^"]*")*?)\s*#.*""")


def add_to(commands: Any) -> None:
    """Add the verbs."""
    group = commands.add_parser('interface', help='definitions of messages and services')
    verbs = group.add_subparsers(metavar='verb', required=True)
    show = verbs.add_parser('show', help='print a definition with those of its parts')
    show.add_argument('type', help="such as 'sensor_msgs/msg/Image'; '-' reads it from the input")
    comments = show.add_mutually_exclusive_group()
    comments.add_argument('--all-comments', action='store_true', help='those of the parts too')
    comments.add_argument('--no-comments', action='store_true', help='no comments, no empty lines')
    show.set_defaults(run=_show)


def definition_file(name: str, suffix: str | None = None) -> Path:
    """Return the installed file of 'package/msg/Type', by default its definition.

    Raises:
        CommandError: the name is none of a type, or there is no such file.
    """
    from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

    parts = name.split('/')
    if len(parts) != 3 or not all(parts):
        raise CommandError(f"Invalid name '{name}'. Expected three parts separated by '/'")
    package, kind, type_name = parts
    try:
        file = Path(get_package_share_directory(package), kind, type_name + (suffix or f'.{kind}'))
    except (PackageNotFoundError, ValueError) as error:
        raise CommandError(f'no definition of {name}: there is no package {package}') from error
    if not file.is_file():
        raise CommandError(f'no definition of {name} ({file} does not exist)')
    return file


def _show(options: argparse.Namespace) -> None:
    name = sys.stdin.readline().strip() if options.type == '-' else options.type
    own = not options.no_comments
    print('\n'.join(_lines(name, own, options.all_comments, '')))


def _lines(name: str, comments: bool, nested_comments: bool, indent: str) -> list[str]:
    """Return the lines of a definition; fields are followed by the definitions of their types."""
    package = name.split('/')[0]
    shown = []
    for line in definition_file(name).read_text().splitlines():
        text = line.rstrip()
        field = _FIELD.match(text)
        if not comments:
            text = _COMMENT.sub(r'\1', text).strip()
        if text or comments:
            shown.append(f'{indent}{text}' if text else '')
        if field and field.group(1) not in _PRIMITIVES:
            nested = _full_name(field.group(1), package)
            shown += _lines(nested, nested_comments, nested_comments, indent + '\t')
    return shown


def _full_name(name: str, package: str) -> str:
    if name == 'Header':
        return 'std_msgs/msg/Header'
    owner, _, kind = name.rpartition('/')
    return f'{owner or package}/msg/{kind}'
