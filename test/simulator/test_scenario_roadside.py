"""What stands close beside the road: there when asked for, solid, and out of the way."""

from __future__ import annotations

import numpy as np
import pytest

from sim_perception.simulator.content.meshes import frontage
from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.simulation import Simulation

CLOSE = {
    'duration_s': 1.0,
    'street.land_use': ['residential'],
    'street.lanes_per_direction': 1,
    'street.sidewalk_width_m': 1.5,
    'street.parking': 0.0,
    'street.junction_spacing_m': 400,
    'roadside.frontage': 1.0,
    'roadside.frontage_height_m': 2.5,
    'camera.width': 320,
    'camera.height': 96,
    'lidar': None,
}


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def side_depth(**changes: object) -> float:
    """Return the median depth of the upper middle of the image's outer columns, metres."""
    simulation = Simulation(load_scenario('clean', seed=5, **{**CLOSE, **changes}))
    depth = simulation.camera_frame(0.5, frozenset({'depth'})).depth
    band = np.concatenate([depth[36:48, :24], depth[36:48, -24:]], 1)
    return float(np.median(np.where(np.isfinite(band), band, 200.0)))


def test_frontages_stand_within_a_few_metres_of_the_camera():
    assert side_depth() < 8.0
    assert side_depth(**{'roadside.frontage': 0.0}) > 1.5 * side_depth()


@pytest.mark.parametrize('kind', frontage.FRONTAGES)
def test_frontages_have_their_length_and_stand_on_the_ground(kind):
    mesh = frontage.frontage(kind, 6.0, 2.0, rng())
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    assert high[0] - low[0] == pytest.approx(6.0, abs=0.45)
    assert -0.05 < low[2] < 0.1
    assert high[2] > 1.9
    assert low[1] > -0.8  # nothing reaches far onto the sidewalk
    np.testing.assert_allclose((mesh.normals.astype(float) ** 2).sum(1), 1.0, atol=1e-3)


def test_a_bridge_leaves_the_road_free():
    mesh = frontage.bridge((-5.0, 6.0), 8.0, 4.6, rng())
    middle = mesh.vertices[mesh.faces].mean(1)
    over_road = (middle[:, 1] > -4.9) & (middle[:, 1] < 5.9)
    corners = mesh.vertices[mesh.faces[over_road]]
    assert corners[..., 2].min() >= 4.6 - 1e-4


def test_bridges_are_seen_as_buildings_where_the_sky_was():
    def sky(rate: float) -> float:
        scenario = load_scenario(
            'clean', seed=11, **{**CLOSE, 'roadside.bridges_per_km': rate, 'roadside.frontage': 0}
        )
        frame = Simulation(scenario).camera_frame(0.5, frozenset({'depth'}))
        return float(np.isnan(frame.depth).mean())

    assert sky(40.0) < sky(0.0)


def test_unknown_kinds_are_refused():
    with pytest.raises(KeyError):
        frontage.frontage('drawbridge', 4.0, 2.0, rng())


def test_scenarios_without_a_roadside_keep_their_identity():
    assert 'roadside' not in load_scenario('target').model_dump_json()
    assert 'roadside' in load_scenario('training_narrow').model_dump_json()


@pytest.mark.parametrize('seed', range(4))
def test_narrow_streets_can_be_built(seed):
    scenario = load_scenario('training_narrow', seed=seed, duration_s=1.0)
    assert len(Simulation(scenario).scene.assets.meshes) > 50
