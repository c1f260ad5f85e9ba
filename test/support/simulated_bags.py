"""Small data that tests of several folders make: simulated bags, folders of pictures."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

from training.simulation.plans import plan_bags
from training.simulation.write import write_bag


def simulate_bag(path: Path, scenario: str, seed: int = 0, **options: Any) -> Path:
    """Simulate a bag and return its folder.

    Args:
        path: the bag.
        scenario: YAML text.
        seed: of the scenario.
        options: of ``plan_bags``.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder) / 'tiny.yaml'
        file.write_text(scenario)
        (plan,) = plan_bags(str(file), seed, path, **options)
    write_bag(plan, 1, lambda: None)
    return plan.path


def write_pictures(folder: Path, count: int = 3) -> Path:
    """Write smooth noise as images of 200 x 120 pixels and return their folder."""
    rng = np.random.default_rng(0)
    for number in range(count):
        noise = rng.integers(0, 256, (12, 20, 3), np.uint8)
        picture = cv2.resize(noise, (200, 120), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f'{number}.png'), picture)
    return folder
