"""Confidence images: probabilities of the model they claim to come from, and their calibration."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from scipy.stats import laplace

from sim_perception.inference.calibration import Calibration
from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.inference.postprocess import depth_confidence_image, label_confidence_image
from sim_perception.inference.preprocess import PreprocessConfig
from sim_perception.models.checkpoint import (
    CheckpointError,
    load_checkpoint,
    save_checkpoint,
    update_checkpoint,
)
from sim_perception.models.depth_segmentation import (
    INITIAL_SCALE,
    DepthSegmentationConfig,
    DepthSegmentationNet,
)
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Frame

SMALL = {'depth_channels': (16, 8), 'semantic_channels': (16, 8)}
IMAGE = np.random.default_rng(0).integers(0, 256, (40, 70, 3), np.uint8)


@pytest.fixture(scope='module')
def net():
    torch.manual_seed(0)
    return DepthSegmentationNet(DepthSegmentationConfig(uncertainty=True, **SMALL))


@pytest.fixture
def checkpoint(net, tmp_path):
    return save_checkpoint(tmp_path / 'model', net, taxonomy=load_taxonomy())


@pytest.mark.parametrize('factor', [0.3, 1.0, 4.0])
def test_depth_confidence_is_the_laplace_probability(factor):
    log_scale = np.random.default_rng(0).normal(-1.5, 1, (6, 7)).astype(np.float32)
    got = depth_confidence_image(log_scale, (6, 7), Calibration(depth_scale=factor))
    scale = np.exp(log_scale.astype(float)) * factor
    limit = math.log(1.25)
    want = laplace.cdf(limit, scale=scale) - laplace.cdf(-limit, scale=scale)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    assert got.dtype == np.float32


def test_depth_confidence_stays_a_probability_at_the_extremes():
    log_scale = np.array([[-200.0, -5.0, 0.0, 5.0, 200.0]], np.float32)
    with np.errstate(over='ignore'):
        got = depth_confidence_image(log_scale, (1, 5), Calibration())
    assert got[0, 0] == 1
    assert got[0, -1] == 0
    assert (np.diff(got[0]) <= 0).all()


@pytest.mark.parametrize('temperature', [0.5, 3.0])
def test_temperature_changes_probabilities_but_no_label(temperature):
    logits = np.random.default_rng(1).normal(size=(5, 6, 4)).astype(np.float32)
    labels, _ = label_confidence_image(logits, (5, 6))
    same, confidence = label_confidence_image(logits, (5, 6), temperature)
    np.testing.assert_array_equal(same, labels)
    want = torch.from_numpy(logits / temperature).softmax(-1).amax(-1)
    np.testing.assert_allclose(confidence, want, rtol=1e-5)


def test_an_untrained_network_is_as_sure_everywhere_as_its_initial_scale(checkpoint):
    engine = DepthSegmentationEngine.load(checkpoint, device='cpu', precision='float32')
    assert engine.predicts_uncertainty
    result = engine.infer(Frame(0, IMAGE), confidence=True)
    want = 1 - math.exp(-math.log(1.25) / INITIAL_SCALE)
    np.testing.assert_allclose(result.depth_confidence, want, rtol=1e-3)
    assert result.depth_confidence.shape == IMAGE.shape[:2]
    assert engine.infer(Frame(0, IMAGE)).depth_confidence is None


def test_masked_sky_has_no_confidence(net):
    net = DepthSegmentationNet(replace(net.config, classes=14))
    sky = load_taxonomy().id_of('sky')
    torch.nn.init.zeros_(net.semantic.head.weight)
    with torch.no_grad():
        net.semantic.head.bias.copy_(torch.nn.functional.one_hot(torch.tensor(sky), 14))
    engine = DepthSegmentationEngine(
        net, load_taxonomy(), PreprocessConfig(pixels=64 * 64), device='cpu'
    )
    result = engine.infer(Frame(0, IMAGE), confidence=True, mask_sky=True)
    assert np.isnan(result.depth).all()
    assert not result.depth_confidence.any()


def test_a_network_without_uncertainty_gives_class_confidence_only(small_checkpoint):
    engine = DepthSegmentationEngine.load(small_checkpoint, device='cpu')
    assert not engine.predicts_uncertainty
    result = engine.infer(Frame(0, IMAGE), confidence=True)
    assert result.confidence is not None
    assert result.depth_confidence is None


def test_calibration_is_stored_verified_and_used(checkpoint):
    before = DepthSegmentationEngine.load(checkpoint, device='cpu', precision='float32')
    assert before.calibration == Calibration()
    weights = (checkpoint / 'model.safetensors').read_bytes()
    calibration = Calibration(depth_scale=0.5, temperature=2.0)
    update_checkpoint(checkpoint, calibration=calibration.to_dict())
    assert (checkpoint / 'model.safetensors').read_bytes() == weights
    assert load_checkpoint(checkpoint).calibration == calibration.to_dict()
    after = DepthSegmentationEngine.load(checkpoint, device='cpu', precision='float32')
    assert after.calibration == calibration
    old, new = (e.infer(Frame(0, IMAGE), confidence=True) for e in (before, after))
    np.testing.assert_array_equal(old.depth, new.depth)
    np.testing.assert_array_equal(old.segmentation, new.segmentation)
    np.testing.assert_allclose(
        1 - new.depth_confidence, (1 - old.depth_confidence) ** 2, rtol=1e-4
    )
    assert (new.confidence < old.confidence).mean() > 0.99


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'temperature': 0.0}, 'temperature of a calibration must be positive'),
        ({'depth_scale': 'big'}, 'depth_scale of a calibration must be positive'),
        ({'depth_scale': float('nan')}, 'must be positive'),
        ({'warmth': 1.0}, 'unknown calibration settings warmth'),
    ],
)
def test_impossible_calibrations_are_refused(checkpoint, values, message):
    with pytest.raises(ValueError, match=message):
        Calibration.from_dict(values)
    update_checkpoint(checkpoint, calibration=values)
    with pytest.raises(CheckpointError, match=message):
        DepthSegmentationEngine.load(checkpoint, device='cpu')


def test_a_checkpoint_without_calibration_stays_as_it_was_written(checkpoint):
    assert 'calibration' not in yaml.safe_load((checkpoint / 'config.yaml').read_text())
    assert load_checkpoint(checkpoint).calibration == {}
