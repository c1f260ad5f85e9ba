"""Training losses: plain functions of tensors, each averaged over images."""

from training.losses.cross_entropy import bootstrapped_cross_entropy
from training.losses.depth import gradient_matching, silog
from training.losses.uncertainty import laplace_nll

__all__ = ['bootstrapped_cross_entropy', 'gradient_matching', 'laplace_nll', 'silog']
