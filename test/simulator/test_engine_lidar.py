"""LiDAR points against analytic planes, against the camera's depth, and under motion."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic_scenes import Builder, box_mesh, forward_camera, mount, plane_mesh, street

from sim_perception.geometry.lidar import project_cloud
from sim_perception.geometry.transforms import from_euler, invert, transform_points
from sim_perception.simulator.sensors.camera import Renderer
from sim_perception.simulator.sensors.lidar import POINT, Lidar, twist_motion
from sim_perception.simulator.sensors.lidar_spec import LidarSpec

IDEAL = LidarSpec(
    rings=24, columns=256, range_noise=0.0, dropout=0.0, reference_range=float('inf')
)
ROOF = from_euler(0, 0, 0, np.array([0.2, 0.1, 1.7]))


def xyz(points):
    return np.stack([points['x'], points['y'], points['z']], -1).astype(np.float64)


def deskewed(scan, state):
    """Return world points, each through the ego pose at its own time."""
    rotation, shift = twist_motion(
        state.base_velocity, state.base_angular_velocity, scan.points['time'].astype(float)
    )
    base = transform_points(ROOF, xyz(scan.points))
    start = state.world_T_base
    turned = np.einsum('nij,jk,nk->ni', rotation, start[:3, :3], base)
    return turned + start[:3, 3] + shift


@pytest.mark.parametrize(('velocity', 'spin'), [((0, 0, 0), 0.0), ((15, 0, 0), 0.4)])
def test_points_lie_on_the_ground_and_walls_with_ego_motion(velocity, spin):
    builder = Builder()
    builder.place(plane_mesh(), (0, 0, 0))
    builder.place(box_mesh(np.array([1.0, 30.0, 20.0])), (25, 0, 5.0))
    state = builder.state(0.0, base_velocity=velocity, base_spin=spin)
    scan = Lidar(builder.scene(), IDEAL, 2).scan(state, ROOF, seed=1)
    world = deskewed(scan, state)
    ground = (np.abs(world[:, 2]) < 0.2) & (world[:, 0] < 24)
    wall = (np.abs(world[:, 0] - 24.5) < 0.3) & (np.abs(world[:, 1]) < 14) & ~ground
    assert ground.sum() > 1000
    assert wall.sum() > 50
    assert np.abs(world[ground, 2]).max() < 1e-3
    assert np.abs(world[wall, 0] - 24.5).max() < 1e-3


def test_objects_move_during_the_turn():
    builder = Builder()
    wide = np.array([0.5, 60.0, 8.0])
    builder.add_object(box_mesh(wide), (30, 0, 2.0), 0.0, wide, velocity=(-20, 0, 0))
    state = builder.state()
    scan = Lidar(builder.scene(), IDEAL, 2).scan(state, ROOF, seed=1)
    world = deskewed(scan, state)
    face = world[:, 0] > 20
    expected = 29.75 - 20 * scan.points['time'][face]
    # The side faces are hit at the ends only.
    front = np.abs(world[face, 1]) < 29
    assert front.sum() > 300
    assert np.abs(world[face, 0] - expected)[front].max() < 2e-3
    assert np.ptp(scan.points['time'][face][front]) > 0.02


def test_lidar_and_camera_depth_agree_through_the_transforms():
    builder, camera, pose = street(), forward_camera(320, 192, 240.0), mount()
    state = builder.state()
    dense = replace(IDEAL, rings=64, columns=512)
    scan = Lidar(builder.scene(), dense, 2).scan(
        replace(state, velocity=np.zeros((3, 3)), angular_velocity=np.zeros((3, 3))), ROOF, 1
    )
    depth = (
        Renderer(builder.scene(), camera, 2).render(state, pose, layers=frozenset({'depth'})).depth
    )
    sparse = project_cloud(camera, invert(pose) @ ROOF, xyz(scan.points))
    both = np.isfinite(sparse) & np.isfinite(depth)
    assert both.sum() > 1500
    # Half a pixel beside a point the surface may be nearer or farther; most are flat.
    relative = np.abs(sparse - depth)[both] / depth[both]
    assert np.median(relative) < 0.01
    assert (relative < 0.05).mean() > 0.93


def test_fields_rings_and_times():
    builder = street()
    scan = Lidar(builder.scene(), IDEAL, 1).scan(builder.state(0.4), ROOF, seed=3)
    points = scan.points
    assert points.dtype == POINT
    assert scan.start == 0.4
    assert points['ring'].max() < IDEAL.rings
    assert (np.diff(points['time']) >= 0).all()
    assert 0 <= points['time'].min() <= points['time'].max() < 0.1
    assert (points['intensity'] >= 0).all()
    assert (points['intensity'] <= 1).all()
    elevation = np.arctan2(points['z'], np.hypot(points['x'], points['y']))
    expected = np.deg2rad(np.linspace(IDEAL.fov_up_deg, IDEAL.fov_down_deg, IDEAL.rings))
    assert np.abs(elevation - expected[points['ring']]).max() < 1e-5
    azimuth = np.unwrap(np.arctan2(points['y'], points['x']))
    assert azimuth[-1] < azimuth[0]
    reach = np.linalg.norm(xyz(points), axis=1)
    assert reach.min() >= IDEAL.min_range - 1e-3
    assert reach.max() <= IDEAL.max_range + 1e-3


def test_range_noise_has_the_asked_spread():
    builder = Builder()
    builder.place(box_mesh(np.array([1.0, 200.0, 200.0])), (20.5, 0, 0))
    spec = replace(IDEAL, rings=32, columns=720, range_noise=0.05)
    scene, state = builder.scene(), builder.state()
    clean = Lidar(scene, replace(spec, range_noise=0.0), 1).scan(state, ROOF, 7).points
    noisy = Lidar(scene, spec, 1).scan(state, ROOF, 7).points
    error = np.linalg.norm(xyz(noisy), axis=1) - np.linalg.norm(xyz(clean), axis=1)
    assert len(error) > 3000
    assert error.std() == pytest.approx(0.05, rel=0.1)
    assert abs(error.mean()) < 0.005


def test_far_and_grazing_returns_drop_out_first():
    builder = Builder()
    builder.place(plane_mesh(), (0, 0, 0))
    real = replace(IDEAL, rings=64, columns=256, reference_range=60.0, dropout=0.02)
    scene, state = builder.scene(), builder.state()
    all_points = xyz(Lidar(scene, replace(real, dropout=0.0, reference_range=np.inf), 1).scan(
        state, ROOF, 1
    ).points)  # fmt: skip
    kept = xyz(Lidar(scene, real, 1).scan(state, ROOF, 1).points)
    shares = []
    for low, high in ((0, 15), (15, 40), (40, 110)):
        count = [
            ((r > low) & (r <= high)).sum()
            for r in (np.linalg.norm(kept, axis=1), np.linalg.norm(all_points, axis=1))
        ]
        shares.append(count[0] / count[1])
    assert shares[0] > 0.9
    assert shares[0] > shares[1] > shares[2]


def test_a_retroreflector_shines():
    builder = Builder()
    builder.materials[0] = replace(builder.materials[0], lidar_reflectance=0.1)
    builder.materials.append(
        replace(builder.materials[0], name='plate', lidar_reflectance=0.1, retroreflectivity=0.9)
    )
    builder.place(box_mesh(np.array([0.1, 3.0, 3.0]), 0), (10, 2, 1.5))
    builder.place(box_mesh(np.array([0.1, 3.0, 3.0]), 2), (10, -2, 1.5))
    points = Lidar(builder.scene(), IDEAL, 1).scan(builder.state(), ROOF, 1).points
    dull, bright = points[points['y'] > 0.6], points[points['y'] < -0.6]
    assert bright['intensity'].mean() > 5 * dull['intensity'].mean()


def test_rain_adds_near_clutter():
    builder = Builder()
    builder.place(box_mesh(np.array([1.0, 200.0, 200.0])), (40, 0, 0))
    state = builder.state()
    dry = Lidar(builder.scene(), IDEAL, 1).scan(state, ROOF, 1).points
    builder.environment = replace(builder.environment, rain=1.0)
    wet = Lidar(builder.scene(), IDEAL, 1).scan(state, ROOF, 1).points
    near = [(np.linalg.norm(xyz(p), axis=1) < 30).sum() for p in (dry, wet)]
    assert near[0] == 0
    assert near[1] > 20


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'rings': 0}, 'rings and columns'),
        ({'rate_hz': 0.0}, 'rate_hz'),
        ({'min_range': 5.0, 'max_range': 4.0}, 'min_range < max_range'),
        ({'fov_up_deg': -30.0}, 'fov_down_deg <= fov_up_deg'),
        ({'dropout': 1.5}, 'out of range'),
    ],
)
def test_bad_specs_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        LidarSpec(**change)
