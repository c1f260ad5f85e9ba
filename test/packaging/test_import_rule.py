"""The rooms' borders: who may import what, and no circles."""

from __future__ import annotations

import ast
import importlib.util
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location('rooms', ROOT / 'docs' / 'draw_architecture.py')
rooms = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(rooms)
imports, module_name, sources = rooms.imports, rooms.module_name, rooms.sources

RIM = {'ros', 'nodes'}
ROS_PACKAGES = {
    'rclpy', 'launch', 'launch_ros', 'message_filters', 'sensor_msgs_py', 'tf2_ros',
    'tf_transformations', 'cv_bridge', 'ament_index_python', 'builtin_interfaces',
    'rcl_interfaces', 'std_srvs',
}  # fmt: skip


def room(module: str) -> str:
    return rooms.room(module, 'sim_perception') or module.split('.')[0]


@pytest.mark.parametrize('path', sources(), ids=module_name)
def test_only_the_rim_imports_ros_and_nobody_imports_upwards(path: Path) -> None:
    module = module_name(path)
    imported = set(imports(ast.parse(path.read_text())))
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


@pytest.mark.parametrize('package', rooms.FLOORS)
def test_every_room_stands_on_a_floor_and_imports_only_from_below(package: str) -> None:
    floors = {name: k for k, floor in enumerate(rooms.FLOORS[package]) for name in floor}
    there = {rooms.room(module_name(path), package) for path in sources()} - {None}
    assert there == set(floors), 'give new rooms a floor in docs/draw_architecture.py'
    up = {(a, b) for a, b in rooms.room_arrows(package) if floors[a] <= floors[b]}
    assert not up, f'imports that do not go down in {package}: {sorted(up)}'


@pytest.mark.parametrize('package', rooms.FRONTS)
def test_outsiders_import_only_the_fronts(package: str) -> None:
    depth = package.count('.') + 1
    deep = [
        f'{a} imports {b}'
        for a, b in sorted(rooms.arrows())
        if b.startswith(f'{package}.') and not a.startswith(f'{package}.')
        and b.count('.') > depth
    ]  # fmt: skip
    assert not deep, '\n'.join([f'{package} is entered by its fronts only:', *deep])


def test_rooms_say_in_a_sentence_what_is_in_them() -> None:
    for path in sources():
        if path.name == '__init__.py':
            text = rooms.said(module_name(path))
            assert text.endswith('.'), f'{path.relative_to(ROOT)} does not say what is in it'


def test_the_page_of_the_house_is_up_to_date() -> None:
    text = rooms.PAGE.read_text()
    assert rooms.drawn(text) == text, 'run: python docs/draw_architecture.py --write'


def test_no_pickle_and_no_copyleft_packages() -> None:
    banned = {'pickle', 'dill', 'cloudpickle', 'joblib', 'ultralytics', 'boxmot', 'lightning'}
    for path in sources():
        imported = imports(ast.parse(path.read_text()))
        used = {name.split('.')[0] for name in imported} & banned
        assert not used, f'{path.relative_to(ROOT)} imports {sorted(used)}'
