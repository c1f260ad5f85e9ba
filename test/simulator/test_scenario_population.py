"""Cars by region: who drives where, how large they are, and that old scenarios stay the same."""

from __future__ import annotations

import numpy as np
import pytest

from sim_perception.simulator.content.meshes.car_shape import (
    FAMILIES,
    POPULATIONS,
    draw_families,
    draw_shape,
)
from sim_perception.simulator.scenario import ScenarioError, load_scenario
from sim_perception.simulator.world.fleet import build_fleet


def sizes(population: str, count: int = 2000) -> np.ndarray:
    """Return (N, 3) length, width, height of a region's cars, vans left out."""
    rng = np.random.default_rng(7)
    shapes = [draw_shape(family, rng) for family in draw_families(population, count, rng)]
    return np.array([(s.length, s.width, s.height) for s in shapes if s.family != 'van'])


def test_regions_have_the_sizes_that_data_sets_report():
    # KITTI's cars are 3.88 x 1.63 m, nuScenes' (Boston, Singapore) 4.62 x 1.95 m in the mean.
    european, american = sizes('european').mean(0), sizes('american').mean(0)
    assert european[0] == pytest.approx(3.9, abs=0.12)
    assert european[1] == pytest.approx(1.68, abs=0.06)
    assert american[0] == pytest.approx(4.62, abs=0.12)
    assert american[2] > european[2]


def test_small_cars_are_common_where_they_are_and_rare_elsewhere():
    short = {name: (sizes(name)[:, 0] < 3.6).mean() for name in POPULATIONS}
    assert short['european'] > 0.2
    assert short['asian'] > 0.25
    assert short['american'] < 0.02


def test_families_come_in_their_shares():
    rng = np.random.default_rng(0)
    drawn = list(draw_families('european', 4000, rng))
    for family, share in POPULATIONS['european'].items():
        assert drawn.count(family) / len(drawn) == pytest.approx(share, abs=0.03)
    assert set(drawn) <= set(FAMILIES)


def test_every_generic_family_is_there():
    families = [m.family for m in build_fleet(load_scenario('clean', seed=4)) if m.label == 'car']
    assert set(families) == {'sedan', 'hatchback', 'wagon', 'suv', 'van', 'pickup'}


@pytest.mark.parametrize('population', sorted(POPULATIONS))
def test_a_scenario_chooses_its_region(population):
    scenario = load_scenario('clean', seed=4, **{'traffic.population': population})
    families = {m.family for m in build_fleet(scenario) if m.label == 'car'}
    assert families <= set(POPULATIONS[population])


def test_of_several_regions_every_scene_draws_one():
    both = ['asian', 'american']
    seen = set()
    for seed in range(12):
        scenario = load_scenario('clean', seed=seed, **{'traffic.population': both})
        families = {m.family for m in build_fleet(scenario) if m.label == 'car'}
        seen.update(n for n in both if families <= set(POPULATIONS[n]))
    assert seen == set(both)


def test_unknown_regions_are_refused_and_the_default_leaves_no_trace():
    with pytest.raises(ScenarioError, match=r'traffic\.population'):
        load_scenario('clean', **{'traffic.population': 'martian'})
    assert 'population' not in load_scenario('clean').model_dump_json()
    assert 'asian' in load_scenario('clean', **{'traffic.population': 'asian'}).model_dump_json()
