"""KITTI object frames as images with the depth that their scans measured; no label is read."""

from __future__ import annotations

from pathlib import Path

from torch.utils.data import Dataset

from sim_perception.geometry.lidar import project_cloud
from training.datasets.kitti.object import read_image, read_lidar_pose, read_scan
from training.datasets.kitti.tracking import read_camera
from training.datasets.sample import DatasetError, LabelSpace, Sample


class KittiScans(Dataset[Sample]):
    """Frames of a folder with ``image_2``, ``velodyne`` and ``calib``, by index in name order.

    Depth is sparse: the scan's points in the image, NaN elsewhere.

    Raises:
        DatasetError: if there is no scan.
    """

    label_space: LabelSpace = 'taxonomy'

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.names = tuple(sorted(p.stem for p in (self.folder / 'velodyne').glob('*.bin')))
        if not self.names:
            raise DatasetError(
                f'{folder} is no KITTI object folder: no velodyne/*.bin; it needs image_2, '
                'velodyne and calib'
            )

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        """Return one image with its sparse depth.

        Raises:
            DatasetError: if a file is absent or malformed.
        """
        name = self.names[index]
        image = read_image(self.folder / 'image_2', name)
        calibration = self.folder / 'calib' / f'{name}.txt'
        camera, camera_T_vehicle = read_camera(calibration, image.shape[1], image.shape[0])
        camera_T_lidar = camera_T_vehicle @ read_lidar_pose(calibration)
        points = read_scan(self.folder / 'velodyne' / f'{name}.bin')
        depth = project_cloud(camera, camera_T_lidar, points)
        return Sample(image, camera, depth, None, name, str(self.folder))
