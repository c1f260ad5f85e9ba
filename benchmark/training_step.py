"""Training steps of the depth + segmentation network: images per second, forward and backward.

Time is the process's CPU time over its threads, which a busy machine disturbs little.
Rows: number of frozen encoder stages and number type. ``plain`` is the same network with
PyTorch's own depthwise backward and separate frozen norms, in the same run.

Examples:
  python -m benchmark training_step --batch 4 --threads 2
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional

from sim_perception.models.depth_segmentation import (
    DepthSegmentationConfig,
    DepthSegmentationNet,
)
from sim_perception.models.encoders import convolution, efficientnet_lite

CLASSES = 14


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this benchmark's options."""
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--height', type=int, default=192)
    parser.add_argument('--width', type=int, default=416)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--steps', type=int, default=5)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure steps for several settings."""
    torch.set_num_threads(options.threads)
    figures: dict[str, Any] = {
        key: getattr(options, key) for key in ('batch', 'height', 'width', 'threads')
    }
    settings = [(stages, dtype) for stages in (0, 2, 3, 5) for dtype in ('bfloat16', 'float32')]
    for stages, dtype in track(settings, description='training steps'):
        figures[f'images_per_s_{dtype}_frozen{stages}'] = _images_per_s(options, stages, dtype)
    with _plain_pytorch():
        figures['images_per_s_bfloat16_frozen0_plain'] = _images_per_s(options, 0, 'bfloat16')
    figures['ratio_vs_plain'] = (
        figures['images_per_s_bfloat16_frozen0'] / figures['images_per_s_bfloat16_frozen0_plain']
    )
    return figures


def _images_per_s(options: argparse.Namespace, stages: int, dtype: str) -> float:
    torch.manual_seed(0)
    net = DepthSegmentationNet(DepthSegmentationConfig(CLASSES, frozen_stages=stages)).train()
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    shape = (options.batch, 3, options.height, options.width)
    image = torch.randn(shape).contiguous(memory_format=torch.channels_last)
    focal = torch.full((options.batch,), 400.0)
    labels = torch.randint(0, CLASSES, (options.batch, options.height // 4, options.width // 4))
    times = []
    for _ in range(options.steps + 1):
        start = time.process_time()
        with torch.autocast('cpu', torch.bfloat16, enabled=dtype == 'bfloat16'):
            output = net(image, focal)
        loss = functional.cross_entropy(output.logits, labels) + output.log_depth.square().mean()
        loss.backward()
        times.append(time.process_time() - start)
        net.zero_grad()
    return float(options.batch * options.threads / statistics.median(times[1:]))


@contextmanager
def _plain_pytorch() -> Iterator[None]:
    """Compute with PyTorch's own backward and with norms of their own."""

    def depthwise(
        image: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int
    ) -> Tensor:
        return functional.conv2d(image, weight, bias, stride, padding, groups=len(weight))

    def conv_norm(conv: nn.Module, norm: nn.Module, image: Tensor) -> Tensor:
        result: Tensor = norm(conv(image))
        return result

    with (
        mock.patch.object(convolution, 'depthwise_conv', depthwise),
        mock.patch.object(efficientnet_lite, 'conv_norm', conv_norm),
    ):
        yield
