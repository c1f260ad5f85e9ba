"""Where and how a network runs: torch or ONNX Runtime, device, precision, threads."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from sim_perception.models.depth_segmentation import (
    MOTION_STAGES,
    DepthSegmentationNet,
    DepthSegmentationOutput,
)

DEVICES = ('auto', 'cpu', 'cuda')
BACKENDS = ('torch', 'onnxruntime')
PRECISIONS = ('auto', 'float32', 'bfloat16', 'float16')


class MotionInput(NamedTuple):
    """What ego-motion needs of an image, on the network's device.

    Attributes:
        features: (B, C, H / 8, W / 8) of the encoder.
        log_depth: (B, 1, h, w) float32.
    """

    features: Tensor
    log_depth: Tensor


class Backend(Protocol):
    """Runs a depth and segmentation network on a batch."""

    def run(self, image: Tensor, focal: Tensor) -> DepthSegmentationOutput:
        """Return the network's predictions as float32 CPU tensors."""
        ...


@runtime_checkable
class MotionBackend(Backend, Protocol):
    """A backend that can also tell the camera's motion between two images."""

    def run_for_motion(
        self, image: Tensor, focal: Tensor
    ) -> tuple[DepthSegmentationOutput, MotionInput]:
        """Return the predictions of ``run`` and what ``ego_motion`` needs of these images."""
        ...

    def ego_motion(self, target: MotionInput, source: MotionInput, intrinsics: Tensor) -> Tensor:
        """Return (B, 6) float32 ``source_T_target``; see ``DepthSegmentationNet.ego_motion``."""
        ...


def choose_device(device: str) -> torch.device:
    """Return the device for ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        ValueError: for an unknown device or CUDA where there is none.
    """
    if device == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    if device.split(':')[0] not in DEVICES:
        raise ValueError(f'unknown device {device!r}; choose one of {", ".join(DEVICES)}')
    if device.startswith('cuda') and not torch.cuda.is_available():
        raise ValueError(f"device {device!r} asked for, but CUDA is not available; use 'cpu'")
    return torch.device(device)


def has_fast_bfloat16() -> bool:
    """Return whether this CPU computes bfloat16 products natively (AVX512-BF16 or AMX)."""
    try:
        with open('/proc/cpuinfo') as file:
            flags = next((line for line in file if line.startswith('flags')), '')
    except OSError:
        return False
    return 'avx512_bf16' in flags or 'amx_bf16' in flags


def checked_threads(threads: int | None) -> int | None:
    """Return a number of CPU threads, or None for the library's choice, as it is.

    Raises:
        ValueError: for less than one.
    """
    if threads is not None and threads < 1:
        raise ValueError(f'threads must be at least 1, got {threads}')
    return threads


def set_threads(threads: int | None) -> None:
    """Set PyTorch's CPU threads for the whole process; None keeps them.

    Raises:
        ValueError: for less than one.
    """
    if checked_threads(threads) is not None:
        torch.set_num_threads(threads)  # type: ignore[arg-type]


def choose_precision(precision: str, device: torch.device) -> torch.dtype:
    """Return the number type to compute in; ``auto`` takes what measured fastest.

    On a GPU that is float16. On a CPU it is bfloat16 where the CPU has instructions for it
    (about twice as fast as float32), else float32 (emulated bfloat16 is slower).

    Raises:
        ValueError: for an unknown precision, or float16 on a CPU.
    """
    if precision not in PRECISIONS:
        raise ValueError(f'unknown precision {precision!r}; choose one of {", ".join(PRECISIONS)}')
    if precision == 'auto':
        if device.type == 'cuda':
            return torch.float16
        return torch.bfloat16 if has_fast_bfloat16() else torch.float32
    if precision == 'float16' and device.type == 'cpu':
        raise ValueError("precision 'float16' needs a GPU; use 'bfloat16' or 'float32' on a CPU")
    return {'float32': torch.float32, 'bfloat16': torch.bfloat16, 'float16': torch.float16}[
        precision
    ]


class TorchBackend:
    """Runs the network in PyTorch."""

    def __init__(
        self, net: DepthSegmentationNet, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.device = device
        self.dtype = dtype
        self.net = net.for_inference(dtype).to(device)
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def run(self, image: Tensor, focal: Tensor) -> DepthSegmentationOutput:
        """Return the network's predictions as float32 CPU tensors."""
        return _on_cpu(self.net(image.to(self.device, self.dtype), focal.to(self.device)))

    @torch.inference_mode()
    def run_for_motion(
        self, image: Tensor, focal: Tensor
    ) -> tuple[DepthSegmentationOutput, MotionInput]:
        """Return the predictions of ``run`` and what ``ego_motion`` needs of these images."""
        features = self.net.encode(image.to(self.device, self.dtype))
        output = self.net.decode(features, focal.to(self.device))
        return _on_cpu(output), MotionInput(features[MOTION_STAGES - 1], output.log_depth)

    @torch.inference_mode()
    def ego_motion(self, target: MotionInput, source: MotionInput, intrinsics: Tensor) -> Tensor:
        """Return (B, 6) float32 ``source_T_target``; see ``DepthSegmentationNet.ego_motion``."""
        camera = intrinsics.to(self.device, torch.float32)
        features = target.features, source.features
        return self.net.ego_motion(*features, target.log_depth, camera).float().cpu()


def _on_cpu(output: DepthSegmentationOutput) -> DepthSegmentationOutput:
    log_scale = None if output.log_scale is None else output.log_scale.cpu()
    return DepthSegmentationOutput(output.log_depth.cpu(), output.logits.cpu(), log_scale)


class OnnxBackend:
    """Runs an exported network in ONNX Runtime, float32, on the CPU.

    Raises:
        ImportError: if onnxruntime is not installed.
    """

    def __init__(self, model: bytes, threads: int | None = None) -> None:
        """Load a graph that ``training.engine.export`` made.

        Args:
            model: the ONNX file's contents.
            threads: CPU threads, None for ONNX Runtime's default.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError(
                "backend 'onnxruntime' needs onnxruntime; install it with: "
                "pip install onnxruntime, or use the backend 'torch'"
            ) from error
        options = onnxruntime.SessionOptions()
        if threads is not None:
            options.intra_op_num_threads = threads
        # Spinning threads starve whoever shares the cores; see the package's __init__.
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        self._session = onnxruntime.InferenceSession(
            model, options, providers=['CPUExecutionProvider']
        )

        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, image: Tensor, focal: Tensor) -> DepthSegmentationOutput:
        """Return the network's predictions as float32 CPU tensors."""
        feed = {'image': np.ascontiguousarray(image.numpy()), 'focal': focal.numpy()}
        values = self._session.run(self._outputs, feed)
        named = dict(zip(self._outputs, map(torch.from_numpy, values), strict=True))
        return DepthSegmentationOutput(**named)
