"""What the renderer need not do twice, or for every pixel."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from sim_perception.simulator.common.parallel import Workers
from sim_perception.simulator.light.refinement import LEVELS, first_column, neighbours, refine
from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.simulation import Simulation
from sim_perception.simulator.surfaces.raster import Rasterizer

SIZE = (7, 10)


def levels() -> np.ndarray:
    found = np.full(SIZE, -1)
    for level in range(LEVELS):
        for y in range(SIZE[0]):
            for x in range(first_column(level, y, SIZE[1]), SIZE[1], 2):
                assert found[y, x] == -1
                found[y, x] = level
    return found


def test_every_pixel_is_of_one_level_and_neighbours_are_of_earlier_ones() -> None:
    found = levels()
    assert (found >= 0).all()
    for level in (1, 2):
        for y, x in np.argwhere(found[1:-1, 1:-1] == level) + 1:
            around = neighbours(level, y * SIZE[1] + x, SIZE[1])
            assert len(set(around)) == 4
            assert (found.ravel()[list(around)] < level).all()
            rows, columns = np.divmod(around, SIZE[1])
            assert np.mean(rows) == y
            assert np.mean(columns) == x


@pytest.mark.parametrize('threads', [1, 2])
def test_refinement_casts_each_marked_sample_once_and_those_beside_with_the_first(
    threads: int,
) -> None:
    pixels, beside = SIZE[0] * SIZE[1], 3
    cast: list[np.ndarray] = []

    def choose(level: int, first: int, last: int, marks: np.ndarray) -> None:
        if level < 0:
            marks[first:last] = 1
            return
        for y in range(first, last):
            start = first_column(level, y, SIZE[1])
            marks[y * SIZE[1] + start : (y + 1) * SIZE[1] : 2] = 1

    refine(SIZE, beside, choose, lambda chosen: cast.append(chosen), Workers(threads))
    assert sorted(np.concatenate(cast)) == list(range(pixels + beside))
    assert set(range(pixels, pixels + beside)) <= set(cast[0])


def test_consecutive_frames_with_flow_are_posed_and_drawn_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = {'camera.width': 96, 'camera.height': 48, 'frame_rate_hz': 10.0}
    simulation = Simulation(load_scenario('clean', seed=3, **small), threads=1)
    drawn, posed = [], []
    draw, state = Rasterizer.draw, simulation._world.state
    monkeypatch.setattr(Rasterizer, 'draw', lambda *a: drawn.append(1) or draw(*a))
    monkeypatch.setattr(simulation._world, 'state', lambda t: posed.append(t) or state(t))
    for k in range(6):
        # As stamps count it: 0.1 is not a sum of powers of two, so times must not drift apart.
        simulation.camera_frame(round(k * 0.1 * 1e9) * 1e-9, frozenset({'flow'}))
    assert len(posed) == len(set(posed)) == 7
    assert len(drawn) == 7


def test_the_benchmark_knows_every_stage_of_a_frame_and_they_add_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Only a checkout has the benchmarks.
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    benchmark = importlib.import_module('benchmark.simulator')
    small = {'camera.width': 96, 'camera.height': 48}
    simulation = Simulation(load_scenario('clean', seed=3, **small), threads=1)
    simulation.warm_up()
    figures = benchmark.stages(simulation, [0.1, 0.2, 0.3])
    total = figures.pop('stage_sum_ms')
    assert sum(figures.values()) == pytest.approx(total)
    # A stage whose function has another name by now would take no time at all.
    assert min(figures.values()) > 0
