"""Scores how steady depth is in video: ``evaluate flicker``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.types import Frame
from training.datasets.clips import Clip
from training.datasets.sample import DatasetError, Sample
from training.datasets.sources import SourceConfig, open_clips
from training.evaluation.report import frames_of, record_of
from training.evaluation.specs import MAX_DEPTH, evenly

Image = npt.NDArray[np.uint8]
Depth = npt.NDArray[np.float32]
Flow = npt.NDArray[np.float32]

#: Pixels by which the flow there and back may miss.
AGREEMENT = 1.0


def evaluate_flicker(
    checkpoint: Path, source: SourceConfig, *, limit: int | None = None, device: str = 'auto'
) -> dict[str, Any]:
    """Score how depth trembles from frame to frame; no truth is needed. Return the record.

    ``flicker`` is the mean, ``flicker_median`` the median over pixels of how far (in logarithms,
    .01 is 1 %) a depth lies from the geometric mean of the depths of the same point in the
    frame before and after; means over frames. Steady approach or retreat cancels out. Points are
    found by dense optical flow (DIS) that agrees there and back; ``followed`` is their share.

    Args:
        checkpoint: checkpoint folder of a depth_segmentation network.
        source: video.
        limit: greatest number of frames, spread evenly.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        DatasetError, BagError: for unusable data.
        CheckpointError: for an unusable checkpoint.
    """
    clips = open_clips(source)
    engine = DepthSegmentationEngine.load(checkpoint, device=device)
    rows = []
    chosen = evenly(len(clips), limit)
    for index in frames_of(source.spec)(chosen, len(chosen)):
        found = clip_flicker(engine, clips[index])
        if found is not None:
            rows.append(found)
    if not rows:
        raise DatasetError(f'{source.spec}: no point could be followed through three frames')
    names = ('flicker', 'flicker_median', 'followed')
    scores = dict(zip(names, np.mean(rows, 0).tolist(), strict=True))
    return record_of('flicker', source.spec, scores, frames=len(rows), checkpoint=str(checkpoint))


def clip_flicker(engine: DepthSegmentationEngine, clip: Clip) -> tuple[float, float, float] | None:
    """Return mean and median flicker of a clip's target and the share of its pixels that count.

    None if no point can be followed.
    """
    target, *others = (clip.frames[i] for i in (clip.target, *_beside(clip)))
    middle = _log_depth(engine, target)
    counts, total = np.isfinite(middle), np.zeros_like(middle)
    for other in others:
        flow, sure = agreed_flow(target.image, other.image)
        moved = follow(_log_depth(engine, other), flow)
        counts &= sure & np.isfinite(moved)
        total += moved
    if not counts.any():
        return None
    error = np.abs(total[counts] / 2 - middle[counts])
    return float(error.mean()), float(np.median(error)), float(counts.mean())


def _beside(clip: Clip) -> tuple[int, int]:
    """Return the frames before and after the target."""
    return clip.target - 1, clip.target + 1


def _log_depth(engine: DepthSegmentationEngine, sample: Sample) -> Depth:
    frame = Frame(sample.stamp, sample.image, sample.camera)
    depth = engine.infer(frame, confidence=False).depth
    with np.errstate(invalid='ignore'):
        return np.log(np.where(depth < MAX_DEPTH, depth, np.nan))


def agreed_flow(target: Image, source: Image) -> tuple[Flow, npt.NDArray[np.bool_]]:
    """Return (H, W, 2) pixels from the target to the source, and where the way back agrees.

    Args:
        target, source: (H, W, 3) uint8 RGB.
    """
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    first, second = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (target, source))
    forth = np.asarray(dis.calc(first, second, None), np.float32)
    back = np.asarray(dis.calc(second, first, None), np.float32)
    missed = np.stack([follow(back[..., axis], forth) for axis in range(2)], -1) + forth
    with np.errstate(invalid='ignore'):
        return forth, np.linalg.norm(missed, axis=-1) <= AGREEMENT


def follow(layer: Depth, flow: Flow) -> Depth:
    """Return at every pixel what a layer has where the flow leads; NaN at its edge and beyond."""
    height, width = layer.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    moved = cv2.remap(
        layer, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT, borderValue=float('nan'),
    )  # fmt: skip
    return np.asarray(moved, np.float32)
