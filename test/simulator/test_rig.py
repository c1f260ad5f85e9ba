"""A vehicle's list of sensors: places, calibrations, pairs and what their data say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from sim_perception.bags import topics as t_
from sim_perception.bags.reader import BagReader
from sim_perception.bags.rig_topics import rig_topics
from sim_perception.bags.sensors import (
    AmbiguousSensorError,
    Sensors,
    cameras,
    choose_camera,
    lidars,
)
from sim_perception.geometry.cameras import project, unproject
from sim_perception.geometry.transforms import transform_points
from sim_perception.simulator.scenario import ScenarioError, load_scenario, parse_scenario
from sim_perception.simulator.simulation import Simulation
from training.simulation.plans import plan_bags
from training.simulation.write import write_bag

BARE = {'building_density': 0, 'tree_spacing_m': 200, 'furniture_density': 0,
        'billboard_density': 0}  # fmt: skip
CALIBRATION = {
    'image_width': 64,
    'image_height': 48,
    'camera_name': 'rear',
    'camera_matrix': {'rows': 3, 'cols': 3, 'data': [40.0, 0, 30.5, 0, 41.0, 22.5, 0, 0, 1]},
    'distortion_model': 'plumb_bob',
    'distortion_coefficients': {'rows': 1, 'cols': 5, 'data': [-0.05, 0.01, 0.001, 0, 0]},
    'rectification_matrix': {'rows': 3, 'cols': 3, 'data': [1, 0, 0, 0, 1, 0, 0, 0, 1]},
    'projection_matrix': {
        'rows': 3, 'cols': 4, 'data': [38.0, 0, 30, 0, 0, 38.0, 22, 0, 0, 0, 1, 0],
    },
}  # fmt: skip
LEFT = {'name': 'stereo/left', 'kind': 'camera', 'xyz': [1.0, 0.25, 1.4], 'rpy': [0, 0.05, 0]}
RIGHT = {**LEFT, 'name': 'stereo/right', 'xyz': [1.0, -0.25, 1.4], 'stereo_with': 'stereo/left'}
RIG = [
    {'name': 'roof', 'kind': 'lidar', 'xyz': [0, 0, 1.9]},
    LEFT,
    RIGHT,
    {'name': 'rear', 'kind': 'camera', 'xyz': [-1, 0, 1.2], 'rpy': [0, 0, np.pi], 'rate_hz': 5,
     'calibration': 'rear.yaml', 'topics': {'image_raw': '/back/image'}},
    {'name': 'front_low', 'kind': 'lidar', 'xyz': [2, 0, 0.6], 'rpy': [0, 0, np.pi / 2],
     'rate_hz': 5, 'settings': {'rings': 2, 'fov_up_deg': 0, 'fov_down_deg': -5}},
]  # fmt: skip


def scene(sensors: list[dict], **fields: object) -> dict:
    return {
        'duration_s': 0.4,
        'camera': {'width': 64, 'height': 48},
        'lidar': {'rings': 4, 'columns': 64},
        'street': BARE,
        'sensors': sensors,
        **fields,
    }


@pytest.fixture(scope='module')
def rig_bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('rig')
    (folder / 'rear.yaml').write_text(yaml.safe_dump(CALIBRATION))
    (folder / 'rig.yaml').write_text(yaml.safe_dump(scene(RIG)))
    plan = plan_bags(str(folder / 'rig.yaml'), 3, folder / 'bag')[0]
    frames: list[int] = []
    write_bag(plan, 1, lambda: frames.append(1))
    assert len(frames) == plan.frames == 4 + 4 + 2
    return folder / 'bag'


def test_every_sensor_is_in_the_bag_at_its_rate(rig_bag: Path) -> None:
    with BagReader(rig_bag) as bag:
        assert [c.image for c in cameras(bag)] == [
            '/back/image', '/stereo/left/image_raw', '/stereo/right/image_raw',
        ]  # fmt: skip
        assert lidars(bag) == ['/front_low/points', '/roof/points']
        counts = {'/stereo/left/image_raw': 4, '/back/image': 2, '/rear/camera_info': 2,
                  '/front_low/points': 2, '/roof/points': 4, '/ground_truth/depth': 4,
                  '/rear/ground_truth/objects_2d': 2,
                  '/stereo/right/ground_truth/depth': 4}  # fmt: skip
        assert {name: bag.count(name) for name in counts} == counts
        with pytest.raises(AmbiguousSensorError, match='camera=/stereo/left/image_raw'):
            choose_camera(bag)
        assert choose_camera(bag, 'stereo/right').info == '/stereo/right/camera_info'
        # Under another name than usual the calibration is found by its frame.
        assert choose_camera(bag, 'back').info == '/rear/camera_info'


def test_places_are_those_of_the_list(rig_bag: Path) -> None:
    with BagReader(rig_bag, Sensors(camera='rear')) as bag:
        tree = bag.transforms
        stamp = int(bag.stamps('/back/image')[0])
        rear = tree.lookup('base_link', 'rear_optical_frame', stamp)
        np.testing.assert_allclose(rear[:3, 3], [-1, 0, 1.2], atol=1e-9)
        np.testing.assert_allclose(rear[:3, 2], [-1, 0, 0], atol=1e-9)
        low = tree.lookup('base_link', 'front_low', stamp)
        np.testing.assert_allclose(low[:3, 0], [0, 1, 0], atol=1e-9)


def test_a_calibration_file_is_the_cameras(rig_bag: Path) -> None:
    with BagReader(rig_bag) as bag:
        info = bag.message('/rear/camera_info', 0)
        for field, name in (('k', 'camera_matrix'), ('p', 'projection_matrix')):
            np.testing.assert_array_equal(getattr(info, field), CALIBRATION[name]['data'])
        raw = bag.camera('/rear/camera_info')
        assert (raw.width, raw.height, raw.fx, raw.cy) == (64, 48, 40.0, 22.5)
        assert bag.frame('/back/image', 0).image.shape == (48, 64, 3)


def test_all_sensors_see_the_same_world(rig_bag: Path) -> None:
    """Depth of one camera agrees with that of another one and with a tilted LiDAR's points."""
    with BagReader(rig_bag) as bag:
        stamp = int(bag.stamps('/roof/points')[0])
        left, right = (bag.camera(f'/stereo/{side}/camera_info') for side in ('left', 'right'))
        truth = {'left': '/ground_truth/depth', 'right': '/stereo/right/ground_truth/depth'}
        depth = {side: bag.image(topic, 0) for side, topic in truth.items()}
        frames = {side: f'stereo_{side}_optical_frame' for side in truth}
        points = unproject(left, depth['left'])[np.isfinite(depth['left'])]
        right_T_left = bag.transforms.lookup(frames['right'], frames['left'], stamp)
        assert _agreement(depth['right'], right, transform_points(right_T_left, points)) > 0.9
        info = bag.message('/stereo/right/camera_info', 0)
        assert -info.p[3] / info.p[0] == pytest.approx(-right_T_left[0, 3]) == pytest.approx(0.5)
        for lidar in ('roof', 'front_low'):
            cloud = bag.cloud(f'/{lidar}/points', 0)
            xyz = np.stack([cloud[name] for name in 'xyz'], -1).astype(float)
            left_T_lidar = bag.transforms.lookup(frames['left'], lidar, stamp)
            seen = transform_points(left_T_lidar, xyz)
            assert _agreement(depth['left'], left, seen, 0.1) > 0.6, lidar


