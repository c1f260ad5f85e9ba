"""Large vehicles: solid, in their boxes, behind each other, lettered; only when asked for."""

from __future__ import annotations

import numpy as np
import pytest

from sim_perception.simulator.content.materials import Slot
from sim_perception.simulator.content.meshes import lorries, trucks
from sim_perception.simulator.content.meshes.car_shape import draw_shape
from sim_perception.simulator.content.meshes.car_trailers import CAR_TRAILERS
from sim_perception.simulator.content.meshes.outfit import lettered, roof_load
from sim_perception.simulator.content.meshes.vehicle import car_body
from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.simulation import Simulation
from sim_perception.simulator.street.parties import with_followers
from sim_perception.simulator.world.fleet import build_fleet
from sim_perception.taxonomy import load_taxonomy

LARGE = {
    'duration_s': 1.0, 'camera.width': 320, 'camera.height': 96, 'lidar': None,
    'traffic.lorry_fraction': 1.0, 'traffic.truck_fraction': 0.7, 'traffic.trailer_fraction': 0.5,
    'traffic.lettering': 1.0, 'traffic.roof_load_fraction': 0.5, 'traffic.vehicles_per_km': 60,
    'traffic.parked_truck_fraction': 0.6,
}  # fmt: skip
TRUCK = load_taxonomy().id_of('truck')


