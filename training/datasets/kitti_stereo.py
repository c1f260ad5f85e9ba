"""KITTI odometry's stereo sequences: left images, dense depth from matching, camera poses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

from sim_perception.types import Camera
from training.datasets.files import list_images, read_rgb
from training.datasets.sample import DatasetError, LabelSpace, Sample

_DISPARITIES = 128
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

    Raises:
        DatasetError: if the folder is no such thing or a calibration is unreadable.
    """

    label_space: LabelSpace = 'taxonomy'

    def __init__(self, folder: Path | str, max_depth: float = 80.0) -> None:
        folder = Path(folder)
        self.max_depth = max_depth
        single = (folder / 'left').is_dir()
        self.sequences = [folder] if single else sorted(p.parent for p in folder.glob('*/left'))
        if not self.sequences:
            raise DatasetError(
                f'{folder} is no KITTI stereo sequence (left/, right/, calib.txt) and has none'
            )
        self._calibrations = [read_calibration(s / 'calib.txt') for s in self.sequences]
        self._poses = [_read_poses(s / 'poses.txt') for s in self.sequences]
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
        number, place, path = self._frames[index]
        sequence, calibration = self.sequences[number], self._calibrations[number]
        image = read_rgb(path)
        left = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        right = cv2.cvtColor(read_rgb(sequence / 'right' / path.name), cv2.COLOR_RGB2GRAY)
        depth = stereo_depth(left, right, calibration.fx, calibration.baseline)
        depth[depth > self.max_depth] = np.nan
        height, width = left.shape
        c = calibration
        return Sample(
            image=image,
            camera=Camera(width, height, c.fx, c.fy, c.cx, c.cy),
            depth=depth,
            semantic=None,
            name=f'{sequence.name}_{path.stem}',
            sequence=str(sequence),
            index=place,
        )

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


def read_calibration(path: Path) -> StereoCalibration:
    """Read the projections P0 and P1 of a KITTI ``calib.txt``, named or in its first two rows.

    Raises:
        DatasetError: if they are missing or malformed.
    """
    try:
        rows = [line.split(':') for line in path.read_text().splitlines() if line.strip()]
        named = {row[0].strip(): row[1] for row in rows if len(row) == 2}
        first, second = (named['P0'], named['P1']) if named else (rows[0][0], rows[1][0])
        left, right = (np.array(row.split(), float).reshape(3, 4) for row in (first, second))
    except (OSError, KeyError, IndexError, ValueError) as error:
        raise DatasetError(f'{path} is no KITTI calibration with P0 and P1: {error!r}') from error
    baseline = (left[0, 3] - right[0, 3]) / left[0, 0]
    if baseline <= 0:
        raise DatasetError(f'{path}: P1 must lie to the right of P0, baseline is {baseline:.3f} m')
    return StereoCalibration(left[0, 0], left[1, 1], left[0, 2], left[1, 2], float(baseline))


def _read_poses(path: Path) -> npt.NDArray[np.float64]:
    """Return (N, 4, 4) poses, none if there is no file."""
    if not path.exists():
        return np.empty((0, 4, 4))
    try:
        rows = np.loadtxt(path, ndmin=2)
        rows = rows.reshape(len(rows), -1, 4)
    except ValueError as error:
        raise DatasetError(f'{path}: rows must have 12 or 16 numbers: {error}') from error
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, : rows.shape[1]] = rows
    return poses


def stereo_depth(
    left: npt.NDArray[np.uint8], right: npt.NDArray[np.uint8], focal: float, baseline: float
) -> npt.NDArray[np.float32]:
    """Return (H, W) float32 depth in metres by OpenCV's semi-global matching, NaN where unsure.

    Args:
        left: (H, W) rectified grey image.
        right: the same of the right camera.
        focal: pixels.
        baseline: metres.
    """
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
    disparity = matcher.compute(left, right).astype(np.float32) / 16
    with np.errstate(divide='ignore'):
        return np.where(disparity > 0, focal * baseline / disparity, np.nan).astype(np.float32)
