"""The depth + segmentation engine: a camera frame in, metric depth and classes out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch

from sim_perception.geometry.rectification import is_bent, restore
from sim_perception.geometry.warping import pose_matrix
from sim_perception.inference.backend import (
    BACKENDS,
    Backend,
    MotionBackend,
    MotionInput,
    OnnxBackend,
    TorchBackend,
    checked_threads,
    choose_device,
    choose_precision,
    set_threads,
)
from sim_perception.inference.calibration import Calibration
from sim_perception.inference.loading import load_network
from sim_perception.inference.postprocess import (
    depth_confidence_image,
    depth_image,
    label_confidence_image,
    label_image,
)
from sim_perception.inference.preprocess import PreprocessConfig, preprocess
from sim_perception.inference.road_scale import RoadScale
from sim_perception.models.checkpoint import ONNX, Checkpoint, CheckpointError
from sim_perception.models.depth_segmentation import DepthSegmentationNet, DepthSegmentationOutput
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import Camera, DepthSegmentation, FloatArray, Frame


class View(NamedTuple):
    """What an engine keeps of a frame to compare it with another; no second encoder pass.

    Attributes:
        motion: the network's maps.
        camera: of the network's input.
    """

    motion: MotionInput
    camera: Camera


class DepthSegmentationEngine:
    """Runs one network. Not thread-safe: one engine per worker.

    Attributes:
        taxonomy: the network's class list; ids in the output refer to it.
        preprocess: how images become network inputs.
        metrics: the checkpoint's results.
        calibration: how the network's confidence becomes a probability.
        predicts_uncertainty: whether results can have a ``depth_confidence``.
        road_scale: puts depth right by its ``camera_height`` above the road, where one is set.
        predicts_motion: whether ``infer_for_motion`` and ``ego_motion`` work.
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
        calibration: Calibration | None = None,
        backend: Backend | None = None,
    ) -> None:
        """Wrap a network in memory; ``load`` is the usual way.

        The network is copied: later training does not change the engine.

        Args:
            net: the network.
            taxonomy: its class list.
            preprocess: how images become network inputs.
            device, precision, threads: see ``load``.
            metrics: results to carry along.
            calibration: of the confidence; None for a network that was never calibrated.
            backend: what runs the network instead of PyTorch; device, precision and threads
                are then its own affair.

        Raises:
            ValueError: for a device, precision or thread count that is not available.
        """
        self.taxonomy = taxonomy
        self.preprocess = preprocess
        self.metrics = metrics or {}
        self.calibration = calibration or Calibration()
        self.predicts_uncertainty = net.config.uncertainty
        self.road_scale = RoadScale(taxonomy)
        self._limits = net.config.min_depth, net.config.max_depth
        self._sky = taxonomy.id_of('sky') if 'sky' in taxonomy.names else None
        if backend is None:
            set_threads(threads)
            chosen = choose_device(device)
            backend = TorchBackend(net, chosen, choose_precision(precision, chosen))
        self._backend = backend
        self.predicts_motion = net.config.ego_motion and isinstance(backend, MotionBackend)

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
            device: ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
            precision: ``auto``, ``float32``, ``bfloat16`` or ``float16`` (GPU); ``auto`` is
                float16 on a GPU, bfloat16 on a CPU with instructions for it, else float32.
            backend: ``torch``, or ``onnxruntime`` (CPU, float32) for a checkpoint that
                ``python -m training export`` has added ``model.onnx`` to. On CPUs without
                bfloat16 instructions onnxruntime is faster.
            threads: CPU threads of the backend, None for its default. PyTorch's is one number
                for the whole process.
            taxonomy: the class list the caller needs, or None for any.

        Raises:
            CheckpointError: if the checkpoint is damaged, of another kind, or lacks the ONNX
                file that the backend needs.
            ValueError: for an option that this machine or program does not have.
            ImportError: if the backend is not installed.
        """
        if backend not in BACKENDS:
            raise ValueError(f'unknown backend {backend!r}; choose one of {", ".join(BACKENDS)}')
        loaded, preprocess = load_network(folder, 'depth_segmentation', taxonomy)
        net = cast(DepthSegmentationNet, loaded.net)
        try:
            calibration = Calibration.from_dict(loaded.calibration)
        except (ValueError, TypeError) as error:
            raise CheckpointError(f'{folder}: bad calibration: {error}') from error
        onnx = backend == 'onnxruntime'
        return cls(
            net,
            loaded.taxonomy,
            preprocess,
            device=device,
            precision=precision,
            threads=threads,
            metrics=loaded.metrics,
            calibration=calibration,
            backend=_onnx_backend(loaded, device, precision, threads) if onnx else None,
        )

    def infer(
        self, frame: Frame, *, confidence: bool = False, mask_sky: bool = False
    ) -> DepthSegmentation:
        """Return depth and classes of the frame's own pixels.

        Of a lens that bends much the network sees rectified pixels; see ``preprocess.straight``.
        Pixels of a fisheye beyond them have no depth, no class and no confidence.

        Args:
            frame: the image; with an unknown camera, depth is metric only as far as the default
                focal length (``PreprocessConfig.default_focal_ratio``) is right.
            confidence: also return the winning class's probability and, from a network with
                uncertainty, the probability that depth is right (slower).
            mask_sky: set depth to NaN where the winning class is sky, which has no depth. Without
                it the network's guess stays, as scoring against sparse truth wants it.

        Raises:
            ValueError: for a malformed image or a camera of another image size.
        """
        return self.infer_batch([frame], confidence=confidence, mask_sky=mask_sky)[0]

    def infer_batch(
        self, frames: Sequence[Frame], *, confidence: bool = False, mask_sky: bool = False
    ) -> list[DepthSegmentation]:
        """Return depth and classes of several frames of one size; see ``infer``.

        Raises:
            ValueError: for malformed images, cameras of another size or mixed sizes.
        """
        inputs = preprocess(frames, self.preprocess)
        output = self._backend.run(inputs.image, inputs.focal)
        return [
            self._result(output, number, frame, confidence, mask_sky)
            for number, frame in enumerate(frames)
        ]

    def class_probabilities(self, frame: Frame) -> FloatArray:
        """Return (classes, h, w) probabilities in the network's own cells, coarser than pixels.

        They cover the image, of a lens that bends much what is left of it when rectified.

        Raises:
            ValueError: as ``infer``.
        """
        inputs = preprocess([frame], self.preprocess)
        logits = self._backend.run(inputs.image, inputs.focal).logits[0].float()
        return cast(FloatArray, (logits / self.calibration.temperature).softmax(0).numpy())

    def infer_for_motion(
        self, frame: Frame, *, confidence: bool = False, mask_sky: bool = False
    ) -> tuple[DepthSegmentation, View]:
        """Return what ``infer`` returns, and what ``ego_motion`` needs of this frame.

        Raises:
            ValueError: as ``infer``, or if the network or its backend cannot tell ego-motion.
        """
        backend = self._motion_backend()
        inputs = preprocess([frame], self.preprocess)
        output, motion = backend.run_for_motion(inputs.image, inputs.focal)
        result = self._result(output, 0, frame, confidence, mask_sky)
        return result, View(motion, inputs.cameras[0])

    def ego_motion(self, target: View, source: View) -> FloatArray:
        """Return the 4x4 ``source_T_target`` between the optical frames of two views, metric.

        With the previous image as source it is the pose of the camera now, as seen from where
        it was. Only a lens's distortion that is too small to be rectified is left out.

        Raises:
            ValueError: for views of different cameras, or if the network or its backend cannot
                tell ego-motion.
        """
        if target.camera != source.camera:
            raise ValueError('ego-motion needs two views of the same camera and image size')
        matrix = torch.from_numpy(target.camera.matrix)[None]
        vector = self._motion_backend().ego_motion(target.motion, source.motion, matrix)
        return cast(FloatArray, pose_matrix(vector.double())[0].numpy())

    def _motion_backend(self) -> MotionBackend:
        if not self.predicts_motion or not isinstance(self._backend, MotionBackend):
            raise ValueError(
                'this engine cannot tell ego-motion: it needs a checkpoint trained with '
                "model.ego_motion: true and the backend 'torch'"
            )
        return self._backend

    def warm_up(self, camera: Camera) -> None:
        """Run once at a camera's size, so that the first real frame is not the slow one."""
        image = np.zeros((camera.height, camera.width, 3), np.uint8)
        self.infer(Frame(0, image, camera))
        self.infer(Frame(0, image, camera), confidence=True)

    def _result(
        self,
        output: DepthSegmentationOutput,
        number: int,
        frame: Frame,
        confidence: bool,
        mask_sky: bool,
    ) -> DepthSegmentation:
        """Return one image of a batch of predictions in its frame's own pixels."""
        shape = frame.image.shape[0], frame.image.shape[1]
        depth = depth_image(output.log_depth[number, 0].numpy(), shape, *self._limits)
        # one layout, one compiled loop
        logits = np.ascontiguousarray(output.logits[number].permute(1, 2, 0).numpy())
        labels_sure = depth_sure = None
        if confidence:
            temperature = self.calibration.temperature
            labels, labels_sure = label_confidence_image(logits, shape, temperature)
            if output.log_scale is not None:
                scale = output.log_scale[number, 0].numpy()
                depth_sure = depth_confidence_image(scale, shape, self.calibration)
        else:
            labels = label_image(logits, shape)
        bent = frame.camera is not None and is_bent(frame.camera)
        camera = frame.camera.ideal if bent and frame.camera is not None else frame.camera
        factor = self.road_scale.factor(depth, labels, camera)
        if factor != 1:
            depth *= np.float32(factor)
        if mask_sky and self._sky is not None:
            sky = labels == self._sky
            depth[sky] = np.nan
            if depth_sure is not None:
                depth_sure[sky] = 0
        result = DepthSegmentation(depth, labels, labels_sure, depth_sure)
        if frame.camera is None or not bent:
            return result
        return _unrectified(result, frame.camera, self.taxonomy.ignore_id)


def _unrectified(result: DepthSegmentation, camera: Camera, ignore: int) -> DepthSegmentation:
    """Return what is known of rectified pixels in the camera's own; beyond them nothing is."""

    def back(layer: Any, fill: float) -> Any:
        return None if layer is None else restore(camera, layer, fill)

    return DepthSegmentation(
        back(result.depth, np.nan),
        back(result.segmentation, ignore),
        back(result.confidence, 0.0),
        back(result.depth_confidence, 0.0),
    )


def _onnx_backend(
    loaded: Checkpoint, device: str, precision: str, threads: int | None
) -> OnnxBackend:
    if device not in ('auto', 'cpu') or precision not in ('auto', 'float32'):
        raise ValueError(
            f"backend 'onnxruntime' computes in float32 on the CPU, asked for {precision} on "
            f"{device}; use the backend 'torch'"
        )
    if loaded.onnx is None:
        raise CheckpointError(
            f'{loaded.folder / ONNX} is missing; make it with: '
            f'python -m training export --checkpoint {loaded.folder}'
        )
    return OnnxBackend(loaded.onnx, checked_threads(threads))
