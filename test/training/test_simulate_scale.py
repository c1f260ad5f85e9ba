"""``simulate`` at scale: Ray, places behind URLs, the manifest."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from training.engine.jobs import in_cluster
from training.simulation.bags import MANIFEST, LocalBags, RemoteBags, open_bags
from training.simulation.plans import BagPlan, plan_bags
from training.simulation.simulate import SimulateError, run

fsspec = pytest.importorskip('fsspec', reason='URLs need fsspec')

SCENARIO = """
duration_s: 0.2
camera: {width: 32, height: 24}
street: {building_density: 0, tree_spacing_m: 200, furniture_density: 0, billboard_density: 0}
traffic: {vehicles_per_km: 0, pedestrians_per_km: 0, parked_density: 0, cyclists_per_km: 0}
lidar: null
"""


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    file = tmp_path / 'tiny.yaml'
    file.write_text(SCENARIO)
    return str(file)


@pytest.fixture
def url() -> Iterator[str]:
    """A folder of the memory file system, of this test alone."""
    place = f'memory://{uuid.uuid4().hex}/scenes'
    yield place
    system, path = fsspec.core.url_to_fs(place)
    system.rm(path.rpartition('/')[0], recursive=True)


def plans_at(
    out: str, scenario: str, seed: int, count: int = 2
) -> tuple[RemoteBags, list[BagPlan]]:
    bags, folder = open_bags(out)
    assert isinstance(bags, RemoteBags)
    return bags, plan_bags(scenario, seed, folder, count, layers='depth')


def quiet() -> Console:
    return Console(quiet=True)


def files_at(url: str) -> dict[str, bytes]:
    system, path = fsspec.core.url_to_fs(url)
    return {name.removeprefix(f'{path}/'): system.cat_file(name) for name in system.find(path)}


def check(manifest: dict, files: dict[str, bytes]) -> None:
    """Check that a manifest's hashes are those of the files."""
    for bag in manifest['bags']:
        for name, facts in bag['files'].items():
            data = files[f'{bag["bag"]}/{name}']
            assert facts == {'sha256': hashlib.sha256(data).hexdigest(), 'bytes': len(data)}


def test_bags_behind_a_url_are_those_of_a_folder(tmp_path: Path, scenario: str, url: str) -> None:
    bags, plans = plans_at(url, scenario, 0)
    summary = run(plans, 1, quiet(), bags=bags)
    local = plan_bags(scenario, 0, tmp_path / 'bags', 2, layers='depth')
    assert run(local, 1, quiet()).size == summary.size
    there = files_at(url)
    for path in (tmp_path / 'bags').glob('*/*'):
        if path.parent.name != '.manifest':
            assert there[f'{path.parent.name}/{path.name}'] == path.read_bytes()
    manifest = json.loads(there[MANIFEST])
    assert [bag['seed'] for bag in manifest['bags']] == [0, 1]
    assert manifest == json.loads((tmp_path / 'bags' / MANIFEST).read_bytes())
    check(manifest, there)


def test_machines_share_a_place_and_go_on_where_others_were(scenario: str, url: str) -> None:
    for seed, skipped in ((0, 0), (2, 0), (1, 2)):
        bags, plans = plans_at(url, scenario, seed)
        assert run(plans, 1, quiet(), bags=bags).skipped == skipped
    there = files_at(url)
    assert [bag['seed'] for bag in json.loads(there[MANIFEST])['bags']] == [0, 1, 2, 3]
    check(json.loads(there[MANIFEST]), there)


