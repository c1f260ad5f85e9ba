"""The surface coordinates engine: image boxes in, what their objects' pixels show out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from sim_perception.geometry.windows import cut_window, window_about
from sim_perception.inference.backend import choose_device, choose_precision, set_threads
from sim_perception.inference.loading import load_network
from sim_perception.inference.preprocess import PreprocessConfig, check_image, normalize
from sim_perception.models.surface_coordinates import (
    SurfaceCoordinatesNet,
    SurfaceCoordinatesOutput,
)
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import Camera

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SurfaceCrop:
    """What the network says about one image box; maps are rasters over ``window``.

    Attributes:
        window: (4,) x1 y1 x2 y2 in the image; see ``geometry.windows``.
        visible, amodal: (h, w) probability that the object is seen there, and is there.
        coordinates: (h, w, 3) shares of the object's box without mirrors, -.5 to .5.
        error: (h, w) expected absolute error of those.
        angles: (H,) observation angles, the likeliest first: from the line of sight to the
            object's x axis, to the right as seen from above, radians.
        odds: (H,) their probabilities.
        size: (3,) length, width, height without mirrors, metres.
        latent: (K,) of the shape space.
        distance: metres of the box centre along the optical axis, as its apparent size says.
        distance_error: expected absolute error of its logarithm.
    """

    window: F64
    visible: F32
    amodal: F32
    coordinates: F32
    error: F32
    angles: F64
    odds: F64
    size: F64
    latent: F64
    distance: float
    distance_error: float


class SurfaceCoordinatesEngine:
    """Runs one network on the objects of an image. Not thread-safe: one engine per worker.

    Args:
        net: the network; it is copied.
        taxonomy: the class list.
        preprocess: normalisation of the crops.
        device, precision, threads: see ``DepthSegmentationEngine.load``.
        metrics, calibration: to carry along.
        batch: greatest number of crops that are run at once.

    Attributes:
        config: of the network.
        taxonomy, metrics, calibration: as given.

    Raises:
        ValueError: for an option that this machine or program does not have.
    """

    def __init__(
        self,
        net: SurfaceCoordinatesNet,
        taxonomy: Taxonomy,
        preprocess: PreprocessConfig,
        *,
        device: str = 'auto',
        precision: str = 'auto',
        threads: int | None = None,
        metrics: dict[str, Any] | None = None,
        calibration: dict[str, Any] | None = None,
        batch: int = 16,
    ) -> None:
        set_threads(threads)
        self.config, self.taxonomy = net.config, taxonomy
        self.metrics, self.calibration = metrics or {}, calibration or {}
        self._preprocess, self._batch = preprocess, batch
        self._device = choose_device(device)
        self._dtype = choose_precision(precision, self._device)
        self._net = net.for_inference(self._dtype).to(
            self._device, memory_format=torch.channels_last
        )  # type: ignore[call-overload]

    @classmethod
    def load(
        cls,
        folder: Path | str,
        device: str = 'auto',
        precision: str = 'auto',
        threads: int | None = None,
    ) -> SurfaceCoordinatesEngine:
        """Load a checkpoint folder.

        Raises:
            CheckpointError: if it is damaged or of another kind.
            ValueError: for an option that this machine or program does not have.
        """
        loaded, settings = load_network(folder, 'surface_coordinates')
        return cls(
            cast(SurfaceCoordinatesNet, loaded.net),
            loaded.taxonomy,
            settings,
            device=device,
            precision=precision,
            threads=threads,
            metrics=loaded.metrics,
            calibration=loaded.calibration,
        )

    def infer(
        self, image: npt.NDArray[np.uint8], camera: Camera, boxes: npt.NDArray[np.floating]
    ) -> list[SurfaceCrop]:
        """Return what the objects of (M, 4) image boxes show; see ``stream``."""
        return list(self.stream(image, camera, boxes))

    def stream(
        self,
        image: npt.NDArray[np.uint8],
        camera: Camera,
        boxes: npt.NDArray[np.floating],
        batch: int | None = None,
    ) -> Iterator[SurfaceCrop]:
        """Yield what the objects of image boxes show; batches are run when they are reached.

        Args:
            image: (H, W, 3) uint8 RGB.
            camera: of the image.
            boxes: (M, 4) x1 y1 x2 y2, pixels.
            batch: how many crops are run at once; None is the engine's own number.

        Raises:
            ValueError: for a malformed image or a box without area.
        """
        check_image(image)
        config, count = self.config, batch or self._batch
        for start in range(0, len(boxes), count):
            part = [
                window_about(box, config.width / config.height, config.context)
                for box in boxes[start : start + count]
            ]
            crops = np.stack([cut_window(image, w, config.width, config.height) for w in part])
            yield from self._run(crops, part, camera)

    @torch.inference_mode()
    def _run(
        self, crops: npt.NDArray[np.uint8], windows: list[F64], camera: Camera
    ) -> list[SurfaceCrop]:
        batch = normalize(crops, self._preprocess).to(self._device, self._dtype)
        output = self._net(batch.contiguous(memory_format=torch.channels_last))
        plain = SurfaceCoordinatesOutput(*(part.float().cpu() for part in output))
        scale = [self.config.width / (window[2] - window[0]) for window in windows]
        focal = np.sqrt(camera.fx * camera.fy) * np.array(scale)
        return [
            read_output(plain, row, window, float(focal[row]))
            for row, window in enumerate(windows)
        ]


def read_output(
    output: SurfaceCoordinatesOutput, row: int, window: F64, focal: float
) -> SurfaceCrop:
    """Return one crop of a batch of float32 predictions.

    Args:
        output: of the network.
        row: which crop.
        window: that it was cut out of.
        focal: length in pixels of the crop.
    """
    bins = output.bins.shape[1]
    odds = output.bins[row].softmax(0).double().numpy()
    order = np.argsort(-odds)
    angles = 2 * np.pi * np.arange(bins) / bins + output.turn[row].double().numpy()
    return SurfaceCrop(
        window=window,
        visible=output.visible[row, 0].sigmoid().numpy(),
        amodal=output.amodal[row, 0].sigmoid().numpy(),
        coordinates=output.coordinates[row].permute(1, 2, 0).numpy(),
        error=output.log_error[row, 0].exp().numpy(),
        angles=(angles[order] + np.pi) % (2 * np.pi) - np.pi,
        odds=odds[order],
        size=output.log_size[row].double().exp().numpy(),
        latent=output.latent[row].double().numpy(),
        distance=float(output.log_distance[row, 0].exp()) * focal,
        distance_error=float(output.log_distance_error[row, 0].exp()),
    )