def _agreement(depth, camera, points, tolerance=0.05):
    """Return the share of points within an image whose depth is that of their pixel."""
    pixels, away = project(camera, points)
    column, row = np.rint(pixels).T
    inside = (away > 0.5) & (column >= 0) & (column < camera.width)
    inside &= (row >= 0) & (row < camera.height)
    there = depth[row[inside].astype(int), column[inside].astype(int)]
    assert inside.sum() > 5
    near = np.abs(there - away[inside]) < tolerance * away[inside]
    return near.mean()


def test_cameras_of_a_pair_are_equal_and_their_noise_is_not() -> None:
    noisy = {'width': 64, 'height': 48, 'read_noise': 0.05, 'exposure': [0.2, 2.0],
             'horizontal_fov_deg': [50, 100]}  # fmt: skip
    other = {**LEFT, 'name': 'other'}
    simulation = Simulation(parse_scenario(scene([LEFT, RIGHT, other], camera=noisy)), 1)
    left, right, third = simulation.cameras.values()
    assert (left.camera, left.sensor) == (right.camera, right.sensor)
    assert third.camera.fx != left.camera.fx
    assert third.sensor.exposure != left.sensor.exposure
    assert len({left.seed, right.seed, third.seed}) == 3


def test_the_usual_sensors_as_a_list_give_the_usual_bytes() -> None:
    single = parse_scenario(scene([]))
    mount = {'rpy': [0.0, 0.0, 0.0]}
    listed = [
        {'name': 'camera', 'kind': 'camera', 'xyz': [0.3, 0.0, 1.65], **mount},
        {'name': 'lidar', 'kind': 'lidar', 'xyz': [0.0, 0.0, 1.75], **mount},
    ]
    both = [Simulation(parse_scenario(scene(sensors)), 1) for sensors in ([], listed)]
    assert rig_topics(both[0].scenario) == t_.TOPICS
    assert rig_topics(both[1].scenario) == t_.TOPICS
    frames = [simulation.camera_frame(0.1) for simulation in both]
    for name in ('rgb', 'depth', 'semantic', 'flow'):
        np.testing.assert_array_equal(getattr(frames[0], name), getattr(frames[1], name))
    scans = [simulation.lidar_scan(0.1).points for simulation in both]
    np.testing.assert_array_equal(*scans)
    assert 'sensors' not in single.model_dump_json()