@pytest.mark.parametrize('step', ['put_file', 'pipe_file', 'mv'])
def test_a_bag_that_was_not_sent_whole_is_not_there(
    scenario: str, url: str, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    bags, (first, second) = plans_at(url, scenario, 0)
    run([first], 1, quiet(), bags=bags)
    system, _ = bags.connect()
    original, calls = getattr(type(system), step), []

    def broken(self, *args, **kwargs):
        calls.append(args)
        if step == 'pipe_file' or len(calls) == 2:
            raise OSError('the line is dead')
        return original(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(type(system), step, broken)
        with pytest.raises(OSError, match='the line is dead'):
            run([first, second], 1, quiet(), bags=bags)
    assert calls
    assert bags.is_done(first)
    assert not bags.is_done(second)
    assert not [name for name in files_at(url) if '.partial' in name]
    bags.write_manifest([first])
    assert [b['seed'] for b in json.loads(files_at(url)[MANIFEST])['bags']] == [0]
    assert run([first, second], 1, quiet(), bags=bags).skipped == 1
    check(json.loads(files_at(url)[MANIFEST]), files_at(url))


def test_other_settings_behind_a_url_are_refused(scenario: str, url: str) -> None:
    bags, plans = plans_at(url, scenario, 0, 1)
    run(plans, 1, quiet(), bags=bags)
    others = plan_bags(scenario, 0, open_bags(url)[1], 1, layers='semantic')
    with pytest.raises(FileExistsError, match='not made with these settings'):
        run(others, 1, quiet(), bags=bags)
    bags.remove(others[0])
    assert run(others, 1, quiet(), bags=bags).skipped == 0


def test_a_changed_bag_is_told_by_the_manifest(tmp_path: Path, scenario: str) -> None:
    plans = plan_bags(scenario, 0, tmp_path / 'bags', 2, layers='depth')
    run(plans, 1, quiet())
    file = next(plans[0].path.glob('*.mcap'))
    file.write_bytes(file.read_bytes()[:-1] + b'!')
    files = {f'{p.parent.name}/{p.name}': p.read_bytes() for p in (tmp_path / 'bags').glob('*/*')}
    with pytest.raises(AssertionError):
        check(json.loads((tmp_path / 'bags' / MANIFEST).read_bytes()), files)


def test_unknown_urls_are_named() -> None:
    with pytest.raises(ValueError, match='carrier'):
        open_bags('carrier-pigeon://coop/bags')


def test_a_ray_cluster_makes_the_same_bags(tmp_path: Path, scenario: str) -> None:
    pytest.importorskip('ray', reason='Ray is not installed')
    near = plan_bags(scenario, 0, tmp_path / 'near', 2, layers='depth')
    run(near, 1, quiet())
    bags, folder = open_bags(f'file://{tmp_path}/far')
    far = plan_bags(scenario, 0, folder, 2, layers='depth')
    summary = run(far, 1, quiet(), ray='local', bags=bags)
    assert (summary.frames, summary.skipped) == (4, 0)
    for plan in near:
        for file in plan.path.iterdir():
            assert (
                tmp_path / 'far' / plan.path.name / file.name
            ).read_bytes() == file.read_bytes()
    manifests = [
        json.loads((tmp_path / place / MANIFEST).read_bytes()) for place in ('near', 'far')
    ]
    assert manifests[0] == manifests[1]
    assert run(far, 1, quiet(), ray='local', bags=bags).skipped == 2


class TaskError(Exception):
    """As Ray's: what a task raised, with the traceback of another machine."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(f'Traceback of another machine\n{cause}')
        self.cause = cause


def elsewhere(work: Callable[[Any], Any]) -> Any:
    """Return what does a task in another folder, as a cluster that was started there."""

    def remote(part: Any) -> Callable[[], Any]:
        def result() -> Any:
            here = os.getcwd()
            os.chdir('/')
            try:
                return work(part)
            except Exception as error:
                raise TaskError(error) from error
            finally:
                os.chdir(here)

        return result

    return SimpleNamespace(remote=remote)


def test_work_on_a_cluster_is_done_in_this_folder_and_fails_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Ray: a stand-in for the six of its functions that are called."""
    ray, exceptions = ModuleType('ray'), ModuleType('ray.exceptions')
    ray.__spec__ = ModuleSpec('ray', None)
    addresses: list[str] = []
    functions = {
        'is_initialized': lambda: False,
        'init': lambda address, **_: addresses.append(address),
        'remote': elsewhere,
        'wait': lambda running, num_returns: (running[:num_returns], running[num_returns:]),
        'get': lambda done: done(),
        'shutdown': lambda: addresses.append('ended'),
    }
    vars(ray).update(functions, exceptions=exceptions)
    vars(exceptions).update(RayTaskError=TaskError)
    monkeypatch.setitem(sys.modules, 'ray', ray)
    monkeypatch.setitem(sys.modules, 'ray.exceptions', exceptions)
    monkeypatch.chdir(tmp_path)
    made = dict(in_cluster(os.path.abspath, ['labels', 'bags'], 'local'))
    assert made == {name: str(tmp_path / name) for name in ('labels', 'bags')}
    with pytest.raises(FileNotFoundError, match=r"^\[Errno 2\] [^\n]*: 'nowhere'$"):
        list(in_cluster(os.listdir, ['nowhere'], 'auto'))
    assert addresses == ['local', 'ended', 'auto', 'ended']


def test_what_fails_on_a_cluster_does_not_stop_the_others(
    tmp_path: Path, scenario: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Ray: the parts are done one after the other, as its machines do them."""
    monkeypatch.setattr(
        'training.simulation.simulate.in_cluster',
        lambda work, parts, address: ((part, work(part)) for part in parts),
    )
    good = plan_bags(scenario, 0, tmp_path / 'good', layers='depth')[0]
    changes = ['things={unicorn: 5}']
    bad = plan_bags(scenario, 0, tmp_path / 'bad', layers='depth', changes=changes)[0]
    with pytest.raises(SimulateError, match=r'1 of 2 bags failed .*unicorn'):
        run([bad, good], 1, quiet(), ray='here')
    assert LocalBags().is_done(good)


def test_without_ray_the_message_says_what_to_install(
    tmp_path: Path, scenario: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'ray', None)
    plans = plan_bags(scenario, 0, tmp_path / 'bags', layers='depth')
    with pytest.raises(ImportError, match='pip install ray'):
        run(plans, 1, quiet(), ray='local')
