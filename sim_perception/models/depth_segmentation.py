"""One network for metric depth and semantic classes of a single image.

Training it on few CPU cores (``python -m benchmark training_step`` measures yours): bfloat16
autocast is up to three times as fast as float32 where the CPU has instructions for it; each
frozen encoder stage saves time in every step, and at equal numbers of steps costs little or
nothing (two stages: +20 % images per second or more, three: +40 %); PyTorch with one thread does
more per core than with two, and keeps its speed on a busy machine, where threads wait for each
other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sim_perception.models.decoders import NORM_GROUPS, Decoder, predict, upsample
from sim_perception.models.ego_motion import EgoMotionConfig, EgoMotionHead
from sim_perception.models.encoders import build_encoder
from sim_perception.models.encoders.base import EncoderNet
from sim_perception.models.inference_copy import inference_copy

COARSEST_STRIDE = 32
# Depth that an untrained head predicts at the canonical focal length: near the median of
# street scenes, so that training starts close to the truth.
INITIAL_DEPTH = 12.0
# Laplace scale of the log-depth error that an untrained head predicts: an error of 20 %.
INITIAL_SCALE = 0.2
# Ego-motion looks at the third of the encoder's maps.
MOTION_STAGES = 3
MOTION_STRIDE = 8


@dataclass(frozen=True)
class DepthSegmentationConfig:
    """The network's shape; saved with every checkpoint.

    Attributes:
        classes: number of semantic classes.
        encoder: see ``encoders.build_encoder``.
        depth_channels: decoder widths at strides 32, 16, 8, 4 and optionally 2; multiples of 8.
        semantic_channels: likewise for the semantic decoder.
        canonical_focal: focal length in pixels at which the head's depth is metric.
        min_depth, max_depth: metres to which predictions are clamped at run time.
        dropout: channel dropout before the heads while training.
        freeze_encoder_norm: keep the encoder's BatchNorm in evaluation mode while training.
        frozen_stages: encoder stages (0 to 5, finest first) that are not trained.
        uncertainty: also predict how wrong each depth may be (``log_scale``).
        ego_motion: also hold a head for the camera's motion between two images.
    """

    classes: int = 14
    encoder: str = 'efficientnet_lite0'
    depth_channels: tuple[int, ...] = (128, 96, 64, 48)
    semantic_channels: tuple[int, ...] = (128, 96, 64, 48)
    canonical_focal: float = 400.0
    min_depth: float = 0.5
    max_depth: float = 120.0
    dropout: float = 0.1
    freeze_encoder_norm: bool = True
    frozen_stages: int = 0
    uncertainty: bool = False
    ego_motion: bool = False

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise ValueError(f'classes must be at least 2, got {self.classes}')
        for name in ('depth_channels', 'semantic_channels'):
            widths = tuple(getattr(self, name))
            object.__setattr__(self, name, widths)
            bad = [width for width in widths if width <= 0 or width % NORM_GROUPS]
            if not 1 <= len(widths) <= 5 or bad:
                raise ValueError(
                    f'{name} must be 1 to 5 positive multiples of {NORM_GROUPS}, got {widths}'
                )
        if not 0 < self.min_depth < self.max_depth:
            raise ValueError(
                f'need 0 < min_depth < max_depth, got {self.min_depth} and {self.max_depth}'
            )
        if self.canonical_focal <= 0:
            raise ValueError(f'canonical_focal must be positive, got {self.canonical_focal}')
        if not 0 <= self.frozen_stages <= 5:
            raise ValueError(f'frozen_stages must be 0 to 5, got {self.frozen_stages}')


class DepthSegmentationOutput(NamedTuple):
    """Predictions at the heads' strides.

    Attributes:
        log_depth: (B, 1, h, w) natural logarithm of metres along the optical axis, unclamped.
        logits: (B, classes, h', w') unnormalised class scores.
        log_scale: (B, 1, h, w) natural logarithm of the scale b of the Laplace distribution of
            the log-depth error, or None from a network without ``uncertainty``.
    """

    log_depth: Tensor
    logits: Tensor
    log_scale: Tensor | None = None

    def resized(self, height: int, width: int) -> DepthSegmentationOutput:
        """Return the predictions bilinearly resized, as losses at full size need them."""
        size = (height, width)
        return DepthSegmentationOutput(
            upsample(self.log_depth, size),
            upsample(self.logits, size),
            None if self.log_scale is None else upsample(self.log_scale, size),
        )


class DepthSegmentationNet(EncoderNet):
    """A shared encoder with a depth decoder and a semantic decoder.

    The depth head predicts the logarithm of depth as seen by a camera of the canonical focal
    length ``f_c``; an object's size in pixels is ``f S / Z``, so the same pixels seen by a camera
    of focal length ``f`` mean ``Z = f / f_c * exp(head)`` (the canonical camera of Metric3D,
    Yin et al., ICCV 2023). ``f`` is that of the network's input image, after resizing.

    With ``uncertainty`` a second head beside the depth head predicts the scale of a Laplace
    distribution of the log-depth error (Kendall and Gal, "What uncertainties do we need in
    Bayesian deep learning for computer vision?", NeurIPS 2017, sec. 2.2). With ``ego_motion`` a
    small head compares the encoder's stride-8 maps of two images.
    """

    def __init__(self, config: DepthSegmentationConfig, pretrained: bool = False) -> None:
        """Build the network.

        Args:
            config: its shape.
            pretrained: start the encoder from ImageNet weights.
        """
        super().__init__()
        self.config = config
        self.encoder = build_encoder(config.encoder, pretrained)
        widths = self.encoder.channels
        self.depth = Decoder(widths, config.depth_channels, 1, config.dropout)
        self.semantic = Decoder(widths, config.semantic_channels, config.classes, config.dropout)
        assert self.depth.head.bias is not None
        nn.init.constant_(self.depth.head.bias, math.log(INITIAL_DEPTH))
        self.uncertainty = _uncertainty_head(config) if config.uncertainty else None
        self.motion = (
            EgoMotionHead(EgoMotionConfig(channels=widths[MOTION_STAGES - 1]))
            if config.ego_motion
            else None
        )
        self.encoder.freeze(config.frozen_stages)

    def for_inference(self, dtype: torch.dtype = torch.float32) -> DepthSegmentationNet:
        """Return a faster copy that computes the same: norms folded, body in ``dtype``.

        The heads stay in float32. The copy takes images of type ``dtype`` and cannot be trained
        or saved.
        """
        exact = ['depth.head', 'semantic.head']
        exact += [name for name in ('uncertainty', 'motion') if getattr(self, name) is not None]
        return inference_copy(self, exact, dtype)

    def forward(self, image: Tensor, focal: Tensor) -> DepthSegmentationOutput:
        """Predict log depth, class scores and, if configured, the depth's uncertainty.

        Args:
            image: (B, 3, H, W) normalised RGB, H and W multiples of 32.
            focal: (B,) focal lengths in pixels of these images.

        Raises:
            ValueError: for sizes that are not multiples of 32.
        """
        return self.decode(self.encode(image), focal)

    def encode(self, image: Tensor) -> list[Tensor]:
        """Return the encoder's five feature maps at strides 2 to 32; see ``forward``."""
        _check_size(image)
        return self.encoder(image)

    def decode(self, features: Sequence[Tensor], focal: Tensor) -> DepthSegmentationOutput:
        """Predict from the feature maps of ``encode``; see ``forward``."""
        scale = torch.log(focal.to(torch.float32) / self.config.canonical_focal)
        x = self.depth.body(features)
        log_depth = predict(self.depth.head, x) + scale.view(-1, 1, 1, 1)
        log_scale = None if self.uncertainty is None else predict(self.uncertainty, x)
        return DepthSegmentationOutput(log_depth, self.semantic(features), log_scale)

    def motion_features(self, image: Tensor) -> Tensor:
        """Return the stride-8 map that ``ego_motion`` compares, without running later stages.

        It equals ``encode(image)[MOTION_STAGES - 1]``.

        Args:
            image: (B, 3, H, W) normalised RGB, H and W multiples of 32.

        Raises:
            ValueError: for sizes that are not multiples of 32.
        """
        _check_size(image)
        return self.encoder(image, MOTION_STAGES)[-1]

    def ego_motion(
        self,
        target_features: Tensor,
        source_features: Tensor,
        log_depth: Tensor,
        intrinsics: Tensor,
    ) -> Tensor:
        """Predict how the camera moved between two images.

        Args:
            target_features, source_features: (B, C, H / 8, W / 8) maps of both images.
            log_depth: (B, 1, h, w) logarithm of the target's depth in metres.
            intrinsics: (B, 3, 3) camera matrices of the network's input images, pixels.

        Returns:
            (B, 6) float32 translation in metres and rotation vector in radians of
            ``source_T_target`` (``geometry.warping.pose_matrix``).

        Raises:
            ValueError: if the network has no ego-motion head.
        """
        if self.motion is None:
            raise ValueError(
                'this network has no ego-motion head; train one with model.ego_motion: true'
            )
        # In a half-precision copy the head keeps float32, as its results need it.
        dtype = next(self.motion.parameters()).dtype
        target, source = target_features.to(dtype), source_features.to(dtype)
        return self.motion(target, source, log_depth, intrinsics, MOTION_STRIDE)


def _check_size(image: Tensor) -> None:
    height, width = image.shape[-2:]
    if height % COARSEST_STRIDE or width % COARSEST_STRIDE:
        raise ValueError(
            f'network input is {width}x{height}; both must be multiples of {COARSEST_STRIDE}'
        )


def _uncertainty_head(config: DepthSegmentationConfig) -> nn.Conv2d:
    head = nn.Conv2d(config.depth_channels[-1], 1, 1)
    assert head.bias is not None
    nn.init.zeros_(head.weight)
    nn.init.constant_(head.bias, math.log(INITIAL_SCALE))
    return head
