"""Intersection over union from a running confusion matrix."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


class ConfusionMatrix:
    """Counts of (true class, predicted class) over any number of label images."""

    def __init__(self, num_classes: int) -> None:
        self.counts = np.zeros((num_classes, num_classes), np.int64)
        # pixels of each true class predicted as no known class
        self.missed = np.zeros(num_classes, np.int64)

    def update(self, prediction: npt.NDArray[np.integer], truth: npt.NDArray[np.integer]) -> None:
        """Add one image.

        Truth ids outside [0, classes) are unlabelled and skipped. A predicted id outside the
        range is wrong wherever the truth is labelled: it counts against the true class only.

        Raises:
            ValueError: if the shapes differ.
        """
        if prediction.shape != truth.shape:
            raise ValueError(f'prediction is {prediction.shape} but truth is {truth.shape}')
        n = len(self.counts)
        labelled = (truth >= 0) & (truth < n)
        true = truth[labelled].astype(np.int64)
        predicted = prediction[labelled].astype(np.int64)
        predicted[(predicted < 0) | (predicted >= n)] = n
        flat = np.bincount(true * (n + 1) + predicted, minlength=n * (n + 1))
        table = flat.reshape(n, n + 1)
        self.counts += table[:, :n]
        self.missed += table[:, n]

    def iou(self) -> npt.NDArray[np.float64]:
        """Return (classes,) intersection over union; NaN for classes absent from the truth."""
        hit = np.diag(self.counts).astype(np.float64)
        true = self.counts.sum(1) + self.missed
        union = true + self.counts.sum(0) - hit
        return np.where(true > 0, hit / np.maximum(union, 1), np.nan)

    def miou(self) -> float:
        """Return the mean IoU over the classes that occur in the truth; NaN if none does."""
        iou = self.iou()
        return float(np.nanmean(iou)) if np.isfinite(iou).any() else float('nan')
