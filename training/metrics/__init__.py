"""Scores of predictions against truth."""

from training.metrics.depth import DepthMetrics, best_constant, grid_median_prior
from training.metrics.segmentation import ConfusionMatrix

__all__ = ['ConfusionMatrix', 'DepthMetrics', 'best_constant', 'grid_median_prior']
