"""Stereo pairs of recordings: two cameras whose calibrations say how far they are apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sim_perception.bags.reader import BagReader
from sim_perception.bags.sensors import Sensors, cameras, choose_camera
from training.datasets.bags.camera import CameraBags
from training.datasets.bags.open_bags import expand
from training.datasets.sample import DatasetError, Sample

#: Images of a pair are taken at the same moment, within so many nanoseconds.
_TOLERANCE_NS = 2_000_000


class StereoBags:
    """Rectified stereo pairs of bags, by the index of the left image.

    The right camera is the one whose CameraInfo has the pair's baseline in P, as ROS has it:
    ``P[0, 3] = -fx * baseline``.

    Args:
        left: the images of the left camera.
        path: their bag, folder of bags or pattern.
        sensors: which camera is the left one.

    Raises:
        DatasetError: if a bag has no such pair or its images are not rectified.
    """

    def __init__(self, left: CameraBags, path: str, sensors: Sensors) -> None:
        self.left = left
        found = [_right_camera(str(bag), sensors) for bag in expand([path])]
        names = sorted({name for name, _ in found})
        if len(names) > 1:
            raise DatasetError(f'{path}: right cameras of several names: {", ".join(names)}')
        self.right_images = CameraBags([path], Sensors(camera=names[0]))
        self._baseline = [baseline for _, baseline in found]
        self._partner = self._partners()

    def __len__(self) -> int:
        """Return the number of left images."""
        return len(self.left)

    def __getitem__(self, index: int) -> Sample:
        """Return a left image without depth."""
        return self.left[index]

    def has_right(self, index: int) -> bool:
        """Whether a left image has a right one of the same moment."""
        return bool(self._partner[index] >= 0)

    def right(self, index: int) -> Sample:
        """Return the right image of a pair.

        Raises:
            DatasetError: if there is none.
        """
        if not self.has_right(index):
            raise DatasetError(f'{self.left[index].name} has no right image')
        sample = self.right_images[int(self._partner[index])]
        return replace(sample, name=f'{sample.name}_right')

    def right_T_left(self, index: int) -> npt.NDArray[np.float64]:
        """Return the 4x4 transform of points from the left to the right optical frame."""
        transform = np.eye(4)
        transform[0, 3] = -self._baseline[int(self.left.timeline().sequence[index])]
        return transform

    def _partners(self) -> npt.NDArray[np.int64]:
        """Return for each left image the index of the right one, -1 for none."""
        left, right = self.left.timeline(), self.right_images.timeline()
        partner = np.full(len(self.left), -1, np.int64)
        for number in np.unique(left.sequence):
            mine = np.flatnonzero(left.sequence == number)
            theirs = np.flatnonzero(right.sequence == number)
            away = abs(left.stamp[mine, None] - right.stamp[None, theirs])
            nearest = away.argmin(1)
            close = away[np.arange(len(mine)), nearest] <= _TOLERANCE_NS
            partner[mine[close]] = theirs[nearest[close]]
        return partner


def _right_camera(path: str, sensors: Sensors) -> tuple[str, float]:
    """Return the image topic of the right camera of a bag, and the baseline in metres."""
    with BagReader(path, sensors) as bag:
        left = choose_camera(bag)
        pairs = []
        for other in cameras(bag):
            if other.info is None or other.image == left.image:
                continue
            p = np.array(bag.message(other.info, 0).p, float)
            if p[0] > 0 and p[3] < 0:
                pairs.append((other.image, -p[3] / p[0]))
                _require_rectified(bag, path, left.info, other.info)
    if len(pairs) != 1:
        told = ', '.join(name for name, _ in pairs) or 'none'
        raise DatasetError(
            f'{path}: which camera is the right one of {left.image}? By P[0, 3] of CameraInfo, '
            f'which is -fx * baseline of a right one: {told}'
        )
    return pairs[0]


def _require_rectified(bag: BagReader, path: str, *infos: str | None) -> None:
    for info in infos:
        if info is None or bag.camera(info).distortion:
            raise DatasetError(
                f'{path}: stereo pairs must be rectified, and {info} is of a bent lens; run '
                'stereo_image_proc and record its image_rect topics'
            )
