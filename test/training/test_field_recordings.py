"""Images, videos, scans and recordings as people have them, in the data sets and verbs."""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from mcap.writer import Writer as McapLibraryWriter

from sim_perception.bags import messages as m
from sim_perception.bags import topics as t_
from sim_perception.bags.errors import BagError
from sim_perception.bags.reader import BagReader
from sim_perception.bags.typestore import serialize
from sim_perception.bags.writer import BagWriter
from sim_perception.geometry.transforms import from_euler
from sim_perception.types import Camera
from training.commands.inspect import inspect
from training.datasets.bags.open_bags import expand
from training.datasets.clips import Timeline
from training.datasets.images.files import list_images, split_frames
from training.datasets.images.video import VideoFile
from training.datasets.kitti.object import read_scan
from training.datasets.sample import DatasetError
from training.datasets.sources import KINDS, guess_spec
from training.evaluation.depth_segmentation.evaluate import evaluate_depth_segmentation

# Videos -------------------------------------------------------------------------------------


def write_video(path: Path, count: int) -> Path:
    """Grey frames at 10 Hz, each brighter than the last."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), 10.0, (64, 48))
    for number in range(count):
        writer.write(np.full((48, 64, 3), 10 * number, np.uint8))
    writer.release()
    return path


def set_steps(path: Path, steps: list[tuple[int, float]]) -> None:
    """Give an MP4's frames other durations: (how many, seconds each), by its box ``stts``."""
    data = bytearray(path.read_bytes())
    clock = data.index(b'mdhd') + 4
    (scale,) = struct.unpack_from('>I', data, clock + 12)
    at = data.index(b'stts') - 4
    (size,) = struct.unpack_from('>I', data, at)
    table = b''.join(struct.pack('>II', n, round(seconds * scale)) for n, seconds in steps)
    box = struct.pack('>I4sII', 16 + len(table), b'stts', 0, len(steps)) + table
    for name in (b'moov', b'trak', b'mdia', b'minf', b'stbl'):
        place = data.index(name) - 4
        (old,) = struct.unpack_from('>I', data, place)
        struct.pack_into('>I', data, place, old + len(box) - size)
    data[at : at + size] = box
    path.write_bytes(data.replace(b'edts', b'free'))  # which says how long the track is


def test_times_of_a_video_are_the_containers(tmp_path: Path) -> None:
    path = write_video(tmp_path / 'v.mp4', 20)
    set_steps(path, [(10, 0.033), (10, 0.3)])
    video = VideoFile(path)
    assert video.problems == []
    steps = np.diff(video.timeline().stamp) / 1e9
    np.testing.assert_allclose(steps, [0.033] * 10 + [0.3] * 9, atol=2e-4)
    for index in (19, 0, 12, 11, 5, 18, 3):
        assert video[index].image.mean() == pytest.approx(10 * index, abs=4)
        assert video[index].stamp == video.timeline().stamp[index]
    thinned = VideoFile(path, stride=4)
    assert len(thinned) == 5
    assert thinned[3].image.mean() == pytest.approx(120, abs=4)
    assert thinned.timeline().stamp.tolist() == video.timeline().stamp[::4].tolist()


@pytest.mark.parametrize('share', [0.66, 0.75, 0.9])
def test_video_that_was_cut_gives_its_beginning(tmp_path: Path, share: float) -> None:
    path = tmp_path / 'v.avi'  # its index is at the end, its promise at the beginning
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 10.0, (64, 48))
    rng = np.random.default_rng(0)
    for number in range(20):
        noise = rng.integers(0, 9, (48, 64, 3))
        writer.write((noise + 10 * number).astype(np.uint8))
    writer.release()
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.warns(UserWarning, match='promises 20 frames'):
        video = VideoFile(path)
    capture, decoded = cv2.VideoCapture(str(path)), 0
    while capture.read()[0]:
        decoded += 1
    assert 1 < len(video) == decoded < 20
    for index in range(len(video) - 1):  # of the last, the lower part may be missing
        assert video[index].image.mean() == pytest.approx(10 * index + 4, abs=4)
    assert video[len(video) - 1].image.shape == (48, 64, 3)
    assert f'{len(video)} can be decoded' in video.problems[0]


