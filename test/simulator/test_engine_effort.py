"""What the renderer need not do twice, or for every pixel."""

from __future__ import annotations

import cProfile
import importlib
import itertools
import pstats
from pathlib import Path

import pytest

from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.simulation import Simulation
from sim_perception.simulator.surfaces.raster import Rasterizer

_PLACING = ('tracing.py', 'pose')


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
    # A clock that counts its readings: what else the machine does must not matter.
    figures = benchmark.stages(simulation, [0.1, 0.2, 0.3], itertools.count().__next__)
    total = figures.pop('stage_sum_ms')
    assert sum(figures.values()) == pytest.approx(total)
    # A stage whose function has another name by now would take no time at all.
    assert min(figures.values()) > 0
    # Placing a tracer calls a method of the same name, which is part of its time.
    outer, inner = _ticks_of_placing(simulation)
    assert figures['stage_place_tracer_ms'] == pytest.approx(1e3 * outer / 3)
    assert outer > inner > 0


def _ticks_of_placing(simulation: Simulation) -> tuple[int, int]:
    """Return readings of a profiler's clock in both methods called ``pose`` of a tracer."""
    profile = cProfile.Profile(itertools.count().__next__)
    profile.enable()
    for moment in (0.1, 0.2, 0.3):
        simulation.camera_frame(moment)
    profile.disable()
    rows = pstats.Stats(profile).stats.items()
    times = [row[3] for (file, _, name), row in rows if (Path(file).name, name) == _PLACING]
    return max(times), min(times)
