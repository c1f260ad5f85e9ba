"""Recordings as robots make them: whose camera, calibration, LiDAR and frames are meant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from sim_perception.bags import messages as m
from sim_perception.bags.errors import BagError, MessageError, MissingTopicError
from sim_perception.bags.reader import BagReader
from sim_perception.bags.sensors import (
    ANY,
    AmbiguousSensorError,
    Sensors,
    cameras,
    choose_camera,
    choose_lidar,
    info_topic,
    split_sensors,
    with_sensors,
)
from sim_perception.bags.topics import Topic
from sim_perception.bags.typestore import serialize
from sim_perception.bags.writer import BagWriter
from sim_perception.geometry.cameras import pixel_rays
from sim_perception.types import Camera
from training.commands.cli import app
from training.datasets.bags.camera import CameraBags
from training.datasets.bags.lidar import CameraLidarBag
from training.datasets.sample import DatasetError
from training.datasets.sources import KINDS, guess_spec
from training.datasets.spec import choose_sensors
from training.evaluation.specs import open_spec

IMAGE, PACKED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
INFO, POINTS = 'sensor_msgs/msg/CameraInfo', 'sensor_msgs/msg/PointCloud2'
CAMERA = Camera(64, 48, 50.0, 50.0, 31.5, 23.5)
FRAMES = 3
Make = Callable[[int], Any]


def colours(stamp: int, frame: str = 'cam') -> Any:
    return m.image_message(np.full((48, 64, 3), (200, 120, 40), np.uint8), stamp, frame)


def grey(stamp: int, frame: str = 'cam') -> Any:
    return m.image_message(np.full((48, 64), 9, np.uint8), stamp, frame)


def depth(stamp: int) -> Any:
    message = m.image_message(np.full((48, 64), 1500, np.uint16), stamp, 'cam')
    message.encoding = '16UC1'
    return message


def packed(stamp: int) -> Any:
    return m.compressed_image_message(np.full((48, 64, 3), 99, np.uint8), stamp, 'cam')


def info(camera: Camera = CAMERA, frame: str = 'cam', **changes: Any) -> Make:
    def make(stamp: int) -> Any:
        message = m.camera_info_message(camera, stamp, frame)
        for name, value in changes.items():
            setattr(message, name, value)
        return message

    return make


def cloud(frame: str = 'laser') -> Make:
    """Return scans with one point 10 m ahead in the optical frame."""
    points = np.array([(0, 0, 10)], [(name, '<f4') for name in 'xyz'])
    return lambda stamp: m.cloud_message(points, stamp, frame)


RAW = {'/camera/image_raw': (IMAGE, colours), '/camera/camera_info': (INFO, info())}
SCAN = {'/points': (POINTS, cloud())}


def record(
    path: Path, topics: dict[str, tuple[str, Make]], mount: tuple[str, str] = ('cam', 'laser')
) -> Path:
    """Write three frames of topics, and one mounting."""
    with BagWriter(path) as bag:
        pose = m.transform_message(np.eye(4), m.START_STAMP, *mount)
        bag.write(m.StampedMessage('/tf_static', m.START_STAMP, serialize(m.tf_message([pose]))))
        for name, (kind, _) in topics.items():
            bag.add_topic(Topic(name, kind))
        for number in range(FRAMES):
            stamp = m.START_STAMP + number * 10**8
            for name, (_, make) in topics.items():
                bag.write(m.StampedMessage(name, stamp, serialize(make(stamp))))
    return path


@pytest.mark.parametrize(
    ('more', 'expected'),
    [
        ({}, '/camera/image_raw'),
        ({'/camera/image_raw/compressed': (PACKED, packed)}, '/camera/image_raw'),
        ({'/camera/image_color': (IMAGE, colours), '/camera/image_mono': (IMAGE, grey)},
         '/camera/image_raw'),
        ({'/camera/image_rect/compressed': (PACKED, packed)}, '/camera/image_raw'),
        # colour beside depth, as RGB-D cameras have them
        ({'/camera/depth/image_rect_raw': (IMAGE, depth), '/camera/depth/camera_info':
          (INFO, info())}, '/camera/image_raw'),
        ({'/aligned/image_raw': (IMAGE, depth), '/aligned/camera_info': (INFO, info())},
         '/camera/image_raw'),
        # a picture that a node drew
        ({'/detector/overlay': (IMAGE, colours)}, '/camera/image_raw'),
        # infrared eyes beside the colour camera
        ({'/infra1/image_rect_raw': (IMAGE, grey), '/infra1/camera_info': (INFO, info()),
          '/infra2/image_rect_raw': (IMAGE, grey), '/infra2/camera_info': (INFO, info())},
         '/camera/image_raw'),
        ({'/ground_truth/other': (IMAGE, colours)}, '/camera/image_raw'),
    ],
)  # fmt: skip
def test_the_camera_that_is_plainly_meant_is_taken(
    tmp_path: Path, more: dict[str, tuple[str, Make]], expected: str
) -> None:
    with BagReader(record(tmp_path / 'bag', {**more, **RAW})) as bag:
        assert choose_camera(bag).image == expected
        assert choose_camera(bag).info == '/camera/camera_info'


def test_compressed_depth_is_no_camera(tmp_path: Path) -> None:
    def packed_depth(stamp: int) -> Any:
        message = packed(stamp)
        message.format = '16UC1; compressedDepth png'
        return message

    topics = {'/front/image_raw/compressedDepth': (PACKED, packed_depth), **RAW}
    with BagReader(record(tmp_path / 'bag', topics)) as bag:
        assert [camera.image for camera in cameras(bag)] == ['/camera/image_raw']


def test_a_thermal_camera_of_16_bits_alone_is_one(tmp_path: Path) -> None:
    topics = {'/thermal/image_raw': (IMAGE, depth), '/thermal/camera_info': (INFO, info())}
    with BagReader(record(tmp_path / 'bag', topics)) as bag:
        assert choose_camera(bag).image == '/thermal/image_raw'
    with pytest.raises(
        MissingTopicError, match=r'only depth or labels: /depth/image_raw \(16UC1\)'
    ):
        choose_camera(BagReader(record(tmp_path / 'depth', {'/depth/image_raw': (IMAGE, depth)})))


def test_unusable_messages_are_named(tmp_path: Path) -> None:
    def film(stamp: int) -> Any:
        message = colours(stamp)
        message.encoding = 'h264'
        return message

    nan = info(k=np.full(9, np.nan))
    path = record(
        tmp_path / 'bag', {'/i': (IMAGE, film), '/k': (INFO, nan), '/p': (POINTS, cloud())}
    )
    with BagReader(path) as bag:
        for read in (bag.frame, bag.image):
            with pytest.raises(MessageError, match=r'/bag: message 1 on /i: unknown image enc'):
                read('/i', 1)
        with pytest.raises(MessageError, match=r'/bag: message 0 on /k: CameraInfo has NaN'):
            bag.camera('/k')
        with pytest.raises(MessageError, match=r'/bag: message 2 on /p: cloud lacks'):
            bag.cloud('/p', 2, ('ring',))


PAIR = {
    '/stereo/left/image_raw': (IMAGE, colours),
    '/stereo/left/camera_info': (INFO, info()),
    '/stereo/right/image_raw': (IMAGE, colours),
    '/stereo/right/camera_info': (INFO, info(replace(CAMERA, fx=60.0))),
    **SCAN,
}


def test_of_two_cameras_one_is_named(tmp_path: Path) -> None:
    path = record(tmp_path / 'bag', PAIR)
    with pytest.raises(AmbiguousSensorError, match=r'bag:DIR,camera=/stereo/left/image_raw'):
        CameraBags([path])
    for name in ('left', 'stereo/left', '/stereo/left', '/stereo/left/image_raw'):
        assert CameraBags([path], Sensors(name))[0].camera == CAMERA
    right = CameraLidarBag(path, Sensors('right'))[0].camera
    assert right is not None
    assert right.fx == 60.0
    with pytest.raises(MissingTopicError, match=r"no messages on camera 'up'; it has .*left"):
        CameraBags([path], Sensors('up'))
    with pytest.raises(AmbiguousSensorError, match='/stereo/right/image_raw'):
        CameraBags([path], Sensors('stereo'))


def test_a_topic_may_be_named_that_nobody_would_choose(tmp_path: Path) -> None:
    topics = {'/camera/image_raw/compressed': (PACKED, packed), **RAW}
    with BagReader(record(tmp_path / 'bag', topics), Sensors('/camera/image_raw/compressed')) as b:
        assert choose_camera(b).image == '/camera/image_raw/compressed'
        assert choose_camera(b).info == '/camera/camera_info'


def test_of_two_lidars_one_is_named(tmp_path: Path) -> None:
    topics = {**RAW, '/top/points': (POINTS, cloud()), '/rear/points': (POINTS, cloud('other'))}
    path = record(tmp_path / 'bag', topics)
    with pytest.raises(AmbiguousSensorError, match='/rear/points, /top/points; choose one: --lid'):
        CameraLidarBag(path)
    assert CameraLidarBag(path, Sensors(lidar='top')).points == '/top/points'
    with pytest.raises(BagError, match="'other' is not in /tf"):
        CameraLidarBag(path, Sensors(lidar='/rear/points'))
    with pytest.raises(MissingTopicError, match="LiDAR 'front'"):
        CameraLidarBag(path, Sensors(lidar='front'))


def test_clouds_of_a_depth_camera_are_no_second_lidar(tmp_path: Path) -> None:
    topics = {**RAW, **SCAN, '/camera/depth/color/points': (POINTS, cloud('cam'))}
    with BagReader(record(tmp_path / 'bag', topics)) as bag:
        assert choose_lidar(bag) == '/points'
        assert choose_lidar(bag, 'camera/depth') == '/camera/depth/color/points'


@pytest.mark.parametrize(
    ('infos', 'expected'),
    [
        ({'/camera/camera_info': 'x', '/depth/camera_info': 'cam'}, '/camera/camera_info'),
        ({'/calibration': 'x', '/depth/camera_info': 'y'}, None),
        ({'/left_info': 'other', '/right_info': 'cam'}, '/right_info'),
        ({'/left_info': 'other', '/right_info': '/cam'}, '/right_info'),
        ({'/somewhere/else': 'x'}, '/somewhere/else'),
        ({'/a': 'x', '/b': 'y', '/ground_truth/c': 'cam'}, None),
        ({}, None),
    ],
)
def test_the_calibration_that_belongs_to_an_image(
    tmp_path: Path, infos: dict[str, str], expected: str | None
) -> None:
    topics = {name: (INFO, info(frame=frame)) for name, frame in infos.items()}
    topics |= {'/camera/image_raw': (IMAGE, colours)}
    with BagReader(record(tmp_path / 'bag', topics)) as bag:
        found = info_topic(bag, '/camera/image_raw')
        assert found == expected


def test_an_uncalibrated_camera_is_one_without_calibration(tmp_path: Path) -> None:
    zeros = info(k=np.zeros(9), p=np.zeros(12))
    path = record(tmp_path / 'bag', {**RAW, '/camera/camera_info': (INFO, zeros), **SCAN})
    assert CameraBags([path])[0].camera is None
    with pytest.raises(BagError, match='no calibration of /camera/image_raw'):
        CameraLidarBag(path)


def test_a_calibration_of_nonsense_is_not_left_out_silently(tmp_path: Path) -> None:
    broken = info(d=np.full(5, np.nan))
    path = record(tmp_path / 'bag', {**RAW, '/camera/camera_info': (INFO, broken)})
    with pytest.raises(MessageError, match='numbers in D; calibrate the camera anew'):
        CameraBags([path])


@pytest.mark.parametrize('image_slash', ['', '/'])
@pytest.mark.parametrize('scan_slash', ['', '/'])
@pytest.mark.parametrize('tf_slash', ['', '/'])
def test_leading_slashes_of_frames_make_no_difference(
    tmp_path: Path, image_slash: str, scan_slash: str, tf_slash: str
) -> None:
    topics = {
        '/camera/image_raw': (IMAGE, lambda stamp: colours(stamp, f'{image_slash}cam')),
        '/camera/camera_info': (INFO, info(frame=f'{image_slash}cam')),
        '/points': (POINTS, cloud(f'{scan_slash}laser')),
    }
    path = record(tmp_path / 'bag', topics, (f'{tf_slash}cam', f'{tf_slash}laser'))
    sample = CameraLidarBag(path)[0]
    assert sample.depth is not None
    assert np.nanmax(sample.depth) == 10
    with BagReader(path) as bag:
        assert bag.frame('/camera/image_raw', 0).frame_id == 'cam'
        np.testing.assert_array_equal(bag.transforms.lookup('/cam', 'laser'), np.eye(4))


def test_binned_images_fit_their_calibration(tmp_path: Path) -> None:
    full = Camera(128, 96, 100.0, 100.0, 63.5, 47.5)
    binned = info(full, binning_x=2, binning_y=2)
    path = record(tmp_path / 'bag', {**RAW, '/camera/camera_info': (INFO, binned), **SCAN})
    assert CameraLidarBag(path)[0].camera == CAMERA


def test_images_of_image_rect_are_of_p(tmp_path: Path) -> None:
    bent = replace(CAMERA, distortion=(-0.3, 0.1, 0.0, 0.0, 0.0))
    p = np.array([40.0, 0, 30, 0, 0, 41, 22, 0, 0, 0, 1, 0])
    topics = {
        '/camera/image_rect': (IMAGE, colours),
        '/camera/camera_info': (INFO, info(bent, p=p)),
    }
    path = record(tmp_path / 'bag', topics)
    assert CameraBags([path])[0].camera == Camera(64, 48, 40.0, 41.0, 30.0, 22.0)
    topics = {'/camera/image_raw': (IMAGE, colours), **dict(list(topics.items())[1:])}
    assert CameraBags([record(tmp_path / 'raw', topics)])[0].camera == bent


def test_points_fall_where_the_lens_shows_them(tmp_path: Path) -> None:
    fisheye = replace(CAMERA, distortion=(0.1, 0.0, 0.0, 0.0), fisheye=True)
    ray = pixel_rays(fisheye)[10, 50]
    points = np.array([tuple(ray * 7)], [(name, '<f4') for name in 'xyz'])
    topics = {
        **RAW,
        '/camera/camera_info': (INFO, info(fisheye)),
        '/points': (POINTS, lambda stamp: m.cloud_message(points, stamp, 'laser')),
    }
    found = CameraLidarBag(record(tmp_path / 'bag', topics))[0].depth
    assert found is not None
    assert found[10, 50] == pytest.approx(7)
    assert np.isfinite(found).sum() == 1


def mono16(stamp: int) -> Any:
    return m.image_message(np.full((48, 64), 2047, np.uint16), stamp, 'cam')


def test_a_grey_camera_of_12_bits_is_seen(tmp_path: Path) -> None:
    path = record(tmp_path / 'bag', {**RAW, '/camera/image_raw': (IMAGE, mono16)})
    assert (CameraBags([path])[0].image == 2047 >> 4).all()


@pytest.mark.parametrize(
    ('text', 'path', 'sensors'),
    [
        ('drive', 'drive', ANY),
        ('drive,camera=/left', 'drive', Sensors('/left')),
        ('drive,camera=left,lidar=top', 'drive', Sensors('left', 'top')),
        ('drive,lidar=top,camera=left', 'drive', Sensors('left', 'top')),
        ('a,b/*', 'a,b/*', ANY),
        ('a,b=c', 'a,b=c', ANY),
    ],
)
def test_specs_choose_sensors(text: str, path: str, sensors: Sensors) -> None:
    assert split_sensors(text) == (path, sensors)
    assert split_sensors(with_sensors(path, sensors)) == (path, sensors)
    _, spec = KINDS.find(f'bag:{text}#0-3')
    assert (spec.path, spec.frames, spec.sensors) == (path, '0-3', sensors)
    assert choose_sensors(f'bag:{path}#0-3', sensors.camera, sensors.lidar) == spec.of(sensors)


def test_wrong_choices_say_so(tmp_path: Path) -> None:
    with pytest.raises(BagError, match='camera must be given once'):
        split_sensors('drive,camera=a,camera=b')
    with pytest.raises(BagError, match='lidar must be given once'):
        split_sensors('drive,lidar=')
    with pytest.raises(DatasetError, match='choose topics of bags'):
        choose_sensors('sim:target', 'left', '')
    odd = record(tmp_path / 'a,camera=b', RAW)
    assert split_sensors(str(odd)) == (str(odd), ANY)
    assert guess_spec(str(odd)) == f'bag:{odd}'
    assert guess_spec(f'{odd},camera=left') == f'bag:{odd},camera=left'


def test_evaluation_takes_the_choice_from_the_spec(tmp_path: Path) -> None:
    path = record(tmp_path / 'bag', PAIR)
    with pytest.raises(AmbiguousSensorError):
        open_spec(f'bag:{path}')
    (first, *_) = open_spec(f'bag:{path},camera=right')
    assert first.camera is not None
    assert first.camera.fx == 60.0


def test_inspect_lists_the_sensors_and_shows_the_first(tmp_path: Path) -> None:
    more = {'/rear/points': (POINTS, cloud())}
    path = record(tmp_path / 'bag', {**PAIR, **more})
    out = tmp_path / 'sheet.png'

    def run(*options: str) -> tuple[int, str]:
        arguments = ['inspect', str(path), '--out', str(out), *options]
        result = CliRunner().invoke(app, arguments)
        return result.exit_code, ' '.join(result.output.split())

    code, text = run()
    assert code == 0, text
    assert 'camera /stereo/left/image_raw, /stereo/left/camera_info: 64x48' in text
    assert 'LiDAR /rear/points' in text
    assert 'has several cameras' in text
    assert 'has several LiDARs' in text
    assert 'camera=/stereo/left/image_raw' in text
    assert cv2.imread(str(out)) is not None
    code, text = run('--camera', 'right', '--lidar', '/points')
    assert code == 0, text
    assert 'has several' not in text
    assert '0.938 x width' in text


def test_inspect_of_an_uncalibrated_camera_says_what_is_missing(tmp_path: Path) -> None:
    zeros = info(k=np.zeros(9), p=np.zeros(12))
    path = record(tmp_path / 'bag', {**RAW, '/camera/camera_info': (INFO, zeros), **SCAN})
    for options, words in (
        ([], 'intrinsics: give focal_ratio'),
        (['--focal-ratio', '0.8'], 'focal length 0.800 x width, given by focal_ratio'),
    ):
        arguments = ['inspect', str(path), '--out', str(tmp_path / 'x.png'), *options]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        assert words in ' '.join(result.output.split())


def test_states_of_tracks_are_no_scans(tmp_path: Path) -> None:
    states = {'/tracker/track_states': (POINTS, cloud())}
    with BagReader(record(tmp_path / 'bag', {**SCAN, **states})) as bag:
        assert choose_lidar(bag) == '/points'
