"""Calibrations in files are the same camera wherever one is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from simulated_bags import write_pictures

from sim_perception.api.inputs import as_camera
from sim_perception.bags.calibration import camera_of
from sim_perception.bags.messages import camera_info_message
from sim_perception.calibration import read_calibration, read_camera, read_link_pose
from sim_perception.files import FileError
from sim_perception.geometry.cameras import project
from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, transform_points
from sim_perception.simulator.scenario import ScenarioError, load_scenario
from sim_perception.types import Camera
from training.datasets.sources import SourceConfig, open_images
from training.inspection.source import inspect_source

RADTAN = (-0.28, 0.07, 0.001, -0.002)
EQUI = (-0.02, 0.004, -0.003, 0.001)


def info(camera: Camera, model: str) -> dict[str, Any]:
    matrix = camera.matrix.reshape(-1).tolist()
    return {
        'image_width': camera.width, 'image_height': camera.height, 'camera_name': 'front',
        'camera_matrix': {'rows': 3, 'cols': 3, 'data': matrix},
        'distortion_model': model,
        'distortion_coefficients': {'rows': 1, 'cols': 5, 'data': list(camera.distortion)},
    }  # fmt: skip


def cam(**changes: Any) -> dict[str, Any]:
    return {
        'camera_model': 'pinhole', 'intrinsics': [90.0, 91.0, 99.0, 61.0],
        'distortion_model': 'radtan', 'distortion_coeffs': list(RADTAN),
        'resolution': [200, 120], 'rostopic': '/left/image_raw', **changes,
    }  # fmt: skip


RIGHT_T_LEFT = from_euler(0.004, -0.01, 0.003, np.array([-0.12, 0.002, 0.001]))
CHAIN = {
    'cam0': cam(),
    'cam1': cam(
        intrinsics=[92.0, 92.5, 101.0, 59.0],
        rostopic='/right/image_raw',
        T_cn_cnm1=RIGHT_T_LEFT.tolist(),
    ),
}
URDF = """<?xml version="1.0"?>
<robot name="r">
  <link name="base_footprint"/><link name="base_link"/><link name="mast"/>
  <link name="camera_link"/><link name="camera_optical_frame"/><link name="arm"/><link name="eye"/>
  <joint name="a" type="fixed"><parent link="base_footprint"/><child link="base_link"/>
    <origin xyz="0 0 0.3"/></joint>
  <joint name="b" type="fixed"><parent link="base_link"/><child link="mast"/>
    <origin xyz="0.2 0 1.0" rpy="0 0 1.5707963267948966"/></joint>
  <joint name="c" type="fixed"><parent link="mast"/><child link="camera_link"/>
    <origin xyz="0.1 0 0" rpy="0 0.1 -1.5707963267948966"/></joint>
  <joint name="d" type="fixed"><parent link="camera_link"/><child link="camera_optical_frame"/>
    <origin rpy="-1.5707963267948966 0 -1.5707963267948966"/></joint>
  <joint name="shoulder" type="revolute"><parent link="base_link"/><child link="arm"/></joint>
  <joint name="f" type="fixed"><parent link="arm"/><child link="eye"/></joint>
