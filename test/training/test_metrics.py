"""Depth and segmentation scores against their definitions and against torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassJaccardIndex

from training.datasets.sample import DatasetError
from training.evaluation.depth_segmentation.scores import static_abs_rel
from training.metrics import ConfusionMatrix, DepthMetrics, best_constant, grid_median_prior
from training.metrics.depth import garg_mask


def test_depth_scores_of_a_hand_made_image():
    truth = np.array([[10.0, 20.0], [np.nan, 100.0]])
    prediction = np.array([[12.0, 10.0], [5.0, 7.0]])
    metrics = DepthMetrics(max_depth=80)
    metrics.update(prediction, truth)
    scores = metrics.compute()
    assert scores['abs_rel'] == pytest.approx((0.2 + 0.5) / 2)
    assert scores['rmse'] == pytest.approx(np.sqrt((4 + 100) / 2))
    assert scores['delta1'] == pytest.approx(0.5)
    scale = 15 / 11
    expected = (abs(12 * scale - 10) / 10 + abs(10 * scale - 20) / 20) / 2
    assert scores['abs_rel_median_scaled'] == pytest.approx(expected)


def test_a_scaled_prediction_is_perfect_after_median_scaling():
    truth = np.random.default_rng(0).uniform(2, 40, (8, 9))
    metrics = DepthMetrics()
    metrics.update(truth * 1.7, truth)
    scores = metrics.compute()
    assert scores['abs_rel_median_scaled'] == pytest.approx(0, abs=1e-9)
    assert scores['abs_rel'] == pytest.approx(0.7)


def test_far_ratios_are_medians_of_the_range_and_means_of_images():
    metrics = DepthMetrics()
    truth = np.full((10, 20), 5.0)
    truth[:5], truth[5, :10] = 30.0, 60.0  # 100 pixels and, too few, 10
    prediction = truth * 0.9
    prediction[0, 0] = 1.0  # an outlier moves no median
    metrics.update(prediction, truth)
    metrics.update(np.full((8, 8), 27.0 * 0.7), np.full((8, 8), 27.0))
    scores = metrics.compute()
    assert scores['ratio_20_40'] == pytest.approx((0.9 + 0.7) / 2)
    assert 'ratio_40_80' not in scores


def test_unknown_predictions_count_as_far_and_images_weigh_the_same():
    metrics = DepthMetrics(max_depth=80)
    metrics.update(np.full((2, 2), np.nan), np.full((2, 2), 40.0))
    metrics.update(np.full((9, 9), 10.0), np.full((9, 9), 10.0))
    metrics.update(np.ones((2, 2)), np.full((2, 2), np.nan))
    assert len(metrics) == 2
    assert metrics.compute()['abs_rel'] == pytest.approx(0.5)


def test_no_truth_gives_no_scores_and_wrong_shapes_are_refused():
    metrics = DepthMetrics()
    assert metrics.compute() == {}
    with pytest.raises(ValueError, match='truth is'):
        metrics.update(np.ones((2, 2)), np.ones((2, 3)))


def test_no_constant_beats_the_best_constant():
    rng = np.random.default_rng(1)
    truths = [np.exp(rng.normal(2.5, 0.8, (20, 30))) for _ in range(3)]

    def score(constant: float) -> float:
        values = np.concatenate([t[t <= 80] for t in truths])
        return float(np.mean(np.abs(constant - values) / values))

    best = best_constant(truths)
    assert score(best) <= min(score(c) for c in np.linspace(0.5, 60, 500)) + 1e-9


def test_the_grid_prior_is_the_median_of_each_cell():
    truths = [np.full((32, 32), 5.0), np.full((32, 32), 7.0), np.full((32, 32), 30.0)]
    truths[0][:16, :16] = np.nan
    prior = grid_median_prior(truths)
    assert prior[0, 0] == pytest.approx(18.5)
    assert prior[31, 31] == pytest.approx(7.0)
    with pytest.raises(ValueError, match='one size'):
        grid_median_prior([np.ones((2, 2)), np.ones((3, 2))])
    with pytest.raises(ValueError, match='no valid'):
        best_constant([np.full((2, 2), np.nan)])


def test_garg_crop_of_a_kitti_image():
    rows, columns = np.nonzero(garg_mask(375, 1242))
    assert (rows.min(), rows.max() + 1) == (153, 371)
    assert (columns.min(), columns.max() + 1) == (44, 1197)


def test_iou_equals_torchmetrics():
    rng = np.random.default_rng(2)
    ours = ConfusionMatrix(6)
    theirs = MulticlassJaccardIndex(6, average='none', ignore_index=255)
    for _ in range(3):
        truth = rng.integers(0, 6, (20, 30))
        truth[rng.random(truth.shape) < 0.1] = 255
        prediction = np.where(rng.random(truth.shape) < 0.6, truth % 6, rng.integers(0, 6))
        ours.update(prediction, truth)
        theirs.update(torch.from_numpy(prediction), torch.from_numpy(truth))
    np.testing.assert_allclose(ours.iou(), theirs.compute().numpy(), atol=1e-6)


def test_iou_of_absent_and_unmapped_classes():
    matrix = ConfusionMatrix(3)
    truth = np.array([[0, 0, 1, 255]])
    matrix.update(np.array([[0, 255, 1, 2]]), truth)
    np.testing.assert_allclose(matrix.iou(), [0.5, 1.0, np.nan])
    assert matrix.miou() == pytest.approx(0.75)
    assert np.isnan(ConfusionMatrix(2).miou())
    with pytest.raises(ValueError, match='truth is'):
        matrix.update(np.zeros((2, 2), int), truth)


def test_a_static_answer_is_scored_on_frames_that_it_was_not_fitted_to():
    known = [np.full((32, 32), 10.0, np.float32)] * 3
    truths = [np.full((32, 32), 8.0, np.float32), np.full((32, 32), 12.5, np.float32)]
    assert static_abs_rel(truths, known) == pytest.approx((2 / 8 + 2.5 / 12.5) / 2)
    assert static_abs_rel(truths, truths) == pytest.approx((2.25 / 8 + 2.25 / 12.5) / 2)
    with pytest.raises(DatasetError, match='no depth images of 16x32 pixels'):
        static_abs_rel([np.ones((32, 16), np.float32)], known)
