"""LiDARs by name, second returns, panes, wet roads and the vehicle's own body."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from synthetic_scenes import CAR, Builder, box_mesh, plane_mesh

from sim_perception.bags.clouds import cloud_array, xyz
from sim_perception.bags.messages import cloud_message
from sim_perception.geometry.transforms import from_euler
from sim_perception.simulator.common.scene import Material
from sim_perception.simulator.scenario import ScenarioError, parse_scenario
from sim_perception.simulator.scenario_parts import LidarName
from sim_perception.simulator.sensors.lidar import DUAL_POINT, POINT, Lidar
from sim_perception.simulator.sensors.lidar_models import MODELS, lidar_spec
from sim_perception.simulator.sensors.lidar_spec import LidarSpec
from sim_perception.simulator.sensors.onward import BodyView

IDEAL = LidarSpec(
    rings=24, columns=256, range_noise=0.0, dropout=0.0, reference_range=float('inf')
)
ROOF = from_euler(0, 0, 0, np.array([0.2, 0.1, 1.7]))
GLASS = Material('glass', lidar_reflectance=0.03, transmission=1.0)


def reach(points):
    return np.linalg.norm(np.stack([points[k] for k in 'xyz'], -1).astype(float), axis=1)


def scan(builder, spec, body=None, threads=1):
    return Lidar(builder.scene(), spec, threads, body).scan(builder.state(), ROOF, 5).points


def room():
    """Return a builder with walls all around and a floor, so that every beam meets something."""
    builder = Builder()
    builder.place(plane_mesh(), (0, 0, 0))
    builder.place(box_mesh(np.array([80.0, 80.0, 80.0])), (0, 0, 0))
    return builder


def test_every_model_is_a_name_of_the_scenario():
    assert set(MODELS) | {'generic'} == set(get_args(LidarName))


@pytest.mark.parametrize(
    ('name', 'rings', 'top', 'bottom', 'some'),
    [
        ('hdl_64e', 64, 2.0, -24.33, {31: -8.333, 32: -8.83, 1: 1.667}),
        ('vlp_16', 16, 15.0, -15.0, {7: 1.0, 8: -1.0}),
        ('vlp_32c', 32, 15.0, -25.0, {1: 10.333, 11: 0.0, 27: -7.254, 30: -15.639}),
        ('os1_64', 64, 16.6, -16.6, {}),
        ('os1_128', 128, 22.5, -22.5, {}),
        ('pandar_64', 64, 14.882, -24.897, {4: 3.04, 17: 0.0, 53: -6.061, 62: -18.889}),
        ('rs_m1', 126, 12.5, -12.5, {}),
    ],
)
def test_beams_point_where_the_manual_says(name, rings, top, bottom, some):
    spec = MODELS[name].spec
    elevation = np.rad2deg(np.arcsin(spec.directions()[..., 2]))
    assert elevation.shape[1] == rings
    assert np.ptp(elevation, axis=0).max() < 1e-9
    assert (np.diff(elevation[0]) < 0).all()
    for ring, angle in {0: top, rings - 1: bottom, **some}.items():
        assert elevation[0, ring] == pytest.approx(angle, abs=2e-3)


def test_azimuth_offsets_go_clockwise():
    spec = MODELS['vlp_32c'].spec
    beams = spec.directions()[0]
    azimuth = np.rad2deg(np.arctan2(beams[:, 1], beams[:, 0])) % 360
    # The start is straight behind; laser 28 of the manual (-2 degrees) is 4.2 degrees on.
    assert azimuth[17] == pytest.approx(180 - 4.2)
    assert azimuth[6] == pytest.approx(180 + 4.2)


def test_firing_cycles_give_the_columns():
    mount = parse_scenario({'lidar': {'model': 'vlp_16'}}).lidar
    assert lidar_spec(mount, 'vlp_16').columns == 1808
    fast = parse_scenario({'lidar': {'model': 'vlp_16', 'rate_hz': 20}}).lidar
    assert lidar_spec(fast, 'vlp_16').columns == 904
    own = {'model': 'vlp_16', 'columns': 300, 'range_noise_m': 0.0}
    spec = lidar_spec(parse_scenario({'lidar': own}).lidar, 'vlp_16')
    assert (spec.columns, spec.range_noise, spec.max_range) == (300, 0.0, 100.0)
    with pytest.raises(ValueError, match='rs_m1 turns at 10 to 10'):
        lidar_spec(parse_scenario({'lidar': {'model': 'rs_m1', 'rate_hz': 5}}).lidar, 'rs_m1')
    with pytest.raises(ScenarioError, match='model decides rings'):
        parse_scenario({'lidar': {'model': 'os1_64', 'rings': 16}})


def test_a_named_model_survives_being_written():
    scenario = parse_scenario({'lidar': {'model': ['vlp_16', 'rs_m1'], 'columns': 500}})
    again = parse_scenario(scenario.model_dump(mode='json'))
    assert again == scenario
    assert lidar_spec(again.lidar, 'rs_m1') == lidar_spec(scenario.lidar, 'rs_m1')
    assert 'model' not in parse_scenario({}).model_dump()['lidar']


def test_mirrors_scan_line_by_line_to_and_fro():
    spec = replace(MODELS['rs_m1'].spec, dropout=0.0, reference_range=np.inf)
    points = scan(room(), spec)
    assert len(points) == 126 * 625
    assert (np.diff(points['time']) >= 0).all()
    assert (np.diff(points['ring'].astype(int)) >= 0).all()
    azimuth = np.rad2deg(np.arctan2(points['y'], points['x']))
    assert azimuth.max() == pytest.approx(60, abs=0.1)
    assert azimuth.min() == pytest.approx(-60, abs=0.3)
    # Five channels fire at a time, a fifth of the width apart.
    together = azimuth[points['time'] == points['time'][0]]
    assert np.allclose(np.diff(np.sort(together)), 24, atol=0.01)
    for line, sign in ((0, -1), (1, 1), (2, -1)):
        first = (points['ring'] == line) & (azimuth > 36.1)
        assert (np.sign(np.diff(azimuth[first])) == sign).all()


def test_two_returns_come_in_order_of_range_beside_an_edge():
    builder = room()
    builder.place(box_mesh(np.array([1.0, 4.0, 30.0])), (15, 0, 0))
    dual = replace(IDEAL, columns=4096, fov_down_deg=-2.0, divergence_deg=0.3)
    one, two = scan(builder, dual), scan(builder, replace(dual, dual=True))
    assert one.dtype == POINT
    assert two.dtype == DUAL_POINT
    ahead = np.abs(np.arctan2(two['y'], two['x'])) < 0.3
    second = np.flatnonzero((two['return'] == 2) & ahead)
    assert 12 < len(second) < 0.01 * ahead.sum()
    assert (two['return'][second - 1] == 1).all()
    for name in ('ring', 'time'):
        assert (two[name][second - 1] == two[name][second]).all()
    gap = reach(two)[second] - reach(two)[second - 1]
    assert gap.min() >= dual.separation
    # All lie at the box's two edges as the sensor sees them.
    side = np.abs(np.arctan2(two['y'], two['x'])[second])
    assert 0.12 < side.min() <= side.max() < 0.155
    # A share of the beam is a share of the brightness.
    assert (two['intensity'][second] < 0.5 * one['intensity'].max()).all()


def test_a_flat_wall_has_no_second_return():
    assert (scan(room(), replace(IDEAL, dual=True))['return'] == 1).mean() > 0.99


def before_pane(points):
    """Return the points of the beams that meet the pane, whatever is behind it."""
    y, z = (points[k] / np.maximum(points['x'], 1e-6) for k in 'yz')
    return points[(points['x'] > 5) & (np.abs(y) < 0.2) & (z > -0.15)]


def test_beams_pass_panes_and_find_what_is_behind():
    builder = room()
    builder.materials.append(GLASS)
    builder.place(box_mesh(np.array([0.1, 6.0, 6.0]), 2, CAR), (8, 0, 1.7))
    ahead = {}
    for glass in (0.0, 0.8):
        points = scan(builder, replace(IDEAL, glass=glass, reference_range=60.0))
        ahead[glass] = before_pane(points)
    opaque, clear = (reach(ahead[glass]) for glass in (0.0, 0.8))
    assert opaque.max() < 9
    assert (clear > 9).mean() > 0.5
    both = scan(builder, replace(IDEAL, glass=0.8, dual=True, reference_range=300.0))
    both = before_pane(both)
    share = (both['return'] == 2).mean()
    assert share > 0.3
    assert reach(both[both['return'] == 2]).min() > 9


def test_wet_roads_swallow_far_returns_and_mirror_what_stands_on_them():
    builder = Builder()
    builder.place(plane_mesh(), (0, 0, 0))
    builder.materials[0] = replace(builder.materials[0], retroreflectivity=1.0)
    builder.place(box_mesh(np.array([0.5, 12.0, 6.0])), (25, 0, 3.0))
    spec = replace(IDEAL, rings=64, reference_range=40.0, wet=1.0)
    dry = scan(builder, spec)
    builder.environment = replace(builder.environment, wetness=1.0)
    plain, wet = scan(builder, replace(spec, wet=0.0)), scan(builder, spec)
    np.testing.assert_array_equal(plain, dry)

    def road(points):
        return (np.abs(points['z'] + 1.7) < 0.1) & (reach(points) > 12)

    assert road(wet).sum() < 0.5 * road(dry).sum()
    below = wet['z'] < -1.9
    assert below.sum() > 5
    assert (dry['z'] > -1.9).all()
    # The mirror image of the box: as far as the box, as deep as it is high.
    assert np.abs(wet['x'][below] - 24.55).max() < 0.2


def test_the_own_body_hides_what_is_behind_it_and_stays_in_place():
    own, box = Builder(), box_mesh(np.array([2.0, 1.6, 0.4]))
    own.place(replace(box, vertices=box.vertices + np.float32([2.2, 0, 1.0])), (0, 0, 0))
    body = BodyView(own.scene(), ROOF)
    free, blocked = scan(room(), IDEAL), scan(room(), IDEAL, body)
    on_body = (reach(blocked) < 3.5) & (blocked['z'] > -0.6)
    assert on_body.sum() > 20
    assert not ((reach(free) < 3.5) & (free['z'] > -0.6)).any()
    assert np.abs(blocked['z'][on_body & (blocked['x'] > 1.2)] + 0.5).max() < 0.21
    assert len(blocked) == len(free)


def test_threads_do_not_change_second_returns():
    builder = room()
    builder.materials.append(GLASS)
    builder.place(box_mesh(np.array([0.1, 6.0, 6.0]), 2, CAR), (8, 0, 1.7))
    builder.environment = replace(builder.environment, wetness=0.8, rain=0.7)
    spec = replace(IDEAL, dual=True, glass=0.7, wet=1.0, reference_range=50.0)
    one, three = scan(builder, spec), scan(builder, spec, threads=3)
    assert one.tobytes() == three.tobytes()


def test_readers_of_clouds_take_the_additional_field():
    points = scan(room(), replace(IDEAL, dual=True))
    message = cloud_message(points, 1, 'lidar')
    assert [field.name for field in message.fields] == list(DUAL_POINT.names)
    read = cloud_array(message)
    np.testing.assert_array_equal(read['return'], points['return'])
    np.testing.assert_array_equal(xyz(read)[:, 0], points['x'])
