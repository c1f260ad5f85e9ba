"""Scores of predictions against truth."""

from training.metrics.depth import DepthMetrics, best_constant, grid_median_prior
from training.metrics.reliability import Reliability
from training.metrics.segmentation import ConfusionMatrix
from training.metrics.sparsification import Sparsification

__all__ = [
    'ConfusionMatrix',
    'DepthMetrics',
    'Reliability',
    'Sparsification',
    'best_constant',
    'grid_median_prior',
]
