"""Pictures of training batches, evaluation frames and sparse depth, for people."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from torch import Tensor

from sim_perception.taxonomy import Taxonomy
from sim_perception.visualization import color_depth, color_labels

Image = npt.NDArray[np.uint8]


def color_sparse_depth(depth: npt.NDArray[np.floating], radius: int = 2) -> Image:
    """Like ``color_depth``, with thick points where most pixels are unknown (LiDAR)."""
    nearest = np.where(np.isfinite(depth), depth, np.inf).astype(np.float32)
    grown = cv2.erode(nearest, np.ones((2 * radius + 1, 2 * radius + 1), np.uint8))
    return color_depth(np.where(np.isfinite(grown), grown, np.nan))


def blend(image: Image, colors: Image, share: float = 0.6) -> Image:
    """Lay class colours over an image."""
    return np.asarray(cv2.addWeighted(image, 1 - share, colors, share, 0), np.uint8)


def picture_grid(
    batch: dict[str, Any], outputs: dict[str, Tensor], taxonomy: Taxonomy, rows: int
) -> Image:
    """Draw training samples, one per row: image, depth, true depth, classes, true classes.

    Args:
        batch: normalised ``image`` (N, 3, H, W), ``depth`` and ``semantic`` (N, H, W).
        outputs: ``log_depth`` (N, h, w) and ``logits`` (N, C, h, w), smaller by a whole factor.
        taxonomy: gives the colours.
        rows: greatest number of samples.
    """
    lines = []
    height, width = outputs['log_depth'].shape[-2:]
    stride = batch['image'].shape[-2] // height
    for i in range(min(rows, len(batch['image']))):
        panels = [
            _shown(batch['image'][i], width, height),
            color_depth(outputs['log_depth'][i].detach().float().exp().cpu().numpy()),
            color_depth(batch['depth'][i, ::stride, ::stride].float().cpu().numpy()),
            _classes(outputs['logits'][i], taxonomy),
            color_labels(batch['semantic'][i, ::stride, ::stride].byte().cpu().numpy(), taxonomy),
        ]
        lines.append(np.concatenate(panels, 1))
    return np.concatenate(lines, 0)


def synthesis_grid(batch: dict[str, Any], outputs: dict[str, Tensor], rows: int) -> Image:
    """Draw real clips, one per row: target, depth, warped neighbour, pixels that counted.

    Args:
        batch: ``frames`` (N, F, H, W, 3) uint8, the target first.
        outputs: ``log_depth`` and ``mask`` (N, h, w), ``warped`` (N, 3, h, w) in 0..1, smaller
            by a whole factor.
        rows: greatest number of clips.
    """
    lines = []
    height, width = outputs['log_depth'].shape[-2:]
    for i in range(min(rows, len(batch['frames']))):
        target = batch['frames'][i, 0].cpu().numpy()
        warped = outputs['warped'][i].detach().float().clamp(0, 1).mul(255).byte()
        panels = [
            np.asarray(cv2.resize(target, (width, height), interpolation=cv2.INTER_AREA)),
            color_depth(outputs['log_depth'][i].detach().float().exp().cpu().numpy()),
            warped.permute(1, 2, 0).cpu().numpy(),
            _gray(outputs['mask'][i]),
        ]
        lines.append(np.concatenate(panels, 1))
    return np.concatenate(lines, 0)


def pseudo_label_grid(
    batch: dict[str, Any], outputs: dict[str, Tensor], taxonomy: Taxonomy, rows: int
) -> Image:
    """Draw real images, one per row: network input, classes, pseudo-labels, their weight.

    Args:
        batch: normalised ``image`` (N, 3, H, W), with whatever was pasted into it.
        outputs: ``logits`` (N, C, H, W), ``labels`` and ``weight`` (N, H, W).
        taxonomy: gives the colours.
        rows: greatest number of images.
    """
    lines = []
    height, width = outputs['labels'].shape[-2:]
    for i in range(min(rows, len(batch['image']))):
        panels = [
            _shown(batch['image'][i], width, height),
            _classes(outputs['logits'][i], taxonomy),
            color_labels(outputs['labels'][i].byte().cpu().numpy(), taxonomy),
            _gray(outputs['weight'][i]),
        ]
        lines.append(np.concatenate(panels, 1))
    return np.concatenate(lines, 0)


def translation_grid(
    batch: dict[str, Any], outputs: dict[str, Tensor], taxonomy: Taxonomy, rows: int
) -> Image:
    """Draw translated images, one per row: simulated, translated, depth and classes found in the
    translation, a real image.

    Args:
        batch: ``virtual`` with normalised ``image`` and ``real_image`` with ``clean``
            (N, 3, H, W).
        outputs: ``made`` (N, 3, H, W), ``log_depth`` (N, h, w) and ``logits`` (N, C, h, w).
        taxonomy: gives the colours.
        rows: greatest number of samples.
    """
    lines = []
    height, width = outputs['log_depth'].shape[-2:]
    for i in range(min(rows, len(outputs['made']))):
        panels = [
            _shown(batch['virtual']['image'][i], width, height),
            _shown(outputs['made'][i], width, height),
            color_depth(outputs['log_depth'][i].detach().float().exp().cpu().numpy()),
            _classes(outputs['logits'][i], taxonomy),
            _shown(batch['real_image']['clean'][i], width, height),
        ]
        lines.append(np.concatenate(panels, 1))
    return np.concatenate(lines, 0)


def _shown(normalised: Tensor, width: int, height: int) -> Image:
    """Undo any normalisation of a (3, H, W) image, for the eye."""
    image = normalised.detach().float().cpu().permute(1, 2, 0).numpy()
    low, high = np.percentile(image, (0.5, 99.5))
    shown = np.clip((image - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    return np.asarray(cv2.resize(shown, (width, height), interpolation=cv2.INTER_AREA))


def _classes(logits: Tensor, taxonomy: Taxonomy) -> Image:
    return color_labels(logits.detach().argmax(0).byte().cpu().numpy(), taxonomy)


def _gray(values: Tensor) -> Image:
    """Return (H, W) values in 0..1 as a grey RGB picture."""
    gray = values.detach().float().mul(255).byte().cpu().numpy()
    return np.repeat(gray[..., None], 3, -1)
