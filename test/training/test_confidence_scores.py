"""Calibration error and sparsification by their definitions, and calibration of a checkpoint."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassCalibrationError

from sim_perception.inference.calibration import Calibration
from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.inference.preprocess import PreprocessConfig
from sim_perception.models.checkpoint import load_checkpoint, save_checkpoint
from sim_perception.models.depth_segmentation import (
    INITIAL_SCALE,
    DepthSegmentationConfig,
    DepthSegmentationNet,
)
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Camera, DepthSegmentation, Frame
from training.datasets.sample import DatasetError, Sample
from training.evaluation.depth_segmentation.calibrate import Evidence, calibrate, errors, fit
from training.evaluation.depth_segmentation.confidence import ConfidenceScores
from training.evaluation.depth_segmentation.scores import evaluate_engine
from training.evaluation.specs import EvaluationData
from training.metrics import Reliability, Sparsification


class ListOfSamples(list):
    label_space = 'taxonomy'


def evaluation_data(samples) -> EvaluationData:
    return EvaluationData(ListOfSamples(samples), tuple(range(len(samples))))


def noise_that_the_network_knows(folder) -> EvaluationData:
    """Return noise images whose truth is mostly what the network says: it is too modest."""
    engine = engine_at(folder)
    rng = np.random.default_rng(3)
    camera = Camera(96, 64, 300.0, 300.0, 48.0, 32.0)
    samples = []
    for number in range(2):
        image = rng.integers(0, 256, (64, 96, 3), np.uint8)
        said = engine.infer(Frame(0, image, camera))
        other = rng.random((64, 96)) < 0.2
        depth = said.depth * np.exp(rng.laplace(0, 0.05, (64, 96))).astype(np.float32)
        semantic = np.where(other, rng.integers(0, 14, (64, 96)), said.segmentation)
        samples.append(
            Sample(image, camera, depth, semantic.astype(np.uint8), name=f'noise_{number}')
        )
    return evaluation_data(samples)


def engine_at(folder):
    return DepthSegmentationEngine.load(folder, device='cpu', precision='float32')


def checkpoint_at(folder, **settings):
    torch.manual_seed(0)
    config = DepthSegmentationConfig(depth_channels=(8,), semantic_channels=(8,), **settings)
    return save_checkpoint(
        folder,
        DepthSegmentationNet(config),
        taxonomy=load_taxonomy(),
        preprocess=PreprocessConfig(pixels=64 * 64).to_dict(),
    )


def test_calibration_error_equals_torchmetrics():
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.randn(2, 500, 6, generator=generator).mul(2).softmax(-1)
    truth = torch.randint(0, 6, (2, 500), generator=generator)
    ours, theirs = Reliability(), MulticlassCalibrationError(6, n_bins=15, norm='l1')
    for p, t in zip(probabilities, truth, strict=True):
        confidence, label = p.max(-1)
        ours.update(confidence.numpy(), (label == t).numpy())
        theirs.update(p, t)
    assert ours.expected_calibration_error() == pytest.approx(theirs.compute().item(), abs=1e-6)
    assert len(ours) == 1000


def test_honest_confidence_has_no_calibration_error():
    rng = np.random.default_rng(0)
    confidence = rng.random((400, 500))
    reliability = Reliability()
    reliability.update(confidence, rng.random(confidence.shape) < confidence)
    assert reliability.expected_calibration_error() < 0.005
    sure, right = reliability.curve()
    np.testing.assert_allclose(sure, right, atol=0.02)
    boastful = Reliability()
    boastful.update(np.ones(10), np.arange(10) < 3)
    assert boastful.expected_calibration_error() == pytest.approx(0.7)


def test_reliability_refuses_what_is_no_probability():
    reliability = Reliability()
    assert math.isnan(reliability.expected_calibration_error())
    with pytest.raises(ValueError, match='within 0 and 1'):
        reliability.update(np.array([1.5]), np.array([True]))
    with pytest.raises(ValueError, match='within 0 and 1'):
        reliability.update(np.array([np.nan]), np.array([True]))
    with pytest.raises(ValueError, match='right is'):
        reliability.update(np.ones(2), np.array([True]))


def test_sparsification_lies_between_the_oracle_and_chance():
    rng = np.random.default_rng(1)
    error = rng.exponential(0.1, 5000)
    perfect, chance, inverse = Sparsification(), Sparsification(), Sparsification()
    perfect.update(error, -error)
    chance.update(error, rng.random(5000))
    inverse.update(error, error)
    assert perfect.area() == 0
    assert chance.area() == pytest.approx(chance.area_of_chance(), rel=0.1)
    assert inverse.area() > chance.area()


def test_sparsification_of_four_pixels_by_hand():
    sparsification = Sparsification()
    sparsification.update(np.array([4.0, 1.0, 2.0, 3.0]), np.array([0.9, 0.1, 0.5, 0.4]))
    trusted, oracle = sparsification.curves()
    assert (trusted[0], oracle[0]) == (2.5, 2.5)
    assert (trusted[-1], oracle[-1]) == (4.0, 1.0)
    half = 25  # a share of 0.5 taken away
    assert (trusted[half], oracle[half]) == (3.0, 1.5)
    with pytest.raises(ValueError, match='finite'):
        sparsification.update(np.array([np.nan]), np.array([1.0]))
    with pytest.raises(ValueError, match='no image'):
        Sparsification().area()


def test_scores_count_only_pixels_with_truth():
    depth = np.full((2, 3), 10.0, np.float32)
    result = DepthSegmentation(
        depth,
        np.zeros((2, 3), np.uint8),
        np.full((2, 3), 0.8, np.float32),
        np.full((2, 3), 0.6, np.float32),
    )
    scores = ConfidenceScores(80.0)
    assert scores.compute() == {}
    assert scores.draw() is None
    truth = np.array([[10.0, 12.4, 12.6], [np.nan, 200.0, 0.0]], np.float32)
    scores.update_depth(result, truth)
    labels = np.array([[0, 0, 1], [255, 0, 255]])
    scores.update_classes(result, labels, np.arange(256), 5)
    values = scores.compute()
    assert values['ece_depth'] == pytest.approx(2 / 3 - 0.6, abs=1e-6)
    assert values['ece_segmentation'] == pytest.approx(0.8 - 3 / 4, abs=1e-6)
    assert values['ause_abs_rel'] >= 0
    picture = scores.draw()
    assert picture.dtype == np.uint8
    assert picture.shape[1] == 3 * picture.shape[0]


@pytest.mark.parametrize('factor', [0.4, 2.5])
def test_fit_recovers_what_the_evidence_was_made_with(factor):
    rng = np.random.default_rng(2)
    log_scale = rng.uniform(-3, 0, 40000)
    error = np.abs(rng.laplace(0, factor * np.exp(log_scale)))
    honest = rng.normal(0, 2, (40000, 5))
    chances = np.exp(honest) / np.exp(honest).sum(1, keepdims=True)
    truth = (chances.cumsum(1) > rng.random((40000, 1))).argmax(1)
    right = truth == honest.argmax(1)
    evidence = Evidence([error < math.log(1.25)], [log_scale], [right], [honest * factor])
    found = fit(evidence, Calibration())
    assert found.depth_scale == pytest.approx(factor, rel=0.05)
    assert found.temperature == pytest.approx(factor, rel=0.05)
    after, before = errors(evidence, found), errors(evidence, Calibration())
    for key in ('ece_depth', 'ece_segmentation'):
        assert after[key] < 0.01 < before[key]
    assert fit(Evidence(), Calibration(3.0, 4.0)) == Calibration(3.0, 4.0)


def test_calibrating_a_checkpoint_lowers_its_errors_and_keeps_its_predictions(
    tmp_path, monkeypatch
):
    folder = checkpoint_at(tmp_path / 'model', uncertainty=True)
    data = noise_that_the_network_knows(folder)
    monkeypatch.setattr(
        'training.evaluation.depth_segmentation.calibrate.open_spec', lambda *_: data
    )
    before = evaluate_engine(engine_at(folder), data, pictures=tmp_path / 'pictures')
    assert (tmp_path / 'pictures' / 'confidence' / 'curves.png').exists()
    result = calibrate(folder, ['noise'], device='cpu')
    assert result['depth_scale'] == pytest.approx(0.05 / INITIAL_SCALE, rel=0.05)
    assert result['temperature'] < 1
    loaded = load_checkpoint(folder)
    assert loaded.calibration == {k: result[k] for k in ('depth_scale', 'temperature')}
    assert loaded.metrics['calibration']['data'] == ['noise']
    after = evaluate_engine(engine_at(folder), data)
    assert after['abs_rel'] == before['abs_rel']
    assert after['miou'] == before['miou']
    for key in ('ece_depth', 'ece_segmentation'):
        assert result[key] < result[f'{key}_before']
        assert after[key] == pytest.approx(result[key], abs=0.02)


def test_a_network_without_uncertainty_has_its_classes_calibrated(tmp_path, monkeypatch):
    folder = checkpoint_at(tmp_path / 'model')
    data = noise_that_the_network_knows(folder)
    monkeypatch.setattr(
        'training.evaluation.depth_segmentation.calibrate.open_spec', lambda *_: data
    )
    scores = evaluate_engine(engine_at(folder), data)
    assert 'ece_segmentation' in scores
    assert 'ece_depth' not in scores
    result = calibrate(folder, ['noise'], device='cpu')
    assert result['depth_scale'] == 1
    assert 'ece_depth' not in result


def test_data_without_truth_are_refused(tmp_path, monkeypatch):
    folder = checkpoint_at(tmp_path / 'model')
    monkeypatch.setattr(
        'training.evaluation.depth_segmentation.calibrate.open_spec',
        lambda *_: evaluation_data([]),
    )
    with pytest.raises(DatasetError, match='nothing in dark:room to calibrate with'):
        calibrate(folder, ['dark:room'], device='cpu')
