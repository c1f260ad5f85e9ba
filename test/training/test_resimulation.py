"""Recordings back to scenarios: motion, objects, surroundings, ground, light."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.spatial.transform import Rotation
from simulated_bags import simulate_bag
from typer.testing import CliRunner

from sim_perception.geometry.transforms import (
    BODY_T_OPTICAL,
    from_euler,
    invert,
    make_transform,
    transform_points,
)
from sim_perception.models.checkpoint import load_checkpoint
from sim_perception.models.shape import ShapePca
from sim_perception.simulator.common.parallel import Workers
from sim_perception.simulator.common.scene import Sensor
from sim_perception.simulator.content.materials import Slot
from sim_perception.simulator.drive import DriveObject, Motion, read_drive
from sim_perception.simulator.scenario import load_scenario
from sim_perception.simulator.sensors.isp import develop
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Box3D, Camera, ShapeLabel
from training.commands.cli import app
from training.datasets.sample import DatasetError
from training.resimulation.appearance import SurfacePixels, fit_appearance
from training.resimulation.bodies import body_mesh, car_mesh, usual_latent
from training.resimulation.dense import lidar_aligned, sharp_edges
from training.resimulation.evaluate import evaluate_resimulation
from training.resimulation.ground import HeightField, to_srgb
from training.resimulation.light import radiance, weather_of
from training.resimulation.motions import headings, motion_of, size_of, weighted_median
from training.resimulation.resimulate import ResimulateJob, resimulate, without_doubles
from training.resimulation.scan_matching import match_scans
from training.resimulation.sightings import Sighting, plausible_category
from training.resimulation.surroundings import sheet, standing_view, without_sky
from training.simulation.plans import parse_changes, plan_bags
from training.simulation.write import write_bag

ROOT = Path(__file__).resolve().parents[2]
CAMERA = Camera(96, 64, 60.0, 60.0, 47.5, 31.5)
SENSOR = from_euler(0, 0, 0, np.array([0, 0, 1.5])) @ BODY_T_OPTICAL


def class_of(name: str) -> int:
    return load_taxonomy().id_of(name)


@pytest.fixture(scope='module')
def model() -> ShapePca:
    net = load_checkpoint(ROOT / 'models/shape_car', network='shape_pca').net
    assert isinstance(net, ShapePca)
    return net


def street(rng: np.random.Generator, pose: np.ndarray) -> np.ndarray:
    """Return points of walls, porches and posts about a street, as the vehicle sees them."""
    way, up = rng.uniform(-5, 40, 900), rng.uniform(0.3, 4, 900)
    walls = [np.stack([way, np.full(900, y) + 2 * (way // 9 % 2), up], 1) for y in (-8, 7)]
    across = [np.stack([np.full(80, x), rng.uniform(7, 9, 80), rng.uniform(0.3, 4, 80)], 1)
              for x in (0, 9, 18, 27, 36)]  # fmt: skip
    points = transform_points(invert(pose), np.concatenate([*walls, *across]))
    return points + rng.normal(0, 0.02, points.shape)


def test_scans_tell_the_motion() -> None:
    rng = np.random.default_rng(0)
    truth = [from_euler(0, 0, 0.01 * k, np.array([0.8 * k, 0.02 * k**2 / 2, 0])) for k in range(8)]
    found = match_scans(street(rng, pose) for pose in truth)
    error = np.array([invert(a) @ b for a, b in zip(truth, found, strict=True)])
    assert np.abs(error[:, :3, 3]).max() < 0.12
    assert np.abs(Rotation.from_matrix(error[:, :3, :3]).as_rotvec()).max() < 0.01


def test_scans_without_anything_to_match_move_on() -> None:
    rng = np.random.default_rng(1)
    steps = [from_euler(0, 0, 0, np.array([0.8 * k, 0, 0])) for k in range(4)]
    scans = [*(street(rng, pose) for pose in steps), np.zeros((0, 3))]
    assert match_scans(scans)[-1][0, 3] == pytest.approx(0.8 * 4, abs=0.15)


def test_poses_stay_rigid_for_long() -> None:
    rng = np.random.default_rng(2)
    scans = [street(rng, np.eye(4)), *[np.zeros((0, 3))] * 120]
    turns = match_scans(scans, from_euler(0, 0, 0.3, np.zeros(3)))[:, :3, :3]
    assert np.allclose(turns @ turns.swapaxes(1, 2), np.eye(3), atol=1e-12)


def test_depth_follows_the_points() -> None:
    rng = np.random.default_rng(0)
    truth = np.tile(np.linspace(5, 30, 80, dtype=np.float32), (60, 1))
    guess = (truth * np.linspace(0.7, 1.2, 60)[:, None]).astype(np.float32)
    lidar = np.where(rng.random(truth.shape) < 0.1, truth, np.nan).astype(np.float32)
    lidar[30, 40] = 200.0  # seen through a gap
    before, after = (np.abs(d / truth - 1).mean() for d in (guess, lidar_aligned(guess, lidar)))
    assert after < 0.2 * before
    none = np.full_like(lidar, np.nan)
    assert np.array_equal(lidar_aligned(guess, none), guess)


def test_blurred_edges_become_steps_and_slopes_stay() -> None:
    step = np.where(np.arange(80) < 40, 10.0, 30.0).astype(np.float32)
    ramp = np.exp(np.convolve(np.pad(np.log(step), 4, 'edge'), np.ones(9) / 9, 'valid'))
    slope = np.linspace(10, 30, 80)
    depth = np.stack([ramp, slope]).repeat(30, 0).astype(np.float32)
    depth[3:6, 60:63] = np.nan
    sharp = sharp_edges(depth)
    assert np.isnan(sharp[4, 61])
    between = (sharp[:20] > 11) & (sharp[:20] < 27)
    assert not between.any()
    assert ((depth[:20] > 11) & (depth[:20] < 27)).any()
    np.testing.assert_array_equal(sharp[45:], depth[45:])


def sightings(places: np.ndarray, yaw: np.ndarray, weight: float = 0.8) -> list[Sighting]:
    return [
        Sighting(k, 'car', from_euler(0, 0, float(a), p), (4.4, 1.8, 1.5), weight, '1')
        for k, (p, a) in enumerate(zip(places, yaw, strict=True))
    ]


def test_noise_on_a_parked_car_is_no_motion() -> None:
    rng = np.random.default_rng(0)
    places = np.array([10.0, 3, 0.7]) + rng.normal(0, 0.1, (20, 3))
    places[4] += 3  # one wrong fit
    yaw = 0.5 + rng.normal(0, 0.02, 20)
    yaw[7] += np.pi  # front and rear mixed up
    motion = motion_of(sightings(places, yaw), np.arange(20) / 10)
    assert len(motion.times) == 1
    assert motion.poses[0, :3, 3] == pytest.approx([10, 3, 0.7], abs=0.1)
    assert np.arctan2(*motion.poses[0, [1, 0], 0]) == pytest.approx(0.5, abs=0.03)


def test_a_moving_car_is_smoothed() -> None:
    rng = np.random.default_rng(0)
    seconds = np.arange(30) / 10
    truth = np.stack([10 + 5 * seconds + 0.8 * seconds**2, 0 * seconds, 0 * seconds + 0.7], 1)
    noisy = truth + rng.normal(0, 0.12, truth.shape)
    motion = motion_of(sightings(noisy, rng.normal(0, 0.03, 30)), seconds)
    assert len(motion.times) == 30
    error = np.linalg.norm(motion.poses[:, :3, 3] - truth, axis=1)
    assert error.mean() < 0.6 * np.linalg.norm(noisy - truth, axis=1).mean()


def test_headings_follow_a_turn() -> None:
    yaw = np.linspace(2.8, 2.8 + np.pi / 2, 12)
    poses = np.stack([from_euler(0, 0, a, np.zeros(3)) for a in yaw])
    assert headings(poses, np.ones(12)) == pytest.approx(yaw, abs=1e-9)


def test_median_of_sizes_ignores_one_wrong_fit() -> None:
    items = sightings(np.zeros((5, 3)), np.zeros(5))
    items[2] = replace(items[2], size=(9.0, 3.0, 3.0), weight=0.1)
    assert size_of(items) == (4.4, 1.8, 1.5)
    weights = np.array([1.0, 1, 5])
    assert weighted_median([[1.0], [2.0], [3.0]], weights) == pytest.approx([3.0])


def standing(name: str, x: float) -> DriveObject:
    pose = from_euler(0, 0, 0.2, np.array([x, 2.0, 0.8]))[None]
    return DriveObject(name, 'car', (4.4, 1.8, 1.5), (0.2, 0.2, 0.2), Motion(np.zeros(1), pose),
                       body_mesh('truck', (4.4, 1.8, 1.5), 0))  # fmt: skip


def test_one_object_found_twice_is_one() -> None:
    found = [(3, standing('a', 10.4)), (9, standing('b', 10.0)), (4, standing('c', 20.0))]
    assert [item.id for item in without_doubles(found)] == ['b', 'c']


GOOD = {'inliers': 0.95, 'log_points': 5.4, 'violation': 0.0, 'past_violation': 0.0,
        'box_iou': 0.5, 'prior': 1.0, 'size_excess': 1.0}  # fmt: skip


@pytest.mark.parametrize(
    ('reason', 'changes', 'size', 'unsure', 'expected'),
    [
        ('', {}, (4.4, 1.8, 1.5), False, 'car'),
        ('box_mismatch', {}, (4.4, 1.8, 1.5), False, ''),
        ('box_mismatch', {}, (4.4, 1.8, 1.5), True, 'car'),
        ('few_points', {}, (4.4, 1.8, 1.5), True, ''),
        ('box_mismatch', {'inliers': 0.7}, (4.4, 1.8, 1.5), True, ''),
        ('box_mismatch', {'past_violation': 0.2}, (4.4, 1.8, 1.5), True, ''),
        ('other_class', {'prior': 3.0}, (4.4, 1.8, 1.5), True, ''),
        ('other_class', {'prior': 3.0}, (8.0, 2.6, 3.0), True, 'truck'),
    ],
)
def test_which_labels_are_used(reason, changes, size, unsure, expected) -> None:
    label = ShapeLabel(
        class_of('car'), (0, 0, 9, 9), not reason, reason, 0.7, Box3D(np.eye(4), size),
        measures={**GOOD, **changes},
    )  # fmt: skip
    assert plausible_category(label, unsure) == expected


def test_cars_fill_their_box_and_wear_glass_and_tyres(model: ShapePca) -> None:
    size = (4.3, 1.75, 1.45)
    mesh = car_mesh(model, None, size)
    extent = np.ptp(mesh.vertices, axis=0)
    assert extent == pytest.approx(size, rel=0.06)
    assert (mesh.semantic == class_of('car')).all()
    middle = mesh.vertices[mesh.faces].mean(1)
    assert middle[mesh.material == Slot.GLASS, 2].mean() > 0.15
    assert middle[mesh.material == Slot.TYRE, 2].mean() < -0.2
    assert (middle[mesh.material == Slot.TAILLIGHT, 0] < 0).mean() > 0.8
    # Outward: normals agree with the way from the middle.
    assert ((mesh.normals * mesh.vertices).sum(1) > 0).mean() > 0.9


def test_usual_shape_depends_on_size(model: ShapePca) -> None:
    low, tall = (usual_latent(model, (4.6, 1.8, h)) for h in (1.4, 1.8))
    assert np.abs(low - tall).max() > 0.3


@pytest.mark.parametrize('category', ['truck', 'pedestrian', 'cyclist'])
def test_other_bodies_fill_their_box(category: str) -> None:
    size = (2.0, 0.8, 1.7)
    mesh = body_mesh(category, size, 3)
    assert np.ptp(mesh.vertices, axis=0) == pytest.approx(size, rel=1e-4)
    assert set(np.unique(mesh.semantic)) == {class_of(category)}
    with pytest.raises(ValueError, match='no body'):
        body_mesh('fence', size, 0)


def wall_view(distance: float, place: float, moving: np.ndarray | None = None):
    """Return the view of a camera at x = place: a wall across x = distance, sky above it."""
    height, width = CAMERA.height, CAMERA.width
    depth = np.full((height, width), distance - place, np.float32)
    semantic = np.full((height, width), class_of('building'), np.uint8)
    semantic[:10] = class_of('sky')
    semantic[45:] = class_of('road')
    pose = make_transform(np.eye(3), (place, 0.0, 0.0)) @ SENSOR
    image = np.full((height, width, 3), 120, np.uint8)
    empty = np.zeros((height, width), bool)
    return standing_view(image, CAMERA, pose, depth, semantic,
                         empty if moving is None else moving, [class_of('road')])  # fmt: skip


def test_a_sheet_is_what_was_seen() -> None:
    mesh = sheet(wall_view(20.0, 0.0), [])
    assert mesh is not None
    assert mesh.vertices[:, 0] == pytest.approx(20.0, abs=1e-3)
    assert set(np.unique(mesh.semantic)) == {class_of('building')}
    # Neither sky nor ground: rows 10 to 45 of a camera 1.5 m high.
    low, high = ((31.5 - row) / 60 * 20 + 1.5 for row in (45, 10))
    assert mesh.vertices[:, 2].min() > low - 0.8
    assert mesh.vertices[:, 2].max() < high + 0.8
    corners = mesh.vertices[mesh.faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (normal[:, 0] < 0).all()


def test_later_views_know_better() -> None:
    first = wall_view(20.0, 0.0)
    assert sheet(first, [wall_view(20.0, 0.0)]) is None
    # Later the way is free up to 40 m: the wall was wrong.
    assert sheet(first, [wall_view(40.0, 0.0)]) is None
    # Later something nearer hides it.
    assert sheet(first, [wall_view(10.0, 0.0)]) is not None


def test_most_views_decide_what_stands_there() -> None:
    first = wall_view(20.0, 0.0)
    right, wrong = [wall_view(20.0, x) for x in (-1.0, -2.0)], wall_view(60.0, -3.0)
    assert sheet(first, [], [wrong]) is None
    assert sheet(first, [], [*right, wrong]) is not None
    assert sheet(first, [], [right[0], wrong, wall_view(60.0, -4.0)]) is None
    # Views of one moment agree with themselves: that proves nothing.
    assert sheet(first, [], [first, first, wrong]) is None


def test_a_vehicle_stays_if_another_view_saw_it_standing() -> None:
    car = np.full((CAMERA.height, CAMERA.width), class_of('car'), np.uint8)
    first = replace(wall_view(20.0, 0.0), semantic=car)
    assert sheet(first, []) is None
    assert sheet(first, [], [wall_view(20.0, -1.0)]) is not None
    assert sheet(first, [], [wall_view(60.0, -1.0)]) is None


def test_what_nothing_near_is_behind_stays_unknown() -> None:
    moving = np.zeros((CAMERA.height, CAMERA.width), bool)
    moving[:, 30:] = True
    view = wall_view(20.0, 0.0, moving)
    assert (view.depth[20:40, 31:36] == 20.0).all()
    assert np.isnan(view.depth[20:40, 50:]).all()
    assert not view.seen[moving].any()
    # Something behind, not the near thing itself, is what it hides.
    depth = np.full((CAMERA.height, CAMERA.width), 10.0, np.float32)
    depth[:, 30:] = 20.0
    classes = np.full(depth.shape, class_of('building'), np.uint8)
    image = np.zeros((*depth.shape, 3), np.uint8)
    near = standing_view(image, CAMERA, SENSOR, depth, classes, moving, [])
    assert np.isnan(near.depth[:, 30:]).all()


def test_no_sky_is_painted_on_what_stands_before_it() -> None:
    view = wall_view(20.0, 0.0)
    image = np.where((np.arange(CAMERA.height) < 11)[:, None, None], 250, view.image)
    picture = without_sky(replace(view, image=image.astype(np.uint8)))
    assert (picture == 120).all()
    nothing = replace(view, depth=np.full_like(view.depth, np.inf))
    np.testing.assert_array_equal(without_sky(nothing), view.image)


def test_there_is_no_ground_above_the_horizon() -> None:
    depth = np.full((CAMERA.height, CAMERA.width), 20.0, np.float32)
    road = np.full(depth.shape, class_of('road'), np.uint8)
    image = np.zeros((*depth.shape, 3), np.uint8)
    view = standing_view(image, CAMERA, SENSOR, depth, road, depth < 0, [class_of('road')])
    assert not view.ground[:31].any()
    assert view.ground[33:].all()


def test_moving_things_are_painted_over() -> None:
    moving = np.zeros((CAMERA.height, CAMERA.width), bool)
    moving[20:40, 30:60] = True
    view = wall_view(20.0, 0.0, moving)
    assert (view.depth[20:40, 30:60] == 20.0).all()
    assert not view.ground[moving].any()


def test_height_field_of_a_slope() -> None:
    """A road that rises by 3 %."""
    view = wall_view(20.0, 0.0)
    rows = np.arange(CAMERA.height)[:, None] + np.zeros((1, CAMERA.width))
    # Camera 1.5 m high, level: z = 1.5 - depth (v - cy) / f = 0.03 depth.
    depth = 1.5 / np.maximum((rows - 31.5) / 60 + 0.03, 1e-3)
    view = replace(view, measured=depth.astype(np.float32))
    bases = np.stack([np.eye(4), from_euler(0, -0.03, 0, np.array([4.0, 0, 0.12]))])
    field = HeightField([view], bases)
    spots = np.array([[5.0, 0.0], [6.0, 1.0]])
    assert field.at(spots) == pytest.approx(0.03 * spots[:, 0], abs=0.06)


def test_radiance_is_what_the_camera_turned_into_bytes() -> None:
    light = np.linspace(0.01, 1.5, 256, dtype=np.float32)
    rows = np.repeat(light[None, :, None], 3, 2).repeat(4, 0)
    image = develop(rows, Sensor(exposure=1.0), 0, Workers(1))
    found = radiance(image)[0, :, 0]
    assert found == pytest.approx(light, rel=0.06, abs=0.01)


def test_srgb_bytes_come_back() -> None:
    from sim_perception.simulator.light.mipmaps import LINEAR

    assert np.array_equal(to_srgb(LINEAR), np.arange(256))


def painted_pixels(sun: np.ndarray, ambient: float, albedo: np.ndarray) -> SurfacePixels:
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(600, 3))
    normals[:, 2] = np.abs(normals[:, 2])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    owner = np.arange(600) % len(albedo)
    share = ambient + (1 - ambient) * np.clip(normals @ sun, 0, None)
    color = albedo[owner] * share[:, None] * rng.normal(1, 0.02, (600, 1))
    color[::15] = 1.5  # mirror images
    return SurfacePixels(normals, color, owner)


def test_paint_and_light_are_told_apart() -> None:
    sun = np.array([0.6, -0.4, 0.69])
    sun /= np.linalg.norm(sun)
    albedo = np.array([[0.6, 0.1, 0.1], [0.05, 0.08, 0.3], [0.4, 0.4, 0.4]])
    look = fit_appearance(painted_pixels(sun, 0.45, albedo), 4)
    assert look.sun @ sun > np.cos(0.2)
    assert look.ambient == pytest.approx(0.45, abs=0.1)
    assert look.albedo[:3] == pytest.approx(albedo, rel=0.15)
    assert np.isnan(look.albedo[3]).all()
    weather = weather_of(look)
    assert weather['sun_azimuth_deg'] == pytest.approx(np.rad2deg(np.arctan2(-0.4, 0.6)), abs=12)
    cloudy = weather_of(replace(look, ambient=0.95))
    assert cloudy['cloud_cover'] > weather['cloud_cover']
    load_scenario('clean', weather=weather)


def test_appearance_refuses_what_it_cannot_use() -> None:
    pixels = painted_pixels(np.array([0, 0, 1.0]), 0.5, np.ones((2, 3)) / 2)
    with pytest.raises(ValueError, match='objects 0 to 0'):
        fit_appearance(pixels, 1)
    with pytest.raises(ValueError, match='needs pixels'):
        fit_appearance(SurfacePixels(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0, int)), 1)
    with pytest.raises(ValueError, match='finite'):
        SurfacePixels(np.full((1, 3), np.nan), np.zeros((1, 3)), np.zeros(1, int))


def test_changes_of_a_scenario_are_yaml() -> None:
    changes = parse_changes(['weather.fog_density=.03', 'camera.pitch_deg=[-2, 2]', 'a=b=c'])
    assert changes == {'weather.fog_density': 0.03, 'camera.pitch_deg': [-2, 2], 'a': 'b=c'}
    with pytest.raises(ValueError, match='field=value'):
        parse_changes(['fog'])


@pytest.fixture(scope='module')
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small simulated recording."""
    folder = tmp_path_factory.mktemp('recorded')
    values = {
        'duration_s': 0.5, 'camera': {'width': 160, 'height': 64},
        'street': {'building_density': 0.5, 'furniture_density': 0.0, 'billboard_density': 0.0},
        'traffic': {'pedestrians_per_km': 0, 'cyclists_per_km': 0, 'vehicles_per_km': 20},
        'lidar': {'rings': 16, 'columns': 256},
    }  # fmt: skip
    return simulate_bag(folder / 'bag', yaml.safe_dump(values))


