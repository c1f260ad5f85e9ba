"""Shops and bills: before the wall, off the road, seen, and only when asked for."""

from __future__ import annotations

import numpy as np
import pytest

from sim_perception.simulator.content.inventory import kinds
from sim_perception.simulator.content.materials import Slot
from sim_perception.simulator.content.shops import SHOP_PARTS
from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.simulation import Simulation

CENTRE = {
    'duration_s': 1.0, 'street.land_use': ['centre'], 'street.setback_m': 0.5,
    'camera.width': 320, 'camera.height': 96, 'lidar': None,
}  # fmt: skip


def rng(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('name', SHOP_PARTS)
def test_parts_stand_before_the_wall_and_leave_room_to_walk(name, seed):
    mesh = SHOP_PARTS[name](5.5, 3.4, rng(seed))
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    assert high[1] < 1e-6
    assert np.abs(mesh.vertices[:, 0]).max() < 5.5 / 2 + 1.0
    # What stands out by more than a step leaves a head's height free.
    out = mesh.vertices[mesh.vertices[:, 1] < -0.4]
    assert not len(out) or out[:, 2].min() > 1.85
    assert low[1] > -1.8
    np.testing.assert_allclose((mesh.normals.astype(float) ** 2).sum(1), 1.0, atol=1e-3)


def prints(simulation: Simulation) -> int:
    """Return how many instances have a firm's print."""
    scene = simulation.scene
    printed = [(m.material >= Slot.GRAPHIC_0).any() for m in scene.assets.meshes]
    return int(np.array(printed)[scene.instances.mesh].sum())


def test_shops_are_there_when_asked_for_and_leave_all_else_as_it_was():
    plain = Simulation(load_scenario('clean', seed=6, **CENTRE))
    shops = Simulation(load_scenario('clean', seed=6, **CENTRE, roadside={'shops': 1.0}))
    assert prints(plain) == 0
    assert prints(shops) > 10
    assert plain.objects.family == shops.objects.family
    np.testing.assert_array_equal(plain.state(0.5).world_T_object, shops.state(0.5).world_T_object)
    text = load_scenario('clean', roadside={'bins_per_km': 3}).model_dump_json()
    assert 'bins_per_km' in text
    assert 'shops' not in text
    before, after = (s.camera_frame(0.5, frozenset({'depth', 'semantic'})) for s in (plain, shops))
    nearer = after.depth < before.depth - 0.02
    assert nearer.mean() > 0.01
    # Shops stand behind the curb: the road is seen as it was.
    np.testing.assert_array_equal(after.semantic == 0, before.semantic == 0)


def test_every_kind_of_content_can_be_made():
    for kind in kinds():
        assert len(set(kind.names)) == len(kind.names)
        faces = kind.faces()
        assert faces is None or 1 <= faces[0] <= faces[1] < 20000
