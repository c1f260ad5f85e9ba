"""People in groups, with loads, seated and riding: solid, in their boxes, and only when asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sim_perception.simulator.content.groups import GROUPS
from sim_perception.simulator.content.meshes.bicycles import BICYCLES, draw_bicycle
from sim_perception.simulator.content.meshes.carrying import LOADS, laden_torso
from sim_perception.simulator.content.meshes.figures import Posture, figure
from sim_perception.simulator.content.meshes.motorbikes import draw_motorbike, motorbike_riders
from sim_perception.simulator.content.meshes.people import draw_person
from sim_perception.simulator.content.meshes.riders import draw_style, styled_rider
from sim_perception.simulator.scenario import ScenarioError, load_scenario
from sim_perception.simulator.simulation import Simulation
from sim_perception.simulator.street.parties import beside
from sim_perception.taxonomy import load_taxonomy

SMALL = {'duration_s': 1.0, 'camera.width': 320, 'camera.height': 96, 'lidar': None}
BUSY = {
    'people': {
        'individuals': 12, 'carrying': 0.6, 'grouped': 1.0, 'standing_groups_per_km': 60,
        'seated_per_km': 60, 'terraces_per_km': 30,
    },
    'cycles': {'variety': 1.0, 'motorbike_fraction': 0.4, 'parked_per_km': 60},
    'traffic.cyclists_per_km': 40,
}  # fmt: skip
TAXONOMY = load_taxonomy()


def rng(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope='module')
def busy() -> Simulation:
    return Simulation(load_scenario('clean', seed=4, **SMALL, **BUSY))


@pytest.fixture(scope='module')
def plain() -> Simulation:
    return Simulation(load_scenario('clean', seed=4, **SMALL))


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('kind', GROUPS)
def test_groups_stand_on_the_ground_in_the_middle_of_their_boxes(kind, seed):
    bodies = GROUPS[kind].make(rng(seed))
    assert bodies
    assert sum(len(p.mesh.faces) for b in bodies for p in b.parts) < 15000
    for item in bodies:
        vertices = np.concatenate([p.mesh.vertices for p in item.parts])
        low, high = vertices.min(0), vertices.max(0)
        np.testing.assert_allclose(low[:2], -high[:2], atol=1e-4)
        assert -0.06 < item.pose[2, 3] + low[2] < 0.35
        classes = set(np.concatenate([p.mesh.semantic for p in item.parts]).tolist())
        if item.category:
            assert classes == {TAXONOMY.id_of(item.category)}
        else:
            assert classes <= {TAXONOMY.id_of('fence'), TAXONOMY.ignore_id}


def test_parked_bicycles_are_no_road_users(busy):
    for kind in ('bicycle', 'bicycle_rack', 'leaning_bicycles'):
        bodies = GROUPS[kind].make(rng())
        assert not any(b.category for b in bodies)
        assert max(b.size[2] for b in bodies) > 0.8


def test_who_sits_is_lower_than_who_stands_and_has_both_feet_below():
    person = replace(draw_person(rng()), height=1.75)
    up = figure(person, Posture())
    down = figure(person, Posture(thigh=(1.5, 1.5), knee=(1.5, 1.5), seat=0.45))
    assert up[1].vertices[:, 2].min() == pytest.approx(0, abs=0.03)
    assert down[1].vertices[:, 2].min() == pytest.approx(0, abs=0.12)
    assert up[0].vertices[:, 2].max() == pytest.approx(1.77, abs=0.06)
    assert 1.15 < down[0].vertices[:, 2].max() < 1.45


@pytest.mark.parametrize('name', LOADS)
def test_what_is_carried_is_held(name):
    person = replace(draw_person(rng()), bag='none', dress='trousers')
    load = LOADS[name]
    mesh = laden_torso(person, load)
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    assert low[2] > -0.02
    assert high[2] < 2.2
    held = sum(arm is not None for arm in load.arms)
    assert held >= 1
    if name in ('pram', 'buggy'):
        assert high[0] > 0.9
    np.testing.assert_allclose((mesh.normals.astype(float) ** 2).sum(1), 1.0, atol=1e-3)


@pytest.mark.parametrize('kind', BICYCLES)
def test_riders_hold_the_bar_of_their_bicycle(kind):
    for seed in range(4):
        shape = rng(seed)
        bicycle = draw_bicycle(shape, kind)
        person = replace(draw_person(shape), family='adult', height=1.75)
        style = draw_style(bicycle, shape)
        vertices = styled_rider(person, bicycle, style).vertices
        x, z, half = bicycle.bar
        for side in (-1, 1):
            if side != style.free:
                away = vertices - np.array([x - 0.03, side * half, z + 0.02])
                assert np.sqrt((away**2).sum(1)).min() < 0.06


def test_a_racers_back_is_lower_than_a_city_riders():
    person = replace(draw_person(rng()), family='adult', height=1.75, hat=False)
    tops = {}
    for kind in ('city', 'racer'):
        bicycle = draw_bicycle(rng(), kind)
        meshes = [styled_rider(person, bicycle, draw_style(bicycle, rng(s))) for s in range(5)]
        tops[kind] = np.mean([m.vertices[:, 2].max() for m in meshes])
    assert tops['racer'] < tops['city'] - 0.15


def test_motorcyclists_reach_the_ground_by_their_wheels_only():
    for seed in range(5):
        shape = draw_motorbike(rng(seed))
        top, legs = motorbike_riders(shape, rng(seed))
        assert legs.vertices[:, 2].min() > 0.05
        assert top.vertices[:, 2].max() > shape.seat + 0.7


def parts_in_their_boxes(simulation: Simulation, time: float) -> np.ndarray:
    """Return (M,) how far each object's surface reaches out of its box, metres."""
    scene, state = simulation.scene, simulation.state(time)
    out = np.full(len(scene.objects.id), -np.inf)
    for k, row in enumerate(scene.instances.object):
        if row < 0:
            continue
        vertices = scene.assets.meshes[scene.instances.mesh[k]].vertices
        pose = np.linalg.inv(state.world_T_object[row]) @ state.world_T_instance[k]
        local = vertices @ pose[:3, :3].T + pose[:3, 3]
        over = np.abs(local) - scene.objects.size[row] / 2
        out[row] = max(out[row], float(over.max()))
    return out


