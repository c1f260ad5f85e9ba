"""No node stops to compile once it is warm, and no cache folder is needed for it to work.

Every case runs in a fresh process: it warms up as a node does, then sees all kinds of data.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from sim_perception.compile_ahead import compiled_forms, forms_in_use

ROOT = Path(__file__).resolve().parents[2]


def tracker() -> set[tuple[str, str]]:
    """None, one, two and many tracks; image boxes; estimated motion; one class and two."""
    from sim_perception.geometry.transforms import from_euler
    from sim_perception.tracking.config import (
        PEDESTRIAN,
        VEHICLE,
        TrackerConfig,
        image_config,
    )
    from sim_perception.tracking.detections import DetectionArrays
    from sim_perception.tracking.occlusion import BoxView
    from sim_perception.tracking.tracker import Tracker
    from sim_perception.tracking.warm_up import warm_up
    from sim_perception.types import Camera

    configs = {
        'one class': (TrackerConfig(classes={10: VEHICLE}), False),
        'two classes': (TrackerConfig(classes={10: VEHICLE, 12: PEDESTRIAN}), False),
        'estimated motion': (TrackerConfig(classes={10: VEHICLE}, ego_motion=True), False),
        'images': (image_config((10, 12)), True),
    }
    for config, image in configs.values():
        warm_up(config, image=image)
    warm = set(forms_in_use('sim_perception'))
    rng = np.random.default_rng(0)
    view = BoxView(Camera(64, 48, 40.0, 40.0, 31.5, 23.5), np.eye(4))
    for config, image in configs.values():
        for most in (1, 2, 3, 6):
            tracker = Tracker(config)
            classes = rng.choice(list(config.classes), 6)
            middles = rng.uniform([5, -10, -1, -3], [40, 10, 1, 3], (6, 4))
            for n in range(40):
                # now and then nothing, and every object is hidden for a while
                count = 0 if n % 9 == 0 or 15 < n < 22 else int(rng.integers(1, most + 1))
                boxes = np.column_stack([middles, np.full((6, 3), 2.0)])[:count]
                boxes[:, :2] += rng.normal(0, 0.03, (count, 2))
                if image:
                    low = np.abs(boxes[:, :2]) * 10
                    boxes = np.column_stack([low, low + 30])
                tracker.step(
                    (n + 1) * 10**8,
                    DetectionArrays(classes[:count], rng.uniform(0.3, 1, count), boxes),
                    tracking_T_sensor=None
                    if image or config.ego_motion
                    else from_euler(0, 0, 0.01 * n, (0.1 * n, 0, 0)),
                    view=view if n % 2 and not image else None,
                )
    return set(forms_in_use('sim_perception')) - warm


def simulator() -> set[tuple[str, str]]:
    """Rain, dusk and country roads; other moments than the first, and single layers."""
    from sim_perception.simulator.scenario import load_scenario
    from sim_perception.simulator.simulation import Simulation

    small = {'camera.width': 96, 'camera.height': 48, 'duration_s': 1.0}
    package, new = 'sim_perception.simulator', set()
    for name, threads in (('clean', 2), ('rain', 1), ('dusk', 2), ('training_rural', 1)):
        simulation = Simulation(load_scenario(name, seed=3, **small), threads=threads)
        simulation.warm_up()
        warm = set(forms_in_use('sim_perception'))
        missing = sorted(set(compiled_forms(package)) - warm)
        assert not missing, f'not used in this form any more: {missing}; run python {__file__}'
        for layer in ('rgb', 'flow', 'instance'):
            simulation.camera_frame(0.2, layers=frozenset({layer}))
        simulation.camera_frame(0.5)
        if simulation.lidar_spec is not None:
            simulation.lidar_scan(0.5)
        new |= set(forms_in_use('sim_perception')) - warm
    return new


def labeler() -> set[tuple[str, str]]:
    """Cars of few points and of many, several at once, at the image's border."""
    sys.path.insert(0, str(ROOT / 'test/autolabel'))
    from lidar_scenes import CHECKPOINT, car_state, made_scene

    from sim_perception.autolabel.modes.lidar import ShapeLabeler

    labeler = ShapeLabeler.load(CHECKPOINT)
    labeler.warm_up()
    warm = set(forms_in_use('sim_perception'))
    for seed, hidden in ((0, -np.inf), (1, 0.1)):
        scene = made_scene(car_state(seed), hidden=hidden)
        boxes = np.stack([scene.box2d, scene.box2d + 15, [0, 0, 30, 30]])
        labeler.label(scene.frame, boxes, 5.0)
    return set(forms_in_use('sim_perception')) - warm


