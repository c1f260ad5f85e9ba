"""Recorded data: image folders, stereo pairs, LiDAR bags, videos."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from forks import load_by_forks

from sim_perception.bags import messages as m
from sim_perception.bags import topics as t_
from sim_perception.bags.errors import BagError, MissingTopicError, TransformError
from sim_perception.bags.topics import Topic
from sim_perception.bags.typestore import serialize
from sim_perception.bags.writer import BagWriter
from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler
from sim_perception.types import Camera
from training.datasets.bags.lidar import CameraLidarBag
from training.datasets.image_store import DepthStore
from training.datasets.images.folders import ImageFolder, camvid
from training.datasets.images.video import VideoFile
from training.datasets.kitti.stereo import KittiStereo, read_calibration
from training.datasets.sample import IGNORE, DatasetError
from training.datasets.sources import SourceConfig
from training.datasets.stereo_images import StereoImages, open_stereo

DATA = Path(__file__).parents[2] / '../shared/data'
real_data = pytest.mark.skipif(not DATA.exists(), reason='../shared/data is absent')


# Image folders ------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images with labels, as CamVid lies on disk."""
    for name in ('train', 'trainannot'):
        (tmp_path / name).mkdir()
    for number in (2, 1):
        image = np.full((4, 6, 3), (10 * number, 0, 200), np.uint8)  # BGR
        cv2.imwrite(str(tmp_path / 'train' / f'{number}.png'), image)
        labels = np.arange(24, dtype=np.uint8).reshape(4, 6) % 12
        cv2.imwrite(str(tmp_path / 'trainannot' / f'{number}.png'), labels)
    return tmp_path


def test_images_with_labels(folder: Path) -> None:
    data = camvid(folder / 'train')
    assert [sample.name for sample in data] == ['1', '2']
    sample = data[1]
    assert data.label_space == 'camvid'
    assert sample.image[0, 0].tolist() == [200, 0, 20]
    assert sample.semantic is not None
    assert sample.semantic[0].tolist() == [0, 1, 2, 3, 4, 5]
    assert sample.semantic[1, 5] == IGNORE
    assert sample.depth is None
    assert sample.camera is None


def test_images_without_labels(folder: Path) -> None:
    (folder / 'trainannot').rename(folder / 'elsewhere')
    assert camvid(folder / 'train')[0].semantic is None
    camera = Camera(6, 4, 5.0, 5.0, 3.0, 2.0)
    assert ImageFolder(folder / 'train', camera=camera)[0].camera == camera


def test_bad_image_folders(folder: Path) -> None:
    (folder / 'train' / '3.jpg').write_bytes(b'\xff\xd8 no image')
    with pytest.raises(DatasetError, match=r'1 of 3 images .* no labels; .*3\.png'):
        camvid(folder / 'train')
    with pytest.raises(DatasetError, match=r'3\.jpg is not a readable image'):
        ImageFolder(folder / 'train')[2]
    (folder / 'train' / '3.jpg').unlink()
    cv2.imwrite(str(folder / 'trainannot' / '1.png'), np.zeros((5, 6), np.uint8))
    with pytest.raises(DatasetError, match=r'shape \(5, 6\), its image \(4, 6\)'):
        camvid(folder / 'train')[0]
    cv2.imwrite(str(folder / 'trainannot' / '1.png'), np.zeros((4, 6, 3), np.uint8))
    with pytest.raises(DatasetError, match='need one 8-bit channel'):
        camvid(folder / 'train')[0]
    with pytest.raises(DatasetError, match='is not a folder'):
        camvid(folder / 'nowhere')
    (folder / 'empty').mkdir()
    with pytest.raises(DatasetError, match='no images'):
        ImageFolder(folder / 'empty')


# Stereo -------------------------------------------------------------------------------------

FOCAL, BASELINE, DISPARITY = 200.0, 0.5, 12


