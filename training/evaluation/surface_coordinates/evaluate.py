"""Scores the coordinates network on crops with truth: ``evaluate surface_coordinates``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from sim_perception.inference.backend import choose_device
from sim_perception.inference.preprocess import PreprocessConfig
from sim_perception.models.checkpoint import load_checkpoint
from sim_perception.models.surface_coordinates import SurfaceCoordinatesNet
from training.datasets.objects.crops import CropFolder
from training.evaluation.report import frames_of, record_of
from training.evaluation.surface_coordinates.scores import score_crops


def evaluate_surface_coordinates(
    checkpoint: Path, folder: Path, *, limit: int = 1000, device: str = 'auto'
) -> dict[str, Any]:
    """Score a network on a folder of crops; see ``score_crops``.

    Args:
        checkpoint: the network.
        folder: made by the verb ``crops``.
        limit: greatest number of crops, spread evenly.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        CheckpointError: for an unusable checkpoint.
        DatasetError: if there are no crops.
        ValueError: for a device that is not there.
    """
    loaded = load_checkpoint(checkpoint, network='surface_coordinates')
    net = cast(SurfaceCoordinatesNet, loaded.net).to(choose_device(device))
    crops = CropFolder([folder])
    preprocess = PreprocessConfig.from_dict(loaded.preprocess)
    scores = score_crops(net, crops, preprocess, limit, track=frames_of(str(folder)))
    return record_of('surface_coordinates', f'crops:{folder}', scores)
