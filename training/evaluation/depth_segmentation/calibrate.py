"""``calibrate``: fits two numbers that make a checkpoint's confidence hold, and stores them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import track
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from torch import Tensor

from sim_perception.inference.backend import TorchBackend, choose_device
from sim_perception.inference.calibration import RIGHT_RATIO, Calibration
from sim_perception.inference.preprocess import PreprocessConfig, preprocess
from sim_perception.models.checkpoint import Checkpoint, load_checkpoint, update_checkpoint
from sim_perception.models.depth_segmentation import DepthSegmentationNet
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import Frame
from training.datasets.images.undistort import undistorted
from training.datasets.sample import DatasetError, Sample
from training.engine.command import command_line
from training.evaluation.specs import MAX_DEPTH, EvaluationData, open_spec
from training.metrics import Reliability
from training.metrics.depth import valid_truth

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]
Confidence = Callable[[float], Floats]

#: Pixels of one image that count; neighbours say the same, so more would tell nothing new.
PIXELS_PER_IMAGE = 4096
_SEARCH = (math.log(0.02), math.log(50.0))
_TINY = 1e-12
_ERRORS = {'depth_scale': 'ece_depth', 'temperature': 'ece_segmentation'}


@dataclass
class Evidence:
    """Predictions and truth at random pixels.

    Attributes:
        depth_right: whether depth is right within a factor of 1.25, one array per image.
        log_scale: the predicted logarithms of the Laplace scale of log depth.
        class_right: whether the winning class is the true one, one array per image.
        scores: class scores (N, C).
    """

    depth_right: list[Bools] = field(default_factory=list)
    log_scale: list[Floats] = field(default_factory=list)
    class_right: list[Bools] = field(default_factory=list)
    scores: list[Floats] = field(default_factory=list)

    def predictors(self) -> dict[str, tuple[Bools, Confidence]]:
        """Return what is right and the confidence in it as a function of the fitted number.

        Keys are the fields of ``Calibration``; those without evidence are missing.
        """
        found: dict[str, tuple[Bools, Confidence]] = {}
        if self.depth_right:
            depth = partial(_depth_confidence, np.concatenate(self.log_scale))
            found['depth_scale'] = np.concatenate(self.depth_right), depth
        if self.class_right:
            label = partial(_class_confidence, np.concatenate(self.scores))
            found['temperature'] = np.concatenate(self.class_right), label
        return found


def calibrate(
    checkpoint: Path,
    specs: Sequence[str],
    *,
    limit: int | None = None,
    device: str = 'auto',
) -> dict[str, float]:
    """Fit a checkpoint's confidence to data and store the calibration in the checkpoint.

    The depth scale is the one under which ``depth_confidence`` best predicts, by log
    likelihood, whether depth is right within a factor of 1.25; the temperature is the one under
    which ``confidence`` best predicts whether the winning class is right (Guo et al., ICML
    2017, sec. 4.2, but of this event, since the data may know fewer classes than the network).
    What the data have no truth for keeps its calibration.

    Args:
        checkpoint: folder of a depth_segmentation network.
        specs: data, see ``evaluation.specs``; not what the scores are reported on.
        limit: greatest number of frames of each, spread evenly.
        device: ``auto``, ``cpu`` or ``cuda``.

    Returns:
        ``depth_scale``, ``temperature``, and the expected calibration errors before and after:
        ``ece_depth_before``, ``ece_depth``, ``ece_segmentation_before``, ``ece_segmentation``.

    Raises:
        CheckpointError: if the checkpoint is damaged.
        DatasetError, BagError: for unusable data, or data without any truth that helps.
        ValueError: for an unknown device.
    """
    loaded = load_checkpoint(checkpoint, network='depth_segmentation')
    before = Calibration.from_dict(loaded.calibration)
    evidence = collect(loaded, [open_spec(spec, limit) for spec in specs], device)
    if not evidence.predictors():
        raise DatasetError(
            f'nothing in {", ".join(specs)} to calibrate with: need depth truth for a network '
            'with uncertainty, or class truth'
        )
    after = fit(evidence, before)
    result: dict[str, float] = after.to_dict()
    for key, calibration in (('_before', before), ('', after)):
        result.update({f'{k}{key}': v for k, v in errors(evidence, calibration).items()})
    metrics = dict(loaded.metrics)
    metrics['calibration'] = {'data': list(specs), 'command': command_line(), **result}
    update_checkpoint(checkpoint, metrics=metrics, calibration=after.to_dict())
    _report(result)
    return result


def collect(loaded: Checkpoint, data: Iterable[EvaluationData], device: str) -> Evidence:
    """Run a network over data and keep what a calibration needs, in float32."""
    backend = TorchBackend(
        cast(DepthSegmentationNet, loaded.net), choose_device(device), torch.float32
    )
    config = PreprocessConfig.from_dict(loaded.preprocess)
    evidence = Evidence()
    rng = np.random.default_rng(0)
    for part in data:
        camvid = part.samples.label_space == 'camvid'
        for sample in track(part, 'calibrating', total=len(part), console=Console(stderr=True)):
            sample = undistorted(sample)
            inputs = preprocess([Frame(sample.stamp, sample.image, sample.camera)], config)
            output = backend.run(inputs.image, inputs.focal).resized(*sample.image.shape[:2])
            if sample.depth is not None and output.log_scale is not None:
                _keep_depth(evidence, sample.depth, output.log_depth, output.log_scale, rng)
            if sample.semantic is not None:
                _keep_classes(evidence, sample, output.logits, loaded.taxonomy, camvid, rng)
    return evidence


def _keep_depth(
    evidence: Evidence,
    truth: Floats,
    log_depth: Tensor,
    log_scale: Tensor,
    rng: np.random.Generator,
) -> None:
    where = _choose(valid_truth(truth, MAX_DEPTH), rng)
    predicted = np.minimum(log_depth[0, 0].numpy()[where], math.log(MAX_DEPTH))
    if predicted.size:
        error = np.abs(predicted - np.log(truth[where]))
        evidence.depth_right.append(error < math.log(RIGHT_RATIO))
        evidence.log_scale.append(log_scale[0, 0].numpy()[where].astype(np.float64))


def _keep_classes(
    evidence: Evidence,
    sample: Sample,
    logits: Tensor,
    taxonomy: Taxonomy,
    camvid: bool,
    rng: np.random.Generator,
) -> None:
    assert sample.semantic is not None
    names = taxonomy.camvid_names if camvid else taxonomy.names
    table = taxonomy.camvid_lut() if camvid else np.arange(256)
    where = _choose(sample.semantic < len(names), rng)
    if len(where[0]):
        scores = logits[0].permute(1, 2, 0).numpy()[where].astype(np.float64)
        evidence.class_right.append(table[scores.argmax(1)] == sample.semantic[where])
        evidence.scores.append(scores)


def _choose(
    valid: npt.NDArray[np.bool_], rng: np.random.Generator
) -> tuple[npt.NDArray[np.intp], ...]:
    """Return the coordinates of at most ``PIXELS_PER_IMAGE`` random valid pixels."""
    rows, columns = np.nonzero(valid)
    if len(rows) > PIXELS_PER_IMAGE:
        chosen = rng.choice(len(rows), PIXELS_PER_IMAGE, replace=False)
        rows, columns = rows[chosen], columns[chosen]
    return rows, columns


def fit(evidence: Evidence, start: Calibration) -> Calibration:
    """Return the calibration of greatest likelihood; without evidence a number stays as it is."""
    fitted = {}
    for name, (right, confidence) in evidence.predictors().items():

        def loss(
            logarithm: float, right: Bools = right, sure_at: Confidence = confidence
        ) -> float:
            sure = np.clip(sure_at(math.exp(logarithm)), _TINY, 1 - _TINY)
            return float(-np.mean(np.where(right, np.log(sure), np.log1p(-sure))))

        fitted[name] = math.exp(float(minimize_scalar(loss, bounds=_SEARCH, method='bounded').x))
    return replace(start, **fitted)


def errors(evidence: Evidence, calibration: Calibration) -> dict[str, float]:
    """Return ``ece_depth`` and ``ece_segmentation`` under a calibration, as far as known."""
    result = {}
    for name, (right, confidence) in evidence.predictors().items():
        reliability = Reliability()
        reliability.update(confidence(getattr(calibration, name)), right)
        result[_ERRORS[name]] = reliability.expected_calibration_error()
    return result


def _depth_confidence(log_scale: Floats, depth_scale: float) -> Floats:
    """Return the formula of ``postprocess.depth_confidence_image`` at single pixels."""
    return np.asarray(-np.expm1(-math.log(RIGHT_RATIO) / depth_scale * np.exp(-log_scale)))


def _class_confidence(scores: Floats, temperature: float) -> Floats:
    """Return the softmax probability of the winning class."""
    scaled = scores / temperature
    return np.minimum(np.exp(scaled.max(1) - logsumexp(scaled, axis=1)), 1.0)


def _report(result: dict[str, Any]) -> None:
    console = Console()
    for name, key in _ERRORS.items():
        label = name.replace('_', ' ')
        if key in result:
            console.print(
                f'{label} {result[name]:.3f}: expected calibration error '
                f'{result[f"{key}_before"]:.3f} -> {result[key]:.3f}'
            )
        else:
            console.print(f'{label} {result[name]:.3f}: no truth to fit it with, kept')
