"""A recording as re-simulation needs it: images with pose, depth, classes and cloud in the world.

World: the recording's own fixed frame where it has one; else the first frame's base, with the
camera's motion from its scans or, without a LiDAR, from visual odometry. ``base`` lies on the
ground under ``base_link``, or under the camera, taken as level, where there is no such frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_perception.bags import topics as t_
from sim_perception.bags.clouds import xyz
from sim_perception.bags.errors import TransformError
from sim_perception.bags.reader import BagReader
from sim_perception.bags.sensors import (
    ANY,
    Sensors,
    calibrated_camera,
    choose_lidar,
    lidars,
    truth_topic,
)
from sim_perception.geometry.cameras import project, unproject
from sim_perception.geometry.lidar import project_cloud
from sim_perception.geometry.lidar_frame import fit_ground
from sim_perception.geometry.transforms import (
    BODY_T_OPTICAL,
    from_euler,
    invert,
    make_transform,
    transform_points,
)
from sim_perception.inference.backend import choose_device
from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Camera, Frame
from training.datasets.bags.motion import bag_motion
from training.datasets.images.undistort import undistorted
from training.datasets.sample import DatasetError, Sample
from training.resimulation.dense import lidar_aligned, sharp_edges
from training.resimulation.scan_matching import match_scans

Array = npt.NDArray[np.floating]

GROUND = ('road', 'sidewalk', 'terrain')
_STANDING = ('building', 'fence', 'pole', 'sign', 'billboard', 'vegetation')
_ABOVE = 0.3
_TOLERANCE_NS = 60_000_000
_GUESSED_HEIGHT = 1.6


@dataclass(frozen=True)
class Shot:
    """One image and what is known about it.

    Attributes:
        image: (H, W, 3) RGB, undistorted.
        camera: an ideal pinhole.
        depth: (H, W) metres along the axis, NaN where unknown and in the sky.
        semantic: (H, W) class ids.
        lidar: (H, W) metres, NaN where no point falls; all NaN without a scan.
        world_T_camera: 4x4.
    """

    image: npt.NDArray[np.uint8]
    camera: Camera
    depth: npt.NDArray[np.float32]
    semantic: npt.NDArray[np.uint8]
    lidar: npt.NDArray[np.float32]
    world_T_camera: Array


class Recording:
    """Frames of a bag by number.

    Args:
        path: the bag.
        checkpoint: of the network that sees depth, classes and, if need be, motion, where the
            bag does not have them.
        use_truth: take depth and classes from ``/ground_truth`` where the bag has them.
        known: ``base_T_camera`` and the (N, 4, 4) poses of the base at the images, where they
            have been told before.
        sensors: which camera and LiDAR of several are meant.
        device: what the network runs on, see ``choose_device``.

    Attributes:
        stamps: (N,) of the frames, nanoseconds.
        motion_source: where the camera's motion comes from, for people.
        world_T_camera: (N, 4, 4).
        base_T_camera: 4x4.

    Raises:
        BagError: if there is no readable bag, or it has no calibrated camera.
        DatasetError: if its camera's motion cannot be told.
        ValueError: for a device that is not there.
    """

    def __init__(
        self,
        path: Path,
        checkpoint: Path = Path('models/depth_segmentation'),
        use_truth: bool = True,
        known: tuple[Array, Array] | None = None,
        sensors: Sensors = ANY,
        device: str = 'auto',
    ) -> None:
        choose_device(device)
        self.path, self._checkpoint, self._device = path, checkpoint, device
        self.bag = bag = BagReader(path, sensors)
        self.image, self._info = calibrated_camera(bag)
        self._layers = truth_topic(bag, t_.DEPTH), truth_topic(bag, t_.SEMANTIC)
        layers = all(bag.count(topic) for topic in self._layers)
        self.has_truth = bool(use_truth and layers)
        stamps = bag.stamps(self.image)
        if self.has_truth:
            depth, semantic = map(bag.stamps, self._layers)
            layered = np.intersect1d(depth, semantic)
            stamps = np.intersect1d(stamps, layered)
        self.camera_frame = bag.message(self.image, 0).header.frame_id
        self.stamps = stamps
        if known is not None and len(known[1]) == len(stamps):
            self.motion_source: str = 'as known'
            self.base_T_camera: Array = known[0]
            self.world_T_camera: Array = known[1] @ known[0]
            return
        self.motion_source, poses = self._motion()
        keep = np.isfinite(poses).all((1, 2))
        if keep.sum() < 1:
            raise DatasetError(f'{path}: the motion of the camera is not known')
        self.stamps, self.world_T_camera = stamps[keep], poses[keep]
        self.base_T_camera = self._grounded(self._mounting())

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.stamps)

    @property
    def seconds(self) -> Array:
        """(N,) times of the frames since the first."""
        return np.asarray((self.stamps - self.stamps[0]) / 1e9, np.float64)

    @property
    def world_T_base(self) -> Array:
        """(N, 4, 4) poses of the base."""
        return np.asarray(self.world_T_camera @ invert(self.base_T_camera), np.float64)

    @cached_property
    def engine(self) -> DepthSegmentationEngine:
        """The network."""
        return DepthSegmentationEngine.load(self._checkpoint, device=self._device, threads=1)

    @cached_property
    def cloud_topic(self) -> str | None:
        """The LiDAR's topic, if there is one."""
        return choose_lidar(self.bag) if lidars(self.bag) else None

    def sample(self, stamp: int) -> Sample:
        """Return the undistorted image nearest to a stamp, with truth where it is used."""
        number = self.bag.nearest(self.image, int(stamp))
        assert number is not None
        frame = self.bag.frame(self.image, number, self._info)
        assert frame.camera is not None
        depth = semantic = None
        if self.has_truth:
            depth, semantic = (self._layer(topic, int(stamp)) for topic in self._layers)
        return undistorted(Sample(frame.image, frame.camera, depth, semantic, ''))

    def _layer(self, topic: str, stamp: int) -> npt.NDArray[Any]:
        row = self.bag.nearest(topic, stamp)
        assert row is not None
        return self.bag.image(topic, row)

    def cloud(self, number: int) -> Array:
        """Return the (N, 3) points of the scan of a frame in the optical frame; may be none."""
        topic, stamp = self.cloud_topic, int(self.stamps[number])
        row = None if topic is None else self.bag.nearest(topic, stamp, _TOLERANCE_NS)
        if topic is None or row is None:
            return np.zeros((0, 3))
        frame = self.bag.message(topic, row).header.frame_id
        points = xyz(self.bag.cloud(topic, row)).astype(np.float64)
        points = points[np.isfinite(points).all(1)]
        camera_T_lidar = self.bag.transforms.lookup(self.camera_frame, frame, stamp)
        return transform_points(camera_T_lidar, points)

    def shot(self, number: int) -> Shot:
        """Return all that is known about a frame.

        Raises:
            CorruptBagError: if that part of the bag is damaged.
        """
        return _shot(self, number)

    def _motion(self) -> tuple[str, Array]:
        """Return where the camera's motion comes from and its (N, 4, 4) poses."""
        known = bag_motion(self.bag, self.camera_frame, self.stamps)
        if known.poses is not None:
            return known.source, np.asarray(known.poses, np.float64)
        base_T_camera = self._mounting()
        if self.cloud_topic is not None:
            scans = (self._standing(number, base_T_camera) for number in range(len(self.stamps)))
            return 'LiDAR scan matching', match_scans(scans) @ base_T_camera
        poses, previous = [base_T_camera], None
        for stamp in self.stamps:
            sample = self.sample(int(stamp))
            _, view = self.engine.infer_for_motion(Frame(0, sample.image, sample.camera))
            if previous is not None:
                poses.append(poses[-1] @ np.asarray(self.engine.ego_motion(view, previous)))
            previous = view
        return 'visual odometry', np.stack(poses)

    def _standing(self, number: int, base_T_camera: Array) -> Array:
        """Return the points of a scan, in the base's frame, on what stands still and upright."""
        sample = self.sample(int(self.stamps[number]))
        assert sample.camera is not None
        seen = self.engine.infer(Frame(0, sample.image, sample.camera)).segmentation
        cloud = self.cloud(number)
        uv, _ = project(sample.camera, cloud)
        uv = np.rint(np.nan_to_num(uv, nan=-1.0)).astype(int)
        inside = ((uv >= 0) & (uv < [sample.camera.width, sample.camera.height])).all(1)
        uv, points = uv[inside], transform_points(base_T_camera, cloud)
        plane = fit_ground(np.asarray(points, np.float64), base_T_camera[:3, 3])
        points = points[inside]
        chosen = np.isin(seen[uv[:, 1], uv[:, 0]], [load_taxonomy().id_of(n) for n in _STANDING])
        if plane is not None:
            chosen &= points[:, 2] - points[:, :2] @ plane[:2] - plane[2] > _ABOVE
        return np.asarray(points[chosen], np.float64)

    def _mounting(self) -> Array:
        """Return ``base_T_camera`` before the ground is known."""
        try:
            pose = self.bag.transforms.lookup(t_.BASE_FRAME, self.camera_frame, self.stamps[0])
            return np.asarray(pose, np.float64)
        except TransformError:
            return from_euler(0, 0, 0, np.array([0, 0, _GUESSED_HEIGHT])) @ BODY_T_OPTICAL

    def _grounded(self, base_T_camera: Array) -> Array:
        """Return the mounting with the base moved up or down to the ground."""
        heights = []
        for number in np.unique(np.linspace(0, len(self) - 1, 5).astype(int)):
            points = transform_points(base_T_camera, ground_points(self, int(number)))
            plane = None
            if len(points):
                plane = fit_ground(np.asarray(points, np.float64), base_T_camera[:3, 3])
            if plane is not None:
                heights.append(plane[2])
        lift = make_transform(np.eye(3), (0.0, 0.0, -float(np.median(heights or [0.0]))))
        return lift @ base_T_camera


