"""Frames of KITTI object detection as recordings."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from kitti_folders import write_kitti

from sim_perception.geometry.transforms import make_transform
from sim_perception.types import Box3D
from training.datasets.bags.label_source import SEGMENTATION, LabelBag
from training.datasets.kitti.object import read_scene
from training.datasets.sample import DatasetError
from training.examples.kitti_bags import main


def add_frame(folder: Path, name: str, calibration: str | None = None) -> None:
    """Add a frame of another scan and image, with another calibration if there is one."""
    for path in list(folder.glob('*/000003.*')):
        shutil.copy(path, path.with_name(f'{name}{path.suffix}'))
    scan = folder / 'velodyne' / f'{name}.bin'
    rows = np.frombuffer(scan.read_bytes(), np.float32).reshape(-1, 4)
    scan.write_bytes((rows + np.float32([int(name), 0, 0, 0])).tobytes())
    grey = np.full((100, 200, 3), 20 * int(name), np.uint8)
    cv2.imwrite(str(folder / 'image_2' / f'{name}.png'), grey)
    if calibration is not None:
        (folder / 'calib' / f'{name}.txt').write_text(calibration)


def test_a_recording_shows_what_the_folder_has(tmp_path: Path) -> None:
    folder = tmp_path / 'kitti'
    points = np.random.default_rng(0).uniform((5, -4, -1.5), (30, 4, 1), (500, 3))
    box = Box3D(make_transform(np.eye(3), np.array([12.0, 1.0, -0.8])), (4.0, 1.7, 1.5))
    write_kitti(folder, box, points)
    add_frame(folder, '000004')
    text = (folder / 'calib' / '000003.txt').read_text()
    add_frame(folder, '000005', text.replace('R0_rect: 1.0', 'R0_rect: 0.9999995'))
    main(folder, tmp_path / 'bags')
    bags = [
        LabelBag(tmp_path / 'bags' / name, 'car', detections=SEGMENTATION) for name in ('00', '01')
    ]
    assert [len(bag) for bag in bags] == [2, 1]
    for number in (0, 1):
        found, scene = bags[0].item(number, boxes=False), read_scene(folder, f'00000{3 + number}')
        np.testing.assert_allclose(found.frame.points, scene.frame.points, atol=1e-5)
        np.testing.assert_allclose(
            found.frame.camera_T_level, scene.frame.camera_T_level, atol=1e-9
        )
        np.testing.assert_allclose(found.frame.camera.matrix, scene.frame.camera.matrix)
        assert abs(found.image.astype(int) - scene.image).mean() < 2
        # other streets: nothing there can be followed from frame to frame
        assert found.world_T_level is None


def test_only_the_frames_asked_for_are_written(tmp_path: Path) -> None:
    folder = tmp_path / 'kitti'
    box = Box3D(make_transform(np.eye(3), np.array([12.0, 1.0, -0.8])), (4.0, 1.7, 1.5))
    write_kitti(folder, box, np.ones((5, 3)))
    add_frame(folder, '000004')
    main(folder, tmp_path / 'bags', frames='1')
    bag = LabelBag(tmp_path / 'bags' / '00', 'car', detections=SEGMENTATION)
    assert len(bag) == 1
    assert bag.item(0, boxes=False).image.mean() == pytest.approx(80, abs=2)  # frame 000004
    with pytest.raises(DatasetError, match='has 2 frames, no frame 2'):
        main(folder, tmp_path / 'others', frames='1-2')
    with pytest.raises(DatasetError, match='no scans'):
        main(tmp_path, tmp_path / 'others')
