"""Entry point of the `ros2` command."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ros2_pip_tools.cli import (
    bag,
    doctor,
    interface,
    launch_files,
    lifecycle,
    node,
    packages,
    param,
    run_executable,
    service,
    topic,
)
from ros2_pip_tools.cli.errors import CommandError
from ros2_pip_tools.guard import refusal

_GROUPS = (
    *(launch_files, run_executable, topic, service, node, param, lifecycle, bag),
    *(interface, packages, doctor),
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    parser = argparse.ArgumentParser(
        prog='ros2', description='The part of the ROS 2 command line that ros2_pip has.'
    )
    commands = parser.add_subparsers(metavar='command', required=True)
    for group in _GROUPS:
        group.add_to(commands)
    return parser


def prepare_environment(environ: os._Environ[str]) -> None:
    """Make this Python prefix an ament prefix and its programs findable for all children."""
    prefix = sys.prefix
    ament = [entry for entry in environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if entry]
    if prefix not in ament:
        environ['AMENT_PREFIX_PATH'] = os.pathsep.join([*ament, prefix])
    programs = str(Path(prefix) / 'bin')
    path = environ.get('PATH', '').split(os.pathsep)
    if programs not in path:
        environ['PATH'] = os.pathsep.join([programs, *path])


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = build_parser().parse_args(arguments)
    reason = refusal(sys.prefix, os.environ)
    if reason:
        print(f'ros2: {reason}', file=sys.stderr)
        return 1
    prepare_environment(os.environ)
    try:
        return options.run(options) or 0
    except CommandError as error:
        print(f'ros2: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == '__main__':
    sys.exit(main())
