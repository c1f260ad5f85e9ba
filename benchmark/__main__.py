"""``python -m benchmark NAME [--json FILE]``: measure one part against named peers."""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table


def names() -> list[str]:
    """Return the benchmarks that exist: modules beside this one with a ``run`` function."""
    return sorted(p.stem for p in Path(__file__).parent.glob('*.py') if not p.stem.startswith('_'))


def main() -> int:
    """Run one benchmark, print its table and write its JSON."""
    # after a name, --help is that benchmark's own
    named = bool(set(sys.argv[1:]) & set(names()))
    parser = argparse.ArgumentParser(
        prog='python -m benchmark', description=__doc__, add_help=not named
    )
    parser.add_argument('name', choices=names())
    parser.add_argument('--json', type=Path, help='write the figures to this file')
    arguments, rest = parser.parse_known_args()
    module = importlib.import_module(f'benchmark.{arguments.name}')
    options = argparse.ArgumentParser(
        prog=f'python -m benchmark {arguments.name}',
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if hasattr(module, 'add_arguments'):
        module.add_arguments(options)
    figures = module.run(options.parse_args(rest))
    figures['machine'] = f'{platform.machine()}, Python {platform.python_version()}'
    table = Table('key', 'value', title=f'benchmark {arguments.name}')
    for key, value in figures.items():
        table.add_row(key, f'{value:.4g}' if isinstance(value, float) else str(value))
    Console().print(table)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(figures, indent=2) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