def test_boxes_hold_what_is_labelled(busy):
    out = parts_in_their_boxes(busy, 0.6)
    people = busy.objects.class_id == TAXONOMY.id_of('pedestrian')
    cyclists = busy.objects.class_id == TAXONOMY.id_of('cyclist')
    assert np.percentile(out[people], 95) < 0.12
    assert out[people].max() < 0.3
    assert out[cyclists].max() < 0.2
    # A box is no larger than what it holds.
    still = np.array([f == 'seated' for f in busy.objects.family])
    assert np.abs(out[still]).max() < 0.01


def test_companions_keep_together(busy):
    people = np.flatnonzero(busy.objects.class_id == TAXONOMY.id_of('pedestrian'))
    first, last = busy.state(0.0), busy.state(1.0)
    moving = people[np.hypot(*first.velocity[people, :2].T) > 0.3]
    assert len(moving) > 10
    place = first.world_T_object[moving, :2, 3]
    gap = np.hypot(*(place[:, None] - place[None]).transpose(2, 0, 1))
    np.fill_diagonal(gap, np.inf)
    partner = gap.argmin(1)
    near = gap.min(1) < 1.3
    assert near.mean() > 0.5
    later = last.world_T_object[moving, :2, 3]
    apart = np.hypot(*(later - later[partner]).T)
    assert np.median(np.abs(apart - gap.min(1))[near]) < 0.05


def test_all_kinds_are_there_and_seen(busy):
    families = set(busy.objects.family)
    assert {'seated', 'scooter'} <= families
    assert families & set(BICYCLES)
    sample = busy.camera_frame(0.5, frozenset({'rgb', 'semantic', 'instance'}))
    assert TAXONOMY.id_of('pedestrian') in sample.semantic


def test_what_is_added_leaves_all_else_as_it_was(plain):
    more = Simulation(load_scenario('clean', seed=4, **SMALL, people={'seated_per_km': 50},
                                    cycles={'parked_per_km': 50}))  # fmt: skip
    count = len(plain.objects.id)
    assert len(more.objects.id) > count
    assert plain.objects.family == more.objects.family[:count]
    np.testing.assert_array_equal(
        plain.state(0.5).world_T_object, more.state(0.5).world_T_object[:count]
    )
    text = plain.scenario.model_dump_json()
    assert 'people' not in text
    assert 'cycles' not in text


def test_a_path_beside_another_keeps_its_distance():
    angle = np.linspace(0, 1.0, 200)
    circle = np.stack([50 * np.cos(angle), 50 * np.sin(angle), 0 * angle], -1)
    left = beside(circle, 0.6)
    np.testing.assert_allclose(np.hypot(left[:, 0], left[:, 1]), 49.4, atol=1e-3)


def test_wrong_shares_are_refused():
    with pytest.raises(ScenarioError, match=r'people\.carrying'):
        load_scenario('clean', people={'carrying': 1.5})
