"""From a network's coarse predictions to images of the camera's size, in compiled loops.

Both sides of a resize share their corners (the convention of ``cv2.resize`` and of torch's
``align_corners=False``), so that results equal upsampling everything first.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from sim_perception.inference.calibration import RIGHT_RATIO, Calibration
from sim_perception.kernels import kernel

FloatImage = npt.NDArray[np.float32]
LabelImage = npt.NDArray[np.uint8]

# A score so far below the best one adds less than rounding to the sum of the softmax.
NEGLIGIBLE = np.float32(-17.0)


def depth_image(
    log_depth: FloatImage, size: tuple[int, int], low: float, high: float
) -> FloatImage:
    """Return depth in metres at (height, width) ``size``, interpolated in the logarithm.

    Args:
        log_depth: (h, w) natural logarithm of metres.
        size: height and width of the result.
        low, high: metres to which it is clamped.
    """
    clamped = np.clip(log_depth, np.float32(math.log(low)), np.float32(math.log(high)))
    resized = cv2.resize(clamped, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    depth: FloatImage = np.exp(resized, out=resized)
    # Rounding of exp(log(x)) must not leave the limits by one unit in the last place.
    return np.clip(depth, np.float32(low), np.float32(high), out=depth)


def depth_confidence_image(
    log_scale: FloatImage, size: tuple[int, int], calibration: Calibration
) -> FloatImage:
    """Return the probability that depth is right within a factor of 1.25.

    The log-depth error has a Laplace distribution of scale b, so that is
    ``P(|error| < log 1.25) = 1 - exp(-log 1.25 / b)``.

    Args:
        log_scale: (h, w) natural logarithm of b as the network predicts it.
        size: height and width of the result.
        calibration: its factor on b.
    """
    resized = cv2.resize(log_scale, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    limit = math.log(RIGHT_RATIO) / calibration.depth_scale
    exponent = np.float32(-limit) * np.exp(-resized, out=resized)
    confidence: FloatImage = np.negative(np.expm1(exponent, out=exponent), out=exponent)
    return confidence


def label_image(logits: FloatImage, size: tuple[int, int]) -> LabelImage:
    """Return the winning class at (height, width) ``size`` of bilinearly upsampled scores.

    Args:
        logits: (h, w, C) class scores.
        size: height and width of the result.
    """
    labels = np.empty(size, np.uint8)
    _upsample_labels(logits, logits.argmax(-1).astype(np.uint8), labels)
    return labels


def label_confidence_image(
    logits: FloatImage, size: tuple[int, int], temperature: float = 1.0
) -> tuple[LabelImage, FloatImage]:
    """Return the winning class and its softmax probability of bilinearly upsampled scores.

    Args:
        logits: (h, w, C) class scores.
        size: height and width of the result.
        temperature: divisor of the scores; changes the probabilities only.
    """
    labels = np.empty(size, np.uint8)
    confidence = np.empty(size, np.float32)
    _upsample_confidence(logits / np.float32(temperature), labels, confidence)
    return labels, confidence


@kernel
def _source(index, scale, count):  # type: ignore[no-untyped-def]
    """Return the two source samples around an output sample, and the weight of the second."""
    position = (index + 0.5) * scale - 0.5
    position = min(max(position, 0.0), count - 1.0)
    first = min(int(position), max(count - 2, 0))
    second = min(first + 1, count - 1)
    return first, second, np.float32(position - first)


@kernel
def _upsample_labels(logits, coarse, labels):  # type: ignore[no-untyped-def]
    # Where one class wins at all four surrounding samples it wins between them as well, since
    # bilinear weights are convex: only pixels on class borders need their scores.
    rows, columns, classes = logits.shape
    height, width = labels.shape
    for v in range(height):
        top, bottom, wy = _source(v, rows / height, rows)
        for u in range(width):
            left, right, wx = _source(u, columns / width, columns)
            label = coarse[top, left]
            if (
                coarse[top, right] == label
                and coarse[bottom, left] == label
                and coarse[bottom, right] == label
            ):
                labels[v, u] = label
                continue
            best = -np.inf
            for c in range(classes):
                a = logits[top, left, c] * (1 - wx) + logits[top, right, c] * wx
                b = logits[bottom, left, c] * (1 - wx) + logits[bottom, right, c] * wx
                score = a * (1 - wy) + b * wy
                if score > best:
                    best = score
                    label = c
            labels[v, u] = label


@kernel
def _upsample_confidence(logits, labels, confidence):  # type: ignore[no-untyped-def]
    rows, columns, classes = logits.shape
    height, width = labels.shape
    line = np.empty((columns, classes), np.float32)
    scores = np.empty(classes, np.float32)
    for v in range(height):
        top, bottom, wy = _source(v, rows / height, rows)
        for x in range(columns):
            for c in range(classes):
                line[x, c] = logits[top, x, c] * (1 - wy) + logits[bottom, x, c] * wy
        for u in range(width):
            left, right, wx = _source(u, columns / width, columns)
            best = 0
            for c in range(classes):
                scores[c] = line[left, c] * (1 - wx) + line[right, c] * wx
                if scores[c] > scores[best]:
                    best = c
            total = np.float32(0)
            for c in range(classes):
                gap = scores[c] - scores[best]
                if gap > NEGLIGIBLE:
                    total += np.exp(gap)
            labels[v, u] = best
            confidence[v, u] = 1 / total
