"""Calibrates the permanence network's scores: the share of detections that are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from scipy.optimize import minimize
from scipy.special import expit, logit

from sim_perception.inference.calibration import ScoreCalibration
from sim_perception.inference.permanence import PermanenceEngine
from sim_perception.models.checkpoint import load_checkpoint, update_checkpoint
from training.datasets.sample import DatasetError
from training.datasets.scenes import open_scenes
from training.engine.command import command_line
from training.evaluation.detector3d.average_precision import match
from training.evaluation.permanence.frames import OVERLAP, THRESHOLD, compared_in_image
from training.evaluation.report import frames_of

F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

#: How strongly few detections are pulled towards the scores as they are.
_RIDGE = 1.0
#: A class with fewer right or wrong detections keeps its scores.
_LEAST = 3
_TINY = 1e-6


def calibrate_scores(
    checkpoint: Path,
    specs: Sequence[str],
    *,
    second_opinion: Path | None = None,
    limit: int | None = None,
    device: str = 'auto',
) -> ScoreCalibration:
    """Fit the scores of a permanence network to single frames, and store it in the checkpoint.

    A detection is right if its image box overlaps a true one of its class by half, at moderate
    difficulty; what need not be found counts neither way. A class with too few of either kind
    keeps its scores.

    Args:
        checkpoint: its folder.
        specs: ``kitti_object:DIR`` or ``sim:SCENARIO[:SEEDS]``.
        second_opinion: with it, what is fitted is what holds with a second opinion; what holds
            without stays.
        limit: greatest number of frames of each, spread evenly.
        device: see ``PermanenceEngine``.

    Raises:
        CheckpointError: if the checkpoint is damaged.
        DatasetError: for unusable data, or no class that could be fitted.
    """
    engine = PermanenceEngine.load(
        checkpoint,
        device=device,
        threshold=THRESHOLD,
        calibration=ScoreCalibration(),
        second_opinion=second_opinion,
    )
    scores: dict[str, list[F64]] = {name: [] for name in engine.things}
    rights: dict[str, list[Bools]] = {name: [] for name in engine.things}
    for spec in specs:
        scenes, count = open_scenes(spec, limit, points=False)
        for scene in frames_of(spec)(scenes, count):
            for name, (flat, _) in compared_in_image(engine, scene).items():
                verdict = match(flat, OVERLAP)
                scores[name].append(flat.score[verdict != 0])
                rights[name].append(verdict[verdict != 0] == 1)
    scale, bias = {}, {}
    told: dict[str, Any] = {}
    for name in engine.things:
        score, right = np.concatenate(scores[name]), np.concatenate(rights[name])
        if min(right.sum(), (~right).sum()) < _LEAST:
            continue
        scale[name], bias[name] = fit_scores(score, right)
        told[name] = {'right': int(right.sum()), 'wrong': int((~right).sum())}
        Console().print(
            f'{name}: {right.sum()} of {len(right)} detections are right; a score of .50 becomes '
            f'{expit(bias[name]):.2f}'
        )
    if not told:
        raise DatasetError(
            f'nothing in {", ".join(specs)} to calibrate with: no class has {_LEAST} right and '
            f'{_LEAST} wrong detections'
        )
    loaded = load_checkpoint(checkpoint)
    before = ScoreCalibration.from_dict(loaded.calibration)
    fitted = ScoreCalibration(scale, bias)
    if second_opinion is None:
        name, calibration = 'calibration', replace(fitted, seconded=before.seconded)
    else:
        name, calibration = 'calibration_seconded', replace(before, seconded=fitted)
    how = {'data': list(specs), 'command': command_line(), 'detections': told}
    metrics = {**loaded.metrics, name: how}
    update_checkpoint(checkpoint, metrics=metrics, calibration=calibration.to_dict())
    return calibration


def fit_scores(score: F64, right: Bools) -> tuple[float, float]:
    """Return the scale and bias of scores' logits under which they best predict what is right.

    Few detections are pulled towards scale 1 and bias 0.
    """
    raw = logit(np.clip(score, _TINY, 1 - _TINY))

    def loss(parameters: F64) -> tuple[float, F64]:
        log_scale, bias = parameters
        scaled = np.exp(log_scale) * raw
        predicted = scaled + bias
        error = expit(predicted) - right
        cost = np.logaddexp(0, predicted).sum() - predicted[right].sum()
        pull = _RIDGE * np.array([log_scale, bias])
        gradient = np.array([error @ scaled, error.sum()]) + pull
        return float(cost + pull @ parameters / 2), gradient

    log_scale, bias = minimize(loss, np.zeros(2), jac=True, method='L-BFGS-B').x
    return float(np.exp(log_scale)), float(bias)
