"""Fits the linear shape space to distance grids."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim_perception.models.shape import SIZE, ShapeConfig, ShapePca

F64 = npt.NDArray[np.float64]

NEAR = 0.2
"""Distances matter by exp(-|distance| / NEAR), metres: those far from the surface say nothing
new about the shape but vary most."""
_SIZE_SPREAD = 0.04
"""Added to the deviation of log sizes: real cars are no draws from the simulator's ranges."""
_LATENT_SPREAD = 0.2
_SHRINKAGE = 0.1


def fit_pca(
    config: ShapeConfig, grids: F64, sizes: F64, family: npt.NDArray[np.integer]
) -> tuple[ShapePca, float]:
    """Return the space of ``config.components`` dimensions that explains grids best.

    Principal components of the distances, weighted by how near the mean surface is; latents
    have unit variance. The prior is the Gaussian of log size and latent, its covariance shrunk
    towards the diagonal and widened.

    Args:
        config: of the space; its ``seeds`` must be the number of families.
        grids: (B, X, Y, Z) distances in the normalised frame.
        sizes: (B, 3) length, width, height.
        family: (B,) family of each; the families' means become the seeds. A family without a
            member gets the mean of all.

    Returns:
        The space, and the weighted share of variance that it explains.
    """
    flat = grids.reshape(len(grids), -1)
    mean = flat.mean(0)
    weight = np.exp(-np.abs(mean) / NEAR)
    centred = flat - mean
    u, s, _ = np.linalg.svd(centred * np.sqrt(weight), full_matrices=False)
    k, scale = config.components, np.sqrt(len(grids))
    latent = u[:, :k] * scale
    # The components that best give the unweighted distances back from these latents.
    components = u[:, :k].T @ centred / scale
    centre, covariance, seeds = shape_prior(sizes, latent, family, config.seeds)
    grid = np.concatenate([mean[None], components]).reshape(1 + k, *config.nodes)
    explained = float((s[:k] ** 2).sum() / (s**2).sum())
    return ShapePca.from_arrays(config, grid, centre, covariance, seeds), explained


def shape_prior(
    sizes: F64, latents: F64, family: npt.NDArray[np.integer], families: int
) -> tuple[F64, F64, F64]:
    """Return the Gaussian of log size and latent, and the mean of every family.

    The covariance is shrunk towards its diagonal and widened.

    Args:
        sizes: (B, 3) length, width, height, metres.
        latents: (B, K).
        family: (B,) family of each.
        families: how many there are; one without a member gets the mean of all.

    Returns:
        (3 + K,), (3 + K, 3 + K) and (families, 3 + K).
    """
    rows = np.concatenate([np.log(sizes), latents], 1)
    centre = rows.mean(0)
    seeds = np.array(
        [rows[family == f].mean(0) if (family == f).any() else centre for f in range(families)]
    )
    covariance = np.cov(rows.T)
    diagonal = np.diag(np.diag(covariance))
    widening = np.repeat([_SIZE_SPREAD**2, _LATENT_SPREAD**2], [SIZE, latents.shape[1]])
    covariance = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * diagonal + np.diag(widening)
    return centre, covariance, seeds
