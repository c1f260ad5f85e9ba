"""KITTI object detection: frames with image, scan, calibration and labels.

A folder holds ``image_2/``, ``velodyne/``, ``calib/`` and ``label_2/`` with one file per frame
(``000000.png``, ``.bin``, ``.txt``, ``.txt``). The level frame is the *vehicle frame* of
``kitti_tracking``: the left colour camera's label frame turned to x forward, y left, z up.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from sim_perception.files import read_bytes, read_text
from sim_perception.geometry.lidar_frame import LidarFrame
from sim_perception.geometry.transforms import (
    BODY_T_OPTICAL,
    from_euler,
    invert,
    make_transform,
    transform_points,
)
from sim_perception.types import Box3D
from training.datasets.kitti.tracking import read_camera, to_vehicle
from training.datasets.objects.label_scenes import LabelScene, TrueObject, points_in_box
from training.datasets.sample import DatasetError

F64 = npt.NDArray[np.float64]

KINDS = {
    'Car': 'car', 'Van': 'van', 'Truck': 'truck', 'Pedestrian': 'pedestrian',
    'Person_sitting': 'pedestrian', 'Cyclist': 'cyclist',
}  # fmt: skip
"""The taxonomy's name of KITTI's classes; vans are a class of their own, as in KITTI's scores."""
OCCLUSION = {0: 0.0, 1: 0.4, 2: 0.7, 3: 1.0}
"""Hidden share that stands for KITTI's levels: seen, partly, largely hidden, unknown."""
_COLUMNS = 15
_MOST_REFLECTANCE = 255.0


def object_scenes(
    folder: Path | str, names: tuple[str, ...] | None = None, *, points: bool = True
) -> Iterator[LabelScene]:
    """Yield the frames of a folder that have labels, by name; see ``read_scene``.

    Raises:
        DatasetError: if the folder has no labels, or a file is absent or malformed.
    """
    for name in names or frame_names(folder):
        yield read_scene(Path(folder), name, points=points)


def frame_names(folder: Path | str) -> tuple[str, ...]:
    """Return the names of the labelled frames.

    Raises:
        DatasetError: if there are none.
    """
    found = tuple(sorted(path.stem for path in (Path(folder) / 'label_2').glob('*.txt')))
    if not found:
        raise DatasetError(
            f'{folder} is no KITTI object folder: no label_2/*.txt; it needs image_2, velodyne, '
            'calib and label_2'
        )
    return found


def read_scene(folder: Path, name: str, *, points: bool = True) -> LabelScene:
    """Read one frame, without its scan if ``points`` are not wanted.

    Raises:
        DatasetError: if a file is absent or malformed.
    """
    image = read_image(folder / 'image_2', name)
    height, width = image.shape[:2]
    calibration = folder / 'calib' / f'{name}.txt'
    camera, camera_T_vehicle = read_camera(calibration, width, height)
    cloud, sensor = np.empty((0, 3)), invert(camera_T_vehicle)[:3, 3]
    if points:
        vehicle_T_lidar = read_lidar_pose(calibration)
        scan = read_scan(folder / 'velodyne' / f'{name}.bin')
        cloud = np.asarray(transform_points(vehicle_T_lidar, scan), np.float64)
        sensor = vehicle_T_lidar[:3, 3]
    frame = LidarFrame(camera, camera_T_vehicle, cloud, sensor)
    labels = folder / 'label_2' / f'{name}.txt'
    objects = read_objects(labels, cloud)
    return LabelScene(name, frame, image, objects, regions=read_regions(labels))


def read_image(folder: Path, name: str) -> npt.NDArray[np.uint8]:
    """Return a frame's RGB image, PNG or JPEG.

    Raises:
        DatasetError: if there is none.
    """
    for suffix in ('.png', '.jpg', '.jpeg'):
        path = folder / f'{name}{suffix}'
        if path.exists():
            image = cv2.imread(str(path))
            if image is None:
                raise DatasetError(f'{path} is no readable image')
            return np.ascontiguousarray(image[..., ::-1]).astype(np.uint8)
    raise DatasetError(f'{folder} has no image {name}.png or .jpg')


