"""Light decoders that join an encoder's feature maps from coarse to fine.

GroupNorm instead of BatchNorm: batches of 2 to 4 images from mixed domains break batch
statistics, and GroupNorm behaves the same in training and at run time.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

NORM_GROUPS = 8


def conv_norm_relu(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    """Return a convolution with GroupNorm and ReLU that keeps the size of its input."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
        nn.GroupNorm(NORM_GROUPS, outputs),
        nn.ReLU(inplace=True),
    )


def upsample(image: Tensor, size: Sequence[int]) -> Tensor:
    """Resize (B, C, H, W) bilinearly to ``size`` (height, width); corners of images coincide."""
    return functional.interpolate(image, size=tuple(size), mode='bilinear', align_corners=False)


def predict(head: nn.Module, features: Tensor) -> Tensor:
    """Apply a float32 head to float32 features, outside of any autocast."""
    if torch.is_autocast_enabled(features.device.type):
        with torch.autocast(features.device.type, enabled=False):
            return head(features)
    return head(features)


class DecoderBlock(nn.Module):
    """Upsample the coarse map to its skip connection's size, add it, convolve."""

    def __init__(self, coarse: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(coarse, outputs, 1) if coarse != outputs else nn.Identity()
        self.lateral = nn.Conv2d(skip, outputs, 1)
        self.fuse = conv_norm_relu(outputs, outputs)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """Return the map at the skip connection's size."""
        lateral = self.lateral(skip)
        # The narrow map is upsampled, not the wide one: same result, less to interpolate.
        return self.fuse(lateral + upsample(self.reduce(coarse), lateral.shape[-2:]))


class Decoder(nn.Module):
    """Coarse-to-fine decoder with one dense prediction.

    Args:
        encoder_channels: widths of the encoder's maps, finest first.
        channels: widths at stride 32, 16, 8, ...; their number sets the stride of the output
            (4 widths: stride 4, 5 widths: stride 2). Multiples of 8.
        outputs: channels of the prediction.
        dropout: fraction of feature channels dropped before the prediction while training.
    """

    def __init__(
        self,
        encoder_channels: Sequence[int],
        channels: Sequence[int],
        outputs: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        coarsest, *skips = reversed(encoder_channels)
        self.entry = nn.Sequential(
            conv_norm_relu(coarsest, channels[0], 1), conv_norm_relu(channels[0], channels[0])
        )
        self.blocks = nn.ModuleList(
            DecoderBlock(coarse, skip, width)
            for coarse, skip, width in zip(channels, skips, channels[1:], strict=False)
        )
        self.dropout = nn.Dropout2d(dropout)
        self.head = nn.Conv2d(channels[-1], outputs, 1)

    def body(self, features: Sequence[Tensor]) -> Tensor:
        """Map feature maps, finest first, to the (B, C, H / stride, W / stride) float32 map that
        heads predict from."""
        coarsest, *skips = reversed(features)
        x = self.entry(coarsest)
        for block, skip in zip(self.blocks, skips, strict=False):
            x = block(x, skip)
        # Predictions in float32: bfloat16 would round log depth to steps of 1.6 %.
        return self.dropout(x).float()

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Map feature maps, finest first, to (B, outputs, H / stride, W / stride) float32."""
        return predict(self.head, self.body(features))
