"""``load``: what a name or a folder gives, and what it says to those who misspell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sim_perception
from sim_perception import Box3D, Camera, Detection, available, load
from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, invert
from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.inference.permanence import PermanenceEngine
from sim_perception.models.checkpoint import CheckpointError, network_of, save_checkpoint
from sim_perception.models.depth_segmentation import DepthSegmentationConfig, DepthSegmentationNet
from sim_perception.models.permanence import PermanenceConfig, PermanenceNet
from sim_perception.models.translation import TranslationConfig, TranslationNet
from sim_perception.taxonomy import load_taxonomy
from sim_perception.tracking.config import TrackerConfig
from sim_perception.tracking.detections import DetectionArrays, from_detections
from sim_perception.tracking.tracker import Tracker
from sim_perception.types import Frame

MODELS = Path(__file__).resolve().parents[2] / 'models'
CAMERA = Camera(96, 64, 80.0, 80.0, 47.5, 31.5)
CAR = load_taxonomy().id_of('car')


def saved(folder: Path, net: Any) -> Path:
    return save_checkpoint(folder, net, taxonomy=load_taxonomy())


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = DepthSegmentationConfig(depth_channels=(16, 8), semantic_channels=(16, 8))
    return saved(tmp_path_factory.mktemp('api') / 'mine', DepthSegmentationNet(config))


@pytest.fixture(scope='module')
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)


def test_importing_the_package_costs_neither_torch_nor_ros() -> None:
    heavy = ('torch', 'numba', 'cv2', 'scipy', 'rclpy')
    code = (
        'import sys; from sim_perception import available, load, Camera; available(); '
        f'print([name for name in {heavy} if name in sys.modules])'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'


def test_the_package_says_what_it_has() -> None:
    assert set(sim_perception.__all__) <= set(dir(sim_perception))
    assert all(hasattr(sim_perception, name) for name in sim_perception.__all__)
    with pytest.raises(AttributeError, match='no attribute'):
        _ = sim_perception.lod
    for name in available():
        assert name in ('tracker', 'auto_labeler') or network_of(MODELS / name)
    assert {'tracker', 'auto_labeler', 'depth_segmentation', 'permanence'} <= set(available())


def test_depth_and_classes_are_the_engines(folder: Path, image: np.ndarray) -> None:
    net = load(folder, device='cpu', precision='float32')
    out = net(image, CAMERA, confidence=True)
    engine = DepthSegmentationEngine.load(folder, device='cpu', precision='float32')
    expected = engine.infer(Frame(0, image, CAMERA), confidence=True, mask_sky=True)
    np.testing.assert_array_equal(out.depth, expected.depth)
    np.testing.assert_array_equal(out.segmentation, expected.segmentation)
    np.testing.assert_array_equal(out.confidence, expected.confidence)
    assert out.names == net.names == load_taxonomy().names
    masks = np.stack([out.mask(name) for name in out.names])
    np.testing.assert_array_equal(masks.argmax(0), out.segmentation)
    np.testing.assert_array_equal(net(image, CAMERA.matrix).depth, out.depth)
    assert np.isnan(out.depth[out.mask('sky')]).all()
    with pytest.raises(ValueError, match="did you mean 'pedestrian'"):
        out.mask('pedestrain')


def test_what_cannot_be_a_camera_or_an_image_is_refused(folder: Path, image: np.ndarray) -> None:
    net = load(folder, device='cpu')
    with pytest.raises(ValueError, match='camera must be'):
        net(image, np.eye(4))
    with pytest.raises(ValueError, match='camera must be'):
        net(image, 'front')
    with pytest.raises(ValueError, match='calibration is for'):
        net(image[:32], CAMERA)
    with pytest.raises(ValueError, match='need uint8'):
        net(image / 255, CAMERA)
    with pytest.raises(ValueError, match='height must be positive'):
        load(folder, camera_height=-1.0)


@pytest.mark.parametrize(
    ('name', 'words'),
    [
        ('depth_segmentaton', "did you mean 'depth_segmentation'"),
        ('Tracker', "did you mean 'tracker'"),
        ('qwxz', 'known: .*auto_labeler'),
        ('models/nowhere', 'no folder models/nowhere'),
        ('elsewhere/permanence', r"the shipped one is load\('permanence'\)"),
    ],
)
def test_unknown_names_are_told_what_was_meant(name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        load(name)


def test_a_folder_beside_you_needs_a_slash(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    with pytest.raises(ValueError, match=r"load\('./mine'\)"):
        load('mine')
    assert load('./mine', device='cpu').names


def test_misspelt_options_are_told_what_was_meant(folder: Path) -> None:
    with pytest.raises(TypeError, match="option 'devise'; did you mean 'device'"):
        load(folder, devise='cpu')
    with pytest.raises(TypeError, match="option 'mods'; did you mean 'mode'"):
        load('auto_labeler', mods='mono')
    with pytest.raises(TypeError, match="did you mean 'spawn_score'"):
        load('tracker', spwan_score=0.4)
    with pytest.raises(ValueError, match="did you mean 'detections_2d'"):
        load('tracker', input='detection_2d')


def test_folders_without_a_usable_checkpoint_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match='MANIFEST cannot be read'):
        load(tmp_path)
    other = saved(tmp_path / 'other', TranslationNet(TranslationConfig()))
    with pytest.raises(CheckpointError, match=r"'translation' network.*part of training"):
        load(other)


def car(x: float, y: float, score: float = 0.95) -> Detection:
    pose = from_euler(0.0, 0.0, 0.1, np.array([x, y, 0.8]))
    return Detection(CAR, score, box3d=Box3D(pose, (4.2, 1.8, 1.5)))


@pytest.mark.slow
def test_tracks_are_the_trackers_and_hidden_cars_are_kept() -> None:
    tracker, engine = load('tracker'), Tracker(TrackerConfig())
    camera = Camera(640, 192, 370.0, 370.0, 319.5, 95.5)
    for n in range(12):
        found = [car(8.0, 0.0)] + ([car(20.0, 0.1)] if n < 6 else [])
        tracks = tracker(found, n * 100_000_000, camera=camera)
        rows = engine.step(n * 100_000_000, from_detections(found)).tracks
    assert len(tracks) == 2
    (seen,), (hidden,) = tracks.seen, tracks.hidden
    assert list(tracks) == [seen, hidden]
    assert tracker.names[seen.class_id] == 'car'
    assert hidden.occluded
    assert not hidden.detected
    assert hidden.lost_for == pytest.approx(0.6)
    np.testing.assert_allclose(hidden.box3d.parent_T_box[:3, 3], [20, 0.1, 0.8], atol=0.3)
    np.testing.assert_allclose(seen.box3d.parent_T_box[:2, 3], rows['mean'][0, :2], rtol=1e-12)
    tracker.reset()
    assert not tracker([], 0)
    assert tracker([car(8.0, 0.0)], 100_000_000)[0].id > hidden.id


@pytest.mark.slow
def test_the_tracker_refuses_what_it_cannot_use() -> None:
    tracker = load('tracker')
    with pytest.raises(ValueError, match='whole nanoseconds'):
        tracker([], 0.1)
    tracker([car(8.0, 0.0)], 1)
    with pytest.raises(ValueError, match='1 ns after the last'):
        tracker([car(8.0, 0.0)], 2)
    flat = DetectionArrays(np.array([CAR]), np.ones(1), np.array([[1.0, 2, 30, 40]]))
    with pytest.raises(ValueError, match="input='detections_2d'"):
        tracker(flat, 10**9)
    with pytest.raises(ValueError, match='depth needs its camera'):
        tracker([], 10**9, depth=np.ones((64, 96)))
    with pytest.raises(ValueError, match='pose must be'):
        tracker([], 10**9, pose=np.eye(3))
    image = load('tracker', input='detections_2d')
    assert image(flat, 0)[0].box2d == pytest.approx((1, 2, 30, 40))
    with pytest.raises(ValueError, match='without camera and depth'):
        image(flat, 10**9, camera=CAMERA)


@pytest.mark.slow
def test_the_permanence_network_and_its_tracker(tmp_path: Path, image: np.ndarray) -> None:
    torch.manual_seed(0)
    folder = saved(tmp_path / 'net', PermanenceNet(PermanenceConfig()))
    net, engine = load(folder, threshold=0.0), PermanenceEngine.load(folder, threshold=0.0)
    for stamp in (0, 100_000_000):
        found = net(image, CAMERA, stamp)
        expected = engine.update(Frame(stamp, image, CAMERA, 'camera'))
    assert [(d.score, d.box2d) for d in found] == [(d.score, d.box2d) for d in expected]
    one = Detection(CAR, 0.9, box3d=Box3D(invert(BODY_T_OPTICAL) @ car(9, 1).box3d.parent_T_box,
                                          (4.2, 1.8, 1.5)))  # fmt: skip
    (track,) = load('tracker', input='network')([one], 0, camera=CAMERA).seen
    np.testing.assert_allclose(track.box3d.parent_T_box[:3, 3], [9, 1, 0.8], atol=1e-6)