def read_scan(path: Path) -> F64:
    """Return (N, 3) points of a scan, LiDAR frame.

    Raises:
        DatasetError: if it is absent or no list of x y z reflectance. Of scans with 3 or 5
            columns the fourth of four has values that no reflectance has.
    """
    try:
        rows = np.frombuffer(read_bytes(path), np.float32).reshape(-1, 4)
    except (OSError, ValueError) as error:
        raise DatasetError(
            f'{path} is no KITTI scan: {error}; it must have 4 columns, x y z reflectance'
        ) from error
    reflectance = rows[:, 3]
    if len(rows) and not (reflectance.min() >= 0 and reflectance.max() <= _MOST_REFLECTANCE):
        raise DatasetError(
            f'{path} is no KITTI scan: as 4 columns, x y z reflectance, the last ranges from '
            f'{reflectance.min():g} to {reflectance.max():g}; does it have 3 columns, or 5 as '
            'nuScenes has? Write it with 4'
        )
    return rows[:, :3].astype(np.float64)


def read_lidar_pose(path: Path) -> F64:
    """Return the 4x4 ``vehicle_T_lidar`` of a calibration file.

    Raises:
        DatasetError: if it lacks ``R0_rect`` or ``Tr_velo_to_cam``.
    """
    try:
        rows = dict(line.split(':', 1) for line in read_text(path).splitlines() if ':' in line)
        rectify = np.array(rows['R0_rect'].split(), float).reshape(3, 3)
        mount = np.array(rows['Tr_velo_to_cam'].split(), float).reshape(3, 4)
    except (OSError, KeyError, ValueError) as error:
        raise DatasetError(
            f'{path} is no KITTI calibration with R0_rect and Tr_velo_to_cam: {error!r}'
        ) from error
    rectified = make_transform(rectify, np.zeros(3))
    return BODY_T_OPTICAL @ rectified @ make_transform(mount[:, :3], mount[:, 3])


def read_regions(path: Path) -> tuple[tuple[float, float, float, float], ...]:
    """Return the image boxes that a label file calls ``DontCare``: there nothing is labelled.

    Raises:
        DatasetError: if the file is absent or a row is no label.
    """
    try:
        rows = [line.split() for line in read_text(path).splitlines()]
        boxes = [[float(n) for n in row[4:8]] for row in rows if row and row[0] == 'DontCare']
        return tuple((x1, y1, x2, y2) for x1, y1, x2, y2 in boxes)
    except (OSError, ValueError) as error:
        raise DatasetError(f'{path} is no KITTI label file: {error}') from error


def read_objects(path: Path, points: F64) -> tuple[TrueObject, ...]:
    """Read a label file; ``DontCare`` and classes that the taxonomy lacks are left out.

    Raises:
        DatasetError: if it is absent or a row is no label.
    """
    objects = []
    try:
        lines = [line.split() for line in read_text(path).splitlines() if line.strip()]
        numbers = np.array([line[1:_COLUMNS] for line in lines], float)
        numbers = numbers.reshape(len(lines), _COLUMNS - 1)
    except (OSError, ValueError) as error:
        raise DatasetError(f'{path} is no KITTI label file: {error}') from error
    boxes = to_vehicle(numbers[:, 7:14])
    for line, number, box in zip(lines, numbers, boxes, strict=True):
        if line[0] not in KINDS:
            continue
        x, y, z, yaw, length, width, height = (float(value) for value in box)
        placed = Box3D(from_euler(0.0, 0.0, yaw, np.array([x, y, z])), (length, width, height))
        left, top, right, bottom = (float(value) for value in number[3:7])
        objects.append(
            TrueObject(
                KINDS[line[0]],
                placed,
                (left, top, right, bottom),
                float(number[0]),
                OCCLUSION.get(int(number[1]), 1.0),
                points_in_box(points, placed),
            )
        )
    return tuple(objects)
