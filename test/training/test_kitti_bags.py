"""Frames of KITTI object detection as recordings."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from kitti_folders import write_kitti

from sim_perception.geometry.transforms import make_transform
from sim_perception.types import Box3D
from training.datasets.bags.label_source import SEGMENTATION, LabelBag
from training.datasets.kitti.object import read_scene
from training.examples.kitti_bags import main


def add_frame(folder: Path, name: str, calibration: str | None = None) -> None:
    """Repeat the only frame under another name, with another calibration if there is one."""
    for path in list(folder.glob('*/000003.*')):
        shutil.copy(path, path.with_name(f'{name}{path.suffix}'))
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
    assert len(LabelBag(tmp_path / 'bags' / '00', 'car', detections=SEGMENTATION)) == 1
