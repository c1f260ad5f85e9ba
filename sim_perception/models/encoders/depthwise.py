"""Depthwise convolution with a backward pass that is fast on CPUs.

PyTorch's own backward of depthwise convolutions in bfloat16 falls back to reference code for
5x5 kernels and for stride 2, and takes most of a training step of an EfficientNet. The same
gradients are computed here from operations that are fast:

- input: the convolution of the output's gradient, spread out by the stride, with the flipped
  kernel;
- weight: PyTorch's own, in float32 for kernels larger than 3x3.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

# Largest kernel whose weight gradient PyTorch computes fast in bfloat16.
NATIVE_KERNEL = 3


def depthwise_conv(
    image: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int
) -> Tensor:
    """Convolve each channel of (B, C, H, W) with its own kernel of ``weight`` (C, 1, K, K).

    Zero padding ``padding`` on all sides, as ``torch.nn.functional.conv2d``. Under autocast the
    computation is in the autocast type.
    """
    if image.device.type != 'cpu' or not torch.is_grad_enabled():
        return functional.conv2d(image, weight, bias, stride, padding, groups=len(weight))
    if torch.is_autocast_enabled('cpu'):
        dtype = torch.get_autocast_dtype('cpu')
        image, weight = image.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    output: Tensor = _DepthwiseConv.apply(image, weight, bias, stride, padding)
    return output


class _DepthwiseConv(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, image: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int
    ) -> Tensor:
        ctx.save_for_backward(image, weight)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(image, weight, bias, stride, padding, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        image, weight = ctx.saved_tensors
        geometry = gradient, image, weight, ctx.stride, ctx.padding
        needs_image, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        return (
            _image_gradient(*geometry) if needs_image else None,
            _weight_gradient(*geometry) if needs_weight else None,
            _bias_gradient(gradient) if needs_bias else None,
            None,
            None,
        )


def _image_gradient(
    gradient: Tensor, image: Tensor, weight: Tensor, stride: int, padding: int
) -> Tensor:
    kernel = weight.shape[-1]
    flipped = weight.flip(-1, -2)
    if stride == 1:
        return functional.conv2d(
            gradient, flipped, None, 1, kernel - 1 - padding, groups=len(weight)
        )
    batch, channels, height, width = image.shape
    rows, columns = gradient.shape[-2:]
    border = kernel - 1 - padding
    spread = torch.empty(
        (batch, channels, height + kernel - 1, width + kernel - 1),
        dtype=gradient.dtype,
        memory_format=torch.channels_last,
    ).zero_()
    spread[
        :, :, border : border + stride * rows : stride, border : border + stride * columns : stride
    ] = gradient
    return functional.conv2d(spread, flipped, groups=len(weight))


def _weight_gradient(
    gradient: Tensor, image: Tensor, weight: Tensor, stride: int, padding: int
) -> Tensor:
    small = weight.shape[-1] <= NATIVE_KERNEL
    dtype = weight.dtype if small else torch.promote_types(weight.dtype, torch.float32)
    result: Tensor = torch.ops.aten.convolution_backward(
        gradient.to(dtype),
        image.to(dtype),
        weight.to(dtype),
        None,
        [stride, stride],
        [padding, padding],
        [1, 1],
        False,
        [0, 0],
        len(weight),
        [False, True, False],
    )[1]
    return result.to(weight.dtype)


def _bias_gradient(gradient: Tensor) -> Tensor:
    wide = torch.promote_types(gradient.dtype, torch.float32)
    return gradient.sum((0, 2, 3), dtype=wide).to(gradient.dtype)
