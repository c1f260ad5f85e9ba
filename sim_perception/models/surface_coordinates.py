"""A network that tells of a crop which part of an object every pixel shows, and how it stands.

After SDFLabel's CSS network (Zakharov et al., "Autolabeling 3D objects with differentiable
rendering of SDF shape priors", CVPR 2020, section 3.2) and ROI-10D (Manhardt et al., CVPR 2019):
masks, normalised object coordinates and a shape latent from one crop. Different from there:
coordinates are regressed with their own uncertainty instead of classified into 256 bins, and the
crop also gives size, distance and several headings with their odds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sim_perception.models.decoders import (
    NORM_GROUPS,
    DecoderBlock,
    conv_norm_relu,
    predict,
    upsample,
)
from sim_perception.models.encoders import build_encoder
from sim_perception.models.encoders.base import EncoderNet
from sim_perception.models.inference_copy import inference_copy

COORDINATE_REACH = 0.6
"""Coordinates are shares of the box, half of it at most, and a little more for mirrors."""
STAGES = 4
"""Encoder maps in use, strides 2 to 16; the crops are small."""
STRIDE = 4
"""Of the maps that it predicts."""
_COARSEST = 16
_INITIAL_SHARE_ERROR, _INITIAL_RATIO, _INITIAL_LOG_ERROR = 0.1, 0.03, 0.2


@dataclass(frozen=True)
class SurfaceCoordinatesConfig:
    """The network's shape; saved with every checkpoint.

    Attributes:
        category: name of the class that it knows.
        width, height: of its crops, multiples of 16.
        context: how many times the image box's size a crop is at least.
        mean_size: length, width, height that sizes are predicted relative to, metres: the usual
            ones of what it learns from. Labels of cars that are usually larger go by it.
        components: numbers in a latent of the shape space.
        bins: headings that are told apart.
        encoder: see ``encoders.build_encoder``.
        channels: decoder widths at strides 16, 8 and 4; multiples of 8.
        head_channels: width of what is told of the whole crop.
        dropout: share dropped before that while training.
        freeze_encoder_norm: keep the encoder's BatchNorm in evaluation mode while training.
        frozen_stages: encoder stages that are not trained.
    """

    category: str = 'car'
    width: int = 128
    height: int = 96
    context: float = 1.2
    mean_size: tuple[float, float, float] = (4.5, 1.8, 1.6)
    components: int = 5
    bins: int = 8
    encoder: str = 'efficientnet_lite0'
    channels: tuple[int, ...] = (96, 64, 48)
    head_channels: int = 192
    dropout: float = 0.1
    freeze_encoder_norm: bool = True
    frozen_stages: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, 'channels', tuple(self.channels))
        object.__setattr__(self, 'mean_size', tuple(self.mean_size))
        if self.width % _COARSEST or self.height % _COARSEST or min(self.width, self.height) < 16:
            raise ValueError(
                f'width and height must be multiples of {_COARSEST}, '
                f'got {self.width}x{self.height}'
            )
        bad = [width for width in self.channels if width <= 0 or width % NORM_GROUPS]
        if len(self.channels) != STAGES - 1 or bad:
            raise ValueError(
                f'channels must be {STAGES - 1} positive multiples of {NORM_GROUPS}, '
                f'got {self.channels}'
            )
        if not (self.context >= 1 and self.bins >= 2 and self.components >= 1):
            raise ValueError('need context >= 1, bins >= 2 and components >= 1')
        if not all(size > 0 for size in self.mean_size):
            raise ValueError(f'mean_size must be positive, got {self.mean_size}')


class SurfaceCoordinatesOutput(NamedTuple):
    """Predictions for B crops; maps are (h, w) at stride 4.

    Attributes:
        visible, amodal: (B, 1, h, w) logits that the object is seen there, and that it is there.
        coordinates: (B, 3, h, w) shares of the object's box without mirrors, -.5 to .5.
        log_error: (B, 1, h, w) logarithm of the scale of the Laplace distribution of their error.
        bins: (B, bins) logits of the observation angle's bin; bin k is about ``2 pi k / bins``.
        turn: (B, bins) radians from the bin's middle to the angle.
        log_size: (B, 3) logarithm of length, width, height without mirrors, metres.
        latent: (B, K) of the shape space.
        log_distance: (B, 1) logarithm of the box centre's metres along the optical axis for a
            focal length of one pixel of the crop: add the logarithm of the crop's focal length.
        log_distance_error: (B, 1) logarithm of the scale of its Laplace distribution.
    """

    visible: Tensor
    amodal: Tensor
    coordinates: Tensor
    log_error: Tensor
    bins: Tensor
    turn: Tensor
    log_size: Tensor
    latent: Tensor
    log_distance: Tensor
    log_distance_error: Tensor


class SurfaceCoordinatesNet(EncoderNet):
    """Encoder to stride 16, a decoder for the maps, a head for the whole crop."""

    def __init__(self, config: SurfaceCoordinatesConfig, pretrained: bool = False) -> None:
        """Build the network.

        Args:
            config: its shape.
            pretrained: start the encoder from ImageNet weights.
        """
        super().__init__()
        self.config = config
        self.encoder = build_encoder(config.encoder, pretrained)
        self.encoder.keep(STAGES)
        coarsest, *skips = reversed(self.encoder.channels[:STAGES])
        widths = config.channels
        self.entry = nn.Sequential(
            conv_norm_relu(coarsest, widths[0], 1), conv_norm_relu(widths[0], widths[0])
        )
        self.blocks = nn.ModuleList(
            DecoderBlock(coarse, skip, width)
            for coarse, skip, width in zip(widths, skips, widths[1:], strict=False)
        )
        self.maps = nn.Conv2d(widths[-1], 6, 1)
        cells = (config.width // _COARSEST) * (config.height // _COARSEST)
        self.squeeze = conv_norm_relu(coarsest, 64, 1)
        self.whole = nn.Sequential(
            nn.Linear(64 * cells, config.head_channels),
            nn.ReLU(),
            nn.Dropout(config.dropout),
        )
        self.facts = nn.Linear(config.head_channels, 2 * config.bins + 5 + config.components)
        self._start_heads()
        self.encoder.freeze(config.frozen_stages)

    def for_inference(self, dtype: torch.dtype = torch.float32) -> SurfaceCoordinatesNet:
        """Return a faster copy that computes the same: norms folded, body in ``dtype``.

        The heads stay in float32. The copy takes images of type ``dtype`` and cannot be trained
        or saved.
        """
        return inference_copy(self, ('maps', 'whole', 'facts'), dtype)

    def forward(self, image: Tensor) -> SurfaceCoordinatesOutput:
        """Predict from (B, 3, height, width) normalised RGB crops of the configured size.

        Raises:
            ValueError: for crops of another size.
        """
        config = self.config
        if tuple(image.shape[-2:]) != (config.height, config.width):
            raise ValueError(
                f'crops are {image.shape[-1]}x{image.shape[-2]}, the network takes '
                f'{config.width}x{config.height}'
            )
        features = self.encoder(image, STAGES)
        coarsest, *skips = reversed(features)
        x = self.entry(coarsest)
        for block, skip in zip(self.blocks, skips, strict=False):
            x = block(x, skip)
        size = (config.height // STRIDE, config.width // STRIDE)
        maps = predict(self.maps, upsample(x, size).float())
        whole = self.squeeze(coarsest).float().flatten(1)
        facts = predict(nn.Sequential(self.whole, self.facts), whole)
        bins, turn, log_size, distance, latent = facts.split(
            [config.bins, config.bins, 3, 2, config.components], 1
        )
        return SurfaceCoordinatesOutput(
            visible=maps[:, :1],
            amodal=maps[:, 1:2],
            coordinates=maps[:, 2:5],
            log_error=maps[:, 5:].clamp(-6, 1),
            bins=bins,
            turn=turn,
            log_size=log_size + log_size.new_tensor(config.mean_size).log(),
            latent=latent,
            log_distance=distance[:, :1],
            log_distance_error=distance[:, 1:].clamp(-6, 1),
        )

    @torch.no_grad()
    def _start_heads(self) -> None:
        """Start near the usual answers, so that training does not begin with their errors."""
        assert self.maps.bias is not None
        self.maps.weight.mul_(0.1)
        self.facts.weight.mul_(0.1)
        self.maps.bias.zero_()
        self.maps.bias[5] = math.log(_INITIAL_SHARE_ERROR)
        self.facts.bias.zero_()
        first = 2 * self.config.bins + 3
        self.facts.bias[first] = math.log(_INITIAL_RATIO)
        self.facts.bias[first + 1] = math.log(_INITIAL_LOG_ERROR)
