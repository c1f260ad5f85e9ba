"""The rooms of the house: their floors, who imports whom, and the drawing of it.

    python docs/draw_architecture.py            print the drawings
    python docs/draw_architecture.py --write    put them into docs/architecture.md

``test/packaging/test_import_rule.py`` checks the code against ``FLOORS`` and ``FRONTS``.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / 'docs' / 'architecture.md'
PACKAGES = ('sim_perception', 'training', 'benchmark')

FLOORS: dict[str, tuple[tuple[str, ...], ...]] = {
    'sim_perception': (
        ('files', 'compile_ahead', 'extras', 'kernels', 'resources', 'suggestions', 'types'),
        ('geometry', 'locks', 'taxonomy'),
        ('calibration',),
        ('models', 'odometry', 'simulator', 'tracking', 'visualization'),
        ('bags', 'inference'),
        ('autolabel', 'viewer'),
        ('api', 'ros'),
        ('nodes',),
    ),
    'sim_perception.simulator': (
        ('common',),
        ('drive', 'own_mesh', 'rig', 'surfaces'),
        ('scenario_parts',),
        ('light', 'scenario', 'truth'),
        ('sensors', 'street'),
        ('content',),
        ('world',),
        ('catalogue', 'simulation'),
    ),
    'sim_perception.autolabel': (
        ('config', 'records', 'rendering'),
        ('fit', 'surfaces'),
        ('evidence', 'export', 'quality', 'tracks'),
        ('detect', 'modes'),
        ('classes', 'labeler'),
    ),
    'sim_perception.tracking': (
        ('config', 'tables'),
        ('detections', 'occlusion', 'steps', 'tracks'),
        ('tracker', 'views'),
        ('camera', 'warm_up'),
    ),
    'training': (
        ('cards', 'losses', 'metrics', 'pictures'),
        ('engine',),
        ('datasets', 'simulation'),
        ('evaluation',),
        ('tasks',),
        ('labelling', 'resimulation'),
        ('inspection', 'viewing'),
        ('demo',),
        ('commands',),
        ('examples',),
    ),
}
"""Rooms of a package, the ground floor first: each imports only from the floors below its own."""

FRONTS = ('sim_perception.simulator', 'sim_perception.autolabel', 'sim_perception.tracking')
"""Packages of which outsiders import only what stands directly in their folder."""


def sources() -> list[Path]:
    """Return every module's file."""
    return [p for package in PACKAGES for p in sorted((ROOT / package).rglob('*.py'))]


def module_name(path: Path) -> str:
    """Return the name that a file is imported by."""
    parts = path.relative_to(ROOT).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def imports(tree: ast.AST, *, top_level_only: bool = False) -> Iterator[str]:
    """Yield imported module names; ``from a import b`` yields both a and a.b."""
    for node in tree.body if top_level_only else ast.walk(tree):  # type: ignore[attr-defined]
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, 'relative imports hide the room they come from'
            yield node.module or ''
            yield from (f'{node.module}.{alias.name}' for alias in node.names)


@cache
def arrows() -> frozenset[tuple[str, str]]:
    """Return (importing, imported) module names, imports inside of functions too."""
    known = {module_name(path): path for path in sources()}
    found = set()
    for module, path in known.items():
        names = set(imports(ast.parse(path.read_text())))
        for name in names & known.keys():
            # ``from a.b import c`` names a.b as well; it is meant only if c is no module.
            if not any(other.startswith(f'{name}.') and other in known for other in names):
                found.add((module, name))
    return frozenset(found)


def room(module: str, package: str) -> str | None:
    """Return the room of a package that a module is in; None outside and for the package."""
    if not module.startswith(f'{package}.') or module.endswith('__main__'):
        return None
    return module.removeprefix(f'{package}.').split('.')[0]


def room_arrows(package: str) -> set[tuple[str, str]]:
    """Return (importing, imported) rooms of a package."""
    pairs = {(room(a, package), room(b, package)) for a, b in arrows()}
    return {(a, b) for a, b in pairs if a is not None and b is not None and a != b}


def without_shortcuts(pairs: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the arrows without those that a longer way implies."""
    below: dict[str, set[str]] = {}
    for a, b in pairs:
        below.setdefault(a, set()).add(b)

    def reach(start: str) -> set[str]:
        return set().union(*({b} | reach(b) for b in below.get(start, ())))

    return {(a, b) for a, b in pairs if not any(b in reach(c) for c in below[a] - {b})}


def drawing(package: str) -> str:
    """Return a package's rooms and the arrows between them as a Mermaid chart."""
    rooms = [f'    {name}' for floor in reversed(FLOORS[package]) for name in floor]
    pairs = sorted(without_shortcuts(room_arrows(package)))
    ways = [f'    {a} --> {b}' for a, b in pairs]
    return '\n'.join(['```mermaid', 'flowchart TD', *rooms, *ways, '```'])


def table(package: str) -> str:
    """Return what is in each room of a package, top floor first, by its own words."""
    lines = ['| room | what is in it |', '|---|---|']
    for floor in reversed(FLOORS[package]):
        lines += [f'| `{name}` | {said(f"{package}.{name}")} |' for name in floor]
    return '\n'.join(lines)


def said(module: str) -> str:
    """Return the first sentence of a module's or room's docstring, in Markdown."""
    path = ROOT / module.replace('.', '/')
    path = path / '__init__.py' if path.is_dir() else path.with_suffix('.py')
    text = ast.get_docstring(ast.parse(path.read_text())) or ''
    return ' '.join(text.split('\n\n')[0].split()).replace('``', '`').replace('|', '\\|')


def drawn(text: str) -> str:
    """Return a page whose parts between ``<!-- KIND PACKAGE -->`` and ``<!-- end -->`` are new."""
    makers = {'drawing': drawing, 'rooms': table}

    def fresh(match: re.Match[str]) -> str:
        return f'{match[1]}\n{makers[match[2]](match[3])}\n{match[4]}'

    marks = r'(<!-- (drawing|rooms) (\S+) -->)\n.*?(<!-- end -->)'
    return re.sub(marks, fresh, text, flags=re.DOTALL)


def main() -> int:
    """Print the drawings, or put them into the page."""
    parser = argparse.ArgumentParser(description='Draw the rooms and their imports.')
    parser.add_argument('--write', action='store_true', help=f'into {PAGE.name}')
    if parser.parse_args().write:
        PAGE.write_text(drawn(PAGE.read_text()))
    else:
        print('\n\n'.join(f'{package}\n{drawing(package)}' for package in FLOORS))
    return 0


if __name__ == '__main__':
    sys.exit(main())
