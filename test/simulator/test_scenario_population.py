"""Cars by region: who drives where, how large they are, and that old scenarios stay the same."""

from __future__ import annotations

import numpy as np
import pytest

from sim_perception.simulator.content.materials import Look, Slot, build_materials
from sim_perception.simulator.content.meshes.car_shape import (
    FAMILIES,
    POPULATIONS,
    draw_families,
    draw_shape,
)
from sim_perception.simulator.scenario import ScenarioError, load_scenario
from sim_perception.simulator.world.assembly import Assembly
from sim_perception.simulator.world.fleet import build_fleet
from sim_perception.simulator.world.population import Population


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


def paints(**overrides) -> np.ndarray:
    """Return (N, 3) paints of parked cars."""
    scenario = load_scenario('clean', seed=4, **{'randomisation.color': 1.0, **overrides})
    fleet, assembly = build_fleet(scenario), Assembly()
    population, rng = Population(scenario, assembly, fleet), np.random.default_rng(1)
    for _ in range(100):
        population.add_vehicle(0, rng, pose=np.eye(4))
    return np.array([p.tint for p in assembly.parts if p.object >= 0])


def test_dull_paint_is_the_share_of_cars_without_colour():
    def coloured(rgb: np.ndarray) -> np.ndarray:
        return np.ptp(rgb, axis=1) / rgb.max(1) > 0.35

    plain = paints()
    assert 0.25 < coloured(plain).mean() < 0.7
    assert not coloured(paints(**{'traffic.dull_paint': 1.0})).any()
    half = paints(**{'traffic.dull_paint': 0.5})
    kept = (half == plain).all(1)
    assert 0.3 < kept.mean() < 0.7, 'the others keep what was drawn'


def test_rear_lamps_and_asphalt_change_alone():
    def made(**fields) -> tuple:
        look = Look('clean', 'summer', 0.5, 0.0, **fields)
        return build_materials(look, np.random.default_rng(2))

    (plain, before), (other, after) = made(), made(lamps=0.4, fine=1.0)
    changed = [k for k, (a, b) in enumerate(zip(plain, other, strict=True)) if a != b]
    assert changed == [Slot.ASPHALT, Slot.TAILLIGHT]
    lamps = [m[Slot.TAILLIGHT].color for m in (plain, other)]
    assert lamps[1] == pytest.approx(0.4 * np.array(lamps[0]))
    rough, fine = (t[m[Slot.ASPHALT].texture].astype(float)
                   for m, t in ((plain, before), (other, after)))  # fmt: skip
    assert fine.std() < 0.6 * rough.std()
    assert fine.mean() < rough.mean()
