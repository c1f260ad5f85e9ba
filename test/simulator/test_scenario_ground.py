"""What the road and its edges are made of: there when asked for, where it belongs."""

from __future__ import annotations

import numpy as np
import pytest

from sim_perception.simulator.content.materials import Slot
from sim_perception.simulator.content.meshes.road_details import road_details
from sim_perception.simulator.content.meshes.strips import verge_strips
from sim_perception.simulator.content.textures import texture
from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.simulation import Simulation
from sim_perception.simulator.street.crossings import (
    crossing_gaps,
    draw_crossings,
    lowered_curbs,
)
from sim_perception.simulator.street.layout import CURB_HEIGHT, Layout
from sim_perception.simulator.street.relief import make_relief

TOWN = {
    'duration_s': 2.0, 'street.land_use': ['residential'], 'street.sidewalk_width_m': 3.0,
    'street.junction_spacing_m': 150,
}  # fmt: skip
ONE_KIND = {
    'tram': (1.0, {Slot.RAIL, Slot.TAR}),
    'puddles_per_km': (100.0, {Slot.WATER, Slot.DAMP}),
    'seams_per_km': (100.0, {Slot.TAR}),
    'covers_per_km': (100.0, {Slot.MANHOLE}),
    'patches_per_km': (100.0, {Slot.ASPHALT_PATCH}),
    'arrows': (1.0, {Slot.MARKING}),
    'crossings_per_km': (25.0, {Slot.MARKING}),
}


def plan(seed: int = 1, **ground: object) -> tuple:
    scenario = load_scenario('clean', seed=seed, **{**TOWN, 'ground': ground})
    return scenario, Layout(scenario)


@pytest.mark.parametrize('name', ONE_KIND)
def test_details_lie_on_the_road_and_are_made_of_their_materials(name):
    amount, slots = ONE_KIND[name]
    scenario, layout = plan(**{name: amount})
    (mesh,) = road_details(scenario, layout)
    assert slots <= set(mesh.material.tolist())
    s, d = layout.locate(mesh.vertices[:, :2].astype(float))
    half = np.where(d > 0, layout.section.half(1), layout.section.half(-1))
    assert (np.abs(d) < half + 0.02).all()
    assert (mesh.vertices[:, 2] > 0).all()
    assert (mesh.vertices[:, 2] < 0.02).all()
    corners = mesh.vertices[mesh.faces].astype(float)
    up = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2]
    assert (up > 0).all()
    assert s.min() > layout.start - 15
    assert s.max() < layout.end + 15


def test_rails_are_a_gauge_apart():
    scenario, layout = plan(tram=1.0)
    (mesh,) = road_details(scenario, layout)
    rails = np.unique(mesh.faces[mesh.material == Slot.RAIL])
    _, d = layout.locate(mesh.vertices[rails, :2].astype(float))
    edges = np.unique(np.round(d, 2))
    lane = layout.section.lane(1, 0)
    inner = [e for e in edges if abs(abs(e - lane) - 1.435 / 2) < 0.012]
    assert len(inner) == 2


def test_crossings_are_where_people_cross_and_all_kinds_come():
    kinds = set()
    for seed in range(12):
        scenario, layout = plan(seed, crossings_per_km=25)
        gaps = crossing_gaps(scenario, layout)
        crossings = draw_crossings(scenario, layout)
        assert all(min(abs(c.s - g) for g in gaps) < 1e-9 for c in crossings)
        assert not any(layout.near_junction(c.s, 8.0) for c in crossings)
        kinds |= {c.kind for c in crossings}
    assert kinds == {'zebra', 'ladder', 'dashed', 'lines', 'coloured', 'cobbled', 'table'}


