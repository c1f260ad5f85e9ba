"""The depth + segmentation engine: a camera frame in, metric depth and classes out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from sim_perception.inference.backend import (
    Backend,
    TorchBackend,
    choose_device,
    choose_precision,
)
from sim_perception.inference.postprocess import (
    depth_image,
    label_confidence_image,
    label_image,
)
from sim_perception.inference.preprocess import PreprocessConfig, preprocess
from sim_perception.models.checkpoint import Checkpoint, load_checkpoint
from sim_perception.models.depth_segmentation import DepthSegmentationNet
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import Camera, DepthSegmentation, Frame


class DepthSegmentationEngine:
    """Runs one checkpoint. Not thread-safe: one engine per worker.

    Attributes:
        taxonomy: the checkpoint's class list; ids in the output refer to it.
        preprocess: how images become network inputs.
        metrics: the checkpoint's results.
    """

    def __init__(
        self,
        net: DepthSegmentationNet,
        taxonomy: Taxonomy,
        preprocess: PreprocessConfig,
        *,
        device: str = 'auto',
        precision: str = 'auto',
        threads: int | None = None,
        metrics: dict[str, Any] | None = None,
    ) -> None:
        """Wrap a network that is already in memory; ``load`` is the usual way.

        Args:
            net: the network.
            taxonomy: its class list.
            preprocess: how images become network inputs.
            device: ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
            precision: ``auto``, ``float32``, ``bfloat16`` or ``float16`` (GPU).
            threads: CPU threads of PyTorch in this process, None to leave them as they are.
            metrics: results to carry along.

        Raises:
            ValueError: for a device or precision that this machine does not have.
        """
        if threads is not None:
            if threads < 1:
                raise ValueError(f'threads must be at least 1, got {threads}')
            torch.set_num_threads(threads)
        self.taxonomy = taxonomy
        self.preprocess = preprocess
        self.metrics = metrics or {}
        self._limits = net.config.min_depth, net.config.max_depth
        chosen = choose_device(device)
        self._backend: Backend = TorchBackend(net, chosen, choose_precision(precision, chosen))

    @classmethod
    def load(
        cls,
        folder: Path | str,
        device: str = 'auto',
        precision: str = 'auto',
        backend: str = 'torch',
        threads: int | None = None,
        taxonomy: Taxonomy | None = None,
    ) -> DepthSegmentationEngine:
        """Load a checkpoint folder.

        Args:
            folder: the checkpoint.
            device, precision, threads: see the constructor.
            backend: ``torch``.
            taxonomy: the class list the caller needs, or None for any.

        Raises:
            CheckpointError: if the checkpoint is damaged or of another kind.
            ValueError: for an option that this machine or program does not have.
        """
        if backend != 'torch':
            raise ValueError(f"unknown backend {backend!r}; choose 'torch'")
        loaded: Checkpoint = load_checkpoint(
            folder, network='depth_segmentation', taxonomy=taxonomy
        )
        return cls(
            cast(DepthSegmentationNet, loaded.net),
            loaded.taxonomy,
            PreprocessConfig.from_dict(loaded.preprocess),
            device=device,
            precision=precision,
            threads=threads,
            metrics=loaded.metrics,
        )

    def infer(self, frame: Frame, confidence: bool = False) -> DepthSegmentation:
        """Return depth and classes at the frame's own size.

        Args:
            frame: the image; with an unknown camera, depth is metric only as far as the default
                focal length (``PreprocessConfig.default_focal_ratio``) is right.
            confidence: also return the winning class's probability (slower).

        Raises:
            ValueError: for a malformed image or a camera of another image size.
        """
        return self.infer_batch([frame], confidence)[0]

    def infer_batch(
        self, frames: Sequence[Frame], confidence: bool = False
    ) -> list[DepthSegmentation]:
        """Return depth and classes of several frames of one size; see ``infer``.

        Raises:
            ValueError: for malformed images, cameras of another size or mixed sizes.
        """
        inputs = preprocess(frames, self.preprocess)
        log_depth, logits = self._backend.run(inputs.image, inputs.focal)
        height, width = frames[0].image.shape[:2]
        return [
            self._result(d[0], s, (height, width), confidence)
            for d, s in zip(log_depth.numpy(), logits.permute(0, 2, 3, 1).numpy(), strict=True)
        ]

    def _result(
        self,
        log_depth: npt.NDArray[np.float32],
        logits: npt.NDArray[np.float32],
        size: tuple[int, int],
        confidence: bool,
    ) -> DepthSegmentation:
        depth = depth_image(log_depth, size, *self._limits)
        if confidence:
            return DepthSegmentation(depth, *label_confidence_image(logits, size))
        return DepthSegmentation(depth, label_image(logits, size))

    def warm_up(self, camera: Camera) -> None:
        """Run once at a camera's size, so that the first real frame is not the slow one."""
        image = np.zeros((camera.height, camera.width, 3), np.uint8)
        self.infer(Frame(0, image, camera))
