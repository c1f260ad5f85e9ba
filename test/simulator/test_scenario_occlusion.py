"""Things vanish behind others and come back, with their truth unbroken."""

from itertools import pairwise

import numpy as np
import pytest

from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.simulation import Simulation


@pytest.mark.slow
def test_objects_become_hidden_and_visible_again():
    scenario = load_scenario(
        'occlusion', seed=1, duration_s=8.0, lidar=None, camera={'width': 320, 'height': 96}
    )
    simulation = Simulation(scenario, threads=2)
    visible, tracked = [], []
    for t in np.arange(0.0, 8.0, 0.4):
        sample = simulation.camera_frame(float(t), layers=frozenset({'instance'}))
        truth = simulation.object_truth(simulation.state(float(t)), sample)
        row = np.full(len(simulation.objects.id), np.nan)
        # Only while the whole object lies inside the image does hidden mean occluded.
        inside = (truth.box_amodal[:, 0] > 0) & (truth.box_amodal[:, 2] < 319)
        row[truth.row] = np.where(inside, truth.visibility, np.nan)
        visible.append(row)
        tracked.append(set(truth.id.tolist()))
    history = np.array(visible)
    returned = 0
    for column in history.T:
        known = column[np.isfinite(column)]
        hidden = np.flatnonzero(known == 0)
        if len(hidden) and (known[: hidden[0]] > 0.3).any() and (known[hidden[-1] :] > 0.3).any():
            returned += 1
    assert returned >= 1
    # Hidden ones keep their truth: nothing near leaves the list from one frame to the next.
    hidden_now = [(h == 0).sum() for h in history]
    assert min(hidden_now) > 0
    for before, after in pairwise(tracked):
        assert len(before & after) > 0.9 * min(len(before), len(after))