def test_a_slow_cameras_flow_is_of_its_own_last_frame() -> None:
    slow = {**LEFT, 'rate_hz': 5}
    fast = {**LEFT, 'name': 'fast'}
    street = {'ego': {'speed_kmh': 36}, 'traffic': {'vehicles_per_km': 0}}
    simulation = Simulation(parse_scenario(scene([slow, fast], **street)), 1)
    assert not simulation.camera_frame(0.0, frozenset({'flow'})).flow[..., 2].any()
    shifts = []
    for name in simulation.cameras:
        flow = simulation.camera_frame(0.2, frozenset({'flow'}), name).flow
        assert flow[..., 2].any()
        shifts.append(np.hypot(flow[..., 0], flow[..., 1])[flow[..., 2] > 0].mean())
    assert shifts[0] > 1.5 * shifts[1]


def changed(base: dict, **fields: object) -> dict:
    return {**base, **fields}


@pytest.mark.parametrize(
    ('sensors', 'words'),
    [
        ([changed(LEFT, kind='radar')], ['kind', 'radar', 'lidar']),
        ([changed(LEFT, name='9 lives')], ['name', '9 lives', 'letter']),
        ([changed(LEFT, xyz=[0, 0, -1])], ['xyz', '-1', '0.05']),
        ([changed(LEFT, rate_hz=0)], ['rate_hz', '0']),
        ([changed(LEFT, settings={'width': 2})], ['stereo/left.settings.width', '2', '16']),
        ([changed(LEFT, settings={'rings': 2})], ['settings.rings', 'unknown field']),
        ([changed(LEFT, topics={'points': '/x'})], ['points', 'image_raw']),
        ([changed(LEFT, stereo_with='nobody')], ['nobody', 'before']),
        ([LEFT, LEFT], ['name stereo/left', 'more than once']),
        ([LEFT, changed(LEFT, name='b', topics={'image_raw': '/stereo/left/image_raw'})],
         ['topic /stereo/left/image_raw', 'more than once']),
        ([RIG[0]], ['must be a camera']),
        ([LEFT, changed(RIGHT, rpy=[0, 0.1, 0])], ['look as stereo/left']),
        ([LEFT, changed(RIGHT, xyz=[1.0, 0.6, 1.4])], ['lie to its right']),
        ([changed(LEFT, calibration={**CALIBRATION, 'distortion_model': 'equidistant'})],
         ['plumb_bob', 'equidistant']),
        ([changed(LEFT, calibration={'image_width': 64})], ['calibration.image_height']),
        ([changed(LEFT, calibration='rear.yaml')], ['calibration', 'file']),
        ([changed(LEFT, calibration=CALIBRATION), changed(RIGHT, calibration=CALIBRATION)],
         ['0.0000 m', '0.5000 m']),
    ],
)  # fmt: skip
def test_wrong_lists_are_named(sensors, words):
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(scene(sensors))
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_a_missing_calibration_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / 'mine.yaml'
    path.write_text(yaml.safe_dump(scene(RIG)))
    with pytest.raises(ScenarioError, match=r'rear\.yaml'):
        load_scenario(path)


def test_the_documented_rig_loads(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / 'docs' / 'rigs.md').read_text()
    (tmp_path / 'rig.yaml').write_text(page.split('```yaml\n')[1].split('```')[0])
    (tmp_path / 'rear.yaml').write_text(yaml.safe_dump(CALIBRATION))
    scenario = load_scenario(tmp_path / 'rig.yaml')
    topics = rig_topics(scenario)
    assert {'/stereo/right/camera_info', '/rear/image_raw', '/bumper/points'} <= set(topics)
    rates = {stream.name: stream.rate_hz for stream in scenario.streams}
    assert rates == {'stereo/left': 10, 'stereo/right': 10, 'rear': 5, 'roof': 10, 'front': 10}