@pytest.mark.slow
def test_a_simulated_drive_comes_back(recorded: Path, tmp_path: Path) -> None:
    job = ResimulateJob(recorded, tmp_path / 'again.yaml', shape=ROOT / 'models/shape_car')
    summary = resimulate(job)
    assert summary['motion'].startswith('poses from /tf')
    drive = read_drive(job.drive)
    assert len(drive.objects) == summary['objects'] > 0
    scores = evaluate_resimulation(job.out, recorded, limit=2)
    assert scores['iou_median'] > 0.95
    assert scores['iou_above_0.7'] == 1.0
    assert scores['depth_abs_rel_all'] < 0.15
    # The scenario goes on where any other does.
    (plan,) = plan_bags(
        str(job.out), 0, tmp_path / 'fog', layers='rgb', duration=0.2,
        changes=['weather.fog_density=0.03'],
    )  # fmt: skip
    assert write_bag(plan, 1, lambda: None) > 0


def test_unusable_inputs_are_named(recorded: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='YAML'):
        ResimulateJob(recorded, tmp_path / 'again')
    job = ResimulateJob(
        recorded, tmp_path / 'again.yaml', labels=tmp_path, shape=ROOT / 'models/shape_car'
    )
    with pytest.raises(DatasetError, match='has no labels'):
        resimulate(job)
    result = CliRunner().invoke(app, ['resimulate', '--help'])
    assert result.exit_code == 0
