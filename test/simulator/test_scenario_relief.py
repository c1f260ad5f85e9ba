"""Uneven ground: what is seen, labelled and driven on agrees about where it is."""

from __future__ import annotations

import numpy as np
import pytest

from sim_perception.geometry.cameras import project, unproject
from sim_perception.geometry.transforms import invert, transform_points
from sim_perception.simulator.content.materials import Slot
from sim_perception.simulator.content.meshes.builder import MeshBuilder, grid_faces
from sim_perception.simulator.content.meshes.drape import drape
from sim_perception.simulator.scenario import ScenarioError, load_scenario
from sim_perception.simulator.simulation import Simulation
from sim_perception.simulator.street.layout import Layout
from sim_perception.simulator.street.motion import Motion, Paths
from sim_perception.simulator.street.relief import Relief, make_relief
from sim_perception.simulator.street.stance import Support
from sim_perception.simulator.street.suspension import Suspension
from sim_perception.taxonomy import load_taxonomy

HILLS = {
    'duration_s': 4.0,
    'relief': {
        'slope_percent': 8, 'crest_spacing_m': [80, 160], 'bank_percent': 6, 'bumps_per_km': 30,
    },
    'ego': {'speed_kmh': 40, 'dive_deg_per_g': 2.0, 'lean_deg_per_g': 4.0, 'shake_deg': 0.1},
    'street.curviness': 1.0,
    'street.land_use': ['residential'],
    'camera': {'width': 208, 'height': 72, 'distortion': [], 'supersampling': 1},
    'lidar': {'rings': 16, 'columns': 256, 'range_noise_m': 0.0},
}  # fmt: skip
TIME = 2.0


@pytest.fixture(scope='module')
def simulation() -> Simulation:
    return Simulation(load_scenario('training_wide', seed=4, **HILLS), threads=2)


@pytest.fixture(scope='module')
def relief(simulation: Simulation) -> Relief:
    return make_relief(simulation.scenario, Layout(simulation.scenario))


@pytest.fixture(scope='module')
def frame(simulation: Simulation):
    return simulation.camera_frame(TIME, frozenset({'depth', 'semantic', 'instance', 'flow'}))


def world_points(simulation: Simulation, depth: np.ndarray, time: float = TIME) -> np.ndarray:
    pose = simulation.state(time).world_T_base @ simulation.base_T_camera
    return transform_points(pose, unproject(simulation.camera, depth))


def test_the_road_is_seen_where_the_ground_is(simulation, relief, frame):
    points = world_points(simulation, frame.depth)
    road = (frame.semantic == load_taxonomy().id_of('road')) & (frame.depth < 40)
    assert road.sum() > 1000
    gap = points[road][:, 2] - relief.height(points[road][:, :2])
    # Markings lie a little above the road, gutters a little below.
    assert np.quantile(np.abs(gap), 0.98) < 0.02
    assert np.ptp(points[road][:, 2]) > 0.5  # it does rise or fall


def test_boxes_hold_the_points_of_their_objects(simulation, frame):
    points = world_points(simulation, frame.depth)
    state, checked = simulation.state(TIME), 0
    for row, number in enumerate(simulation.objects.id):
        mine = points[(frame.instance == number) & (frame.depth < 60)]
        if len(mine) < 15:
            continue
        inside = transform_points(invert(state.world_T_object[row]), mine)
        beyond = np.abs(inside) - simulation.objects.size[row] / 2
        # Limbs swing a hand's breadth out of a walker's box.
        assert beyond.max() < 0.16, simulation.objects.family[row]
        checked += 1
    assert checked >= 3


def test_flow_of_what_stands_is_reprojection_between_the_poses(simulation, frame):
    before = simulation.state(TIME - simulation.frame_period)
    camera = simulation.camera
    then = invert(before.world_T_base @ simulation.base_T_camera)
    points = transform_points(then, world_points(simulation, frame.depth))
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    expected = project(camera, points)[0] - np.stack([u, v], -1)
    still = (frame.instance == 0) & np.isfinite(frame.depth) & (frame.flow[..., 2] == 1)
    assert still.sum() > 3000
    assert np.abs(frame.flow[..., :2] - expected)[still].max() < 5e-3


