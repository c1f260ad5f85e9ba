"""``export``: a checkpoint's network as ONNX, checked against PyTorch before it is written."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import cast

import torch
from rich.console import Console
from torch import Tensor, nn

from sim_perception.extras import require
from sim_perception.inference.backend import OnnxBackend
from sim_perception.models.checkpoint import ONNX, load_checkpoint, update_checkpoint
from sim_perception.models.depth_segmentation import (
    COARSEST_STRIDE,
    DepthSegmentationNet,
)

MAX_BATCH = 64
MAX_SIDE = 8192
# (batch, height, width) at which the exported network is compared with the original.
CHECKED_SHAPES = ((1, 192, 640), (2, 96, 160))
TOLERANCE = 1e-3
OUTPUTS = ('log_depth', 'logits')
UNCERTAINTY_OUTPUT = 'log_scale'


class ExportError(ValueError):
    """The exported network does not compute what the original computes."""


def export(checkpoint: Path, output: Path | None = None) -> dict[str, float]:
    """Export a checkpoint's network to ONNX and print how far it is from the original.

    The graph takes ``image`` (B, 3, 32 h, 32 w) and ``focal`` (B,), both float32, and gives
    ``log_depth``, ``logits`` and, from a network with uncertainty, ``log_scale`` as
    ``DepthSegmentationOutput`` describes them. Ego-motion is not exported.

    Args:
        checkpoint: the checkpoint folder.
        output: file to write; by default ``model.onnx`` inside the checkpoint, where the
            engine's onnxruntime backend looks for it.

    Returns:
        Largest absolute differences, ``log_depth_error``, ``logits_error`` and, from a network
        with uncertainty, ``log_scale_error``.

    Raises:
        CheckpointError: if the checkpoint is damaged.
        ExportError: if the results differ by more than rounding.
        ImportError: if onnx, onnxscript or onnxruntime is missing.
    """
    console = Console()
    loaded = load_checkpoint(checkpoint, network='depth_segmentation')
    net = cast(DepthSegmentationNet, loaded.net).for_inference()
    with console.status(f'exporting {checkpoint} to ONNX ...'):
        data = to_onnx(net)
        errors = parity(net, data)
    if max(errors.values()) > TOLERANCE:
        raise ExportError(
            f'ONNX Runtime and PyTorch differ by {errors}, more than {TOLERANCE}; '
            'nothing was written: please report the versions of torch, onnx and onnxruntime'
        )
    if output is None:
        update_checkpoint(checkpoint, extra={ONNX: data})
        output = checkpoint / ONNX
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(data)
    differences = ', '.join(
        f'{name.removesuffix("_error").replace("_", " ")} {error:.1e}'
        for name, error in errors.items()
    )
    console.print(
        f'wrote {output} ({len(data) / 1e6:.1f} MB); largest difference to PyTorch: {differences}'
    )
    return errors


def to_onnx(net: DepthSegmentationNet) -> bytes:
    """Return the ONNX graph of a network prepared by ``for_inference``, with free sizes.

    Raises:
        ImportError: if onnx or onnxscript is missing.
    """
    require('export', 'onnx', 'onnxscript', 'onnxruntime')
    batch = torch.export.Dim('batch', min=1, max=MAX_BATCH)
    blocks = MAX_SIDE // COARSEST_STRIDE
    rows = torch.export.Dim('rows', min=1, max=blocks)
    columns = torch.export.Dim('columns', min=1, max=blocks)
    shapes = {
        'image': {0: batch, 2: COARSEST_STRIDE * rows, 3: COARSEST_STRIDE * columns},
        'focal': {0: batch},
    }
    logging.getLogger('torch.onnx').setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # the exporter warns about its own internals
        program = torch.onnx.export(
            _Graph(net),
            (torch.zeros(2, 3, 96, 160), torch.full((2,), 400.0)),
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=['image', 'focal'],
            output_names=output_names(net),
            verbose=False,
        )
    assert program is not None
    serialized: bytes = program.model_proto.SerializeToString()
    return serialized


def output_names(net: DepthSegmentationNet) -> list[str]:
    """Return the names of the graph's outputs, in order."""
    return [*OUTPUTS, UNCERTAINTY_OUTPUT] if net.config.uncertainty else list(OUTPUTS)


class _Graph(nn.Module):
    """What is exported: the network's predictions without those that it does not make."""

    def __init__(self, net: DepthSegmentationNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor, focal: Tensor) -> tuple[Tensor, ...]:
        return tuple(part for part in self.net(image, focal) if part is not None)


def parity(net: DepthSegmentationNet, data: bytes) -> dict[str, float]:
    """Return the largest differences between a network and its ONNX graph on random images."""
    backend = OnnxBackend(data)
    generator = torch.Generator().manual_seed(0)
    names = output_names(net)
    errors = {f'{name}_error': 0.0 for name in names}
    for batch, height, width in CHECKED_SHAPES:
        image = torch.randn(batch, 3, height, width, generator=generator)
        focal = torch.linspace(200, 900, batch)
        with torch.inference_mode():
            expected = net(image, focal)
        output = backend.run(image, focal)
        for name in names:
            difference = getattr(output, name) - getattr(expected, name)
            key = f'{name}_error'
            errors[key] = max(errors[key], float(difference.abs().max()))
    return errors
