"""Doors of parked cars: cut out exactly, clear of who comes by, the car's own in all truth."""

from __future__ import annotations

import numpy as np
import pytest

from sim_perception.geometry.cameras import project
from sim_perception.geometry.transforms import invert
from sim_perception.simulator.content.meshes.car_doors import cut_door
from sim_perception.simulator.content.meshes.car_shape import FAMILIES, draw_shape
from sim_perception.simulator.content.meshes.vehicle import car_body
from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.simulation import Simulation
from sim_perception.simulator.world.doors import Doors
from sim_perception.simulator.world.world import World

SCENE = {
    'duration_s': 6.0, 'camera.width': 320, 'camera.height': 128, 'lidar': None,
    'street.parking': 1.0, 'traffic.parked_density': 0.8, 'traffic.vehicles_per_km': 25,
    'traffic.pedestrians_per_km': 10,
}  # fmt: skip


@pytest.fixture(scope='module')
def street() -> Simulation:
    overrides = {**SCENE, 'traffic.opening_doors': 1.0}
    return Simulation(load_scenario('clean', seed=3, **overrides), threads=1)


def doors_of(simulation: Simulation) -> dict:
    return simulation._world._poser._doors


def triangles(mesh, shift=(0.0, 0.0, 0.0)) -> set:
    corners = np.round(mesh.vertices[mesh.faces].astype(float) + shift, 4) + 0.0
    kinds = mesh.material.tolist()
    return {(tuple(c.ravel().tolist()), k) for c, k in zip(corners, kinds, strict=True)}


@pytest.mark.parametrize('side', [1, -1])
@pytest.mark.parametrize('family', FAMILIES)
def test_a_body_and_its_closed_door_are_the_body(family, side):
    shape = draw_shape(family, np.random.default_rng(5))
    body = car_body(shape)
    cut = cut_door(body, shape, side)
    if cut is None:
        assert family in ('van', 'microvan', 'kei', 'city', 'mpv')
        return
    hinge = (*cut.hinge, 0.0)
    door = triangles(cut.door, hinge)
    assert triangles(body) <= triangles(cut.body) | door
    assert 20 < len(triangles(body) & door) < 200
    # All of it lies on its side, behind the hinge but for the mirror.
    v = cut.door.vertices + np.array(hinge)
    assert (side * v[:, 1] > 0.3 * shape.width).all()
    assert 0.7 < cut.reach < 1.7
    assert v[:, 0].max() < cut.hinge[0] + 0.3
    inner = cut.body.vertices
    assert inner.min(0) == pytest.approx(body.vertices.min(0), abs=0.12)
    assert inner.max(0) == pytest.approx(body.vertices.max(0), abs=0.12)


def test_most_families_have_doors_that_open():
    rng = np.random.default_rng(0)
    for family in ('sedan', 'hatchback', 'wagon', 'suv', 'coupe', 'pickup'):
        shapes = [draw_shape(family, rng) for _ in range(5)]
        cut = [cut_door(car_body(shape), shape, 1) for shape in shapes]
        assert sum(c is not None for c in cut) >= 4, family


def test_doors_open_to_the_road_and_clear_of_everybody(street):
    traffic, layout = street._world.traffic, street._world.layout
    half = np.array([a.half for a in traffic.agents])
    moved = 0
    for t in np.arange(0.0, 6.01, 0.5):
        state = street.state(float(t))
        s, v, a = traffic.motion.at(float(t))
        pose = traffic.paths.evaluate(np.arange(len(half)), s, v, a)
        for row, door in doors_of(street).items():
            if abs(door.at(t)) < 0.1:
                continue
            moved += 1
            world_T_door = state.world_T_instance[row]
            car = state.world_T_object[street.scene.instances.object[row]]
            mesh = street.scene.assets.meshes[street.scene.instances.mesh[row]]
            tips = mesh.vertices @ world_T_door[:3, :3].T + world_T_door[:3, 3]
            # To the side of the oncoming lanes: the car's left where traffic keeps right.
            leaf = invert(car) @ np.append(tips[tips[:, 2].argmax()], 1.0)
            assert leaf[1] * layout.section.hand > 0
            delta = tips[:, None, :2] - pose.position[None, :, :2]
            c, s_ = np.cos(pose.yaw), np.sin(pose.yaw)
            ahead = np.abs(delta[..., 0] * c + delta[..., 1] * s_) - half[:, 0]
            aside = np.abs(delta[..., 1] * c - delta[..., 0] * s_) - half[:, 1]
            assert np.maximum(ahead, aside).min() > 0.0
    assert moved > 20


def test_an_open_door_is_the_cars_in_images_but_not_in_its_box(street):
    plain = World(load_scenario('clean', seed=3, **SCENE))
    np.testing.assert_array_equal(street.objects.size, plain.scene.objects.size)
    seen = 0
    for t in (1.0, 3.0, 5.0):
        state = street.state(t)
        np.testing.assert_array_equal(state.world_T_object, plain.state(t).world_T_object)
        sample = street.camera_frame(t, frozenset({'instance', 'semantic'}))
        optical_T_world = invert(state.world_T_base @ street.base_T_camera)
        for row, door in doors_of(street).items():
            m = street.scene.instances.object[row]
            parts = np.flatnonzero(street.scene.instances.object == m)
            points = np.concatenate([
                street.scene.assets.meshes[street.scene.instances.mesh[k]].vertices.astype(float)
                @ state.world_T_instance[k, :3, :3].T + state.world_T_instance[k, :3, 3]
                for k in parts
            ])  # fmt: skip
            points = points @ optical_T_world[:3, :3].T + optical_T_world[:3, 3]
            if points[:, 2].min() < 0.5 or abs(door.at(t)) < 0.5:
                continue
            pixels = project(street.camera, points)[0]
            expected = [*pixels.min(0), *pixels.max(0)]
            assert sample.box_amodal[m] == pytest.approx(expected, abs=0.02)
            seen += 1
    assert seen > 3


def test_the_egos_pose_alone_is_that_of_the_state(street):
    hills = World(load_scenario('training_hills', seed=2, duration_s=3.0))
    for world in (street._world, hills):
        for t in (0.0, 0.37, 2.9):
            np.testing.assert_array_equal(world.base(t), world.state(t).world_T_base)


def test_without_the_field_nothing_of_it_is_there():
    scenario = load_scenario('clean', seed=3)
    assert 'opening_doors' not in scenario.model_dump_json()
    assert Doors(scenario, 1, None).draw(0, None, np.eye(4)) is None
