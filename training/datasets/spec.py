"""Sources of clips and unlabelled images by name: what a SPEC says."""

from __future__ import annotations

from dataclasses import dataclass

from sim_perception.bags.sensors import ANY, Sensors, split_sensors, with_sensors
from training.datasets.images.files import split_frames
from training.datasets.sample import DatasetError

#: What a ``spec`` may begin with, for messages and help.
HELP = (
    'bag:DIR (a bag, a folder of bags or a pattern; of several cameras or LiDARs DIR,camera=NAME '
    'and DIR,lidar=NAME choose), video:FILE, images:DIR (in name order), '
    'camvid:DIR/SPLIT, kitti_stereo:DIR; with #0-27 at the end only those frames of each sequence'
)
KINDS = ('bag', 'video', 'images', 'camvid', 'kitti_stereo')


@dataclass(frozen=True)
class ParsedSpec:
    """A spec in its parts; ``frames`` may be empty, ``sensors`` are those of bags."""

    kind: str
    path: str
    frames: str
    sensors: Sensors = ANY

    def of(self, sensors: Sensors) -> str:
        """Return the spec with other sensors."""
        frames = f'#{self.frames}' if self.frames else ''
        return f'{self.kind}:{with_sensors(self.path, sensors)}{frames}'


def parse_spec(spec: str) -> ParsedSpec:
    """Split ``KIND:PATH#FRAMES``.

    Raises:
        DatasetError: for an unknown kind or no path.
    """
    kind, _, rest = spec.partition(':')
    path, frames = split_frames(rest)
    if kind not in KINDS or not path:
        raise DatasetError(f'source {spec!r} is none of: {HELP}')
    if kind != 'bag':
        return ParsedSpec(kind, path, frames)
    path, sensors = split_sensors(path)
    return ParsedSpec(kind, path, frames, sensors)


def choose_sensors(spec: str, camera: str, lidar: str = '') -> str:
    """Return a spec with the camera and LiDAR of the options ``--camera`` and ``--lidar``.

    Raises:
        DatasetError: if it is not of a bag.
    """
    if not camera and not lidar:
        return spec
    if not spec.startswith(('bag:', 'kitti_like:bag:')):
        raise DatasetError(f'--camera and --lidar choose topics of bags, not of {spec!r}')
    kind, _, rest = spec.partition('bag:')
    path, frames = split_frames(rest)
    return f'{kind}{ParsedSpec("bag", path, frames).of(Sensors(camera, lidar))}'
