"""Recorded drives as scenes: motions, files, what a scenario may change, same bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from sim_perception.geometry.trajectory import Trajectory
from sim_perception.geometry.transforms import from_euler, invert, make_transform
from sim_perception.simulator.common.scene import Mesh
from sim_perception.simulator.content.materials import Slot
from sim_perception.simulator.content.meshes.builder import MeshBuilder, grid_faces
from sim_perception.simulator.content.meshes.classes import class_id
from sim_perception.simulator.content.textures import SIZE
from sim_perception.simulator.drive import (
    TEXTURED,
    Drive,
    DriveError,
    DriveObject,
    DrivePart,
    Motion,
    drive_digest,
    read_drive,
    write_drive,
)
from sim_perception.simulator.scenario import (
    ScenarioError,
    load_scenario,
    parse_scenario,
    scenario_names,
)
from sim_perception.simulator.simulation import Simulation

SPEED = 4.0


def box_mesh(size: tuple[float, float, float]) -> Mesh:
    builder = MeshBuilder(class_id('car'))
    builder.box((0, 0, 0), size, Slot.PAINT, bottom=True)
    return builder.build()


def plain_ground() -> Mesh:
    x, y = np.meshgrid(np.linspace(-60, 60, 13), np.linspace(-60, 60, 13))
    vertices = np.stack([x, y, 0 * x], -1).reshape(-1, 3).astype(np.float32)
    faces = grid_faces(13, 13)
    return Mesh(
        vertices=vertices,
        faces=faces,
        normals=np.tile(np.float32([0, 0, 1]), (len(vertices), 1)),
        uv=(vertices[:, :2] / 120 + 0.5).astype(np.float32),
        material=np.full(len(faces), TEXTURED, np.int32),
        semantic=np.full(len(faces), class_id('road'), np.uint8),
        occlusion=np.ones(len(vertices), np.float32),
    )


def made_drive() -> Drive:
    """The ego drives along x; one car drives ahead of it, one stands at the left."""
    times = np.linspace(0, 2, 5)

    def along(x: float, y: float, z: float) -> np.ndarray:
        return np.stack([from_euler(0, 0, 0, np.array([x + SPEED * t, y, z])) for t in times])

    size = (4.0, 1.8, 1.5)
    ahead = DriveObject('7', 'car', size, (0.5, 0.02, 0.02), Motion(times, along(12, 0, 0.75)),
                        box_mesh(size))  # fmt: skip
    pose = from_euler(0, 0, 0.5, np.array([15, 4, 0.75]))[None]
    parked = DriveObject('9', 'car', size, (0.02, 0.02, 0.5), Motion(times[:1], pose),
                         box_mesh(size))  # fmt: skip
    texture = np.zeros((1, SIZE, SIZE, 3), np.uint8)
    texture[..., 1] = 180
    return Drive(
        Motion(times, along(0, 0, 0)),
        (ahead, parked),
        (DrivePart((20.0, 0.0, 0.0), plain_ground(), 0),),
        texture,
        'made',
    )


@pytest.fixture(scope='module')
def scenario_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('again')
    write_drive(made_drive(), folder / 'drive')
    values = {
        'duration_s': 2.0,
        'weather': {'sun_elevation_deg': 50, 'cloud_cover': 0.3, 'fog_density': 0.0},
        'camera': {'width': 96, 'height': 64, 'horizontal_fov_deg': 70},
        'lidar': None,
        'replay': {'drive': 'drive'},
    }
    path = folder / 'again.yaml'
    path.write_text(yaml.safe_dump(values))
    return path


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**20), st.floats(0.05, 2.9))
def test_trajectory_derivatives_are_those_of_its_poses(seed: int, time: float) -> None:
    rng = np.random.default_rng(seed)
    times = np.array([0.0, 0.7, 1.5, 2.2, 3.0])
    turns = Rotation.from_euler('xyz', rng.normal(0, 0.4, (5, 3))).as_matrix()
    poses = make_transform(turns, rng.normal(0, 3, (5, 3)))
    way = Trajectory(times, poses)
    for knot, pose in zip(times, poses, strict=True):
        assert np.allclose(way.at(knot).pose, pose, atol=1e-9)
    step = 1e-5
    before, now, after = (way.at(time + d) for d in (-step, 0.0, step))
    assert np.allclose((after.pose - before.pose)[:3, 3] / (2 * step), now.velocity, atol=1e-4)
    slope = (after.velocity - before.velocity) / (2 * step)
    if np.abs(time - times).min() > 2 * step:
        assert np.allclose(slope, now.acceleration, atol=1e-3)
    turn = after.pose[:3, :3] @ before.pose[:3, :3].T
    rate = Rotation.from_matrix(turn).as_rotvec() / (2 * step)
    assert np.allclose(rate, now.angular_velocity, atol=1e-3)


def test_trajectory_goes_on_uniformly_beyond_its_ends() -> None:
    drive = made_drive()
    way = Trajectory(drive.ego.times, drive.ego.poses)
    for time in (-1.0, 5.0):
        state = way.at(time)
        assert state.pose[0, 3] == pytest.approx(SPEED * time)
        assert state.velocity == pytest.approx([SPEED, 0, 0], abs=1e-9)
        assert not state.acceleration.any()


@pytest.mark.parametrize(
    ('times', 'poses', 'message'),
    [
        ([0.0, 0.0], np.stack([np.eye(4)] * 2), 'ascend'),
        ([0.0], np.eye(4), 'poses'),
        ([0.0], 2 * np.eye(4)[None], 'rigid'),
        ([np.nan], np.eye(4)[None], 'finite'),
    ],
)
def test_trajectory_refuses_what_is_no_motion(times, poses, message) -> None:
    with pytest.raises(ValueError, match=message):
        Trajectory(times, poses)


def test_drive_round_trip(tmp_path: Path) -> None:
    drive = made_drive()
    write_drive(drive, tmp_path)
    again = read_drive(tmp_path)
    assert again.source == 'made'
    assert np.array_equal(again.textures, drive.textures)
    assert np.allclose(again.ego.poses, drive.ego.poses, atol=1e-5)
    for a, b in zip(again.objects, drive.objects, strict=True):
        assert (a.id, a.category, a.size, a.color) == (b.id, b.category, b.size, b.color)
        assert np.allclose(a.motion.poses, b.motion.poses, atol=1e-5)
        for name in vars(a.mesh):
            assert np.array_equal(getattr(a.mesh, name), getattr(b.mesh, name))
    # No file needs code to be read.
    assert sorted(p.suffix for p in tmp_path.iterdir()) == ['.json', '.npz', '.png']


def test_unusable_drives_are_named(tmp_path: Path) -> None:
    with pytest.raises(DriveError, match='resimulate'):
        drive_digest(tmp_path)
    write_drive(made_drive(), tmp_path)
    (tmp_path / 'meshes.npz').unlink()
    with pytest.raises(DriveError, match=r'meshes\.npz'):
        read_drive(tmp_path)


def test_everything_is_where_the_drive_says(scenario_file: Path) -> None:
    simulation = Simulation(load_scenario(scenario_file), threads=1)
    state = simulation.state(1.0)
    assert state.world_T_base[0, 3] == pytest.approx(SPEED)
    assert state.base_velocity == pytest.approx([SPEED, 0, 0])
    assert state.world_T_object[:, 0, 3] == pytest.approx([12 + SPEED, 15])
    assert state.velocity[:, 0] == pytest.approx([SPEED, 0])
    sample = simulation.camera_frame(1.0)
    assert sample.depth is not None
    assert sample.instance is not None
    # The rear of the car ahead, 12 m before the base, its half length nearer.
    rear = sample.depth[sample.instance == 1]
    expected = 12 - 2 - simulation.base_T_camera[0, 3]
    assert np.median(rear) == pytest.approx(expected, abs=0.02)
    with pytest.raises(ValueError, match='outside the scenario'):
        simulation.state(9.0)


def test_faces_show_their_texture_and_objects_their_paint(scenario_file: Path) -> None:
    sample = Simulation(load_scenario(scenario_file), threads=1).camera_frame(0.0)
    assert sample.rgb is not None
    assert sample.semantic is not None
    road = sample.rgb[sample.semantic == class_id('road')].astype(float).mean(0)
    assert road[1] > 3 * max(road[0], road[2])
    car = sample.rgb[sample.instance == 1].astype(float).mean(0)
    assert car[0] > 1.5 * car[1]


def test_weather_light_and_camera_change(scenario_file: Path) -> None:
    def seen(**changes: object) -> np.ndarray:
        scenario = load_scenario(scenario_file, **changes)
        rgb = Simulation(scenario, threads=1).camera_frame(0.0, frozenset({'rgb'})).rgb
        assert rgb is not None
        return rgb.astype(float)

    plain = seen()
    fog = seen(**{'weather.fog_density': 0.05})
    assert fog[:40].std() < 0.5 * plain[:40].std()
    dusk = seen(**{'weather.sun_elevation_deg': -5})
    assert dusk.mean() < 0.5 * plain.mean()
    other = load_scenario(
        scenario_file, **{'camera.left_m': 1.0, 'camera.centre_offset': [0.1, 0]}
    )
    simulation = Simulation(other, threads=1)
    assert simulation.base_T_camera[1, 3] == 1.0
    assert simulation.camera.cx == pytest.approx((96 - 1) / 2 + 9.6)


def test_traffic_changes(scenario_file: Path) -> None:
    vehicle = {'family': 'suv', 'ahead_m': 30, 'left_m': 3, 'speed_mps': 5, 'yaw_deg': 180}
    scenario = load_scenario(scenario_file, replay={'without': 7, 'vehicles': [vehicle]})
    simulation = Simulation(scenario, threads=1)
    assert simulation.objects.family == ('9', 'added_0')
    state = simulation.state(1.0)
    # It comes towards the ego.
    assert state.world_T_object[1, :2, 3] == pytest.approx([25, 3])
    assert state.velocity[1] == pytest.approx([-5, 0, 0], abs=1e-9)
    nobody = load_scenario(scenario_file, **{'replay.without': '*'})
    assert not len(Simulation(nobody, threads=1).objects.id)
    with pytest.raises(DriveError, match='7, 9'):
        Simulation(load_scenario(scenario_file, **{'replay.without': 'x'}), threads=1)
    wrong = load_scenario(scenario_file, **{'replay.vehicles': [{**vehicle, 'family': 'boat'}]})
    with pytest.raises(DriveError, match='hatchback'):
        Simulation(wrong, threads=1)


def test_a_scenario_means_the_drive_that_it_was_read_with(tmp_path: Path) -> None:
    write_drive(made_drive(), tmp_path / 'drive')
    path = tmp_path / 'again.yaml'
    path.write_text(yaml.safe_dump({'replay': {'drive': 'drive'}}))
    scenario = load_scenario(path)
    copy = parse_scenario(json.loads(scenario.model_dump_json()))
    assert copy == scenario
    write_drive(replace(made_drive(), source='changed'), tmp_path / 'drive')
    with pytest.raises(DriveError, match='changed since'):
        Simulation(copy)
    assert load_scenario(path) != scenario
    path.write_text(yaml.safe_dump({'replay': {'drive': 'nowhere'}}))
    with pytest.raises(ScenarioError, match=r'replay\.drive.*resimulate'):
        load_scenario(path)


def test_same_bytes_twice_and_with_threads(scenario_file: Path) -> None:
    first, second = (Simulation(load_scenario(scenario_file), threads=n) for n in (1, 2))
    a, b = first.camera_frame(0.5), second.camera_frame(0.5)
    for name in ('rgb', 'depth', 'semantic', 'instance', 'flow'):
        assert np.array_equal(getattr(a, name), getattr(b, name), equal_nan=name == 'depth')


def test_flow_follows_the_drive(scenario_file: Path) -> None:
    """Where the car ahead keeps its distance, it keeps its place in the image."""
    sample = Simulation(load_scenario(scenario_file), threads=1).camera_frame(1.0)
    assert sample.flow is not None
    assert sample.instance is not None
    on_car = sample.flow[sample.instance == 1]
    assert np.abs(on_car[on_car[:, 2] > 0, :2]).max() < 0.05


def test_other_scenarios_keep_their_identity() -> None:
    for name in scenario_names():
        values = json.loads(load_scenario(name).model_dump_json())
        assert 'replay' not in values
        assert not {'left_m', 'centre_offset'} & set(values['camera'])


def test_lidar_rays_meet_a_replayed_car(scenario_file: Path) -> None:
    scenario = load_scenario(
        scenario_file, lidar={'rings': 32, 'columns': 512, 'range_noise_m': 0}
    )
    simulation = Simulation(scenario, threads=1)
    scan = simulation.lidar_scan(0.5)
    points = np.stack([scan.points[axis] for axis in 'xyz'], 1).astype(float)
    points = points @ simulation.base_T_lidar[:3, :3].T + simulation.base_T_lidar[:3, 3]
    box = invert(simulation.state(0.5).world_T_base) @ simulation.state(0.5).world_T_object[0]
    inside = (points - box[:3, 3]) @ box[:3, :3]
    on_car = (np.abs(inside) < np.array([2.05, 0.95, 0.8])).all(1)
    assert on_car.sum() > 20
