"""``python -m benchmark NAME [--json FILE]``: measure one part against named peers.

Examples:
  python -m benchmark simulator --json simulator.json
  python -m benchmark depth_segmentation --threads 2
  python -m benchmark bags --help
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sim_perception.extras import install_line, two_opencvs
from sim_perception.suggestions import Parser, unknown


def names() -> list[str]:
    """Return the benchmarks that exist: modules beside this one with a ``run`` function."""
    return sorted(p.stem for p in Path(__file__).parent.glob('*.py') if not p.stem.startswith('_'))


def main() -> int:
    """Run one benchmark, print its table and write its JSON.

    Exit status 2: what a user can mend, such as a missing package; 130: Ctrl-C.
    """
    try:
        return _main()
    except KeyboardInterrupt:
        print('stopped: the same command begins again', file=sys.stderr)
        return 130
    except ModuleNotFoundError as error:
        line = install_line([(error.name or '').partition('.')[0]])
        print(f'error: {error}; install it with: {line}', file=sys.stderr)
        return 2
    except (ImportError, OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2


def _main() -> int:
    # after a name, --help is that benchmark's own
    named = bool(set(sys.argv[1:]) & set(names()))
    parser = argparse.ArgumentParser(
        prog='python -m benchmark',
        description=__doc__,
        add_help=not named,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('name', metavar='NAME', help=f'one of {", ".join(names())}')
    parser.add_argument('--json', type=Path, help='write the figures to this file')
    arguments, rest = parser.parse_known_args()
    if arguments.name not in names():
        parser.error(unknown('benchmark', arguments.name, names()))
    if not set(rest) & {'-h', '--help'}:
        print(f'{arguments.name}: loading ...', file=sys.stderr, flush=True)
    module = importlib.import_module(f'benchmark.{arguments.name}')
    options = Parser(
        prog=f'python -m benchmark {arguments.name}',
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if hasattr(module, 'add_arguments'):
        module.add_arguments(options)
    if clash := two_opencvs():
        print(f'warning: {clash}', file=sys.stderr)
    figures = module.run(options.parse_args(rest))
    _report(arguments.name, figures, arguments.json)
    return 0


def _report(name: str, figures: dict[str, Any], file: Path | None) -> None:
    figures['machine'] = f'{platform.machine()}, Python {platform.python_version()}'
    table = Table('key', 'value', title=f'benchmark {name}')
    for key, value in figures.items():
        table.add_row(key, f'{value:.4g}' if isinstance(value, float) else escape(str(value)))
    Console().print(table)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(figures, indent=2) + '\n')


if __name__ == '__main__':
    sys.exit(main())
