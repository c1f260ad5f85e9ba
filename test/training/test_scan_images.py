"""Real images with the depth that a LiDAR measured in them, as teacher and as truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from kitti_folders import CAMERA, write_kitti
from simulated_bags import simulate_bag

from sim_perception.geometry.transforms import from_euler
from sim_perception.types import Box3D
from training.datasets.sample import IGNORE, DatasetError
from training.datasets.scan_images import open_scans, seen_depth
from training.datasets.sources import SourceConfig
from training.engine.config import load_config
from training.evaluation.specs import open_spec
from training.tasks import build_task

POINTS = np.array([[12.0, -2.0, 0.8], [30.0, 5.1, -0.1]])
TINY = [
    'device=cpu', 'batch_size=2', 'workers=0', 'precision=32-true', 'model.init=null',
    'model.depth_channels=[16,16]', 'model.semantic_channels=[16,16]', 'data.bags=[]',
    'data.clips=[]', 'data.real_clips=[]', 'data.real_images=[]', 'data.real_geometry=null',
    'data.geometry={width: 96, height: 64, focal: [80, 120], scale: [0.6, 0.8]}',
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Points 12 and 30 m ahead of the camera."""
    placed = Box3D(from_euler(0, 0, 0, np.array([12.0, -2.0, 0.7])), (4.0, 1.7, 1.5))
    write_kitti(tmp_path, placed, POINTS)
    return tmp_path


def pixel(point: np.ndarray) -> tuple[int, int]:
    """Row and column of a point x forward, y left, z up of the camera."""
    x, y, z = point
    return round(CAMERA.cy - CAMERA.fy * z / x), round(CAMERA.cx - CAMERA.fx * y / x)


def test_scans_are_depth_where_they_fall(folder: Path) -> None:
    (sample,) = open_spec(f'kitti_object:{folder}#0')
    assert sample.depth is not None
    found = {pixel(p): p[0] for p in POINTS}
    rows, columns = np.nonzero(np.isfinite(sample.depth))
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == set(found)
    for place, distance in found.items():
        assert sample.depth[place] == pytest.approx(distance, abs=1e-4)


def test_labels_are_not_needed(folder: Path) -> None:
    (folder / 'label_2' / '000003.txt').unlink()
    scans = open_scans(SourceConfig(spec=f'kitti_object:{folder}'))
    image = scans[0]
    assert (len(scans), image.camera) == (1, CAMERA)
    assert (image.semantic == IGNORE).all()
    row, column = pixel(POINTS[0])
    np.testing.assert_allclose(image.depth[row - 1 : row + 2, column - 1 : column + 2], 12.0)


def test_what_the_camera_cannot_see_is_left_out() -> None:
    scan = np.full((100, 600), np.nan, np.float32)
    scan[::2, ::2] = 20.0  # a wall,
    scan[:, 300:340:2] = 5.0  # a pole before it, through which the LiDAR sees from aside
    scan[50, 321] = 20.0
    found = seen_depth(scan)
    assert set(np.unique(found[np.isfinite(found)])) == {5.0, 20.0}
    assert (found[48:53, 300:339] == 5.0).all()
    assert (found[:, :290] == 20.0).all()


def test_roads_hide_nothing_though_they_slope_away() -> None:
    rows = np.arange(1, 201)
    road = np.repeat((720 * 1.65 / rows)[:, None], 1240, 1).astype(np.float32)
    seen = np.isfinite(seen_depth(road))
    assert seen[(road > 6) & (road < 40)].all()


def test_scans_of_a_recording_teach_depth_and_no_classes(tmp_path: Path) -> None:
    scenario = """
domain: clean
duration_s: 0.2
frame_rate_hz: 10.0
camera: {width: 160, height: 96, horizontal_fov_deg: 70}
lidar: {rings: 16, columns: 256}
street: {building_density: 0.9, furniture_density: 0.3}
traffic: {vehicles_per_km: 0, parked_density: 0.5, pedestrians_per_km: 0, cyclists_per_km: 0}
"""
    bag = simulate_bag(tmp_path / 'bag', scenario, layers='rgb,lidar')
    task = build_task(load_config('guda', [*TINY, f'data.scans=[{{spec: "bag:{bag}"}}]'])).train()
    data = task.training_data()
    samples = [data.sample(i % len(data), np.random.default_rng(i)) for i in range(2)]
    batch = torch.utils.data.default_collate(samples)
    known = torch.isfinite(batch['real_depth']['depth']).float().mean()
    assert 0.05 < known < 0.9
    result = task(batch)
    assert set(result['terms']) == {'real_silog', 'real_gradient'}
    result['loss'].backward()
    assert task.model.depth.head.weight.grad.abs().sum() > 0
    assert task.model.semantic.head.weight.grad is None


def test_other_sources_have_no_scans(folder: Path) -> None:
    with pytest.raises(DatasetError, match='bag:DIR'):
        open_scans(SourceConfig(spec='video:drive.mp4'))
    with pytest.raises(DatasetError, match=r'velodyne/\*\.bin'):
        open_scans(SourceConfig(spec=f'kitti_object:{folder / "calib"}'))
    with pytest.raises(DatasetError, match='numbered 0 to 0'):
        open_scans(SourceConfig(spec=f'kitti_object:{folder}#3'))
