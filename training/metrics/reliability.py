"""Whether a predicted probability is how often the prediction is right."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BINS = 15


class Reliability:
    """Counts of right and wrong predictions by their confidence, in equal bins over 0..1.

    Attributes:
        counts: (bins,) predictions.
        right: (bins,) right ones among them.
        confidence: (bins,) sum of their confidences.
    """

    def __init__(self, bins: int = BINS) -> None:
        self.counts = np.zeros(bins, np.int64)
        self.right = np.zeros(bins, np.int64)
        self.confidence = np.zeros(bins)

    def update(self, confidence: npt.NDArray[np.floating], right: npt.NDArray[np.bool_]) -> None:
        """Add predictions.

        Args:
            confidence: any shape, probabilities in 0..1.
            right: of the same shape.

        Raises:
            ValueError: if the shapes differ or a confidence is outside 0..1.
        """
        if confidence.shape != right.shape:
            raise ValueError(f'confidence is {confidence.shape} but right is {right.shape}')
        if confidence.size == 0:
            return
        flat = confidence.ravel().astype(np.float64)
        if not (flat.min() >= 0 and flat.max() <= 1):
            raise ValueError(
                f'confidence must lie within 0 and 1, got {flat.min():g} to {flat.max():g}'
            )
        bins = len(self.counts)
        place = np.minimum((flat * bins).astype(np.int64), bins - 1)
        self.counts += np.bincount(place, minlength=bins)
        self.right += np.bincount(place[right.ravel()], minlength=bins)
        self.confidence += np.bincount(place, flat, minlength=bins)

    def __len__(self) -> int:
        """Return the number of predictions."""
        return int(self.counts.sum())

    def curve(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return mean confidence and share of right ones of every bin that is not empty."""
        filled = self.counts > 0
        counts = self.counts[filled]
        return self.confidence[filled] / counts, self.right[filled] / counts

    def expected_calibration_error(self) -> float:
        """Return the mean over predictions of |share right - mean confidence| of their bin.

        Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian
        binning" (AAAI 2015), in the form of Guo et al. (ICML 2017), eq. 3. NaN without any.
        """
        if not len(self):
            return float('nan')
        return float(np.abs(self.right - self.confidence).sum() / len(self))
