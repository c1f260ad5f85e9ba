"""No import circles within ros2_pip, but for those that the real packages have too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / 'ros2_pip' / 'src'
MIRRORED = {
    ('launch.event_handlers', 'launch.actions'),
    ('launch.event_handlers', 'launch.actions.execute_process'),
    ('launch.launch_description', 'launch.actions'),
}
"""Imports inside functions that close a circle: so they stand in the real `launch`."""


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(SOURCE.rglob('*.py')):
        parts = path.relative_to(SOURCE).with_suffix('').parts
        found['.'.join(parts[:-1] if parts[-1] == '__init__' else parts)] = path
    return found


def imported(module: str, path: Path) -> Iterator[str]:
    """Yield what a module imports when it runs, inside of functions too."""
    tree = ast.parse(path.read_text())
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and 'TYPE_CHECKING' in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    package = module if path.name == '__init__.py' else module.rpartition('.')[0]
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split('.')[: len(package.split('.')) + 1 - node.level]
            base = '.'.join([*(parents if node.level else []), *filter(None, [node.module])])
            yield base
            yield from (f'{base}.{alias.name}' for alias in node.names)


@cache
def arrows() -> frozenset[tuple[str, str]]:
    """Return (importing, imported); importing a.b.c runs a and a.b as well."""
    known = modules()
    found = set()
    for module, path in known.items():
        for name in imported(module, path):
            parts = name.split('.')
            for k in range(1, len(parts) + 1):
                one = '.'.join(parts[:k])
                # a package that is being imported runs its own modules: that is no circle
                if one in known and one != module and not module.startswith(f'{one}.'):
                    found.add((module, one))
    return frozenset(found)


def test_the_only_circles_are_those_of_the_real_packages() -> None:
    pairs = arrows()
    assert pairs >= MIRRORED, 'remove what is no longer there'
    graph: dict[str, set[str]] = {}
    for a, b in pairs - MIRRORED:
        graph.setdefault(a, set()).add(b)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f'import circle: {" -> ".join(error.args[1])}')


@pytest.mark.parametrize('pair', sorted(MIRRORED), ids=' -> '.join)
def test_every_exception_is_needed(pair: tuple[str, str]) -> None:
    """With the arrow there is a circle, so it cannot stand at the module's top."""
    graph: dict[str, set[str]] = {}
    for a, b in arrows() - MIRRORED:
        graph.setdefault(a, set()).add(b)
    below, start = [pair[1]], pair[0]
    seen: set[str] = set()
    while below:
        module = below.pop()
        if module not in seen:
            seen.add(module)
            below += graph.get(module, ())
    assert start in seen


def test_packages_do_not_import_their_users() -> None:
    """`launch` stands below `launch_ros`, and the tools below neither."""
    below = {'launch': {'launch'}, 'launch_ros': {'launch', 'launch_ros', 'tf2_ros'}}
    for a, b in arrows():
        top, other = a.split('.')[0], b.split('.')[0]
        if top in below:
            assert other in below[top], f'{a} imports {b}'
        elif top != 'ros2_pip_tools':
            assert other not in ('launch', 'launch_ros', 'ros2_pip_tools'), f'{a} imports {b}'
