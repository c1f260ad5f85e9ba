"""A KITTI object folder of one frame."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, invert
from sim_perception.types import Box3D, Camera
from training.datasets.kitti.tracking import from_vehicle

CAMERA = Camera(200, 100, 150.0, 150.0, 99.5, 49.5)


def write_kitti(folder: Path, placed: Box3D, points: np.ndarray) -> None:
    """Write one frame whose LiDAR is .08 m above and .27 m behind the camera."""
    for name in ('image_2', 'velodyne', 'calib', 'label_2'):
        (folder / name).mkdir(parents=True)
    cv2.imwrite(str(folder / 'image_2' / '000003.png'), np.full((100, 200, 3), 90, np.uint8))
    vehicle_T_lidar = from_euler(0, 0, 0, np.array([-0.27, 0.0, 0.08]))
    raw = points @ np.eye(3) - vehicle_T_lidar[:3, 3]
    values = np.column_stack([raw, np.full(len(raw), 0.3)]).astype(np.float32)
    (folder / 'velodyne' / '000003.bin').write_bytes(values.tobytes())
    mount = (invert(BODY_T_OPTICAL) @ vehicle_T_lidar)[:3]
    projection = np.column_stack([CAMERA.matrix, np.zeros(3)])
    rows = {'P2': projection, 'R0_rect': np.eye(3), 'Tr_velo_to_cam': mount}
    text = ''.join(f'{key}: {" ".join(map(str, value.ravel()))}\n' for key, value in rows.items())
    (folder / 'calib' / '000003.txt').write_text(text)
    x, y, z = placed.parent_T_box[:3, 3]
    yaw = np.arctan2(placed.parent_T_box[1, 0], placed.parent_T_box[0, 0])
    h, w, length, cx, cy, cz, ry = from_vehicle(np.array([[x, y, z, yaw, *placed.size]]))[0]
    numbers = [0.1, 1, -1.5, 20.0, 30.0, 90.0, 70.0, h, w, length, cx, cy, cz, ry]
    lines = ['Car ' + ' '.join(map(str, numbers)), 'DontCare' + ' -1' * 14]
    (folder / 'label_2' / '000003.txt').write_text('\n'.join(lines) + '\n')
