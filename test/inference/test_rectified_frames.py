"""Networks see rectified pixels of lenses that bend much; answers are in the image's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sim_perception.geometry.cameras import distort_boxes, project
from sim_perception.geometry.rectification import bend, rectify, restore
from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.inference.permanence import PermanenceEngine
from sim_perception.inference.preprocess import PreprocessConfig, preprocess
from sim_perception.models.permanence import PermanenceConfig, PermanenceNet
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Camera, Frame

IDEAL = Camera(192, 128, 120.0, 120.0, 95.5, 63.5)
BENT = replace(IDEAL, distortion=(-0.3, 0.1, 0.0, 0.0, 0.0))
RATIONAL = replace(IDEAL, distortion=(0.5, -0.1, 0.001, 0.0, 0.01, 0.9, 0.0, 0.02))
FISHEYE = replace(IDEAL, distortion=(0.05, 0.0, 0.0, 0.0), fisheye=True)
SLIGHT = replace(IDEAL, distortion=(-0.01, 0.0, 0.0, 0.0, 0.0))
lenses = pytest.mark.parametrize('camera', [BENT, RATIONAL, FISHEYE], ids=['k3', 'k6', 'fisheye'])


def image(seed: int = 0) -> np.ndarray:
    """Return a smooth picture."""
    v, u = np.mgrid[:128, :192] / 20
    waves = [np.sin(u + seed) * np.cos(v), np.cos(u * 0.7 + v), np.sin(v * 1.3 + seed)]
    return (127 + 120 * np.stack(waves, -1)).astype(np.uint8)


@pytest.fixture(scope='module')
def engine(small_checkpoint):
    return DepthSegmentationEngine.load(small_checkpoint, device='cpu', precision='float32')


@lenses
def test_the_network_sees_what_the_pinhole_would(camera: Camera) -> None:
    config = PreprocessConfig(pixels=96 * 64)
    seen = preprocess([Frame(0, image(), camera)], config)
    expected = preprocess([Frame(0, rectify(camera, image()), IDEAL)], config)
    assert torch.equal(seen.image, expected.image)
    assert torch.equal(seen.focal, expected.focal)
    assert seen.cameras == expected.cameras
    assert seen.cameras[0].is_ideal


def test_a_lens_that_hardly_bends_costs_nothing() -> None:
    assert 0 < bend(SLIGHT) < 0.01
    config = PreprocessConfig(pixels=96 * 64)
    seen = preprocess([Frame(0, image(), SLIGHT)], config)
    plain = preprocess([Frame(0, image(), IDEAL)], config)
    assert torch.equal(seen.image, plain.image)
    assert seen.cameras[0].distortion == SLIGHT.distortion


@lenses
def test_answers_about_pixels_are_in_the_image_s_own(engine, camera: Camera) -> None:
    result = engine.infer(Frame(0, image(), camera), confidence=True)
    straight = engine.infer(Frame(0, rectify(camera, image()), IDEAL), confidence=True)
    np.testing.assert_array_equal(result.depth, restore(camera, straight.depth, np.nan))
    ignore = engine.taxonomy.ignore_id
    np.testing.assert_array_equal(
        result.segmentation, restore(camera, straight.segmentation, ignore)
    )
    np.testing.assert_array_equal(result.confidence, restore(camera, straight.confidence, 0.0))
    unknown = np.isnan(result.depth)
    assert unknown.mean() < 0.4
    assert (result.segmentation[unknown] == ignore).all()
    assert (result.confidence[unknown] == 0).all()


def test_beyond_the_pinhole_s_view_nothing_is_known(engine) -> None:
    depth = engine.infer(Frame(0, image(), FISHEYE)).depth
    assert np.isnan(depth[0, 0])
    assert np.isfinite(depth[63, 95])


def test_a_calibration_of_another_size_is_refused(engine) -> None:
    with pytest.raises(ValueError, match='image is 192x128 but its calibration is for 96x128'):
        engine.infer(Frame(0, image(), replace(BENT, width=96)))


@lenses
def test_objects_stand_where_the_lens_shows_them(camera: Camera) -> None:
    torch.manual_seed(0)
    net = PermanenceNet(
        PermanenceConfig(channels=(16, 16, 16, 16), memory_channels=8, head_channels=8)
    )
    settings = PreprocessConfig(pixels=96 * 64)

    def found(frame: Frame):
        engine = PermanenceEngine(net, load_taxonomy(), settings, device='cpu', threshold=0.0)
        return engine.update(frame)

    bent = found(Frame(0, image(), camera))
    straight = found(Frame(0, rectify(camera, image()), IDEAL))
    assert len(bent) == len(straight) > 3
    for mine, theirs in zip(bent, straight, strict=True):
        np.testing.assert_allclose(mine.box3d.parent_T_box, theirs.box3d.parent_T_box)
        np.testing.assert_allclose(
            mine.box2d, distort_boxes(camera, np.array([theirs.box2d]))[0], atol=1e-6
        )
        middle, _ = project(camera, mine.box3d.parent_T_box[:3, 3])
        assert np.isfinite(middle).all()
