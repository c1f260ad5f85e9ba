"""Sources of clips and unlabelled images by name: bags, videos, folders, stereo sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import Field

from sim_perception.bags import topics as t_
from sim_perception.bags.layout import bags_at
from sim_perception.bags.reader import BagReader
from sim_perception.bags.sensors import ANY, Sensors, split_sensors, truth_topic
from training.datasets.bags.camera import CameraBags
from training.datasets.bags.open_bags import expand
from training.datasets.clips import (
    Clip,
    Clips,
    Indices,
    Motion,
    SampleClips,
    Timeline,
    constant_speed,
    triplets,
)
from training.datasets.frames import Frames, UnlabelledImages
from training.datasets.images.files import list_images, split_frames
from training.datasets.images.folders import ImageFolder
from training.datasets.images.video import VideoFile
from training.datasets.kitti.stereo import KittiStereo
from training.datasets.sample import DatasetError
from training.datasets.simulated.bags import SimulatedBags
from training.datasets.spec import Kinds, Spec
from training.engine.config import Section

_VIDEOS = ('.mp4', '.avi', '.mkv', '.mov', '.webm', '.m4v')


class SourceConfig(Section):
    """One source of unlabelled images or clips."""

    spec: str
    """``KIND:PATH``, ``KIND:PATH#FRAMES`` or ``bag:PATH,camera=NAME,lidar=NAME#FRAMES``."""
    frames: str = ''
    """Which frames of each sequence, like ``0-27`` or ``0-9,20-29``; empty is all."""
    focal_ratio: float | None = Field(default=None, gt=0)
    """Focal length / image width, used where the source has no calibration."""
    calibration: str = ''
    """File of the camera, used where the source has none: a camera_info YAML, or a camera of
    kalibr's camchain, ``FILE#cam0``."""
    learn_focal: bool = False
    """Of clips: let the training correct ``focal_ratio``, which is then only the start."""
    speed: float | None = Field(default=None, gt=0)
    """Constant speed of the camera in m/s, used where the source does not know its motion."""
    rate: float | None = Field(default=None, ge=1e-3, le=1e5)
    """Images per second of an image folder; without it a folder is not a sequence."""
    gap_s: float = Field(default=0.1, gt=0)
    """Seconds between target and neighbour, as near as the frame rate allows."""
    stride: int = Field(default=1, ge=1)
    """Take every so many-th frame as a clip's target, or as an image."""
    weight: float = Field(default=1.0, ge=0)
    """Share among several sources."""


def guess_spec(text: str) -> str:
    """Return the spec of a plain path; a spec is returned as it is.

    Raises:
        DatasetError: if nothing usable is there.
    """
    if text.partition(':')[0] in KINDS:
        return text
    place, frames = split_frames(text)
    place, _ = split_sensors(place)
    path, suffix = Path(place), f'#{frames}' if frames else ''
    if path.suffix.lower() in _VIDEOS:
        return f'video:{text}'
    if not path.exists():
        raise DatasetError(f'there is no {path}; a source is a path or one of: {KINDS.help}')
    if (path / 'left').is_dir() or any(path.glob('*/left')):
        kind = 'kitti_stereo'
    elif bags_at(path):
        return f'bag:{text}'
    elif path.with_name(f'{path.name}annot').is_dir():
        kind = 'camvid'
    elif path.is_dir():
        list_images(path)
        kind = 'images'
    else:
        raise DatasetError(f'{path} is no source; known: {KINDS.help}')
    return f'{kind}:{path}{suffix}'


class StereoClips(SampleClips):
    """Clips of KITTI stereo sequences, with the right image of the target."""

    def __init__(
        self,
        pairs: KittiStereo,
        frames: Frames,
        windows: Indices,
        motion: Motion,
        time: Timeline,
        what: str,
    ) -> None:
        super().__init__(frames, windows, motion, time, what)
        self.pairs, self.frames = pairs, frames

    def __getitem__(self, index: int) -> Clip:
        """Return one clip.

        Raises:
            DatasetError: if an image is unreadable.
        """
        clip = super().__getitem__(index)
        number = int(self.frames.indices[self.windows[index, clip.target]])
        right = self.pairs.right(number)
        return replace(clip, right=right, right_T_target=self.pairs.right_T_left(number))

    def describe(self) -> list[str]:
        """Return lines about number, spacing, intrinsics, motion and baseline."""
        baseline = -float(self.pairs.right_T_left(0)[0, 3])
        return [*super().describe(), f'rectified stereo, baseline {baseline:.4f} m']