def ground_points(recording: Recording, number: int, stride: int = 4) -> Array:
    """Return (N, 3) points of a frame in the optical frame, among them those of the ground."""
    cloud = recording.cloud(number)
    if len(cloud):
        return np.asarray(cloud, np.float64)
    shot = recording.shot(number)
    ids = [load_taxonomy().id_of(name) for name in GROUND]
    points = unproject(shot.camera, shot.depth)
    good = np.isin(shot.semantic, ids) & np.isfinite(shot.depth) & (shot.depth < 40)
    return np.asarray(points[::stride, ::stride][good[::stride, ::stride]], np.float64)


@lru_cache(maxsize=24)
def _shot(recording: Recording, number: int) -> Shot:
    sample = recording.sample(int(recording.stamps[number]))
    assert sample.camera is not None
    cloud = recording.cloud(number)
    lidar = project_cloud(sample.camera, np.eye(4), cloud)
    if sample.depth is not None and sample.semantic is not None:
        depth, semantic = sample.depth, sample.semantic
    else:
        seen = recording.engine.infer(Frame(0, sample.image, sample.camera), mask_sky=True)
        depth = sharp_edges(lidar_aligned(seen.depth, lidar))
        semantic = seen.segmentation
    return Shot(
        image=sample.image,
        camera=sample.camera.ideal,
        depth=np.asarray(depth, np.float32),
        semantic=semantic,
        lidar=lidar,
        world_T_camera=recording.world_T_camera[number],
    )
