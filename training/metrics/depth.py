"""Depth scores, per image and averaged over images, and the naive priors to beat.

Definitions after Eigen et al. (2014): with prediction p and truth t over the valid pixels,
``abs_rel = mean(|p - t| / t)``, ``rmse = sqrt(mean((p - t)^2))`` and
``delta1 = mean(max(p / t, t / p) < 1.25)``. Predictions are clamped to the depth range.
``ratio_20_40`` is the median of ``p / t`` where t is 20 to 40 m: below 1, far seems too near.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

DepthImage = npt.NDArray[np.floating]

GARG_CROP = (0.40810811, 0.99189189, 0.03594771, 0.96405229)
"""Top, bottom, left, right as fractions of the image: Garg et al. (ECCV 2016), for KITTI."""


RATIO_RANGES = ((20, 40), (40, 80))
"""Ranges of true depth whose median ratio is told, metres."""
RATIO_PIXELS = 50
"""An image with fewer valid pixels in a range says nothing about it."""


def garg_mask(height: int, width: int) -> npt.NDArray[np.bool_]:
    """Return the (H, W) mask of the Garg crop, by which KITTI depth is scored."""
    top, bottom, left, right = GARG_CROP
    mask = np.zeros((height, width), bool)
    mask[int(top * height) : int(bottom * height), int(left * width) : int(right * width)] = True
    return mask


def valid_truth(truth: DepthImage, max_depth: float) -> npt.NDArray[np.bool_]:
    """Return where a depth image has a finite value in (0, max_depth]."""
    with np.errstate(invalid='ignore'):
        return np.isfinite(truth) & (truth > 1e-3) & (truth <= max_depth)


def _scores(prediction: DepthImage, truth: DepthImage) -> tuple[float, float, float]:
    error = np.abs(prediction - truth)
    ratio = np.maximum(prediction / truth, truth / prediction)
    return (
        float(np.mean(error / truth)),
        float(np.sqrt(np.mean(error**2))),
        float(np.mean(ratio < 1.25)),
    )


class DepthMetrics:
    """Running averages over images of abs_rel, rmse, delta1, abs_rel_median_scaled and ratios."""

    def __init__(self, min_depth: float = 1e-3, max_depth: float = 80.0) -> None:
        self.min_depth, self.max_depth = min_depth, max_depth
        self._rows: list[tuple[float, float, float, float]] = []
        self._ratios: dict[tuple[int, int], list[float]] = {r: [] for r in RATIO_RANGES}

    def update(self, prediction: DepthImage, truth: DepthImage) -> None:
        """Add one image; images without valid truth are skipped.

        Args:
            prediction: (H, W) metres; NaN counts as the greatest depth.
            truth: (H, W) metres, NaN (or 0) where unknown.

        Raises:
            ValueError: if the shapes differ.
        """
        if prediction.shape != truth.shape:
            raise ValueError(f'prediction is {prediction.shape} but truth is {truth.shape}')
        valid = valid_truth(truth, self.max_depth)
        if not valid.any():
            return
        true = truth[valid].astype(np.float64)
        raw = np.nan_to_num(prediction[valid].astype(np.float64), nan=self.max_depth)
        clipped = np.clip(raw, self.min_depth, self.max_depth)
        scale = np.median(true) / max(float(np.median(raw)), self.min_depth)
        scaled = np.clip(raw * scale, self.min_depth, self.max_depth)
        self._rows.append((*_scores(clipped, true), _scores(scaled, true)[0]))
        for (near, far), ratios in self._ratios.items():
            inside = (true >= near) & (true < far)
            if np.count_nonzero(inside) >= RATIO_PIXELS:
                ratios.append(float(np.median(clipped[inside] / true[inside])))

    def __len__(self) -> int:
        return len(self._rows)

    def compute(self) -> dict[str, float]:
        """Return the scores by name; empty without any valid image."""
        if not self._rows:
            return {}
        means = np.mean(self._rows, axis=0)
        names = ('abs_rel', 'rmse', 'delta1', 'abs_rel_median_scaled')
        scores = {name: float(value) for name, value in zip(names, means, strict=True)}
        for (near, far), ratios in self._ratios.items():
            if ratios:
                scores[f'ratio_{near}_{far}'] = float(np.mean(ratios))
        return scores


def _abs_rel_median(values: npt.NDArray[np.float64]) -> float:
    """Return the constant c that minimises mean(|c - t| / t): the 1/t-weighted median."""
    ordered = np.sort(values)
    weight = np.cumsum(1.0 / ordered)
    return float(ordered[np.searchsorted(weight, 0.5 * weight[-1])])


def best_constant(truths: Sequence[DepthImage], max_depth: float = 80.0) -> float:
    """Return the single depth with the lowest abs_rel over all valid pixels.

    Raises:
        ValueError: if no pixel is valid.
    """
    values = [t[valid_truth(t, max_depth)].astype(np.float64) for t in truths]
    joined = np.concatenate(values) if values else np.empty(0)
    if joined.size == 0:
        raise ValueError('no valid depth to take a constant from')
    return _abs_rel_median(joined)


def grid_median_prior(
    truths: Sequence[DepthImage], cell: int = 16, max_depth: float = 80.0
) -> DepthImage:
    """Return a static depth image: the median of all truths in every cell of the image grid.

    It knows the data's own statistics but does not look at any image, so a network that merely
    ties it has learnt nothing but the camera's mounting.

    Args:
        truths: equally large (H, W) images, metres.
        cell: grid cell size in pixels.
        max_depth: truth beyond it does not count.

    Returns:
        (H, W) metres; cells never seen hold the median of all values.

    Raises:
        ValueError: if the sizes differ or no pixel is valid.
    """
    if len({t.shape for t in truths}) != 1:
        raise ValueError('a grid prior needs truth images of one size')
    stack = np.stack([np.where(valid_truth(t, max_depth), t, np.nan) for t in truths])
    if not np.isfinite(stack).any():
        raise ValueError('no valid depth to take a prior from')
    _, height, width = stack.shape
    prior = np.full((height, width), np.nanmedian(stack))
    for y in range(0, height, cell):
        for x in range(0, width, cell):
            values = stack[:, y : y + cell, x : x + cell]
            values = values[np.isfinite(values)]
            if values.size:
                prior[y : y + cell, x : x + cell] = np.median(values)
    return prior
