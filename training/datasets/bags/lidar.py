"""A recording with camera and LiDAR: the projected cloud is sparse depth truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

from sim_perception.bags.clouds import xyz
from sim_perception.bags.reader import BagReader
from sim_perception.bags.sensors import ANY, Sensors, calibrated_camera, choose_lidar
from sim_perception.geometry.lidar import project_cloud
from training.datasets.bags.open_bags import OpenBags
from training.datasets.sample import DatasetError, LabelSpace, Sample


class CameraLidarBag(Dataset[Sample]):
    """Camera images with the LiDAR points nearest in time as depth, by index.

    Topics are found by type where they are not given. The sensors' mounting comes from
    ``/tf_static`` (or ``/tf`` at the image's stamp), between the frames the headers name.

    Args:
        path: the bag.
        sensors: which camera and LiDAR of several are meant.
        tolerance_s: greatest distance in time between image and scan.

    Raises:
        BagError: if there is no readable bag, a topic or transform is missing, or of several
            sensors none is chosen.
        DatasetError: if nothing is close enough in time.
    """

    label_space: LabelSpace = 'taxonomy'

    def __init__(
        self,
        path: Path | str,
        sensors: Sensors = ANY,
        tolerance_s: float = 0.05,
    ) -> None:
        self._bags = OpenBags([Path(path)], sensors)
        bag = self._bags[0]
        self.image, self.camera_info = calibrated_camera(bag)
        self.points = choose_lidar(bag)
        bag.camera(self.camera_info)
        self._rows = bag.synchronized([self.image, self.points], int(tolerance_s * 1e9))
        if not len(self._rows):
            raise DatasetError(
                f'{path}: no scan on {self.points} lies within {tolerance_s} s of an image on '
                f'{self.image}; are the clocks synchronised?'
            )
        self._transform(bag, 0)

    def _transform(self, bag: BagReader, row: int) -> npt.NDArray[np.floating]:
        """Return the 4x4 ``camera_T_lidar`` of a row."""
        image, points = (int(number) for number in self._rows[row])
        camera_frame = bag.message(self.image, image).header.frame_id
        lidar_frame = bag.message(self.points, points).header.frame_id
        stamp = int(bag.stamps(self.image)[image])
        return bag.transforms.lookup(camera_frame, lidar_frame, stamp)

    def __len__(self) -> int:
        """Return the number of images with a scan."""
        return len(self._rows)

    def __getitem__(self, index: int) -> Sample:
        """Return one image with its sparse depth."""
        bag = self._bags[0]
        image, points = (int(number) for number in self._rows[index])
        frame = bag.frame(self.image, image, self.camera_info)
        assert frame.camera is not None
        cloud = xyz(bag.cloud(self.points, points))
        depth = project_cloud(frame.camera, self._transform(bag, index), cloud)
        path = self._bags.paths[0]
        return Sample(
            image=frame.image,
            camera=frame.camera,
            depth=depth,
            semantic=None,
            name=f'{path.name}_{image:04d}',
            sequence=str(path),
            index=image,
            stamp=frame.stamp,
        )