@dataclass(frozen=True)
class OpenSource:
    """A source before it is cut into clips.

    Attributes:
        spec: what it was opened from.
        samples: all its frames; simulated bags have truth.
        time: of all frames, or None where they are no sequence.
        motion: of all frames as far as the source knows.
    """

    spec: Spec
    samples: SimulatedBags | CameraBags | VideoFile | ImageFolder | KittiStereo
    time: Timeline | None
    motion: Motion

    def chosen(self, frames: str) -> Indices:
        """Return the indices of the frames in a range, by default the one in the spec.

        Raises:
            DatasetError: if there is none.
        """
        time = self.time or Timeline.unknown(len(self.samples))
        try:
            return time.numbered(frames or self.spec.frames)
        except DatasetError as error:
            raise DatasetError(f'{self.spec.path}: {error}') from error


def open_source(spec: str, truth: bool = True, rate: float | None = None) -> OpenSource:
    """Open what a spec names.

    Args:
        spec: see ``KINDS``.
        truth: give depth and classes of simulated bags.
        rate: images per second of image folders; None if they are no sequence.

    Raises:
        DatasetError: if it is unknown, absent or unusable.
        BagError: for a bag that cannot be read or lacks topics.
    """
    opener, parts = KINDS.find(spec)
    return opener(parts, truth, rate)


def _bags(spec: Spec, truth: bool, rate: float | None) -> OpenSource:
    bags = [spec.path]
    exact = truth and has_truth(bags, spec.sensors)
    samples = (
        SimulatedBags(bags, sensors=spec.sensors) if exact else CameraBags(bags, spec.sensors)
    )
    return OpenSource(spec, samples, samples.timeline(), samples.motion())


def _kitti_stereo(spec: Spec, truth: bool, rate: float | None) -> OpenSource:
    pairs = KittiStereo(spec.path, depth=False)
    return OpenSource(spec, pairs, pairs.timeline(), pairs.motion())


def _video(spec: Spec, truth: bool, rate: float | None) -> OpenSource:
    video = VideoFile(spec.path)
    return OpenSource(spec, video, video.timeline(), Motion())


def _images(spec: Spec, truth: bool, rate: float | None) -> OpenSource:
    folder = ImageFolder(spec.path)
    time = None
    if rate is not None:
        numbers = np.arange(len(folder), dtype=np.int64)
        stamps = np.round(numbers / rate * 1e9).astype(np.int64)
        time = Timeline(np.zeros_like(numbers), stamps)
    return OpenSource(spec, folder, time, Motion())


KINDS = Kinds({
    'bag': (
        'bag:DIR (a bag, a folder of bags or a pattern; of several cameras or LiDARs '
        'DIR,camera=NAME and DIR,lidar=NAME choose)',
        _bags,
    ),
    'video': ('video:FILE', _video),
    'images': ('images:DIR (in name order)', _images),
    'camvid': ('camvid:DIR/SPLIT', _images),
    'kitti_stereo': (
        'kitti_stereo:DIR; with #0-27 at the end only those frames of each sequence',
        _kitti_stereo,
    ),
})  # fmt: skip


def has_truth(bags: Sequence[Path | str], sensors: Sensors = ANY) -> bool:
    """Return whether the first of the bags has true depth and classes of the meant camera."""
    with BagReader(expand(bags)[0], sensors) as bag:
        return all(bag.count(truth_topic(bag, topic)) for topic in (t_.DEPTH, t_.SEMANTIC))


def open_clips(config: SourceConfig) -> Clips:
    """Return the clips of a source: previous, target and next frame.

    Raises:
        DatasetError: if the source is unusable or not a sequence.
        BagError: for a bag that cannot be read or lacks topics.
    """
    return clips_of(open_source(config.spec, rate=config.rate), config)


def clips_of(source: OpenSource, config: SourceConfig) -> SampleClips:
    """Return the clips of an opened source; see :func:`open_clips`."""
    if source.time is None:
        raise DatasetError(
            f'{config.spec} is not known to be a sequence; give its `rate` in images per second, '
            'or use it as single images only'
        )
    indices = source.chosen(config.frames)
    time, motion = source.time.select(indices), source.motion.select(indices)
    if not motion.source and config.speed is not None:
        motion = constant_speed(time.stamp, config.speed)
    frames = Frames(source.samples, indices.tolist(), config.focal_ratio, config.calibration)
    windows = triplets(time, config.gap_s, config.stride)
    if isinstance(source.samples, KittiStereo):
        return StereoClips(source.samples, frames, windows, motion, time, config.spec)
    return SampleClips(frames, windows, motion, time, config.spec)


def open_images(config: SourceConfig) -> UnlabelledImages:
    """Return every frame of a source as an image without truth.

    Raises:
        DatasetError: if the source is unusable.
        BagError: for a bag that cannot be read or lacks topics.
    """
    source = open_source(config.spec, truth=False, rate=config.rate)
    indices = source.chosen(config.frames)[:: config.stride]
    return UnlabelledImages(
        source.samples, indices.tolist(), config.focal_ratio, config.calibration
    )
