"""`ros2 launch`: run a launch file."""

from __future__ import annotations

import argparse
import difflib
import glob
import logging
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ros2_pip_tools.cli.errors import CommandError
from ros2_pip_tools.cli.packages import package_prefix

if TYPE_CHECKING:
    from launch import LaunchDescription


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        'launch',
        help='run a launch file',
        usage='ros2 launch [options] {PACKAGE FILE | PATH} [NAME:=VALUE ...]',
    )
    parser.add_argument('-d', '--debug', action='store_true', help='log more')
    parser.add_argument(
        '-n',
        '--noninteractive',
        action='store_true',
        default=not sys.stdin.isatty(),
        help='forward Ctrl-C to the processes, which have no terminal that does it',
    )
    parser.add_argument(
        '-s', '--show-args', '--show-arguments', action='store_true', help='print the arguments'
    )
    parser.add_argument('package_or_path', help='package, or path of a launch file')
    parser.add_argument('rest', nargs='*', metavar='FILE / NAME:=VALUE')
    parser.set_defaults(run=_launch)


def find_launch_file(package: str, name: str) -> Path:
    """Return the launch file of that name below a package's share folder."""
    share = package_prefix(package) / 'share' / package
    found = _find(share, name)
    if len(found) != 1:
        known = [file.name for file in _find(share, '*.launch.py')]
        problem = 'is not there' if not found else f'is there several times: {found}'
        raise CommandError(f"launch file '{name}' {problem} in {share}; it has {known}")
    return found[0]


def _find(folder: Path, pattern: str) -> list[Path]:
    """Return the files below a folder; unlike rglob, also behind symbolic links."""
    found = glob.glob(str(Path(glob.escape(str(folder))) / '**' / pattern), recursive=True)
    return [Path(path) for path in sorted(found)]


def parse_arguments(words: list[str]) -> dict[str, str]:
    """Return NAME:=VALUE words as a dictionary, later ones over earlier ones."""
    arguments = {}
    for word in words:
        name, separator, value = word.partition(':=')
        if not separator or not name:
            raise CommandError(f"'{word}' is no launch argument; write NAME:=VALUE")
        arguments[name] = value
    return arguments


def _launch(options: argparse.Namespace) -> int:
    import launch
    from launch.actions import IncludeLaunchDescription
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    words = list(options.rest)
    path = Path(options.package_or_path)
    if not path.is_file():
        if path.suffix == '.py' or len(path.parts) > 1:
            raise CommandError(f'launch file {path} does not exist')
        if not words:
            raise CommandError('name the launch file after the package')
        path = find_launch_file(options.package_or_path, words.pop(0))
    arguments = parse_arguments(words)
    if options.debug:
        launch.logging.launch_config.level = logging.DEBUG
    source = PythonLaunchDescriptionSource(str(path.resolve()))
    try:
        description = source.get_launch_description(launch.LaunchContext())
    except Exception as error:  # whatever a user's launch file raises
        if options.debug:
            traceback.print_exc()
        raise CommandError(
            f'launch file {path} failed ({type(error).__name__}: {error}); -d shows where'
        ) from error
    if options.show_args:
        _print_arguments(description)
        return 0
    _warn_of_unknown(arguments, description)
    service = launch.LaunchService(
        argv=words, noninteractive=options.noninteractive, debug=options.debug
    )
    service.include_launch_description(
        launch.LaunchDescription(
            [IncludeLaunchDescription(source, launch_arguments=arguments.items())]
        )
    )
    return service.run()


def _warn_of_unknown(arguments: dict[str, str], description: LaunchDescription) -> None:
    """Say which arguments no declaration names: they are set, but likely misspelt."""
    declared = [argument.name for argument in description.get_launch_arguments()]
    for name in set(arguments) - set(declared):
        similar = difflib.get_close_matches(name, declared, n=1)
        hint = f"; did you mean '{similar[0]}'?" if similar else ''
        print(
            f"ros2 launch: warning: argument '{name}' is not declared by the launch file{hint}",
            file=sys.stderr,
        )


def _print_arguments(description: LaunchDescription) -> None:
    print("Arguments (pass arguments as '<name>:=<value>'):")
    declared = description.get_launch_arguments()
    if not declared:
        print('\n  No arguments.')
    for argument in declared:
        print(f"\n    '{argument.name}':\n        {argument.description}")
        if argument.default_value is not None:
            default = ' + '.join(part.describe() for part in argument.default_value)
            print(f'        (default: {default})')