def make_stereo(folder: Path, names: bool, count: int = 2) -> Path:
    """A fronto-parallel textured wall at a known depth."""
    rng = np.random.default_rng(0)
    wall = cv2.GaussianBlur(rng.integers(0, 255, (80, 400), np.uint8), (0, 0), 1.0)
    for side, shift in (('left', 0), ('right', DISPARITY)):
        (folder / side).mkdir(parents=True)
        for number in range(count):
            image = wall[:, 20 + shift : 320 + shift]
            cv2.imwrite(str(folder / side / f'{number:06d}.png'), image)
    rows = [f'{FOCAL} 0 150 0 0 {FOCAL} 40 0 0 0 1 0', f'{FOCAL} 0 150 {-FOCAL * BASELINE} 0 '
            f'{FOCAL} 40 0 0 0 1 0']  # fmt: skip
    prefix = ['P0: ', 'P1: '] if names else ['', '']
    text = '\n'.join(a + b for a, b in zip(prefix, rows, strict=True))
    (folder / 'calib.txt').write_text(text + '\n')
    poses = [from_euler(0, 0.1 * i, 0, np.array([0, 0, 1.0 * i])) for i in range(count)]
    np.savetxt(folder / 'poses.txt', [pose[:3].reshape(-1) for pose in poses])
    return folder


@pytest.mark.parametrize('names', [True, False])
def test_stereo_depth_of_a_wall(tmp_path: Path, names: bool) -> None:
    data = KittiStereo(make_stereo(tmp_path / 'sequence', names))
    sample = data[1]
    assert sample.camera == Camera(300, 80, FOCAL, FOCAL, 150.0, 40.0)
    assert sample.depth is not None
    known = np.isfinite(sample.depth)
    assert known[:, 150:].mean() > 0.9
    np.testing.assert_allclose(sample.depth[known], FOCAL * BASELINE / DISPARITY, rtol=0.03)
    expected = from_euler(0, 0.1, 0, np.array([0, 0, 1.0]))
    np.testing.assert_allclose(data.pose(1), expected, atol=1e-9)


def test_far_depth_is_unknown(tmp_path: Path) -> None:
    data = KittiStereo(make_stereo(tmp_path / 'sequence', True), max_depth=5.0)
    assert data[0].depth is not None
    assert np.isnan(data[0].depth).all()


def test_several_sequences(tmp_path: Path) -> None:
    for name in ('b', 'a'):
        make_stereo(tmp_path / name, True)
    (tmp_path / 'a' / 'poses.txt').unlink()
    data = KittiStereo(tmp_path)
    assert [s.name for s in data] == ['a_000000', 'a_000001', 'b_000000', 'b_000001']
    assert [s.index for s in data] == [0, 1, 0, 1]
    with pytest.raises(DatasetError, match='no pose for'):
        data.pose(0)
    assert data.pose(3)[2, 3] == pytest.approx(1)


def test_bad_stereo(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match='is no KITTI stereo sequence'):
        KittiStereo(tmp_path)
    sequence = make_stereo(tmp_path / 's', True)
    (sequence / 'right' / '000000.png').unlink()
    with pytest.raises(DatasetError, match=r'right/000000\.png is not a readable image'):
        KittiStereo(sequence)[0]
    for text in ('P0: 1 2 3\nP1: 4', 'nonsense', '', 'P2: 1'):
        (sequence / 'calib.txt').write_text(text)
        with pytest.raises(DatasetError, match='no KITTI calibration'):
            read_calibration(sequence / 'calib.txt')
    rows = f'{FOCAL} 0 150 0 0 {FOCAL} 40 0 0 0 1 0'
    (sequence / 'calib.txt').write_text(f'{rows}\n{rows}\n')
    with pytest.raises(DatasetError, match='must lie to the right'):
        KittiStereo(sequence)