def test_lidar_returns_from_the_road_lie_on_the_ground(simulation, relief):
    state = simulation.state(TIME)
    points = simulation.lidar_scan(TIME).points
    local = np.stack([points[k] for k in 'xyz'], -1).astype(float)
    # What was fired first has hardly moved.
    near = (points['time'] < 0.004) & (np.abs(local).max(1) < 40)
    world = transform_points(state.world_T_base @ simulation.base_T_lidar, local[near])
    gap = world[:, 2] - relief.height(world[:, :2])
    assert (np.abs(gap) < 0.01).sum() > 10
    assert gap.min() > -0.27  # open land lies a quarter of a metre below the road


def test_wheels_touch_the_ground(simulation, relief):
    parts = simulation._world._poser
    wheels, checked = parts._wheels, 0
    for time in (0.0, 1.3, TIME):
        poses = simulation.state(time).world_T_instance[wheels]
        owner = simulation.state(time).world_T_object[parts._owner[wheels]]
        lowest = poses[:, :3, 3] - parts._radius[wheels, None] * owner[:, :3, 2]
        gap = lowest[:, 2] - relief.height(lowest[:, :2])
        checked += len(gap)
        assert np.quantile(np.abs(gap), 0.9) < 0.01
        assert np.abs(gap).max() < 0.06  # one wheel on a bump's shoulder
    assert checked > 30


def test_motion_is_the_derivative_of_the_poses(simulation):
    h = 2e-3
    for time in (0.55, 2.34):
        low, mid, high = (simulation.state(time + d) for d in (-h, 0, h))
        velocity = (high.world_T_object - low.world_T_object)[:, :3, 3] / (2 * h)
        np.testing.assert_allclose(mid.velocity, velocity, atol=0.03)
        base = (high.world_T_base - low.world_T_base)[:3, 3] / (2 * h)
        np.testing.assert_allclose(mid.base_velocity, base, atol=0.03)
        acceleration = (high.velocity - low.velocity) / (2 * h)
        np.testing.assert_allclose(mid.acceleration, acceleration, atol=0.6)
        # W R is the rate of the rotation R.
        rate = (high.world_T_base - low.world_T_base)[:3, :3] / (2 * h)
        x, y, z = mid.base_angular_velocity
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        np.testing.assert_allclose(cross @ mid.world_T_base[:3, :3], rate, atol=0.02)
    np.testing.assert_allclose(
        mid.net_force, simulation.objects.mass[:, None] * mid.acceleration, rtol=1e-5
    )


def test_slope_bank_and_bumps_are_as_asked(simulation, relief):
    layout = Layout(simulation.scenario)
    s = np.arange(layout.start, layout.end, 2.0)
    fields = {**HILLS['relief'], 'bumps_per_km': 0}
    smooth = make_relief(
        load_scenario('training_wide', seed=4, **{**HILLS, 'relief': fields}), layout
    )
    line = smooth.height(layout.line(s, 0.0)[:, :2])
    assert np.abs(np.diff(line) / 2).max() == pytest.approx(0.08, abs=2e-3)
    left, right = (smooth.height(layout.line(s, d)[:, :2]) for d in (3.0, -3.0))
    bends = np.abs(layout.bend(s)) > 1 / 200
    assert bends.any()
    assert (np.sign(right - left) == np.sign(layout.bend(s)))[bends].all()  # inside is lower
    assert np.abs(left - right).max() / 6 <= 0.06 + 1e-6
    for bump in relief.bumps:
        top = layout.line(np.array([bump.s]), 1.0)[:, :2]
        assert relief.height(top) - smooth.height(top) == pytest.approx(bump.height, abs=1e-6)
    assert len(relief.bumps) >= 3