</robot>"""


def written(folder: Path, values: Any, name: str = 'camera.yaml') -> str:
    path = folder / name
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(values))
    return str(path)


@pytest.mark.parametrize(
    ('model', 'lens', 'fisheye'),
    [
        ('plumb_bob', (*RADTAN, 0.01), False),
        ('rational_polynomial', (*RADTAN, 0.01, 0.1, 0.02, 0.003), False),
        ('equidistant', EQUI, True),
        ('plumb_bob', (), False),
    ],
)
def test_camera_info_files_are_what_their_messages_are(
    tmp_path: Path, model: str, lens: tuple[float, ...], fisheye: bool
) -> None:
    camera = Camera(200, 120, 90.0, 91.0, 99.0, 61.0, lens, fisheye)
    read = read_camera(written(tmp_path, info(camera, model)))
    assert read == camera == as_camera(tmp_path / 'camera.yaml', None)
    assert camera_of(camera_info_message(read, 0, 'c')) == read


def test_opencvs_header_is_no_matter(tmp_path: Path) -> None:
    camera = Camera(200, 120, 90.0, 91.0, 99.0, 61.0)
    text = '%YAML:1.0\n---\n' + yaml.safe_dump(info(camera, 'plumb_bob'))
    assert read_camera(written(tmp_path, text)) == camera


def test_cameras_of_kalibr_see_what_opencv_says(tmp_path: Path) -> None:
    fisheye = cam(distortion_model='equidistant', distortion_coeffs=list(EQUI))
    path = written(tmp_path, {'cam0': cam(), 'cam1': cam(rostopic='/b'), 'cam2': fisheye})
    points = np.random.default_rng(0).uniform([-1, -1, 2], [1, 1, 5], (50, 3))
    matrix = np.array([[90.0, 0, 99], [0, 91, 61], [0, 0, 1]])
    seen, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), matrix, np.array(RADTAN))
    for name in ('cam0', 'cam1', '/b'):
        np.testing.assert_allclose(
            project(read_camera(f'{path}#{name}'), points)[0], seen[:, 0], atol=1e-6
        )
    seen, _ = cv2.fisheye.projectPoints(
        points[:, None], np.zeros(3), np.zeros(3), matrix, np.array(EQUI)
    )
    np.testing.assert_allclose(
        project(read_camera(f'{path}#cam2'), points)[0], seen[:, 0], atol=1e-6
    )


def test_a_chain_of_two_is_a_rectified_pair(tmp_path: Path) -> None:
    path = written(tmp_path, CHAIN)
    left, right = (read_calibration(f'{path}#{name}') for name in CHAIN)
    assert left.baseline == pytest.approx(0)
    assert right.baseline == pytest.approx(np.linalg.norm(RIGHT_T_LEFT[:3, 3]))
    points = np.random.default_rng(1).uniform([-1, -1, 3], [1, 1, 9], (20, 3))
    rows = []
    for calibration, places in ((left, points), (right, transform_points(RIGHT_T_LEFT, points))):
        assert calibration.projection_matrix is not None
        turn = np.reshape(calibration.rectification_matrix.data, (3, 3))
        projection = np.reshape(calibration.projection_matrix.data, (3, 4))
        turned = places @ turn.T @ projection[:, :3].T  # each in its own rectified frame
        rows.append(turned[:, 1] / turned[:, 2])
    np.testing.assert_allclose(*rows, atol=1e-6)


def test_a_link_is_where_the_joints_put_it(tmp_path: Path) -> None:
    path = written(tmp_path, URDF, 'robot.urdf')
    expected = from_euler(0, 0.1, 0, np.array([0.2, 0.1, 1.3]))
    pose = read_link_pose(f'{path}#camera_link')
    np.testing.assert_allclose(pose, expected, atol=1e-12)
    np.testing.assert_allclose(read_link_pose(f'{path}#camera_optical_frame'), pose, atol=1e-12)
    np.testing.assert_allclose(read_link_pose(f'{path}#base_link')[:3, 3], [0, 0, 0.3])


def test_a_scenario_takes_cameras_of_kalibr_and_places_of_a_urdf(tmp_path: Path) -> None:
    written(tmp_path, CHAIN, 'chain.yaml')
    second = URDF.replace(
        '</robot>',
        """<link name="right"/>
      <joint name="e" type="fixed"><parent link="camera_link"/><child link="right"/>
      <origin xyz="0 -0.12 0"/></joint></robot>""",
    )
    written(tmp_path, second, 'robot.urdf')
    sensors = [
        {'name': 'left', 'kind': 'camera', 'urdf': 'robot.urdf#camera_optical_frame',
         'calibration': 'chain.yaml#cam0'},
        {'name': 'right', 'kind': 'camera', 'urdf': 'robot.urdf#right', 'stereo_with': 'left',
         'calibration': 'chain.yaml#/right/image_raw'},
    ]  # fmt: skip
    scenario = load_scenario(written(tmp_path, {'sensors': sensors}, 'rig.yaml'))
    left, right = scenario.sensors
    expected = from_euler(0, 0.1, 0, np.array([0.2, 0.1, 1.3]))
    np.testing.assert_allclose(left.base_T_link, expected, atol=1e-12)
    np.testing.assert_allclose(left.base_T_sensor, left.base_T_link @ BODY_T_OPTICAL)
    assert right.xyz[1] == pytest.approx(-0.02)
    assert right.calibration is not None
    assert right.calibration.camera() == read_camera(f'{tmp_path}/chain.yaml#cam1')


@pytest.mark.parametrize(
    ('entry', 'problem'),
    [
        ({'urdf': 'robot.urdf#eye'}, "joint 'shoulder' above 'arm' is revolute"),
        ({'urdf': 'robot.urdf#camera'}, "unknown link 'camera'; did you mean 'camera_link'"),
        ({'urdf': 'robot.urdf'}, 'say which link.*it has base_footprint, base_link'),
        ({'urdf': 'robot.urdf#mast', 'xyz': [0, 0, 1]}, 'give urdf or xyz and rpy, not both'),
        ({'urdf': 'none.urdf#mast'}, 'none.urdf'),
        ({'xyz': [0, 0, 1], 'calibration': 'chain.yaml'}, 'cameras cam0, cam1; choose one'),
        ({'xyz': [0, 0, 1], 'calibration': 'chain.yaml#cam7'}, "unknown camera 'cam7'"),
        ({'xyz': [0, 0, 1], 'calibration': 'fish.yaml'}, 'simulator draws lenses of plumb_bob'),
    ],
)
def test_scenarios_say_what_is_wrong_with_files(
    tmp_path: Path, entry: dict[str, Any], problem: str
) -> None:
    written(tmp_path, URDF, 'robot.urdf')
    written(tmp_path, CHAIN, 'chain.yaml')
    fish = Camera(200, 120, 90.0, 91.0, 99.0, 61.0, EQUI, True)
    written(tmp_path, info(fish, 'equidistant'), 'fish.yaml')
    sensors = [{'name': 'front', 'kind': 'camera', **entry}]
    with pytest.raises(ScenarioError, match=problem):
        load_scenario(written(tmp_path, {'sensors': sensors}, 'rig.yaml'))


GOOD = info(Camera(200, 120, 90.0, 91.0, 99.0, 61.0), 'plumb_bob')


@pytest.mark.parametrize(
    ('values', 'problem'),
    [
        ('', 'holds NoneType'),
        ('[1, 2]', 'holds list'),
        ('a: [', 'not valid YAML'),
        ({'focal': 3}, 'image_width: Field required'),
        ({**GOOD, 'camera_matrix': {'data': [1.0, 2.0]}}, 'camera_matrix needs 9 numbers, has 2'),
        ({**GOOD, 'camera_matrix': {'data': [0.0] * 9}}, 'is the camera calibrated'),
        ({**GOOD, 'distortion_model': 'magic', 'distortion_coefficients': {'data': [1.0]}},
         "'magic' is not known; use plumb_bob, rational_polynomial or equidistant, or rectify"),
        ({'cam0': cam(camera_model='omni')}, "camera_model 'omni'.*calibrate with pinhole-radtan"),
        ({'cam0': cam(distortion_model='fov')}, "distortion_model 'fov'.*pinhole-equi"),
        ({'cam0': cam(distortion_coeffs=[0.1])}, 'cam0 has 1 distortion_coeffs, radtan has 4'),
        ({'cam0': {'camera_model': 'pinhole'}}, "no camchain of kalibr: it lacks 'intrinsics'"),
        ({**CHAIN, 'cam1': cam()}, "lacks 'T_cn_cnm1'"),
        ({**CHAIN, 'cam1': cam(T_cn_cnm1=[1.0, 2.0])}, 'T_cn_cnm1 of cam1 must be a 4x4 matrix'),
        (URDF, 'a URDF tells where a camera is, not what its lens is'),
    ],
)  # fmt: skip
def test_files_that_are_no_calibration_say_why(tmp_path: Path, values: Any, problem: str) -> None:
    path = written(tmp_path, values)
    with pytest.raises(FileError, match=f'(?s)camera.yaml.*{problem}'):
        read_camera(f'{path}#cam0' if 'T_cn' in problem else path)


@pytest.mark.parametrize(
    ('text', 'problem'),
    [
        ('<robot', 'not valid XML'),
        ('<!DOCTYPE a [<!ENTITY b "c">]><robot/>', 'XML entities'),
        ('<sdf/>', 'no URDF: its root is <sdf>'),
        ('<robot xmlns:xacro="x"><xacro:macro/></robot>', 'xacro file; run'),
        (URDF.replace('0.2 0 1.0', '0.2 0'), "xyz of joint 'b' must be three numbers"),
        (URDF.replace('<parent link="base_footprint"/>', '<parent link="mast"/>'), 'circle'),
    ],
)
def test_files_that_are_no_urdf_say_why(tmp_path: Path, text: str, problem: str) -> None:
    path = written(tmp_path, text, 'robot.urdf')
    with pytest.raises(FileError, match=f'robot.urdf.*{problem}'):
        read_link_pose(f'{path}#camera_link')


def test_pictures_have_the_camera_of_a_file(tmp_path: Path) -> None:
    folder = tmp_path / 'pictures'
    folder.mkdir()
    write_pictures(folder)  # 200 x 120
    path = written(tmp_path, CHAIN)
    config = SourceConfig(spec=f'images:{folder}', calibration=f'{path}#cam1')
    assert open_images(config)[0].camera == read_camera(f'{path}#cam1')
    facts = inspect_source(config).facts
    assert facts.camera == read_camera(f'{path}#cam1')
    assert not facts.assumed
    large = read_camera(written(tmp_path, {'cam0': cam(resolution=[400, 240])}, 'large.yaml'))
    small = open_images(
        SourceConfig(spec=f'images:{folder}', calibration=f'{tmp_path}/large.yaml')
    )
    found = small[0].camera
    assert found is not None
    assert (found.width, found.fx) == (200, large.fx / 2)
    other = written(tmp_path, {'cam0': cam(resolution=[640, 480])}, 'other.yaml')
    images = open_images(SourceConfig(spec=f'images:{folder}', calibration=other))
    with pytest.raises(FileError, match='images of 640x480, these are 200x120'):
        images[0]