def rng(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


def pieces():
    for family in (*lorries.RIGID, 'tractor'):
        yield lorries.draw_lorry(family, rng())
    drawn = {s.family: s for s in (lorries.draw_semitrailer(rng(k)) for k in range(80))}
    assert set(drawn) == set(lorries.SEMITRAILERS)
    yield from drawn.values()
    towed = {s.family: s for s in (lorries.draw_car_trailer(rng(k)) for k in range(80))}
    assert set(towed) == set(CAR_TRAILERS)
    yield from towed.values()
    yield lorries.draw_bus_rear(trucks.draw_truck('bus', rng()), rng())


PIECES = {shape.family: shape for shape in pieces()}


@pytest.fixture(scope='module')
def large() -> Simulation:
    return Simulation(load_scenario('clean', seed=5, **LARGE))


@pytest.mark.parametrize('family', PIECES)
def test_pieces_have_their_size_and_their_class(family):
    shape = PIECES[family]
    mesh = lorries.lorry_body(shape)
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    assert high[0] - low[0] == pytest.approx(shape.length, abs=0.45)
    assert shape.width - 0.7 < high[1] - low[1] < shape.width + 0.45
    assert high[2] < shape.height + 0.75
    assert low[2] > -0.02
    assert set(mesh.semantic.tolist()) == {TRUCK}
    assert len(mesh.faces) < 3000
    np.testing.assert_allclose((mesh.normals.astype(float) ** 2).sum(1), 1.0, atol=1e-3)
    for x, y, _ in lorries.wheels_of(shape):
        assert abs(x) < shape.length / 2
        assert abs(y) < shape.width / 2


def test_a_print_covers_both_sides_and_can_be_read_on_both():
    shape = draw_shape('van', rng())
    body = car_body(shape)
    half = shape.length / 2
    printed = lettered(body, (-half, 0.2 * half), (0.4, shape.height), int(Slot.GRAPHIC_0))
    faces = printed.material == Slot.GRAPHIC_0
    assert faces.any()
    # Nothing but paint is printed on, and labels stay.
    assert set(body.material[faces].tolist()) == {int(Slot.PAINT)}
    np.testing.assert_array_equal(printed.semantic, body.semantic)
    for side in (-1, 1):
        k = np.unique(printed.faces[faces])
        k = k[np.sign(printed.vertices[k, 1]) == side]
        assert len(k) > 3
        # Seen from the left, the car's front is on the left: text runs from front to rear.
        slope = np.polyfit(printed.vertices[k, 0], printed.uv[k, 0], 1)[0]
        assert np.sign(slope) == -side


@pytest.mark.parametrize('seed', range(8))
def test_roof_loads_stand_on_the_roof(seed):
    shape = draw_shape('wagon', rng(seed))
    mesh = roof_load(shape, rng(seed))
    assert mesh.vertices[:, 2].min() > shape.height - 0.15
    assert mesh.vertices[:, 2].max() < shape.height + 0.6
    assert np.abs(mesh.vertices[:, 1]).max() < shape.width / 2


def test_a_footprint_holds_what_is_towed():
    fleet = build_fleet(load_scenario('clean', seed=5, **LARGE))
    towing = [m for m in fleet if m.trailer is not None]
    assert {m.label for m in towing} >= {'car', 'truck'}
    for model in towing:
        foot, trailer = model.footprint, model.trailer
        front = foot.ahead + model.size[0] / 2
        rear = -foot.behind - trailer.size[0] / 2
        assert front == pytest.approx(foot.half[0])
        assert rear == pytest.approx(-foot.half[0])
        assert model.trailer.footprint.behind == 0


def test_trailers_follow_what_draws_them(large):
    result = large._world.traffic
    followers = [k for k, a in enumerate(result.agents) if a.leader is not None]
    assert followers
    checked = 0
    for time in (0.0, 1.0):
        s, v, a = result.motion.at(time)
        pose = result.paths.evaluate(np.arange(len(result.agents)), s, v, a)
        for k in followers:
            leader = result.agents[k].leader
            if leader.tag == 'walker':
                continue
            n = next(i for i, agent in enumerate(result.agents) if agent is leader)
            apart = np.hypot(*(pose.position[n] - pose.position[k])[:2])
            way = leader.ahead + leader.followers[0][1]
            assert 0.97 * way < apart < way + 1e-6
            assert v[k] == v[n]
            checked += 1
    assert checked >= 4
    assert with_followers(result).agents[-1].tag == 'ego'


def test_large_vehicles_fill_their_boxes_and_are_seen(large):
    scene, state = large.scene, large.state(0.6)
    families = set(scene.objects.family)
    assert families & set(lorries.RIGID)
    assert families & set(CAR_TRAILERS)
    rows = np.flatnonzero(scene.objects.class_id == TRUCK)
    out = np.full(len(scene.objects.id), -np.inf)
    for k in np.flatnonzero(np.isin(scene.instances.object, rows)):
        row = scene.instances.object[k]
        pose = np.linalg.inv(state.world_T_object[row]) @ state.world_T_instance[k]
        mesh = scene.assets.meshes[scene.instances.mesh[k]]
        local = mesh.vertices @ pose[:3, :3].T + pose[:3, 3]
        out[row] = max(out[row], float((np.abs(local) - scene.objects.size[row] / 2).max()))
    assert np.abs(out[rows]).max() < 0.12
    sample = large.camera_frame(0.5, frozenset({'rgb', 'semantic'}))
    assert TRUCK in sample.semantic


def test_boxes_end_at_the_body_if_they_are_told_to():
    wide = build_fleet(load_scenario('clean', seed=5))
    narrow = build_fleet(load_scenario('clean', seed=5, **{'traffic.mirrors_in_boxes': False}))
    for a, b in zip(wide, narrow, strict=True):
        assert a.size[::2] == b.size[::2]
        assert 0 < a.size[1] - b.size[1] < 0.5
    cars = [(a.size[1] - b.size[1]) for a, b in zip(wide, narrow, strict=True) if a.label == 'car']
    assert np.mean(cars) == pytest.approx(0.22, abs=0.05)


def test_defaults_leave_no_trace():
    text = load_scenario('clean').model_dump_json()
    for name in ('lorry_fraction', 'trailer_fraction', 'roof_load_fraction', 'lettering'):
        assert name not in text
    assert 'lettering' in load_scenario('clean', **{'traffic.lettering': 0.5}).model_dump_json()