def test_video_of_one_frame(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_video(tmp_path / 'v.mp4', 1)
    assert len(VideoFile(path)) == 1
    inspect(str(path), out=tmp_path / 'x.png', frames=2, verify=False, gap=0.1)
    assert 'usable for: pseudo-labels' in ' '.join(capsys.readouterr().out.split())


# Folders ------------------------------------------------------------------------------------


def test_image_folders_as_people_have_them(tmp_path: Path) -> None:
    for number in (10, 9, 2, 100, 1):
        cv2.imwrite(str(tmp_path / f'frame{number}.jpg'), np.zeros((8, 8, 3), np.uint8))
        (tmp_path / f'._frame{number}.jpg').write_bytes(b'\x00\x05\x16\x07')
    (tmp_path / 'frame3.jpg').mkdir()
    names = [path.name for path in list_images(tmp_path)]
    assert names == [f'frame{n}.jpg' for n in (1, 2, 9, 10, 100)]


def test_an_existing_path_wins_over_the_frames(tmp_path: Path) -> None:
    folder = tmp_path / 'run#1'
    folder.mkdir()
    cv2.imwrite(str(folder / '0.png'), np.zeros((8, 8), np.uint8))
    assert split_frames(str(folder)) == (str(folder), '')
    assert split_frames(f'{folder}#0-3') == (str(folder), '0-3')
    assert split_frames('nowhere#2') == ('nowhere', '2')
    for text, frames in ((str(folder), ''), (f'{folder}#0', '0')):
        parsed = KINDS.find(guess_spec(text))[1]
        assert (parsed.kind, parsed.path, parsed.frames) == ('images', str(folder), frames)


# Scans --------------------------------------------------------------------------------------


@pytest.mark.parametrize('columns', [3, 4, 5])
def test_scans_of_other_columns_are_told(tmp_path: Path, columns: int) -> None:
    rng = np.random.default_rng(columns)
    scan = np.zeros((400, 5), np.float32)
    scan[:, :3] = rng.normal([10, 0, -1], 3, (400, 3))
    scan[:, 3], scan[:, 4] = rng.uniform(0, 1, 400), np.arange(400) % 32
    path = tmp_path / 's.bin'
    np.ascontiguousarray(scan[:, :columns]).tofile(path)
    if columns == 4:
        np.testing.assert_array_equal(read_scan(path), scan[:, :3].astype(np.float64))
    else:
        with pytest.raises(DatasetError, match='3 columns, or 5 as nuScenes has'):
            read_scan(path)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(DatasetError, match='it must have 4 columns'):
        read_scan(path)


# Recordings ---------------------------------------------------------------------------------

CAMERA = Camera(64, 48, 50.0, 50.0, 31.5, 23.5)
XYZ = np.dtype([('x', '<f4'), ('y', '<f4'), ('z', '<f4')])


def write_drive(path: Path, points: int) -> Path:
    """Three frames of a camera and a LiDAR with a number of points before it."""
    rng = np.random.default_rng(0)
    with BagWriter(path) as bag:

        def write(topic: t_.Topic, stamp: int, message: object) -> None:
            bag.write(m.StampedMessage(topic.name, stamp, serialize(message)))

        mount = m.transform_message(from_euler(0, 0, 0, np.zeros(3)), m.START_STAMP, 'c', 'l')
        write(t_.TF_STATIC, m.START_STAMP, m.tf_message([mount]))
        for number in range(3):
            stamp = m.START_STAMP + number * 10**8
            image = rng.integers(0, 255, (48, 64, 3)).astype(np.uint8)
            cloud = np.zeros(points, XYZ)
            cloud['x'], cloud['y'], cloud['z'] = *rng.uniform(-1, 1, (2, points)), 5.0
            write(t_.IMAGE, stamp, m.image_message(image, stamp, 'c'))
            write(t_.CAMERA_INFO, stamp, m.camera_info_message(CAMERA, stamp, 'c'))
            write(t_.POINTS, stamp, m.cloud_message(cloud, stamp, 'l'))
    return path


def test_no_truth_to_score_is_an_error(tmp_path: Path) -> None:
    shipped = Path('models/depth_segmentation')
    full, empty = write_drive(tmp_path / 'full', 300), write_drive(tmp_path / 'empty', 0)
    assert evaluate_depth_segmentation(shipped, f'bag:{full}')['abs_rel'] > 0
    with pytest.raises(DatasetError, match='no truth to score'):
        evaluate_depth_segmentation(shipped, f'bag:{empty}')


def test_every_kind_of_bag_is_found_alike(tmp_path: Path) -> None:
    drive = write_drive(tmp_path / 'drive', 9)
    (drive / 'metadata.yaml').unlink()
    for path in (drive, drive / 'drive.mcap', tmp_path):
        assert KINDS.find(guess_spec(str(path)))[1].kind == 'bag'
    assert expand([drive]) == expand([tmp_path]) == [drive]
    for name in ('old.bag', 'OLD.BAG', 'old.bag.active'):
        (tmp_path / name).write_bytes(b'#ROSBAG V2.0\n')
        with pytest.raises(BagError, match='ROS 1 bag'):
            inspect(str(tmp_path / name))
    loud = (drive / 'drive.mcap').rename(tmp_path / 'DRIVE.MCAP')
    assert guess_spec(str(loud)) == f'bag:{loud}'
    assert len(BagReader(loud).of_type(t_.IMAGE.type)) == 1
    (tmp_path / 'note.txt').write_text('no bag')
    with pytest.raises(BagError, match='is not a bag'):
        expand([tmp_path / 'note.txt'])


def test_mcap_without_channels_in_its_summary_is_inspected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'a#1.mcap'
    with path.open('wb') as stream:
        writer = McapLibraryWriter(stream, repeat_channels=False)
        writer.start('ros2')
        schema = writer.register_schema('sensor_msgs/Image', 'ros2msg', b'')
        channel = writer.register_channel('/camera/image_raw', 'cdr', schema)
        for number in range(3):
            stamp = m.START_STAMP + number * 10**8
            data = serialize(m.image_message(np.zeros((48, 64, 3), np.uint8), stamp, 'c'))
            writer.add_message(channel, stamp, bytes(data), stamp)
        writer.finish()
    inspect(str(path), out=tmp_path / 'x.png', frames=2, verify=True, gap=0.1)
    told = ' '.join(capsys.readouterr().out.split())
    assert 'every message is readable' in told
    assert cv2.imread(str(tmp_path / 'x.png')) is not None


def test_frames_of_one_time_have_no_rate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        for _ in range(3):
            image = m.image_message(np.zeros((48, 64, 3), np.uint8), m.START_STAMP, 'c')
            bag.write(m.StampedMessage(t_.IMAGE.name, m.START_STAMP, serialize(image)))
    inspect(str(tmp_path / 'bag'), out=tmp_path / 'x.png', frames=2, verify=False, gap=0.1)
    assert 'all frames are of one time' in ' '.join(capsys.readouterr().out.split())
    twice = Timeline(np.zeros(6, np.int64), np.repeat(np.arange(3), 2) * 10**8)
    assert twice.rate_hz() == pytest.approx(10)


def test_times_rise(tmp_path: Path) -> None:
    stamps = VideoFile(write_video(tmp_path / 'v.mp4', 5)).timeline().stamp.tolist()
    assert all(b - a == pytest.approx(10**8, abs=10**6) for a, b in pairwise(stamps))
