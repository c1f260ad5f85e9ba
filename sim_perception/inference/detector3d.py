"""The 3D detection engine: a cloud and an image in, boxes in the level frame out."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sim_perception.geometry.lidar_frame import LidarFrame
from sim_perception.inference.backend import choose_device, set_threads
from sim_perception.inference.loading import load_network
from sim_perception.inference.object_peaks import apart, highest_cells
from sim_perception.inference.plan import BOX_COLUMNS, plan_points
from sim_perception.inference.preprocess import PreprocessConfig, preprocess
from sim_perception.models.detector3d import (
    OUTPUT_STRIDE,
    Detector3dConfig,
    Detector3dNet,
    Detector3dOutput,
)
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import Detection, Frame

Array = npt.NDArray[np.floating]

#: Detections of one frame.
MAX_DETECTIONS = 64


class Detector3dEngine:
    """Runs one network. Not thread-safe: one engine per worker.

    Attributes:
        taxonomy: the network's class list; ids in the output refer to it.
        preprocess: how images become network inputs.
        metrics: the checkpoint's results.
        threshold: smallest score of a detection.
        config: the network's.
    """

    def __init__(
        self,
        net: Detector3dNet,
        taxonomy: Taxonomy,
        preprocess: PreprocessConfig,
        *,
        device: str = 'auto',
        threads: int | None = None,
        threshold: float = 0.3,
        metrics: dict[str, Any] | None = None,
    ) -> None:
        """Make an engine of a network in memory, which is copied.

        Args:
            net: the network.
            taxonomy: its class list.
            preprocess: of its images.
            device: ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
            threads: CPU threads of PyTorch, one number for the whole process; None keeps it.
            threshold: smallest score of a detection, 0 to 1.
            metrics: results that came with it.

        Raises:
            ValueError: for an option that this machine does not have, or a class that the
                taxonomy lacks.
        """
        if not 0 <= threshold <= 1:
            raise ValueError(f'threshold must lie within 0 and 1, got {threshold}')
        unknown = [name for name in net.config.things if name not in taxonomy.names]
        if unknown:
            raise ValueError(f'the network detects {unknown}, which the taxonomy does not have')
        set_threads(threads)
        self.taxonomy, self.preprocess = taxonomy, preprocess
        self.metrics, self.threshold, self.config = metrics or {}, threshold, net.config
        self._class_ids = [taxonomy.id_of(name) for name in net.config.things]
        self._device = choose_device(device)
        self._net = copy.deepcopy(net).eval().requires_grad_(False).to(self._device)
        if self._net.encoder is not None:
            self._net.encoder.fold_norms()
        self._net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def load(
        cls, folder: Path | str, *, taxonomy: Taxonomy | None = None, **options: Any
    ) -> Detector3dEngine:
        """Read a checkpoint folder; ``options`` are those of ``__init__``.

        Raises:
            CheckpointError: if the checkpoint is damaged or of another kind.
            ValueError: for an option that this machine does not have.
        """
        loaded, settings = load_network(folder, 'detector3d', taxonomy)
        net = cast(Detector3dNet, loaded.net)
        return cls(net, loaded.taxonomy, settings, metrics=loaded.metrics, **options)

    @property
    def max_range(self) -> float:
        """Distance beyond which points are of no use, metres."""
        return float(np.hypot(self.config.x_range[1], max(map(abs, self.config.y_range)))) + 2.0

    def detect(
        self, frame: LidarFrame, image: npt.NDArray[np.uint8] | None = None
    ) -> list[Detection]:
        """Return the objects of a frame, the surest first, boxes in its level frame.

        Args:
            frame: camera and cloud; see ``plan.depth_frame`` for a depth image.
            image: (H, W, 3) RGB of that camera; without one, shape alone has to tell.

        Raises:
            ValueError: for a malformed image or one of another size than the camera's.
        """
        seen = plan_points(frame, self.max_range)
        maps: list[Tensor] = []
        with torch.inference_mode():
            if image is not None and self.config.camera:
                inputs = preprocess([Frame(0, image, frame.camera)], self.preprocess)
                maps = self._net.image_maps(inputs.image.to(self._device))
            points = torch.from_numpy(seen.points)[None].to(self._device)
            output = self._net(points, maps)
        thing, score, rows = decode(output, self.config, self.threshold)
        boxes = seen.plan.boxes(rows)
        return [
            Detection(self._class_ids[thing[k]], float(score[k]), box3d=boxes[k])
            for k in apart(boxes)
        ]

    def warm_up(self, frame: LidarFrame) -> None:
        """Run once, so that the first real frame is not the slow one."""
        size = (frame.camera.height, frame.camera.width, 3)
        self.detect(frame, np.zeros(size, np.uint8))


def decode(
    output: Detector3dOutput, config: Detector3dConfig, threshold: float, number: int = 0
) -> tuple[npt.NDArray[np.int64], Array, Array]:
    """Return the objects of one frame of a batch: maxima of 3 x 3 cells above a threshold.

    Args:
        output: the network's predictions.
        config: the network's.
        threshold: smallest score.
        number: of the frame in the batch.

    Returns:
        (K,) places in ``things``, (K,) scores, best first, and (K, 7) rows of
        ``plan.BOX_COLUMNS``.
    """
    score, thing, row, column = highest_cells(output.heat[number], threshold, MAX_DETECTIONS)

    def at(values: Tensor) -> Array:
        return values[number].float()[:, row, column].T.double().cpu().numpy()

    step = config.cell * OUTPUT_STRIDE
    middle = torch.stack([row, column], 1).double().cpu().numpy() + 0.5 + at(output.offset)
    rows = np.empty((len(thing), BOX_COLUMNS))
    rows[:, :2] = middle * step + [config.x_range[0], config.y_range[0]]
    rows[:, 2] = at(output.height)[:, 0]
    rows[:, 3] = yaw_of(at(output.axis), at(output.heading))
    rows[:, 4:] = np.exp(at(output.log_size).clip(-4, 4))
    return thing.cpu().numpy(), score.double().cpu().numpy(), rows


def yaw_of(axis: Array, heading: Array) -> Array:
    """Return (K,) yaws along the (K, 2) axis, at the end that the (K, 2) heading is nearer to.

    Both are sines and cosines, of twice the yaw and of the yaw.
    """
    yaw = np.arctan2(axis[:, 0], axis[:, 1]) / 2
    behind = heading[:, 0] * np.sin(yaw) + heading[:, 1] * np.cos(yaw) < 0
    return np.where(behind, yaw + np.pi, yaw)