def test_street_coordinates_come_back(simulation):
    layout, rng = Layout(simulation.scenario), np.random.default_rng(0)
    s, d = rng.uniform(layout.start, layout.end, 500), rng.uniform(-30, 30, 500)
    back = layout.locate(np.stack(layout.place(s, d), -1))
    np.testing.assert_allclose(back[0], s, atol=0.02)
    np.testing.assert_allclose(back[1], d, atol=0.01)


def test_draped_ground_follows_the_relief_without_gaps(relief):
    builder = MeshBuilder()
    x, y = np.meshgrid(np.linspace(-20, 60, 6), np.linspace(-8, 8, 3))
    flat = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], -1)
    builder.add(flat, grid_faces(3, 6), Slot.ASPHALT)
    mesh = drape(builder.build(), relief)
    corners = mesh.vertices[mesh.faces].astype(float)
    (ax, ay), (bx, by) = ((corners[:, k, :2] - corners[:, 0, :2]).T for k in (1, 2))
    flat_area = (ax * by - ay * bx) / 2
    assert (flat_area > 0).all()
    assert flat_area.sum() == pytest.approx(80 * 16, rel=1e-6)
    middle = corners.mean(1)
    assert np.abs(middle[:, 2] - relief.height(middle[:, :2])).max() < 0.02
    # Inner edges are shared by two triangles: nothing is torn open.
    pairs = np.stack([mesh.faces, np.roll(mesh.faces, -1, 1)], -1).reshape(-1, 2)
    edges, uses = np.unique(np.sort(pairs, 1), axis=0, return_counts=True)
    ends = mesh.vertices[edges[uses == 1], :2].astype(float)
    assert np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1).sum() == pytest.approx(2 * 96, rel=1e-5)
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    shading = mesh.normals[mesh.faces].mean(1)
    cosine = (face * shading).sum(1) / np.linalg.norm(face, axis=1)
    assert np.quantile(cosine, 0.05) > 0.995


def drive(acceleration: float, relief: Relief | None = None, **ego: float) -> Suspension:
    """Return the body's motion in a drive on a straight road from 20 m/s."""
    scenario = load_scenario('clean', seed=1, duration_s=3.0, ego={'speed_kmh': 40, **ego})
    rows = np.arange(-20, 6, 0.1)[:, None]
    v = np.where(rows < 0, 20.0, 20.0 + acceleration * np.maximum(rows, 0))
    s = 200 + np.cumsum(v, 0) * 0.1 - v[0] * 0.1
    a = np.where(rows < 0, 0.0, acceleration)
    paths = Paths([np.array([[0.0, 0, 0], [900.0, 0, 0]])])
    wheels = Support(np.zeros(1), np.full(1, 1.35), np.full(1, 0.75))
    return Suspension(scenario, paths, Motion(-20.0, 0.1, s, v, a), relief, wheels)


def test_braking_dips_the_nose_by_the_given_angle():
    body = drive(-3.0, dive_deg_per_g=2.0)
    assert body.at(-0.5).pitch[0] == pytest.approx(0.0, abs=1e-6)
    assert np.degrees(body.at(2.5).pitch[0]) == pytest.approx(-2.0 * 3 / 9.81, rel=0.02)
    assert body.at(2.5).roll[0] == pytest.approx(0.0, abs=1e-9)


def test_a_shaking_body_shakes_by_the_given_angle():
    body = drive(0.0, shake_deg=0.2)
    pitch = np.degrees([body.at(t).pitch[0] for t in np.arange(0, 3, 0.02)])
    assert 0.15 < pitch.std() < 0.8  # twice as fast as 10 m/s
    assert np.abs(np.diff(pitch)).max() < 0.4


def test_flat_scenarios_keep_their_identity():
    text = load_scenario('training_narrow').model_dump_json()
    assert 'relief' not in text
    assert 'shake' not in text
    assert 'shake' in load_scenario('clean', ego={'shake_deg': 0.1}).model_dump_json()
    assert make_relief(load_scenario('clean'), Layout(load_scenario('clean'))) is None


def test_impossible_hills_are_refused():
    with pytest.raises(ScenarioError, match=r'slope_percent.*must lie within'):
        load_scenario('clean', relief={'slope_percent': 40})
