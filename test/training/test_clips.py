"""Clips of neighbouring frames: which frames, which motion, from every kind of source."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from forks import one_thread
from simulated_bags import simulate_bag
from torch.utils.data import DataLoader

from sim_perception.bags import messages as m
from sim_perception.bags import topics as t_
from sim_perception.bags.topics import Topic
from sim_perception.bags.typestore import message_class, serialize
from sim_perception.bags.writer import BagWriter
from sim_perception.geometry.cameras import pixel_rays, project, unproject
from sim_perception.geometry.transforms import (
    BODY_T_OPTICAL,
    from_euler,
    to_quaternion,
    transform_points,
)
from sim_perception.types import Camera
from training.datasets.clips import Clip, Clips, Motion, Timeline, constant_speed, triplets
from training.datasets.images.undistort import undistorted
from training.datasets.sample import DatasetError, Sample
from training.datasets.sources import SourceConfig, guess_spec, open_clips, open_images
from training.evaluation.specs import open_spec

DATA = Path(__file__).parents[2] / '../shared/data'
real_data = pytest.mark.skipif(not DATA.exists(), reason='../shared/data is absent')

CAMERA = Camera(40, 30, 30.0, 30.0, 19.5, 14.5)


def timeline(*stamps: list[float]) -> Timeline:
    """Return recordings with frames at the given seconds."""
    numbers = np.repeat(np.arange(len(stamps)), [len(s) for s in stamps])
    return Timeline(numbers, np.array([round(t * 1e9) for s in stamps for t in s], np.int64))


# Which frames ---------------------------------------------------------------------------------


def test_triplets_stay_within_recordings() -> None:
    time = timeline([0, 0.1, 0.2, 0.3, 0.4], [7, 7.1, 7.2])
    expected = [[0, 1, 2], [1, 2, 3], [2, 3, 4], [5, 6, 7]]
    assert triplets(time).tolist() == expected
    assert triplets(time, stride=2).tolist() == [[0, 1, 2], [2, 3, 4], [5, 6, 7]]
    assert triplets(time, gap_s=0.2).tolist() == [[0, 2, 4]]


def test_triplets_leave_out_holes_in_time() -> None:
    holey = timeline([0, 0.1, 0.2, 0.9, 1.0, 1.1])
    assert triplets(holey).tolist() == [[0, 1, 2], [3, 4, 5]]
    slow = timeline([0, 1, 2])
    assert triplets(slow).tolist() == []
    assert triplets(slow, gap_s=1).tolist() == [[0, 1, 2]]
    fast = timeline([i / 25 for i in range(6)])
    assert triplets(fast).tolist() == [[0, 2, 4], [1, 3, 5]]
    assert triplets(timeline([0], [])).tolist() == []


def test_frames_are_chosen_by_their_number_in_each_recording() -> None:
    time = timeline([0, 1, 2], [5, 6])
    assert time.place.tolist() == [0, 1, 2, 0, 1]
    assert time.numbered('1-2').tolist() == [1, 2, 4]
    assert time.numbered('').tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(DatasetError, match='no frame in 7-9: frames are numbered 0 to 2'):
        time.numbered('7-9')
    with pytest.raises(DatasetError, match="frames 'x' must look like"):
        time.numbered('x')


# Motion ---------------------------------------------------------------------------------------


def test_relative_pose_maps_the_targets_points_to_the_other_frame() -> None:
    rng = np.random.default_rng(1)
    poses = np.stack([from_euler(*rng.normal(0, 0.3, 3), rng.normal(0, 2, 3)) for _ in range(2)])
    motion = Motion('test', poses)
    relative = motion.frame_T_target(0, 1)
    assert relative is not None
    world = rng.normal(size=(5, 3))
    in_frame, in_target = (transform_points(np.linalg.inv(pose), world) for pose in poses)
    np.testing.assert_allclose(transform_points(relative, in_target), in_frame, atol=1e-12)
    length = np.linalg.norm(poses[0, :3, 3] - poses[1, :3, 3])
    assert motion.distance(0, 1) == pytest.approx(length)


def test_unknown_motion_is_nan_and_none() -> None:
    poses = np.full((3, 4, 4), np.nan)
    poses[0] = np.eye(4)
    motion = Motion('test', poses, way=np.array([0.0, 2.0, np.nan]))
    assert motion.frame_T_target(0, 1) is None
    assert motion.distance(0, 1) == 2
    assert np.isnan(motion.distance(0, 2))
    assert np.isnan(Motion().distance(0, 1))
    steady = constant_speed(np.array([10**9, 11 * 10**8]), 20.0)
    assert steady.distance(1, 0) == pytest.approx(2)
    assert steady.select([1]).way is not None


# Simulated bags -------------------------------------------------------------------------------

SCENARIO = """
domain: clean
duration_s: 0.5
camera: {width: 96, height: 64}
ego: {speed_kmh: 40}
street: {building_density: 1, tree_spacing_m: 20}
traffic: {vehicles_per_km: 0, pedestrians_per_km: 0, cyclists_per_km: 0}
lidar: null
"""


@pytest.fixture(scope='module')
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('clips')
    for seed in (1, 2):
        path = folder / 'bags' / f'bag_{seed}'
        simulate_bag(path, SCENARIO, seed, layers='rgb,depth,semantic')
    return folder / 'bags'


def depth_error(clip: Clip, place: int, pose: np.ndarray) -> float:
    """Return the median relative error of a frame's depth predicted from the target's.

    Above the horizon only: on a level road depth does not tell how far the camera went.
    """
    target, frame = clip.frames[clip.target], clip.frames[place]
    assert target.camera is not None
    assert target.depth is not None
    assert frame.depth is not None
    points = transform_points(pose, unproject(target.camera, target.depth))
    pixels, depth = project(target.camera, points)
    u, v = np.moveaxis(np.nan_to_num(pixels, nan=-1).round().astype(int), -1, 0)
    height, width = frame.depth.shape
    inside = (u >= 0) & (v >= 0) & (u < width) & (v < height) & (depth > 0)
    inside[int(target.camera.cy) :] = False
    return float(np.nanmedian(np.abs(frame.depth[v[inside], u[inside]] / depth[inside] - 1)))


def test_simulated_clips_have_depth_classes_and_the_poses_that_fit_them(
    simulated: Path,
) -> None:
    clips = open_clips(SourceConfig(spec=f'bag:{simulated}'))
    assert len(clips) == 6
    assert clips.camera_known
    clip = clips[4]
    assert [frame.index for frame in clip.frames] == [1, 2, 3]
    assert clip.name == clip.frames[1].name == 'bag_2_0002'
    assert all(frame.depth is not None and frame.semantic is not None for frame in clip.frames)
    assert clip.distance[1] == 0
    assert clip.distance[0] == pytest.approx(clip.distance[2], rel=0.2)
    assert 0.6 < clip.distance[0] < 1.4
    for place, pose in ((0, clip.target_T[0]), (2, clip.target_T[2])):
        assert pose is not None
        # the earlier camera is behind: the target's points are farther away from it
        assert np.sign(pose[2, 3]) == (1 if place == 0 else -1)
        right = depth_error(clip, place, pose)
        still, backwards = (depth_error(clip, place, p) for p in (np.eye(4), np.linalg.inv(pose)))
        assert right < 0.01
        assert min(still, backwards) > 3 * right


def test_images_of_a_simulated_bag_hide_its_truth(simulated: Path) -> None:
    images = open_images(SourceConfig(spec=f'bag:{simulated}#1-2'))
    assert [image.index for image in images] == [1, 2, 1, 2]
    assert all(image.depth is None and image.semantic is None for image in images)
    assert images[0].camera is not None
    thinned = open_images(SourceConfig(spec=f'bag:{simulated}', stride=4))
    assert [image.index for image in thinned] == [0, 4, 3]


# Recorded bags --------------------------------------------------------------------------------

ODOMETRY = Topic('/odom', 'nav_msgs/msg/Odometry')
SPEED = Topic('/vehicle/speed', 'geometry_msgs/msg/TwistStamped')


def vector(values: Any) -> Any:
    return message_class('geometry_msgs/msg/Vector3')(*(float(v) for v in values))


def odometry(stamp: int, odom_T_base: np.ndarray) -> Any:
    q = message_class('geometry_msgs/msg/Quaternion')(*map(float, to_quaternion(odom_T_base)))
    p = message_class('geometry_msgs/msg/Point')(*map(float, odom_T_base[:3, 3]))
    pose = message_class('geometry_msgs/msg/Pose')(position=p, orientation=q)
    still = message_class('geometry_msgs/msg/Twist')(
        linear=vector([0] * 3), angular=vector([0] * 3)
    )
    none = np.zeros(36)
    return message_class('nav_msgs/msg/Odometry')(
        header=m.header(stamp, 'odom'),
        child_frame_id='base_link',
        pose=message_class('geometry_msgs/msg/PoseWithCovariance')(pose=pose, covariance=none),
        twist=message_class('geometry_msgs/msg/TwistWithCovariance')(twist=still, covariance=none),
    )


def speed(stamp: int, metres_per_s: float) -> Any:
    twist = message_class('geometry_msgs/msg/Twist')(
        linear=vector([metres_per_s, 0, 0]), angular=vector([0] * 3)
    )
    kind = message_class('geometry_msgs/msg/TwistStamped')
    return kind(header=m.header(stamp, 'base_link'), twist=twist)


def base_pose(seconds: float) -> np.ndarray:
    """A robot that drives at 4 m/s along x and turns left."""
    return from_euler(0, 0, 0.2 * seconds, np.array([4 * seconds, 0, 0]))


BASE_T_CAMERA = from_euler(0, 0, 0, np.array([1.0, 0.2, 1.5])) @ BODY_T_OPTICAL


def make_drive(path: Path, *motion: str, mount: bool = True, info: bool = True) -> Path:
    """Five camera images at 10 Hz; the motion is told at other times, also at 10 Hz."""
    with BagWriter(path) as bag:

        def write(topic: Topic, stamp: int, message: Any) -> None:
            bag.write(m.StampedMessage(topic.name, stamp, serialize(message)))

        for topic in (ODOMETRY, SPEED):
            bag.add_topic(topic)
        if mount:
            mounting = m.transform_message(BASE_T_CAMERA, m.START_STAMP, 'base_link', 'eye')
            write(t_.TF_STATIC, m.START_STAMP, m.tf_message([mounting]))
        for number in range(7):
            seconds = 0.1 * number - 0.05
            stamp = m.START_STAMP + round(seconds * 1e9)
            if 'odometry' in motion:
                write(ODOMETRY, stamp, odometry(stamp, base_pose(seconds)))
            if 'tf' in motion:
                pose = m.transform_message(base_pose(seconds), stamp, 'odom', 'base_link')
                write(t_.TF, stamp, m.tf_message([pose]))
            if 'speed' in motion:
                write(SPEED, stamp, speed(stamp, 10 * seconds))
        for number in range(5):
            stamp = m.START_STAMP + number * 10**8
            image = np.full((30, 40, 3), number, np.uint8)
            write(t_.IMAGE, stamp, m.image_message(image, stamp, 'eye'))
            if info:
                write(t_.CAMERA_INFO, stamp, m.camera_info_message(CAMERA, stamp, 'eye'))
    return path


@pytest.mark.parametrize('kind', ['odometry', 'tf'])
def test_poses_of_a_drive_project_a_point_where_the_camera_sees_it(
    tmp_path: Path, kind: str
) -> None:
    clip = open_clips(SourceConfig(spec=f'bag:{make_drive(tmp_path / "drive", kind)}'))[1]
    assert [frame.index for frame in clip.frames] == [1, 2, 3]
    point = np.array([30.0, 1.0, 2.0])
    for frame, pose in zip(clip.frames, clip.target_T, strict=True):
        assert pose is not None
        odom_T_camera, odom_T_target = (
            base_pose(0.1 * index) @ BASE_T_CAMERA for index in (frame.index, 2)
        )
        in_target = transform_points(np.linalg.inv(odom_T_target), point)
        expected, _ = project(CAMERA, transform_points(np.linalg.inv(odom_T_camera), point))
        found, _ = project(CAMERA, transform_points(pose, in_target))
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_without_mounting_odometry_tells_distances_only(tmp_path: Path) -> None:
    path = make_drive(tmp_path / 'drive', 'odometry', mount=False)
    clip = open_clips(SourceConfig(spec=f'bag:{path}'))[0]
    assert clip.target_T == (None, None, None)
    assert clip.distance == pytest.approx((0.4, 0, 0.4))


def test_speed_is_integrated(tmp_path: Path) -> None:
    clips = open_clips(SourceConfig(spec=f'bag:{make_drive(tmp_path / "drive", "speed")}'))
    # speed 10 t: the way is 5 t², but for the negative half step at the start
    assert clips[2].distance == pytest.approx((5 * (0.09 - 0.04), 0, 5 * (0.16 - 0.09)))
    assert 'speed from /vehicle/speed' in clips.describe()[1]


def test_constant_speed_and_focal_length_help_where_nothing_is_recorded(tmp_path: Path) -> None:
    path = make_drive(tmp_path / 'drive', info=False)
    plain = open_clips(SourceConfig(spec=f'bag:{path}'))
    assert not plain.camera_known
    assert np.isnan(plain[0].distance[0])
    helped = open_clips(SourceConfig(spec=f'bag:{path}', speed=5, focal_ratio=0.75))
    assert helped.camera_known
    assert helped[0].frames[0].camera == CAMERA
    assert helped[0].distance == pytest.approx((0.5, 0, 0.5))
    known = open_clips(
        SourceConfig(spec=f'bag:{make_drive(tmp_path / "tf", "tf")}', speed=50, focal_ratio=9)
    )
    assert known[0].frames[0].camera == CAMERA
    assert known[0].distance[0] == pytest.approx(0.4, rel=0.1)


# Stereo, video and folders --------------------------------------------------------------------


def make_pairs(folder: Path, count: int = 4) -> Path:
    rng = np.random.default_rng(0)
    for side in ('left', 'right'):
        (folder / side).mkdir(parents=True)
        for number in range(count):
            noise = rng.integers(0, 255, (20, 30), np.uint8)
            cv2.imwrite(str(folder / side / f'{number:06d}.png'), noise)
    rows = ['P0: 20 0 15 0 0 20 10 0 0 0 1 0', 'P1: 20 0 15 -10 0 20 10 0 0 0 1 0']
    (folder / 'calib.txt').write_text('\n'.join(rows))
    poses = [from_euler(0, 0.1 * i, 0, np.array([0, 0, 2.0 * i])) for i in range(count)]
    np.savetxt(folder / 'poses.txt', [pose[:3].reshape(-1) for pose in poses])
    return folder


def test_stereo_clips(tmp_path: Path) -> None:
    make_pairs(tmp_path / 'a')
    make_pairs(tmp_path / 'b')
    clips = open_clips(SourceConfig(spec=f'kitti_stereo:{tmp_path}', frames='1-3'))
    assert [clips[i].name for i in range(len(clips))] == ['a_000002', 'b_000002']
    clip = clips[1]
    assert [frame.depth for frame in clip.frames] == [None] * 3
    assert clip.distance == pytest.approx((2, 0, 2))
    assert clip.right is not None
    right = cv2.imread(str(tmp_path / 'b' / 'right' / '000002.png'), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(clip.right.image[..., 0], right)
    assert clip.right_T_target is not None
    np.testing.assert_allclose(clip.right_T_target[:3, 3], [-0.5, 0, 0])
    assert 'baseline 0.5000 m' in clips.describe()[-1]
    by_spec = open_clips(SourceConfig(spec=f'kitti_stereo:{tmp_path}#1-3'))
    assert len(by_spec) == 2
    (tmp_path / 'b' / 'poses.txt').unlink()
    assert np.isnan(open_clips(SourceConfig(spec=f'kitti_stereo:{tmp_path}'))[3].distance[0])


def test_frames_kept_out_of_training_can_be_scored(tmp_path: Path) -> None:
    make_pairs(tmp_path / 'a')
    make_pairs(tmp_path / 'b')
    assert open_spec(f'kitti_stereo:{tmp_path}#2-3').indices == (2, 3, 6, 7)
    assert open_spec(f'kitti_stereo:{tmp_path}#2-3', limit=2).indices == (2, 7)
    assert len(open_spec(f'kitti_stereo:{tmp_path}')) == 8
    with pytest.raises(DatasetError, match='no frame in 9'):
        open_spec(f'kitti_stereo:{tmp_path}#9')


def make_video(path: Path, count: int = 12, rate: float = 25.0) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), rate, (64, 48))
    for number in range(count):
        writer.write(np.full((48, 64, 3), 20 * number, np.uint8))
    writer.release()
    return path


def test_video_clips_are_a_tenth_of_a_second_apart(tmp_path: Path) -> None:
    config = SourceConfig(spec=f'video:{make_video(tmp_path / "v.avi")}', speed=10)
    clips = open_clips(config)
    assert len(clips) == 8
    for index in (5, 0, 3):
        levels = [round(frame.image.mean() / 20) for frame in clips[index].frames]
        assert levels == [index, index + 2, index + 4]
        assert clips[index].distance == pytest.approx((0.8, 0, 0.8))
    assert not clips.camera_known
    assert len(open_images(config)) == 12


def test_folders_are_sequences_if_their_rate_is_given(tmp_path: Path) -> None:
    for number in range(4):
        cv2.imwrite(str(tmp_path / f'{number}.png'), np.full((4, 6), number, np.uint8))
    config = SourceConfig(spec=f'images:{tmp_path}')
    assert len(open_images(config)) == 4
    with pytest.raises(DatasetError, match='not known to be a sequence; give its `rate`'):
        open_clips(config)
    clips = open_clips(SourceConfig(spec=f'images:{tmp_path}', rate=10))
    assert [clips[i].frames[1].image[0, 0, 0] for i in range(2)] == [1, 2]
    with pytest.raises(DatasetError, match=r'no 3 neighbouring frames less than 0\.3 s'):
        open_clips(SourceConfig(spec=f'images:{tmp_path}', rate=1))
    cv2.imwrite(str(tmp_path / '3.png'), np.zeros((5, 6), np.uint8))
    with pytest.raises(DatasetError, match='images around 2 differ in size'):
        clips[1]


def test_camvid_labels_are_never_read(tmp_path: Path) -> None:
    for name in ('val', 'valannot'):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / '1.png'), np.zeros((4, 6), np.uint8))
    image = open_images(SourceConfig(spec=f'camvid:{tmp_path / "val"}', focal_ratio=2.0))[0]
    assert image.semantic is None
    assert image.camera == Camera(6, 4, 12.0, 12.0, 2.5, 1.5)


def test_specs(tmp_path: Path) -> None:
    for spec in ('nonsense', 'sim:clean', 'bag:', 'film:x'):
        with pytest.raises(DatasetError, match=r'is none of: bag:DIR'):
            open_clips(SourceConfig(spec=spec))
    make_pairs(tmp_path / 'pairs' / 'a')
    drive = make_drive(tmp_path / 'bags' / 'drive')
    plain = tmp_path / 'pairs' / 'a' / 'left'
    for path, kind in (
        (tmp_path / 'pairs', 'kitti_stereo'),
        (tmp_path / 'pairs' / 'a', 'kitti_stereo'),
        (drive, 'bag'),
        (tmp_path / 'bags', 'bag'),
        (plain, 'images'),
    ):
        assert guess_spec(str(path)) == f'{kind}:{path}'
    assert guess_spec(f'{plain}#0-1') == f'images:{plain}#0-1'
    assert guess_spec('some.mp4') == 'video:some.mp4'
    assert guess_spec('bag:x') == 'bag:x'
    with pytest.raises(DatasetError, match='there is no'):
        guess_spec(str(tmp_path / 'nowhere'))
    with pytest.raises(DatasetError, match='no images'):
        guess_spec(str(tmp_path))


# Lenses and processes -------------------------------------------------------------------------


def test_undistorted_samples_are_what_a_pinhole_sees() -> None:
    lens = Camera(120, 90, 80.0, 80.0, 60.0, 45.0, (-0.2, 0.03, 0.001, -0.001, 0.0))
    rays = pixel_rays(lens)
    depth = (10 / (1 + 0.3 * rays[..., 0])).astype(np.float32)  # a slanted wall
    image = np.repeat(np.clip(128 + 100 * rays[..., :1], 0, 255), 3, -1).astype(np.uint8)
    sample = Sample(image, lens, depth, (depth > 10).astype(np.uint8), 'x')
    flat = undistorted(sample)
    assert flat.camera is not None
    assert flat.camera.distortion == ()
    assert flat.depth is not None
    ideal = pixel_rays(flat.camera)
    inner = (slice(8, -8), slice(8, -8))
    np.testing.assert_allclose(
        flat.image[inner][..., 0], 128 + 100 * ideal[inner][..., 0], atol=1.5
    )
    np.testing.assert_allclose(flat.depth[inner], 10 / (1 + 0.3 * ideal[inner][..., 0]), rtol=0.01)
    assert undistorted(flat) is flat


def _identity(clip: Clip) -> Clip:
    return clip


def test_clips_travel_to_spawned_workers(simulated: Path, tmp_path: Path) -> None:
    sources: list[Clips] = [
        open_clips(SourceConfig(spec=f'bag:{simulated}')),
        open_clips(SourceConfig(spec=f'video:{make_video(tmp_path / "v.avi", 8)}')),
        open_clips(SourceConfig(spec=f'kitti_stereo:{make_pairs(tmp_path / "pairs")}')),
    ]
    mixed = torch.utils.data.ConcatDataset(sources)  # type: ignore[arg-type]
    here = [mixed[i] for i in range(len(mixed))]  # files are open before the workers start
    assert len(pickle.dumps(mixed)) < 20_000
    loader = DataLoader(
        mixed,
        batch_size=None,
        num_workers=1,
        multiprocessing_context='spawn',
        worker_init_fn=one_thread,
        collate_fn=_identity,
    )
    for mine, theirs in zip(here, loader, strict=True):
        assert mine.name == theirs.name
        for a, b in zip(mine.frames, theirs.frames, strict=True):
            np.testing.assert_array_equal(a.image, b.image)


# Real data ------------------------------------------------------------------------------------


@pytest.mark.real_data
@real_data
def test_real_stereo_video_and_drive() -> None:
    clips = open_clips(SourceConfig(spec=f'kitti_stereo:{DATA / "kitti_stereo"}#0-27'))
    assert len(clips) == 2 * 26
    clip = clips[3]
    assert clip.distance == pytest.approx((1.2, 0, 1.2), abs=0.1)
    assert clip.target_T[0] is not None
    assert clip.target_T[0][2, 3] == pytest.approx(1.2, abs=0.1)
    video = open_clips(SourceConfig(spec=f'video:{DATA / "video/highway.mp4"}', focal_ratio=0.8))
    assert video.camera_known
    assert [frame.stamp for frame in video[100].frames] == [4 * 10**9, 408 * 10**7, 416 * 10**7]
    drive = open_clips(SourceConfig(spec=f'bag:{DATA / "kitti_drive"}'))
    assert len(drive) == 46
    assert drive[0].target_T == (None, None, None)
    assert len(open_images(SourceConfig(spec=f'camvid:{DATA / "camvid/val"}'))) == 101
