"""Real images with the depth that a LiDAR measured in them: recordings of both, KITTI frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from training.datasets.bags.lidar import CameraLidarBag
from training.datasets.clips import Timeline
from training.datasets.kitti.scans import KittiScans
from training.datasets.sample import IGNORE
from training.datasets.sources import SourceConfig
from training.datasets.spec import Kinds, Spec
from training.datasets.views.appearance import LabelledImage

Depth = npt.NDArray[np.float32]
Scans = CameraLidarBag | KittiScans

#: Columns and rows about a point in which something nearer hides what is behind it, in parts of
#: the image's width.
NEAR = (0.012, 0.007)
#: How much farther than that a point may be, as a factor: roads and walls slope away.
BEHIND = 1.25


def seen_depth(scan: Depth) -> Depth:
    """Return a scan's depth where the camera sees it, a point as wide as three pixels.

    A LiDAR beside or above the camera looks past edges at what the camera cannot see: points
    with something much nearer about them are left out.

    Args:
        scan: (H, W) metres, NaN where no point falls.

    Returns:
        (H, W) metres, NaN where unknown.
    """
    known = np.where(np.isfinite(scan), scan, np.float32(np.inf))
    columns, rows = (2 * round(part * scan.shape[1] / 2) + 1 for part in NEAR)
    nearest = _lowest(known, columns, rows)
    seen = np.where(known <= BEHIND * nearest, known, np.float32(np.inf))
    wide = _lowest(seen, 3, 3)
    return np.where(np.isfinite(wide), wide, np.nan).astype(np.float32)


def _lowest(image: Depth, columns: int, rows: int) -> Depth:
    """Return the least value in a window about every pixel."""
    window = np.ones((rows, columns), np.uint8)
    found: Depth = cv2.erode(image, window, borderType=cv2.BORDER_REPLICATE)
    return found


class ScanImages:
    """Images of a source with the depth of their scans; every pixel's class is unknown.

    Args:
        scans: the images with sparse depth.
        indices: the frames to take.
    """

    def __init__(self, scans: Scans, indices: Sequence[int]) -> None:
        self.scans, self.indices = scans, tuple(indices)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.indices)

    def __getitem__(self, index: int) -> LabelledImage:
        """Return one image with its depth.

        Raises:
            DatasetError: if a file of the frame is unusable.
        """
        sample = self.scans[self.indices[index]]
        assert sample.camera is not None
        assert sample.depth is not None
        unknown = np.full(sample.image.shape[:2], IGNORE, np.uint8)
        return LabelledImage(sample.image, seen_depth(sample.depth), unknown, sample.camera)


def _bag(spec: Spec) -> Scans:
    return CameraLidarBag(Path(spec.path), spec.sensors)


def _kitti_object(spec: Spec) -> Scans:
    return KittiScans(spec.path)


KINDS: Kinds[Callable[[Spec], Scans]] = Kinds({
    'bag': ('bag:DIR (a recording of camera and LiDAR)', _bag),
    'kitti_object': ('kitti_object:DIR; #0-15 at the end takes only those frames', _kitti_object),
})  # fmt: skip


def open_scans(config: SourceConfig) -> ScanImages:
    """Return the images of a source of camera and LiDAR with their scans' depth.

    Raises:
        DatasetError: if the source is of no such kind, or unusable.
        BagError: for a bag that cannot be read or lacks topics.
    """
    opener, spec = KINDS.find(config.spec)
    scans = opener(spec)
    indices = Timeline.unknown(len(scans)).numbered(config.frames or spec.frames)
    return ScanImages(scans, indices[:: config.stride].tolist())
