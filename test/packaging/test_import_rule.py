"""The rooms' borders: who may import what, and no circles."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RIM = {'ros', 'nodes'}
ROS_PACKAGES = {
    'rclpy', 'launch', 'launch_ros', 'message_filters', 'sensor_msgs_py', 'tf2_ros',
    'tf_transformations', 'cv_bridge', 'ament_index_python', 'builtin_interfaces',
    'rcl_interfaces', 'std_srvs',
}  # fmt: skip


def sources() -> list[Path]:
    return [
        path
        for package in ('sim_perception', 'training', 'benchmark')
        for path in sorted((ROOT / package).rglob('*.py'))
    ]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def imports(tree: ast.AST, *, top_level_only: bool) -> Iterator[str]:
    """Yield imported module names; ``from a import b`` yields both a and a.b."""
    for node in tree.body if top_level_only else ast.walk(tree):  # type: ignore[attr-defined]
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, 'relative imports hide the room they come from'
            yield node.module or ''
            yield from (f'{node.module}.{alias.name}' for alias in node.names)


def room(module: str) -> str:
    parts = module.split('.')
    return parts[1] if parts[0] == 'sim_perception' and len(parts) > 1 else parts[0]


@pytest.mark.parametrize('path', sources(), ids=module_name)
def test_only_the_rim_imports_ros_and_nobody_imports_upwards(path: Path) -> None:
    module = module_name(path)
    imported = set(imports(ast.parse(path.read_text()), top_level_only=False))
    tops = {name.split('.')[0] for name in imported}
    if module.startswith('sim_perception'):
        assert not tops & {'training', 'benchmark'}, f'{module} imports upwards'
    if not module.startswith('benchmark') and room(module) not in RIM:
        ros = {top for top in tops if top in ROS_PACKAGES or top.endswith('_msgs')}
        assert not ros, f'{module} is not in the rim but imports {sorted(ros)}'
        rim = {
            name for name in imported if name.startswith('sim_perception.') and room(name) in RIM
        }
        assert not rim or module.startswith('training.demo'), f'{module} imports the rim: {rim}'


def test_no_import_circle_between_modules() -> None:
    known = {module_name(path): path for path in sources()}
    graph = {
        module: {
            name
            for name in imports(ast.parse(path.read_text()), top_level_only=True)
            if name in known and name != module
        }
        for module, path in known.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f'import circle: {" -> ".join(error.args[1])}')


def test_no_circle_between_rooms() -> None:
    graph: dict[str, set[str]] = {}
    for path in sources():
        module = module_name(path)
        if module.startswith('sim_perception.'):
            here = room(module)
            used = {
                room(name)
                for name in imports(ast.parse(path.read_text()), top_level_only=False)
                if name.startswith('sim_perception.')
            }
            graph.setdefault(here, set()).update(used - {here})
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f'circle between rooms: {" -> ".join(error.args[1])}')


def test_no_pickle_and_no_copyleft_packages() -> None:
    banned = {'pickle', 'dill', 'cloudpickle', 'joblib', 'ultralytics', 'boxmot', 'lightning'}
    for path in sources():
        imported = imports(ast.parse(path.read_text()), top_level_only=False)
        used = {name.split('.')[0] for name in imported} & banned
        assert not used, f'{path.relative_to(ROOT)} imports {sorted(used)}'