def test_both_images_of_a_pair_teach_depth(tmp_path: Path) -> None:
    make_stereo(tmp_path / 'sequence', True, count=3)
    config = SourceConfig(spec=f'kitti_stereo:{tmp_path / "sequence"}', frames='1-2')
    images = open_stereo(config, DepthStore(tmp_path / 'kept'))
    assert len(images) == 4
    # the left image's first columns and the right one's last have no match
    for index, columns in ((2, slice(150, None)), (3, slice(None, 150))):
        found = images[index]
        known = np.isfinite(found.depth)
        assert known[:, columns].mean() > 0.9
        ratio = found.depth[known] * DISPARITY / (FOCAL * BASELINE)
        assert np.mean(np.abs(ratio - 1) < 0.03) > 0.999
        assert (found.semantic == IGNORE).all()
    left, right = images[0].image, images[1].image
    np.testing.assert_array_equal(left[:, DISPARITY:], right[:, :-DISPARITY])
    # what was matched once is read
    kept = DepthStore(tmp_path / 'kept')
    again = StereoImages(images.pairs, images.indices, kept)
    again._match = lambda number, is_right: pytest.fail('matched again')  # type: ignore
    np.testing.assert_array_equal(again[3].depth, images[3].depth)


def test_other_sources_are_no_stereo(folder: Path) -> None:
    with pytest.raises(DatasetError, match='has no stereo pairs'):
        open_stereo(SourceConfig(spec=f'images:{folder / "train"}'), DepthStore())


# LiDAR bags ---------------------------------------------------------------------------------

CAMERA = Camera(40, 30, 30.0, 30.0, 20.0, 15.0)


def make_lidar_bag(path: Path, skip: tuple[str, ...] = (), late: int = 0) -> Path:
    """Three frames; the LiDAR stands 1 m above the camera and sees two points ahead."""
    cloud = np.zeros(3, [('x', '<f4'), ('y', '<f4'), ('z', '<f4'), ('intensity', '<f4')])
    cloud['x'], cloud['z'] = [10, 20, np.nan], -1
    base_T_camera = BODY_T_OPTICAL.copy()
    base_T_lidar = np.eye(4)
    base_T_lidar[2, 3] = 1
    with BagWriter(path) as bag:
        if 'tf' not in skip:
            mounts = [
                m.transform_message(pose, m.START_STAMP, 'base_link', frame)
                for frame, pose in (('eye', base_T_camera), ('laser', base_T_lidar))
            ]
            data = serialize(m.tf_message(mounts))
            bag.write(m.StampedMessage('/tf_static', m.START_STAMP, data))
        for number in range(3):
            stamp = m.START_STAMP + number * 10**8
            image = np.full((30, 40, 3), number, np.uint8)
            made: list[tuple[Topic, Any, int]] = [
                (t_.IMAGE, m.image_message(image, stamp, 'eye'), stamp),
                (t_.CAMERA_INFO, m.camera_info_message(CAMERA, stamp, 'eye'), stamp),
                (t_.POINTS, m.cloud_message(cloud, stamp + late, 'laser'), stamp + late),
            ]
            for topic, message, time in made:
                if topic.name not in skip:
                    bag.write(m.StampedMessage(topic.name, time, serialize(message)))
    return path


def test_lidar_becomes_sparse_depth(tmp_path: Path) -> None:
    data = CameraLidarBag(make_lidar_bag(tmp_path / 'bag', late=20_000_000))
    assert len(data) == 3
    sample = data[2]
    assert sample.image[0, 0].tolist() == [2, 2, 2]
    assert sample.camera == CAMERA
    assert sample.depth is not None
    rows, columns = np.nonzero(np.isfinite(sample.depth))
    # Both points lie on the optical axis; the nearer one wins.
    assert (rows.tolist(), columns.tolist()) == ([15], [20])
    assert sample.depth[15, 20] == pytest.approx(10)
    forked = load_by_forks(partial(CameraLidarBag, tmp_path / 'bag'), opened=[2], workers=1)
    for theirs, mine in zip(forked, data, strict=True):
        np.testing.assert_array_equal(theirs.depth, mine.depth)


