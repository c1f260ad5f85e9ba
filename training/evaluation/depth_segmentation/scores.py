"""Runs an engine over evaluation data and scores it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import DepthSegmentation, Frame
from sim_perception.visualization import caption, color_depth, color_labels, write_picture
from training.datasets.sample import IGNORE, DatasetError, Sample
from training.evaluation.depth_segmentation.confidence import ConfidenceScores
from training.evaluation.report import Track
from training.evaluation.specs import MAX_DEPTH, EvaluationData
from training.metrics import ConfusionMatrix, DepthMetrics, best_constant, grid_median_prior
from training.pictures.images import blend, color_sparse_depth


def evaluate_engine(
    engine: DepthSegmentationEngine,
    data: EvaluationData,
    *,
    pictures: Path | None = None,
    track: Track[Sample] | None = None,
    prior: EvaluationData | None = None,
) -> dict[str, float]:
    """Return the scores that the data has truth for.

    Depth: ``abs_rel rmse delta1 abs_rel_median_scaled ratio_20_40 ratio_40_80`` (means over
    images). What to beat is ``static_abs_rel``, given ``prior``: a grid of medians of other
    frames' truth. ``oracle_constant_abs_rel``, ``oracle_grid_abs_rel`` and their lesser
    ``oracle_abs_rel`` are fitted to the truth that is scored, which nobody knows beforehand.
    Classes: ``miou`` and ``iou_<class>`` in the data's label space. Confidence, where there is
    truth for it: ``ece_segmentation``, and from a network with uncertainty ``ece_depth``,
    ``ause_abs_rel`` and ``ause_abs_rel_chance`` (see ``evaluation.confidence``).

    Args:
        engine: the network to score.
        data: the frames.
        pictures: a folder for one PNG per frame and ``confidence/curves.png``, or None.
        track: wraps the frames in a progress display.
        prior: frames of the same camera that could have been learnt by heart.
    """
    taxonomy = engine.taxonomy
    camvid = data.samples.label_space == 'camvid'
    names = taxonomy.camvid_names if camvid else taxonomy.names
    table = taxonomy.camvid_lut() if camvid else np.arange(256, dtype=np.uint8)
    depth_scores = DepthMetrics(max_depth=MAX_DEPTH)
    confusion = ConfusionMatrix(len(names))
    confidence = ConfidenceScores(MAX_DEPTH)
    truths: list[npt.NDArray[np.float32]] = []
    for frame in track(data, len(data)) if track else data:
        sure = frame.semantic is not None or engine.predicts_uncertainty
        result = engine.infer(Frame(frame.stamp, frame.image, frame.camera), confidence=sure)
        result, frame = _where_seen(result, frame)
        if frame.depth is not None:
            depth_scores.update(result.depth, frame.depth)
            confidence.update_depth(result, frame.depth)
            truths.append(frame.depth)
        if frame.semantic is not None:
            confusion.update(table[result.segmentation], frame.semantic)
            confidence.update_classes(result, frame.semantic, table, len(names))
        if pictures is not None:
            pictures.mkdir(parents=True, exist_ok=True)
            picture = draw(frame, result, taxonomy, camvid=camvid)
            write_picture(pictures / f'{frame.name}.png', picture)
    scores = depth_scores.compute()
    if scores:
        scores.update(oracle_scores(truths))
        if prior is not None:
            known = [frame.depth for frame in prior if frame.depth is not None]
            scores['static_abs_rel'] = static_abs_rel(truths, known)
    if confusion.counts.any() or confusion.missed.any():
        scores['miou'] = confusion.miou()
        for name, value in zip(names, confusion.iou(), strict=True):
            if math.isfinite(value):
                scores[f'iou_{name}'] = float(value)
    scores.update(confidence.compute())
    curves = confidence.draw()
    if pictures is not None and curves is not None:
        (pictures / 'confidence').mkdir(parents=True, exist_ok=True)
        write_picture(pictures / 'confidence' / 'curves.png', curves)
    return scores


def _where_seen(result: DepthSegmentation, frame: Sample) -> tuple[DepthSegmentation, Sample]:
    """Return both with truth left out where a fisheye shows what the network cannot see."""
    seen = np.isfinite(result.depth)
    if seen.all():
        return result, frame
    depth, semantic = frame.depth, frame.semantic
    return replace(
        result,
        depth=np.where(seen, result.depth, np.float32(1.0)),
        segmentation=np.where(seen, result.segmentation, np.uint8(0)),
    ), replace(
        frame,
        depth=None if depth is None else np.where(seen, depth, np.float32(np.nan)),
        semantic=None if semantic is None else np.where(seen, semantic, np.uint8(IGNORE)),
    )


def oracle_scores(
    truths: list[npt.NDArray[np.float32]], max_depth: float = MAX_DEPTH
) -> dict[str, float]:
    """Return abs_rel of the best constant and of a static grid, both fitted to the truth itself.

    Images of different sizes get a grid of their own.
    """
    constant = best_constant(truths, max_depth)
    by_constant = DepthMetrics(max_depth=max_depth)
    for truth in truths:
        by_constant.update(np.full(truth.shape, constant), truth)
    first, second = by_constant.compute()['abs_rel'], static_abs_rel(truths, truths, max_depth)
    return {
        'oracle_constant_abs_rel': first,
        'oracle_grid_abs_rel': second,
        'oracle_abs_rel': min(first, second),
    }


def static_abs_rel(
    truths: Sequence[npt.NDArray[np.float32]],
    known: Sequence[npt.NDArray[np.float32]],
    max_depth: float = MAX_DEPTH,
) -> float:
    """Return abs_rel of always answering with a grid of medians of known depth.

    Args:
        truths: (H, W) depth to predict.
        known: depth that the grids are fitted to, one grid per size of images.
        max_depth: metres.

    Raises:
        DatasetError: if a size of image is not among the known ones.
    """
    grids = {
        shape: grid_median_prior([t for t in known if t.shape == shape], max_depth=max_depth)
        for shape in {t.shape for t in known if np.isfinite(t).any()}
    }
    scores = DepthMetrics(max_depth=max_depth)
    for truth in truths:
        if truth.shape in grids:
            scores.update(grids[truth.shape], truth)
        elif np.isfinite(truth).any():
            height, width = truth.shape
            raise DatasetError(f'the prior has no depth images of {width}x{height} pixels')
    return scores.compute()['abs_rel']


def draw(
    frame: Sample, result: DepthSegmentation, taxonomy: Taxonomy, *, camvid: bool
) -> npt.NDArray[np.uint8]:
    """Return a picture: image, depth, classes, and the truths there are."""
    panels = [
        caption(frame.image, frame.name),
        caption(color_depth(result.depth), 'depth'),
        caption(blend(frame.image, color_labels(result.segmentation, taxonomy)), 'classes'),
    ]
    if frame.depth is not None:
        dense = np.isfinite(frame.depth).mean() > 0.3
        truth = color_depth(frame.depth) if dense else color_sparse_depth(frame.depth)
        panels.insert(2, caption(truth, 'depth truth'))
    if frame.semantic is not None:
        palette = camvid_palette(taxonomy) if camvid else taxonomy.palette()
        panels.append(caption(palette[frame.semantic], 'classes truth'))
    wide = frame.image.shape[1] > 2 * frame.image.shape[0]
    return np.concatenate(panels, 0 if wide else 1)


def camvid_palette(taxonomy: Taxonomy) -> npt.NDArray[np.uint8]:
    """Return (256, 3) colours of CamVid ids: those of the same or the last class mapped there."""
    palette = np.zeros((256, 3), np.uint8)
    for index, name in enumerate(taxonomy.camvid_names):
        mapped = {c.name: c.color for c in taxonomy.classes if c.camvid == name}
        if mapped:
            palette[index] = mapped.get(name, list(mapped.values())[-1])
    return palette
