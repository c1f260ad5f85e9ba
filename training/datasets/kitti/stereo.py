"""KITTI odometry's stereo sequences: left images, dense depth from matching, camera poses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

from sim_perception.files import read_text
from sim_perception.types import Camera
from training.datasets.clips import Motion, Timeline
from training.datasets.images.files import list_images, read_rgb
from training.datasets.kitti.poses import read_poses
from training.datasets.sample import DatasetError, LabelSpace, Sample

#: Frame rate of all KITTI odometry sequences.
RATE_HZ = 10.0

_DISPARITIES = 128
_AGREEMENT = 1.0  # pixels between the matches of both directions
_BLOCK = 5


@dataclass(frozen=True)
class StereoCalibration:
    """A rectified pair of equal cameras.

    Attributes:
        fx, fy, cx, cy: the left camera's intrinsics in pixels.
        baseline: metres from the left to the right camera.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    baseline: float


class KittiStereo(Dataset[Sample]):
    """The left images of one or several sequences, with depth by semi-global matching.

    A sequence folder holds ``left/``, ``right/`` with equal names, ``calib.txt`` (3x4
    projections P0 and P1) and perhaps ``poses.txt`` (3x4 or 4x4 rows, camera to world).

    Args:
        folder: a sequence, or a folder of sequences.
        max_depth: farther depths become NaN, metres.
        depth: match the pairs for depth; otherwise samples have none and load faster.

    Raises:
        DatasetError: if the folder is no such thing or a calibration is unreadable.
    """

    label_space: LabelSpace = 'taxonomy'

    def __init__(self, folder: Path | str, max_depth: float = 80.0, depth: bool = True) -> None:
        folder = Path(folder)
        self.max_depth, self.depth = max_depth, depth
        single = (folder / 'left').is_dir()
        self.sequences = [folder] if single else sorted(p.parent for p in folder.glob('*/left'))
        if not self.sequences:
            raise DatasetError(
                f'{folder} is no KITTI stereo sequence (left/, right/, calib.txt) and has none'
            )
        self._calibrations = [read_calibration(s / 'calib.txt') for s in self.sequences]
        self._poses = [
            read_poses(s / 'poses.txt') if (s / 'poses.txt').exists() else np.empty((0, 4, 4))
            for s in self.sequences
        ]
        self._frames = [
            (number, index, left)
            for number, sequence in enumerate(self.sequences)
            for index, left in enumerate(list_images(sequence / 'left'))
        ]

    def __len__(self) -> int:
        """Return the number of left images."""
        return len(self._frames)

    def __getitem__(self, index: int) -> Sample:
        """Return a left image with the depth of its matched pixels.

        Raises:
            DatasetError: if an image is unreadable or its right one is missing.
        """
        sample = self._image(index, 'left')
        return replace(sample, depth=self._match(index, sample.image)) if self.depth else sample

    def right(self, index: int) -> Sample:
        """Return the right image of a pair, without depth.

        Raises:
            DatasetError: if it is unreadable or missing.
        """
        return self._image(index, 'right')

    def right_T_left(self, index: int) -> npt.NDArray[np.float64]:
        """Return the 4x4 transform of points from the left to the right optical frame."""
        transform = np.eye(4)
        transform[0, 3] = -self._calibrations[self._frames[index][0]].baseline
        return transform

    def _image(self, index: int, side: str) -> Sample:
        number, place, path = self._frames[index]
        sequence, c = self.sequences[number], self._calibrations[number]
        image = read_rgb(sequence / side / path.name)
        height, width = image.shape[:2]
        return Sample(
            image=image,
            camera=Camera(width, height, c.fx, c.fy, c.cx, c.cy),
            depth=None,
            semantic=None,
            name=f'{sequence.name}_{path.stem}' + ('' if side == 'left' else f'_{side}'),
            sequence=str(sequence),
            index=place,
            stamp=round(place / RATE_HZ * 1e9),
        )

    def _match(self, index: int, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        calibration = self._calibrations[self._frames[index][0]]
        left, right = (
            cv2.cvtColor(side, cv2.COLOR_RGB2GRAY) for side in (image, self.right(index).image)
        )
        depth = stereo_depth(left, right, calibration.fx, calibration.baseline)
        depth[depth > self.max_depth] = np.nan
        return depth

    def pose(self, index: int) -> npt.NDArray[np.float64]:
        """Return the 4x4 ``world_T_camera`` of the left camera.

        Raises:
            DatasetError: if the sequence has no pose for this frame.
        """
        number, place, path = self._frames[index]
        poses = self._poses[number]
        if place >= len(poses):
            raise DatasetError(f'no pose for {path} in poses.txt ({len(poses)} poses)')
        return poses[place]

    def timeline(self) -> Timeline:
        """Return sequences and nominal times of the frames."""
        numbers = np.array([[number, place] for number, place, _ in self._frames], np.int64)
        return Timeline(numbers[:, 0], np.round(numbers[:, 1] / RATE_HZ * 1e9).astype(np.int64))

    def motion(self) -> Motion:
        """Return the poses of the frames as far as ``poses.txt`` has them."""
        poses = np.full((len(self), 4, 4), np.nan)
        for row, (number, place, _) in enumerate(self._frames):
            if place < len(self._poses[number]):
                poses[row] = self._poses[number][place]
        known = bool(np.isfinite(poses).any())
        return Motion('poses from poses.txt', poses) if known else Motion()


def read_calibration(path: Path) -> StereoCalibration:
    """Read the projections P0 and P1 of a KITTI ``calib.txt``, named or in its first two rows.

    Raises:
        DatasetError: if they are missing or malformed.
    """
    try:
        rows = [line.split(':') for line in read_text(path).splitlines() if line.strip()]
        named = {row[0].strip(): row[1] for row in rows if len(row) == 2}
        first, second = (named['P0'], named['P1']) if named else (rows[0][0], rows[1][0])
        left, right = (np.array(row.split(), float).reshape(3, 4) for row in (first, second))
    except (OSError, KeyError, IndexError, ValueError) as error:
        raise DatasetError(f'{path} is no KITTI calibration with P0 and P1: {error!r}') from error
    baseline = (left[0, 3] - right[0, 3]) / left[0, 0]
    if baseline <= 0:
        raise DatasetError(f'{path}: P1 must lie to the right of P0, baseline is {baseline:.3f} m')
    return StereoCalibration(left[0, 0], left[1, 1], left[0, 2], left[1, 2], float(baseline))


def stereo_depth(
    left: npt.NDArray[np.uint8], right: npt.NDArray[np.uint8], focal: float, baseline: float
) -> npt.NDArray[np.float32]:
    """Return (H, W) float32 depth in metres by OpenCV's semi-global matching, NaN where unsure.

    Only matches that are found again from the right image count: without this check specks of
    sky and wall get the depth of something near.

    Args:
        left: (H, W) rectified grey image.
        right: the same of the right camera.
        focal: pixels.
        baseline: metres.
    """
    forth = _disparity(left, right)
    back = _disparity(right[:, ::-1], left[:, ::-1])[:, ::-1]
    column = np.rint(np.arange(left.shape[1]) - forth).astype(np.intp)
    seen = np.take_along_axis(back, column.clip(0, left.shape[1] - 1), 1)
    sure = (forth > 0) & (column >= 0) & (np.abs(seen - forth) <= _AGREEMENT)
    with np.errstate(divide='ignore'):
        return np.where(sure, focal * baseline / forth, np.nan).astype(np.float32)


def _disparity(
    left: npt.NDArray[np.uint8], right: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float32]:
    """Return (H, W) pixels that the right image's match lies to the left, negative if unsure."""
    matcher = cv2.StereoSGBM.create(
        minDisparity=0,
        numDisparities=_DISPARITIES,
        blockSize=_BLOCK,
        P1=8 * _BLOCK**2,
        P2=32 * _BLOCK**2,
        disp12MaxDiff=1,
        uniquenessRatio=10,
        speckleWindowSize=100,
        speckleRange=2,
    )
    # the matcher leaves the first columns out, where some candidates lie outside
    first, second = (
        cv2.copyMakeBorder(image, 0, 0, _DISPARITIES, 0, cv2.BORDER_REPLICATE)
        for image in (left, right)
    )
    return np.asarray(matcher.compute(first, second)[:, _DISPARITIES:], np.float32) / np.float32(
        16
    )