def depth_segmentation() -> set[tuple[str, str]]:
    """Images of other sizes, with and without confidence."""
    from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
    from sim_perception.resources import share_path
    from sim_perception.types import Camera, Frame

    engine = DepthSegmentationEngine.load(share_path('models', 'depth_segmentation'), device='cpu')
    engine.warm_up(Camera(640, 192, 370.0, 370.0, 319.5, 95.5))
    warm = set(forms_in_use('sim_perception'))
    for width, height in ((320, 96), (200, 120)):
        camera = Camera(width, height, 150.0, 150.0, width / 2, height / 2)
        image = np.full((height, width, 3), 99, np.uint8)
        for confidence in (False, True):
            engine.infer(Frame(0, image, camera), confidence=confidence, mask_sky=True)
    return set(forms_in_use('sim_perception')) - warm


CASES = {f.__name__: f for f in (tracker, simulator, labeler, depth_segmentation)}


def run(code: str, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, '-c', code],
        cwd=ROOT,
        env={**os.environ, 'OMP_NUM_THREADS': '1', **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


@pytest.mark.slow
@pytest.mark.parametrize('name', CASES)
def test_nothing_is_compiled_once_a_node_is_warm(name: str) -> None:
    """If the simulator's loops changed, write their forms: python THIS_FILE."""
    code = f'import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n'
    code += f'import json, test_compiled_kernels as t; print(json.dumps(sorted(t.{name}())))'
    assert json.loads(run(code).splitlines()[-1]) == []


ADD = """
import numpy as np
{before}
from sim_perception.geometry.rectangle_overlap import overlaps
box = np.array([[0.0, 0, 0, 0, 4, 2, 2]])
print(overlaps(box, box)[0, 0])
"""
NO_FOLDER = 'from numba.core.caching import CacheImpl; CacheImpl._locator_classes = []'
FULL_DISK = """
from numba.core import caching
def full(*_): raise OSError(28, 'No space left on device')
caching.IndexDataCacheFile.save = full
"""
DAMAGED = """
from numba.core import caching
def damaged(*_): raise EOFError('Ran out of input')
caching.IndexDataCacheFile.load = damaged
"""


@pytest.mark.parametrize('before', ['', NO_FOLDER, FULL_DISK, DAMAGED])
def test_a_cache_that_cannot_be_used_costs_time_only(before: str, tmp_path: Path) -> None:
    assert float(run(ADD.format(before=before), NUMBA_CACHE_DIR=str(tmp_path))) == 1.0
    assert bool(list(tmp_path.rglob('*.nbi'))) == (before in ('', DAMAGED))


@pytest.mark.parametrize('rows', [1, 2, 3])
def test_a_strided_kernel_has_one_form_whatever_it_is_called_with_first(rows: int) -> None:
    from sim_perception.kernels import strided

    @strided
    def total(values, factor):
        result = 0.0
        for n in range(len(values)):
            result += factor * values[n]
        return result

    table = np.zeros(5, [('a', float), ('b', float)])
    table['b'] = np.arange(5)
    for count in (rows, 1, 2, 0, 5):
        assert total(table['b'][:count], 2.0) == 2.0 * sum(range(count))
        assert total(np.arange(count, dtype=float), 2.0) == 2.0 * sum(range(count))
    assert len(total.signatures) == 1


def write_forms() -> None:
    """Write the types of the simulator's loops that Python code calls, in order of first use."""
    from numba.core.dispatcher import _DispatcherBase

    from sim_perception import compile_ahead
    from sim_perception.simulator.scenario import load_scenario
    from sim_perception.simulator.simulation import Simulation

    order: list[str] = []
    compile_first = _DispatcherBase._compile_for_args

    def noted(loop, *arguments, **options):
        order.append(f'{loop.py_func.__module__}:{loop.py_func.__name__}')
        return compile_first(loop, *arguments, **options)

    _DispatcherBase._compile_for_args = noted
    Simulation(load_scenario('clean', seed=0)).warm_up()
    called = [form for form in forms_in_use('sim_perception.simulator') if form[0] in order]
    called.sort(key=lambda form: order.index(form[0]))
    path = ROOT / 'sim_perception' / compile_ahead.FORMS
    path.write_text(json.dumps(called, indent=1) + '\n')


if __name__ == '__main__':
    write_forms()


def test_threads_that_meet_at_a_loop_compile_it_once() -> None:
    from sim_perception.kernels import strided

    @strided
    def total(values):  # type: ignore[no-untyped-def]
        out = 0.0
        for value in values:
            out += value
        return out

    start, found = threading.Barrier(4), []

    def call() -> None:
        start.wait()
        found.append(total(np.arange(5.0)))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [10.0] * 4
    assert len(total.signatures) == 1
