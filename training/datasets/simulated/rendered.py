"""Samples rendered on the fly from scenarios."""

from __future__ import annotations

import numpy as np

from sim_perception.simulator.scenario import Scenario, ScenarioError, load_scenario
from sim_perception.simulator.simulation import Simulation
from training.datasets.sample import DatasetError, LabelSpace, Sample, parse_numbers
from training.datasets.spec import DEFAULT_SEEDS

FRAMES_PER_SEED = 10
_LAYERS = frozenset({'rgb', 'depth', 'semantic'})


def parse_seeds(text: str) -> list[int]:
    """Return seeds written like ``7``, ``0-3`` or ``0,2,5-6``.

    Raises:
        DatasetError: for anything else.
    """
    return parse_numbers(text, 'seeds')


def scenarios_of(scenario: str, seeds: str) -> list[Scenario]:
    """Return a scenario under several seeds.

    Raises:
        DatasetError: for an unknown scenario or malformed seeds.
    """
    try:
        return [load_scenario(scenario, seed=seed) for seed in parse_seeds(seeds)]
    except (FileNotFoundError, ScenarioError) as error:
        raise DatasetError(str(error)) from error


class RenderedScenarios:
    """A few frames, spread over the duration, of a scenario under several seeds.

    Raises:
        DatasetError: for an unknown scenario or malformed seeds.
    """

    label_space: LabelSpace = 'taxonomy'

    def __init__(self, scenario: str, seeds: str = DEFAULT_SEEDS) -> None:
        self.scenarios = scenarios_of(scenario, seeds)
        self._simulation: Simulation | None = None

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.scenarios) * FRAMES_PER_SEED

    def __getitem__(self, index: int) -> Sample:
        """Render image, depth and classes; the sky's depth is NaN."""
        number, frame = divmod(index, FRAMES_PER_SEED)
        scenario = self.scenarios[number]
        if self._simulation is None or self._simulation.scenario is not scenario:
            self._simulation = Simulation(scenario)
        time = scenario.duration_s * (frame + 0.5) / FRAMES_PER_SEED
        sample = self._simulation.camera_frame(time, layers=_LAYERS)
        assert sample.rgb is not None
        assert sample.semantic is not None
        return Sample(
            image=sample.rgb,
            camera=self._simulation.camera,
            depth=np.asarray(sample.depth, np.float32),
            semantic=sample.semantic,
            name=f'{scenario.name}_{scenario.seed}_{frame:02d}',
            sequence=f'{scenario.name}_{scenario.seed}',
            index=frame,
        )