def test_curbs_have_their_height_and_are_lowered_at_crossings():
    scenario, layout = plan(curb_height_m=0.18, lowered_curbs=1.0)
    relief = make_relief(scenario, layout)
    lowered = lowered_curbs(scenario, layout)
    assert len(lowered) == 2 * len(layout.junctions) > 0
    half = layout.section.half(1)

    def curb(s: np.ndarray, behind: float) -> np.ndarray:
        x, y = layout.place(s, half + behind)
        return relief.lifted(np.stack([x, y, np.full(len(s), CURB_HEIGHT)], -1))

    s = np.arange(layout.start + 2, layout.end - 2, 0.5)
    away = np.abs(s[:, None] - np.array(lowered)).min(1)
    np.testing.assert_allclose(curb(s, 0.1)[away > 2.3], 0.18, atol=1e-6)
    np.testing.assert_allclose(curb(s, 0.1)[away < 1.3], 0.02, atol=1e-6)
    np.testing.assert_allclose(curb(s, 2.0), 0.18, atol=1e-6)  # the pavement behind is level
    road = np.stack([*layout.place(s, half - 1.0), np.zeros(len(s))], -1)
    np.testing.assert_allclose(relief.lifted(road), 0.0, atol=1e-9)


def test_lawns_lie_between_curb_and_pavement():
    _, layout = plan(lawn_strips=1.0)
    for side in (-1, 1):
        strips = verge_strips(layout, side)
        assert [s[6] for s in strips] == ['sidewalk', 'sidewalk', 'terrain', 'sidewalk']
        ends = [s[1] for s in strips]
        assert [s[0] for s in strips][1:] == ends[:-1]  # nothing is left open
        assert ends[-1] == layout.section.sidewalk
        assert strips[-1][1] - strips[-1][0] > 0.8  # room to walk


def test_a_raised_crossing_lifts_the_road():
    for seed in range(20):
        scenario, layout = plan(seed, crossings_per_km=25)
        tables = [c for c in draw_crossings(scenario, layout) if c.kind == 'table']
        if tables:
            relief = make_relief(scenario, layout)
            height = relief.height(layout.line(np.array([tables[0].s]), 0.5)[:, :2])
            assert height == pytest.approx(0.08, abs=1e-6)
            return
    pytest.fail('no raised crossing in 20 scenes')


def test_worn_paint_shows_the_road():
    worn, fresh = (
        np.stack([texture(kind, k, 'clean') for k in range(4)]).mean(-1) / 255
        for kind in ('worn_marking', 'marking')
    )
    assert np.quantile(worn, 0.1) < 0.45
    assert np.quantile(worn, 0.9) > 0.6
    assert worn.mean() < fresh.mean() - 0.05


def test_water_mirrors_and_curbs_are_seen_at_their_height():
    changes = {
        **TOWN, 'ground': {'curb_height_m': 0.0, 'puddles_per_km': 200, 'covers_per_km': 1},
        'camera': {'width': 160, 'height': 64}, 'traffic.parked_density': 0, 'lidar': None,
    }  # fmt: skip
    simulation = Simulation(load_scenario('clean', seed=2, **changes), threads=2)
    water = simulation.scene.assets.materials[Slot.WATER]
    assert water.reflectivity == 1.0
    people = [k for k, f in enumerate(simulation.objects.family) if f in ('adult', 'child')]
    assert people
    state = simulation.state(1.0)
    feet = state.world_T_object[people, 2, 3] - simulation.objects.size[people, 2] / 2
    np.testing.assert_allclose(feet, 0.0, atol=0.02)


def test_plain_ground_keeps_the_identity_of_scenarios():
    assert 'ground' not in load_scenario('training_narrow').model_dump_json()
    scenario, layout = plan()
    assert road_details(scenario, layout) == []
    assert layout.lawns == (0.0, 0.0)
    assert make_relief(scenario, layout) is None


@pytest.mark.parametrize('seed', range(2))
def test_hilly_streets_can_be_built(seed):
    camera = {'width': 96, 'height': 48}
    scenario = load_scenario('training_hills', seed=seed, duration_s=1.0, camera=camera)
    frame = Simulation(scenario).camera_frame(0.5, frozenset({'rgb', 'depth'}))
    assert np.isfinite(frame.depth).mean() > 0.3
