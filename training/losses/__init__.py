"""Training losses: plain functions of tensors, each averaged over images."""

from training.losses.cross_entropy import bootstrapped_cross_entropy
from training.losses.depth import balanced_log_error, gradient_matching, silog
from training.losses.matching import match_loss
from training.losses.normals import normal_loss
from training.losses.objects import centre_focal, visibility_focal, weighted_l1
from training.losses.photometric import minimum_reprojection, photometric_error, ssim
from training.losses.smoothness import edge_aware_smoothness
from training.losses.uncertainty import laplace_nll
from training.losses.velocity import velocity_loss

__all__ = [
    'balanced_log_error',
    'bootstrapped_cross_entropy',
    'centre_focal',
    'edge_aware_smoothness',
    'gradient_matching',
    'laplace_nll',
    'match_loss',
    'minimum_reprojection',
    'normal_loss',
    'photometric_error',
    'silog',
    'ssim',
    'velocity_loss',
    'visibility_focal',
    'weighted_l1',
]
