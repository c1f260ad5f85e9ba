"""The verb ``simulate``: same bytes for any number of workers, resumable, clear errors."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from sim_perception.bags import topics as t_
from sim_perception.bags.layout import bags_at
from sim_perception.bags.messages import START_STAMP
from sim_perception.bags.reader import BagReader
from training.commands.simulate import simulate
from training.simulation.bags import LocalBags
from training.simulation.layers import parse_layers
from training.simulation.plans import plan_bags
from training.simulation.simulate import SimulateError, run
from training.simulation.write import write_bag

SCENARIO = """
domain: target
duration_s: 0.4
camera: {width: 64, height: 48}
street: {building_density: 0, tree_spacing_m: 200, furniture_density: 0, billboard_density: 0}
lidar: {rings: 4, columns: 32}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    file = tmp_path / 'tiny.yaml'
    file.write_text(SCENARIO)
    return str(file)


def digest(bag: Path) -> str:
    """Hash a bag's files, names included."""
    hasher = hashlib.sha256()
    for file in sorted(bag.iterdir()):
        hasher.update(file.name.encode() + b'\0' + file.read_bytes())
    return hasher.hexdigest()


def test_bytes_do_not_depend_on_threads_workers_and_process(tmp_path: Path, scenario: str) -> None:
    plans = plan_bags(scenario, 3, tmp_path / 'a', count=2)
    for threads, plan in enumerate(plans, 1):
        write_bag(plan, threads, lambda: None)
    others = plan_bags(scenario, 3, tmp_path / 'b', count=2)
    summary = run(others, workers=2)
    assert summary.frames == 8
    assert [digest(p.path) for p in plans] == [digest(p.path) for p in others]
    assert digest(plans[0].path) != digest(plans[1].path)
    assert summary.size == sum(
        file.stat().st_size for plan in others for file in plan.path.iterdir()
    )


def test_finished_bags_are_skipped(tmp_path: Path, scenario: str) -> None:
    options = {'layers': 'depth', 'frame_rate': 5.0}
    first = plan_bags(scenario, 0, tmp_path / 'bags', count=2, **options)[:1]
    run(first, workers=1)
    before = [file.stat().st_mtime_ns for file in (tmp_path / 'bags').glob('*/*.mcap')]
    plans = plan_bags(scenario, 0, tmp_path / 'bags', count=2, **options)
    summary = run(plans, workers=1)
    assert (summary.skipped, summary.frames) == (1, 2)
    after = [p.stat().st_mtime_ns for p in sorted((tmp_path / 'bags').glob('*/*.mcap'))]
    assert before == after[:1]


def test_other_settings_do_not_pass_for_the_same_bag(tmp_path: Path, scenario: str) -> None:
    plan = plan_bags(scenario, 0, tmp_path / 'bag', layers='depth', frame_rate=5.0)[0]
    write_bag(plan, 1, lambda: None)
    assert LocalBags().is_done(plan)
    for changed in (
        plan_bags(scenario, 1, tmp_path / 'bag', layers='depth', frame_rate=5.0)[0],
        plan_bags(scenario, 0, tmp_path / 'bag', layers='semantic', frame_rate=5.0)[0],
        plan_bags(scenario, 0, tmp_path / 'bag', layers='depth', frame_rate=10.0)[0],
    ):
        with pytest.raises(FileExistsError, match='not made with these settings'):
            LocalBags().is_done(changed)


