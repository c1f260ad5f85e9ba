"""Whether the pixels that a network trusts least are those with the largest errors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FRACTIONS = np.linspace(0, 0.98, 50)
"""Shares of pixels taken away."""


class Sparsification:
    """Error of what remains when the least trusted pixels are taken away, averaged over images.

    Ilg et al., "Uncertainty estimates and multi-hypotheses networks for optical flow" (ECCV
    2018), sec. 4; not normalised, so areas have the unit of the error. The oracle takes the
    pixels with the largest errors away.
    """

    def __init__(self) -> None:
        self._curves: list[npt.NDArray[np.float64]] = []

    def update(self, error: npt.NDArray[np.floating], trust: npt.NDArray[np.floating]) -> None:
        """Add one image; an image without pixels is skipped.

        Args:
            error: (N,) errors.
            trust: (N,) any numbers that are larger where the error is expected to be smaller.

        Raises:
            ValueError: if the shapes differ or a value is not finite.
        """
        if error.shape != trust.shape or error.ndim != 1:
            raise ValueError(f'need two (N,) arrays, got {error.shape} and {trust.shape}')
        if not (np.isfinite(error).all() and np.isfinite(trust).all()):
            raise ValueError('errors and trust must be finite; leave unknown pixels out')
        if error.size:
            exact = np.asarray(error, np.float64)
            best = _remaining(exact, np.argsort(exact))
            self._curves.append(np.stack([_remaining(exact, np.argsort(-trust)), best]))

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._curves)

    def curves(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the mean error that remains at ``FRACTIONS``: by trust and by the oracle.

        Raises:
            ValueError: without any image.
        """
        if not self._curves:
            raise ValueError('no image to draw a sparsification curve of')
        mean = np.mean(self._curves, axis=0)
        return mean[0], mean[1]

    def area(self) -> float:
        """Return the area between the two curves (AUSE): 0 is a perfect order."""
        trusted, oracle = self.curves()
        return _area(trusted - oracle)

    def area_of_chance(self) -> float:
        """Return the area that an order by chance would have."""
        _, oracle = self.curves()
        return _area(oracle[0] - oracle)


def _remaining(
    error: npt.NDArray[np.float64], order: npt.NDArray[np.intp]
) -> npt.NDArray[np.float64]:
    """Return the mean error of the first pixels in an order, by the shares taken away."""
    means = np.cumsum(error[order]) / np.arange(1, error.size + 1)
    kept = np.maximum(np.ceil((1 - FRACTIONS) * error.size).astype(np.int64), 1)
    return np.asarray(means[kept - 1])


def _area(height: npt.NDArray[np.float64]) -> float:
    return float(((height[1:] + height[:-1]) / 2 * np.diff(FRACTIONS)).sum())
