"""Bags that several tests read."""

from __future__ import annotations

from pathlib import Path

import pytest
from simulated_bags import simulate_bag

SCENARIO = """
domain: clean
duration_s: 0.3
camera: {width: 96, height: 64}
street: {building_density: 0, tree_spacing_m: 200, furniture_density: 0, billboard_density: 0}
lidar: {rings: 8, columns: 64}
"""


@pytest.fixture(scope='session')
def tiny_bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three simulated frames of every topic."""
    folder = tmp_path_factory.mktemp('simulated')
    return simulate_bag(folder / 'bag', SCENARIO, 5)
