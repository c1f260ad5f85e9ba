"""``calibrate``: fits two numbers that make a checkpoint's confidence hold, and stores them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
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
from training.command import command_line
from training.datasets.sample import DatasetError, Sample
from training.evaluation.specs import MAX_DEPTH, EvaluationData, open_spec
from training.metrics import Reliability
from training.metrics.depth import valid_truth

Floats = npt.NDArray[np.floating]

#: Pixels of one image that count; neighbours say the same, so more would tell nothing new.
PIXELS_PER_IMAGE = 4096
_SEARCH = (math.log(0.02), math.log(50.0))
_TINY = 1e-12


@dataclass
class Evidence:
    """Predictions and truth at random pixels.

    Attributes:
        log_error: absolute errors of log depth, one array per image.
        log_scale: the predicted logarithms of their Laplace scale.
        scores: class scores (N, C) per image.
        matches: (N, C) bool, which classes are right by the truth.
    """

    log_error: list[Floats] = field(default_factory=list)
    log_scale: list[Floats] = field(default_factory=list)
    scores: list[Floats] = field(default_factory=list)
    matches: list[npt.NDArray[np.bool_]] = field(default_factory=list)


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
    which the class probabilities best predict the classes (Guo et al., ICML 2017, sec. 4.2).
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
    if not evidence.log_error and not evidence.scores:
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
        evidence.log_error.append(np.abs(predicted - np.log(truth[where])).astype(np.float64))
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
    truth = sample.semantic[where]
    matches = truth[:, None] == table[None, : logits.shape[1]]
    # A truth that no class of the network stands for tells nothing about its confidence.
    known = matches.any(1)
    if known.any():
        scores = logits[0].permute(1, 2, 0).numpy()[where]
        evidence.scores.append(scores[known].astype(np.float64))
        evidence.matches.append(matches[known])


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
    depth_scale, temperature = start.depth_scale, start.temperature
    if evidence.log_error:
        error = np.concatenate(evidence.log_error)
        log_scale = np.concatenate(evidence.log_scale)
        right = error < math.log(RIGHT_RATIO)

        def depth_loss(log_factor: float) -> float:
            sure = np.clip(_depth_confidence(log_scale, math.exp(log_factor)), _TINY, 1 - _TINY)
            return float(-np.mean(np.where(right, np.log(sure), np.log1p(-sure))))

        depth_scale = _minimise(depth_loss)
    if evidence.scores:
        scores, matches = np.concatenate(evidence.scores), np.concatenate(evidence.matches)

        def class_loss(log_temperature: float) -> float:
            scaled = scores / math.exp(log_temperature)
            right_ones = logsumexp(np.where(matches, scaled, -np.inf), axis=1)
            return float(np.mean(logsumexp(scaled, axis=1) - right_ones))

        temperature = _minimise(class_loss)
    return Calibration(depth_scale, temperature)


def errors(evidence: Evidence, calibration: Calibration) -> dict[str, float]:
    """Return ``ece_depth`` and ``ece_segmentation`` under a calibration, as far as known."""
    result = {}
    if evidence.log_error:
        error = np.concatenate(evidence.log_error)
        log_scale = np.concatenate(evidence.log_scale)
        depth = Reliability()
        sure = _depth_confidence(log_scale, calibration.depth_scale)
        depth.update(sure, error < math.log(RIGHT_RATIO))
        result['ece_depth'] = depth.expected_calibration_error()
    if evidence.scores:
        scores, matches = np.concatenate(evidence.scores), np.concatenate(evidence.matches)
        scaled = scores / calibration.temperature
        sure = np.exp(scaled.max(1) - logsumexp(scaled, axis=1))
        classes = Reliability()
        classes.update(np.minimum(sure, 1.0), matches[np.arange(len(scores)), scores.argmax(1)])
        result['ece_segmentation'] = classes.expected_calibration_error()
    return result


def _depth_confidence(log_scale: Floats, factor: float) -> Floats:
    """Return the formula of ``postprocess.depth_confidence_image`` at single pixels."""
    return np.asarray(-np.expm1(-math.log(RIGHT_RATIO) / factor * np.exp(-log_scale)))


def _minimise(loss: Callable[[float], float]) -> float:
    """Return exp(x) of the least loss(x)."""
    return math.exp(float(minimize_scalar(loss, bounds=_SEARCH, method='bounded').x))


def _report(result: dict[str, Any]) -> None:
    console = Console()
    for name, label, key in (
        ('depth_scale', 'depth scale', 'ece_depth'),
        ('temperature', 'class temperature', 'ece_segmentation'),
    ):
        if key in result:
            console.print(
                f'{label} {result[name]:.3f}: expected calibration error '
                f'{result[f"{key}_before"]:.3f} -> {result[key]:.3f}'
            )
        else:
            console.print(f'{label} {result[name]:.3f}: no truth to fit it with, kept')
