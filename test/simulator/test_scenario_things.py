"""Things that a scenario asks for: labelled, visible, and without effect on all else."""

from __future__ import annotations

import numpy as np
import pytest

from sim_perception.simulator.content.things import THINGS
from sim_perception.simulator.scenario import ScenarioError, load_scenario
from sim_perception.simulator.simulation import Simulation
from sim_perception.taxonomy import load_taxonomy

SMALL = {'duration_s': 1.0, 'camera.width': 320, 'camera.height': 96, 'lidar': None}
LAYERS = frozenset({'rgb', 'instance'})


@pytest.mark.parametrize('name', THINGS)
def test_things_stand_on_the_ground_in_the_middle_of_their_box(name):
    thing = THINGS[name]
    mesh = thing.make(np.random.default_rng(3))
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    np.testing.assert_allclose(low[:2], -high[:2], atol=0.02)
    assert low[2] == pytest.approx(0, abs=0.01)
    assert load_taxonomy().id_of(thing.category) in mesh.semantic
    np.testing.assert_allclose((mesh.normals.astype(float) ** 2).sum(1), 1.0, atol=1e-3)


@pytest.mark.parametrize('name', THINGS)
def test_things_are_labelled_and_seen(name):
    scenario = load_scenario('clean', seed=4, **SMALL, things={name: 300})
    simulation = Simulation(scenario)
    facts = simulation.objects
    rows = np.flatnonzero(np.array(facts.family) == name)
    assert len(rows) > 5
    assert set(facts.class_id[rows]) == {load_taxonomy().id_of(THINGS[name].category)}
    sample = simulation.camera_frame(0.5, LAYERS)
    truth = simulation.object_truth(simulation.state(0.5), sample)
    seen = np.isin(truth.id, facts.id[rows]) & (truth.visibility > 0.5)
    assert seen.any()
    assert np.isin(facts.id[rows], sample.instance).any()


def test_without_things_a_scene_is_as_it_was():
    plain = Simulation(load_scenario('clean', seed=4, **SMALL))
    more = Simulation(load_scenario('clean', seed=4, **SMALL, things={'wheelchair': 100}))
    assert 'things' not in plain.scenario.model_dump_json()
    count = len(plain.objects.id)
    assert plain.objects.family == more.objects.family[:count]
    np.testing.assert_array_equal(
        plain.state(0.5).world_T_object, more.state(0.5).world_T_object[:count]
    )


def test_unknown_things_are_refused_by_name():
    with pytest.raises(ScenarioError, match=r'things\.dragon: unknown; known: .*wheelchair'):
        Simulation(load_scenario('clean', seed=4, **SMALL, things={'dragon': 1}))
