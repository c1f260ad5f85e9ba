"""Camera poses in KITTI odometry's format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.datasets.sample import DatasetError


def read_poses(path: Path) -> npt.NDArray[np.float64]:
    """Return the (N, 4, 4) poses of a file, which map points of each camera to the first.

    Args:
        path: rows of 3x4 or 4x4 matrices, row by row.

    Raises:
        DatasetError: if the file is absent or a row has neither 12 nor 16 finite numbers.
    """
    try:
        rows = np.loadtxt(path, ndmin=2)
        rows = rows.reshape(len(rows), -1, 4)
        poses = np.tile(np.eye(4), (len(rows), 1, 1))
        poses[:, : rows.shape[1]] = rows
    except (OSError, ValueError) as error:
        raise DatasetError(f'{path}: rows must have 12 or 16 numbers: {error}') from error
    if not np.isfinite(poses).all():
        raise DatasetError(f'{path} has poses that are not finite')
    return poses
