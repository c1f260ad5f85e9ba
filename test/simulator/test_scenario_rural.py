"""Country roads: open, green, winding, repeatable and free of obstacles."""

import numpy as np
import pytest

from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.sensors.camera import CameraSample
from sim_perception.simulator.simulation import Simulation
from sim_perception.simulator.street.layout import Layout
from sim_perception.simulator.street.walkers import on_the_road
from sim_perception.simulator.world.world import World
from sim_perception.taxonomy import load_taxonomy

SHORT = {'duration_s': 3.0, 'street.land_use': 'rural'}
SEEDS = (0, 1, 2, 5)
_WORLDS: dict[int, World] = {}


def world(seed: int) -> World:
    if seed not in _WORLDS:
        _WORLDS[seed] = World(load_scenario('training_rural', seed=seed, **SHORT))
    return _WORLDS[seed]


def layout(seed: int, **overrides) -> Layout:
    return Layout(load_scenario('training_rural', seed=seed, **{**SHORT, **overrides}))


def pieces(w: World) -> list[np.ndarray]:
    """Return the world's vertices of every background piece that stands on the ground."""
    state, scene = w.state(0.0), w.scene
    vertices = []
    for k in np.flatnonzero(scene.instances.object < 0):
        mesh = scene.assets.meshes[scene.instances.mesh[k]]
        pose = state.world_T_instance[k]
        vertices.append(mesh.vertices @ pose[:3, :3].T + pose[:3, 3])
    return vertices


def frame(seed: int) -> CameraSample:
    small = {'camera.width': 208, 'camera.height': 64, 'traffic.vehicles_per_km': 0.0}
    simulation = Simulation(load_scenario('training_rural', seed=seed, **SHORT, **small))
    return simulation.camera_frame(0.5, frozenset({'rgb', 'depth', 'semantic'}))


@pytest.fixture(scope='module')
def frames() -> dict[int, CameraSample]:
    return {seed: frame(seed) for seed in SEEDS}


def test_same_seed_gives_the_same_bytes(frames):
    again = World(load_scenario('training_rural', seed=0, **SHORT))
    a, b = world(0).scene, again.scene
    assert a.assets.materials == b.assets.materials
    assert a.assets.textures.tobytes() == b.assets.textures.tobytes()
    for m, n in zip(a.assets.meshes, b.assets.meshes, strict=True):
        assert m.vertices.tobytes() == n.vertices.tobytes()
        assert m.semantic.tobytes() == n.semantic.tobytes()
    p, q = world(0).state(1.5), again.state(1.5)
    assert p.world_T_instance.tobytes() == q.world_T_instance.tobytes()
    assert frames[0].rgb.tobytes() == frame(0).rgb.tobytes()


@pytest.mark.parametrize('seed', SEEDS)
def test_nothing_stands_in_the_road(seed):
    w = world(seed)
    for vertices in pieces(w):
        # At the height of vehicles; crowns of trees may hang over the road.
        body = vertices[(vertices[:, 2] > 0.3) & (vertices[:, 2] < 1.6)]
        if len(body):
            assert w.layout.clearance(body).min() > 0


def test_clearance_agrees_with_the_plan_of_the_road():
    for seed in SEEDS:
        plan = layout(seed)
        rng = np.random.default_rng(seed)
        s = rng.uniform(plan.start, plan.end, 400)
        x, y = plan.place(s, rng.uniform(-40, 40, 400))
        points = np.stack([x, y], -1)
        gap = plan.clearance(points)
        road = on_the_road(plan, points)
        # Between the narrower side's edge and the wider's, and in corners, it may be careful.
        assert (gap[road] < 4.5).all()
        assert not road[gap > 4.5].any()
        assert road[gap < -2.7].all()


def test_country_roads_show_woods_and_meadows(frames):
    names = load_taxonomy().names
    share = np.zeros(len(names))
    distance = []
    for seed in SEEDS:
        sample = frames[seed]
        share += np.bincount(sample.semantic.ravel(), minlength=len(names)) / sample.semantic.size
        plants = (sample.semantic == names.index('vegetation')) & np.isfinite(sample.depth)
        distance.append(sample.depth[plants])
    share /= len(SEEDS)
    green = share[names.index('vegetation')] + share[names.index('terrain')]
    assert green > 0.3
    assert share[names.index('vegetation')] > 0.1
    assert green > 4 * share[names.index('building')]
    depth = np.concatenate(distance)
    # What towns lack: walls of foliage between 10 m and 80 m, near and far alike.
    assert ((depth > 10) & (depth < 80)).mean() > 0.4
    assert np.ptp(np.percentile(depth, [10, 90])) > 25


def test_guard_rails_posts_and_stakes_are_labelled():
    names = load_taxonomy().names
    drawn: set[int] = set()
    for seed in SEEDS:
        scene = world(seed).scene
        for mesh in set(scene.instances.mesh.tolist()):
            drawn |= set(scene.assets.meshes[mesh].semantic.tolist())
    assert {names.index(n) for n in ('fence', 'pole', 'sign', 'vegetation', 'terrain')} <= drawn


@pytest.mark.parametrize('seed', SEEDS)
def test_every_material_is_dressed(seed):
    scene = world(seed).scene
    for mesh in scene.assets.meshes:
        assert all(scene.assets.materials[m].name != 'unused' for m in np.unique(mesh.material))
    assert max(m.texture for m in scene.assets.materials) < len(scene.assets.textures)


def test_country_roads_wind_with_curviness():
    def turn(curviness: float) -> float:
        plans = [layout(seed, **{'street.curviness': curviness}) for seed in range(8)]
        return float(np.mean([np.ptp(p.heading(np.arange(p.start, p.end, 1.0))) for p in plans]))

    assert turn(0.0) == 0.0
    assert turn(1.0) > 0.4
    assert turn(1.0) > 1.5 * turn(0.4)


def test_only_country_roads_have_shoulders():
    kinds = {v for seed in range(12) for v in layout(seed).verges}
    assert kinds == {'sidewalk', 'lawn', 'shoulder'}
    for use in ('centre', 'suburb', 'park'):
        town = layout(1, **{'street.land_use': use})
        assert town.verges == ('sidewalk', 'sidewalk')
        assert not town.rural
