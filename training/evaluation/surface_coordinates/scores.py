"""How well the coordinates network reads crops with truth."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from sim_perception.inference.preprocess import PreprocessConfig, normalize
from sim_perception.inference.surface_coordinates import read_output
from sim_perception.models.surface_coordinates import (
    SurfaceCoordinatesNet,
    SurfaceCoordinatesOutput,
)
from training.datasets.objects.crop_views import view_of, window_of
from training.datasets.objects.crops import CropFolder
from training.engine.task import Batch
from training.evaluation.report import Track

_BATCH = 16
_RIGHT_ANGLE = np.deg2rad(15.0)


@torch.inference_mode()
def score_crops(
    net: SurfaceCoordinatesNet,
    crops: CropFolder,
    preprocess: PreprocessConfig,
    limit: int,
    track: Track[int] | None = None,
) -> dict[str, float]:
    """Return how well a network reads crops.

    ``mask_iou``, ``amodal_iou``; ``coordinates_m``: median over crops of the mean distance of the
    places on the object, metres; ``angle_deg``: median error of the likeliest heading, without
    turns by 180 degrees ``angle_axis_deg``; ``angle_15``, ``angle_15_of_3``: share of headings
    right within 15 degrees, of the likeliest or of three; ``size``: mean relative error;
    ``distance``: median relative error; ``latent``: mean absolute error.

    Args:
        net: in evaluation mode, on any device.
        crops: with truth.
        preprocess: of the network.
        limit: greatest number of crops, spread evenly.
        track: wraps the batches in a progress display.
    """
    rows, device = [], next(net.parameters()).device
    chosen = np.unique(np.linspace(0, len(crops) - 1, min(limit, len(crops))).astype(int))
    starts = range(0, len(chosen), _BATCH)
    for start in track(starts, len(starts)) if track else starts:
        views = []
        for index in chosen[start : start + _BATCH]:
            crop = crops[int(index)]
            views.append(view_of(crop, window_of(crop, net.config), net.config))
        image = normalize(np.stack([view[0] for view in views]), preprocess)
        output = SurfaceCoordinatesOutput(*(part.cpu() for part in net(image.to(device))))
        rows += [_row(output, k, truth) for k, (_, truth) in enumerate(views)]
    table = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    mean = ('mask_iou', 'amodal_iou', 'angle_15', 'angle_15_of_3', 'size', 'latent')
    return {
        key: float(np.nanmean(values) if key in mean else np.nanmedian(values))
        for key, values in table.items()
    } | {'crops': float(len(rows))}


def _row(output: SurfaceCoordinatesOutput, k: int, truth: Batch) -> dict[str, float]:
    found = read_output(output, k, np.zeros(4), 1.0)
    seen = truth['visible'][0].numpy() > 0
    size = truth['log_size'].exp().numpy()
    shares = truth['coordinates'].permute(1, 2, 0).numpy()
    off = np.linalg.norm((found.coordinates - shares) * size, axis=-1)[seen]
    turn = np.abs((found.angles - float(truth['angle']) + np.pi) % (2 * np.pi) - np.pi)
    axis = min(turn[0], np.pi - turn[0])
    latent = np.abs(found.latent - truth['latent'].numpy())
    return {
        'mask_iou': _iou(found.visible > 0.5, seen),
        'amodal_iou': _iou(found.amodal > 0.5, truth['amodal'][0].numpy() > 0),
        'coordinates_m': float(off.mean()) if len(off) else float('nan'),
        'angle_deg': float(np.degrees(turn[0])),
        'angle_axis_deg': float(np.degrees(axis)),
        'angle_15': float(turn[0] < _RIGHT_ANGLE),
        'angle_15_of_3': float(turn[:3].min() < _RIGHT_ANGLE),
        'size': float(np.abs(found.size / size - 1).mean()),
        'distance': float(abs(found.distance / np.exp(float(truth['log_distance'])) - 1)),
        'latent': float(latent.mean()) if np.isfinite(latent).all() else float('nan'),
    }


def _iou(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))