def test_bad_lidar_bags(tmp_path: Path) -> None:
    for skip, error, words in (
        (t_.IMAGE.name, MissingTopicError, r'/camera/image_raw.*; it has /camera/camera_info \(3'),
        (t_.CAMERA_INFO.name, BagError, 'no calibration of /camera/image_raw .*none'),
        (t_.POINTS.name, MissingTopicError, 'any sensor_msgs/msg/PointCloud2; it has'),
        ('tf', TransformError, "'eye' is not in /tf or /tf_static; known: none"),
    ):
        path = make_lidar_bag(tmp_path / skip.replace('/', '_'), (skip,))
        with pytest.raises(error, match=words):
            CameraLidarBag(path)
    late = make_lidar_bag(tmp_path / 'late', late=10**9)
    with pytest.raises(DatasetError, match='are the clocks synchronised'):
        CameraLidarBag(late)


def test_ambiguous_topics_must_be_named(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        for name in ('/left', '/right'):
            bag.add_topic(Topic(name, 'sensor_msgs/msg/Image'))
            image = m.image_message(np.zeros((2, 2), np.uint8), m.START_STAMP, 'c')
            bag.write(m.StampedMessage(name, m.START_STAMP, serialize(image)))
    with pytest.raises(BagError, match='cameras: /left, /right; choose one: --camera /left'):
        CameraLidarBag(tmp_path / 'bag')


# Video --------------------------------------------------------------------------------------


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Ten grey frames, each brighter than the last."""
    path = tmp_path / 'grey.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 10.0, (64, 48))
    for number in range(10):
        writer.write(np.full((48, 64, 3), 20 * number, np.uint8))
    writer.release()
    return path


def test_video_by_index(video: Path) -> None:
    data = VideoFile(video)
    assert len(data) == 10
    for index in (7, 0, 1, 2, 9, 3):
        assert data[index].image.mean() == pytest.approx(20 * index, abs=3)
        assert data[index].stamp == index * 10**8
    with pytest.raises(IndexError, match='has 10 frames, not number 10'):
        data[10]
    thinned = VideoFile(video, stride=4)
    assert [sample.index for sample in thinned] == [0, 4, 8]
    forked = load_by_forks(partial(VideoFile, video), opened=[4])
    assert [round(s.image.mean() / 20) for s in forked] == list(range(10))


def test_no_video(tmp_path: Path) -> None:
    (tmp_path / 'x.mp4').write_bytes(b'nothing')
    for name in ('x.mp4', 'absent.mp4'):
        with pytest.raises(DatasetError, match='missing or no readable video'):
            VideoFile(tmp_path / name)


def _video_after_threads(video: Path) -> VideoFile:
    cv2.setNumThreads(3)
    cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (0, 0), 2)  # starts OpenCV's threads
    return VideoFile(video)


def test_forked_workers_do_not_wait_for_threads_of_their_parent(video: Path) -> None:
    assert len(load_by_forks(partial(_video_after_threads, video), workers=1)) == 10


# Real data ----------------------------------------------------------------------------------


@pytest.mark.real_data
@real_data
def test_real_recordings() -> None:
    drive = CameraLidarBag(DATA / 'kitti_drive')
    depth = drive[5].depth
    assert depth is not None
    assert 14_000 < np.isfinite(depth).sum() < 17_000
    stereo = KittiStereo(DATA / 'kitti_stereo')
    assert len(stereo) == 80
    depth = stereo[0].depth
    assert depth is not None
    assert 0.45 < np.isfinite(depth).mean() < 0.8
    assert np.linalg.norm(stereo.pose(1)[:3, 3]) == pytest.approx(1.2, abs=0.1)
    validation = camvid(DATA / 'camvid/val')
    assert len(validation) == 101
    labels = validation[0].semantic
    assert labels is not None
    assert set(np.unique(labels)) <= {*range(11), IGNORE}
    assert camvid(DATA / 'camvid/train')[0].semantic is None
    assert VideoFile(DATA / 'video/highway.mp4')[100].image.shape == (540, 960, 3)
