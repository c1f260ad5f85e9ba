"""Convolution + BatchNorm as the TensorFlow-trained encoders need it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sim_perception.models.encoders.depthwise import depthwise_conv


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return TensorFlow's ``SAME`` padding before and after an axis of ``size`` samples."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class SameConv2d(nn.Conv2d):
    """A convolution that pads like TensorFlow's ``SAME`` on sizes divisible by its stride.

    With such sizes the padding is the constant ``kernel - stride``, split with the larger half
    at the end; even splits are left to the convolution itself, which needs no copy.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, depthwise: bool = False
    ) -> None:
        before, after = same_padding(stride, kernel, stride)
        self.symmetric_padding = before if before == after else 0
        super().__init__(
            inputs,
            outputs,
            kernel,
            stride,
            padding=self.symmetric_padding,
            groups=inputs if depthwise else 1,
            bias=False,
        )
        self.explicit_padding = (before, after, before, after) if before != after else None
        self.depthwise = depthwise

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (B, C, H, W)."""
        return self.convolve(input, self.weight, self.bias)

    def convolve(self, image: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve with other weights of the same shape."""
        if self.explicit_padding is not None:
            image = functional.pad(image, self.explicit_padding)
        if self.depthwise:
            return depthwise_conv(image, weight, bias, self.stride[0], self.symmetric_padding)
        return functional.conv2d(image, weight, bias, self.stride, self.symmetric_padding)


def conv_norm(conv: SameConv2d, norm: nn.Module, image: Tensor) -> Tensor:
    """Apply a convolution and its BatchNorm.

    With frozen statistics both are one convolution with weight ``w g / s`` and bias
    ``b - m g / s`` (``g``, ``b`` the norm's weight and bias, ``m``, ``s`` its running mean and
    standard deviation). The result and the gradients of ``w``, ``g`` and ``b`` are the same, but
    nothing of the activations' size is computed or kept for the norm.
    """
    if norm.training or not isinstance(norm, nn.BatchNorm2d):
        return norm(conv(image))
    weight, bias = folded(conv, norm)
    return conv.convolve(image, weight, bias)


def fold_norm(conv: SameConv2d, norm: nn.Module) -> nn.Module:
    """Fold a frozen norm into its convolution for good; returns what takes the norm's place."""
    if not isinstance(norm, nn.BatchNorm2d):
        return norm
    weight, bias = folded(conv, norm)
    conv.weight = nn.Parameter(weight.detach(), requires_grad=False)
    conv.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return nn.Identity()


def folded(conv: SameConv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the convolution that equals convolution and frozen norm."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return conv.weight * scale.view(-1, 1, 1, 1), norm.bias - norm.running_mean * scale