def test_killed_run_is_resumed(tmp_path: Path, scenario: str) -> None:
    out, options = tmp_path / 'bags', {'layers': 'depth,semantic'}
    code = (
        'import sys; from pathlib import Path\n'
        'from training.simulation.plans import plan_bags\n'
        'from training.simulation.write import write_bag\n'
        'def frame(): print("frame", flush=True)\n'
        'for plan in plan_bags(sys.argv[1], 0, Path(sys.argv[2]), 3, layers="depth,semantic"):\n'
        '    write_bag(plan, 1, frame)'
    )
    process = subprocess.Popen(
        [sys.executable, '-c', code, scenario, str(out)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    for _ in range(4 + 2):  # into the second bag
        assert process.stdout.readline() == b'frame\n'
    process.kill()
    process.wait()
    finished = {path.name for path in out.glob('tiny_*')}
    plans = plan_bags(scenario, 0, out, 3, **options)
    names = sorted(plan.path.name for plan in plans)
    assert 1 <= len(finished) < 3
    assert sorted(p.name for p in out.iterdir()) != sorted(finished)
    assert run(plans, workers=1).skipped == len(finished)
    assert sorted(path.name for path in bags_at(out)) == names
    for plan in plans:
        with BagReader(plan.path) as bag:
            assert bag.verify() == []
            assert bag.count(t_.DEPTH.name) == 4


def test_sparse_frames(tmp_path: Path, scenario: str) -> None:
    plan = plan_bags(
        scenario, 0, tmp_path / 'bag', layers='rgb,depth,lidar', image_format='jpeg',
        frame_rate=0.5, duration=4.0,
    )[0]  # fmt: skip
    frames = []
    write_bag(plan, 1, lambda: frames.append(1))
    with BagReader(plan.path) as bag:
        times = [0, 2 * 10**9]
        assert len(frames) == 2
        for topic in (t_.IMAGE_COMPRESSED, t_.DEPTH, t_.POINTS, t_.CAMERA_INFO):
            assert (bag.stamps(topic.name) - START_STAMP).tolist() == times
        assert (bag.stamps(t_.TF.name) - START_STAMP).tolist() == [*times, 4 * 10**9]
        assert not bag.count(t_.SEMANTIC.name)
        assert bag.frame(t_.IMAGE_COMPRESSED.name, 1).image.shape == (48, 64, 3)


def test_the_shortest_drive_has_one_frame(tmp_path: Path, scenario: str) -> None:
    plan = plan_bags(scenario, 0, tmp_path / 'bag', duration=1e-300)[0]
    assert [(s.stream.kind, times) for s, times in plan.sensors] == [
        ('camera', [0]),
        ('lidar', [0]),
    ]


def test_dense_poses_between_frames(tmp_path: Path, scenario: str) -> None:
    plan = plan_bags(scenario, 0, tmp_path / 'bag', layers='depth')[0]
    write_bag(plan, 1, lambda: None)
    with BagReader(plan.path) as bag:
        steps = np.diff(bag.stamps(t_.TF.name))
        assert steps.max() == 20_000_000
        assert set(bag.stamps(t_.DEPTH.name)) <= set(bag.stamps(t_.TF.name))


def test_layers_choose_topics() -> None:
    names = parse_layers('rgb, depth', 'jpeg')
    assert t_.IMAGE_COMPRESSED.name in names
    assert t_.IMAGE.name not in names
    assert {t_.TF_STATIC.name, t_.LABEL_INFO.name, t_.CAMERA_INFO.name} <= set(names)
    for layers, words in (('rgb,colour', "'colour'"), ('', 'choose from rgb')):
        with pytest.raises(ValueError, match=words):
            parse_layers(layers, 'raw')
    with pytest.raises(ValueError, match='choose raw or jpeg'):
        parse_layers('rgb', 'gif')


def test_wrong_options_are_explained(tmp_path: Path, scenario: str) -> None:
    with pytest.raises(ValueError, match='at most the scenario'):
        plan_bags(scenario, 0, tmp_path / 'bag', frame_rate=20.0)
    with pytest.raises(ValueError, match='count must be at least 1'):
        plan_bags(scenario, 0, tmp_path / 'bag', count=0)
    with pytest.raises(FileNotFoundError, match='nowhere'):
        plan_bags('nowhere', 0, tmp_path / 'bag')


def test_failed_bags_do_not_stop_the_others(tmp_path: Path, scenario: str) -> None:
    good = plan_bags(scenario, 0, tmp_path / 'bags' / 'good', layers='depth')[0]
    # A scenario that is valid, but of something that cannot be built.
    changes = ['things={unicorn: 5}']
    bad = plan_bags(scenario, 0, tmp_path / 'bags' / 'bad', layers='depth', changes=changes)[0]
    with pytest.raises(SimulateError, match=r'1 of 2 bags failed .*bad'):
        run([bad, good], workers=2)
    assert LocalBags().is_done(good)
    assert not bad.path.exists()


def test_command_line(tmp_path: Path, scenario: str) -> None:
    app = typer.Typer()
    app.command()(simulate)
    runner = CliRunner()
    arguments = ['--scenario', scenario, '--out', str(tmp_path / 'bag'), '--layers', 'depth']
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert '4 frames' in ' '.join(result.output.split())
    with pytest.raises(FileExistsError, match='pass --overwrite'):
        runner.invoke(app, [*arguments, '--seed', '1'], catch_exceptions=False)
    assert runner.invoke(app, [*arguments, '--seed', '1', '--overwrite']).exit_code == 0
    with BagReader(tmp_path / 'bag') as bag:
        assert '"seed":1' in bag.custom['sim_perception.scenario']
