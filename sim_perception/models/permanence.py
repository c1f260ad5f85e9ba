"""A network that remembers: objects and their 3D boxes from a stream of images, hidden ones too.

After PermaTrack (Tokmakov et al., "Learning to track with object permanence", ICCV 2021): image
features go into a convolutional GRU, and all heads read its memory, so that an object can stay
detected while nothing of it is seen. Different from there: plain convolutions only, the memory
lives at stride 8 and is told the time since the last image, and the heads give 3D boxes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sim_perception.models.decoders import NORM_GROUPS, DecoderBlock, conv_norm_relu, predict
from sim_perception.models.encoders import build_encoder
from sim_perception.models.encoders.base import EncoderNet
from sim_perception.models.inference_copy import inference_copy

COARSEST_STRIDE = 32
#: Of the memory, and of the heads' maps.
MEMORY_STRIDE, OUTPUT_STRIDE = 8, 4
#: Box distances are predicted relative to this many pixels.
BOX_UNIT = 8.0
#: What untrained heads predict: depth and size in metres, and the share of cells with a centre.
INITIAL_DEPTH, INITIAL_SIZE, INITIAL_SCORE = 15.0, (2.5, 1.2, 1.6), 0.01
#: Seconds between images that the memory is told as 1.
TIME_UNIT = 0.1


@dataclass(frozen=True)
class PermanenceConfig:
    """The network's shape; saved with every checkpoint.

    Attributes:
        things: names of the classes it detects, in the order of its heatmaps.
        encoder: see ``encoders.build_encoder``.
        channels: decoder widths at strides 32, 16, 8 and 4; multiples of 8.
        memory_channels: width of the memory, a multiple of 8.
        memory_kernel: odd size of the memory's convolutions: what is hidden can move by half of
            it, times 8 pixels, from one image to the next.
        head_channels: width of the heads' hidden layer, a multiple of 8.
        canonical_focal: focal length in pixels at which the head's depth is metric.
        min_depth, max_depth: metres to which predictions are clamped at run time.
        dropout: channel dropout before the heads while training.
        freeze_encoder_norm: keep the encoder's BatchNorm in evaluation mode while training.
        frozen_stages: encoder stages (0 to 5, finest first) that are not trained. With 5 the
            encoder stays that of the checkpoint it came from, and can be shared with it.
    """

    things: tuple[str, ...] = ('car', 'truck', 'pedestrian', 'cyclist')
    encoder: str = 'efficientnet_lite0'
    channels: tuple[int, ...] = (128, 96, 64, 48)
    memory_channels: int = 64
    memory_kernel: int = 5
    head_channels: int = 64
    canonical_focal: float = 400.0
    min_depth: float = 1.0
    max_depth: float = 120.0
    dropout: float = 0.0
    freeze_encoder_norm: bool = True
    frozen_stages: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, 'things', tuple(self.things))
        object.__setattr__(self, 'channels', tuple(self.channels))
        if not self.things or len(set(self.things)) != len(self.things):
            raise ValueError(f'things must be different class names, got {self.things}')
        widths = (*self.channels, self.memory_channels, self.head_channels)
        if len(self.channels) != 4 or any(w <= 0 or w % NORM_GROUPS for w in widths):
            raise ValueError(
                f'channels must be 4 and, like memory_channels and head_channels, positive '
                f'multiples of {NORM_GROUPS}, got {self.channels}, {self.memory_channels} and '
                f'{self.head_channels}'
            )
        if self.memory_kernel < 1 or self.memory_kernel % 2 == 0:
            raise ValueError(f'memory_kernel must be odd and positive, got {self.memory_kernel}')
        if not 0 < self.min_depth < self.max_depth:
            raise ValueError(
                f'need 0 < min_depth < max_depth, got {self.min_depth} and {self.max_depth}'
            )
        if self.canonical_focal <= 0:
            raise ValueError(f'canonical_focal must be positive, got {self.canonical_focal}')
        if not 0 <= self.frozen_stages <= 5:
            raise ValueError(f'frozen_stages must be 0 to 5, got {self.frozen_stages}')


class PermanenceOutput(NamedTuple):
    """Predictions for every cell of 4 x 4 pixels; what they mean holds where a centre is.

    A centre is where the middle of the object's 3D box appears. Cell (row, column) has its own
    middle at pixel ``(4 column + 1.5, 4 row + 1.5)``.

    Attributes:
        heat: (B, things, h, w) logits of a centre of each class.
        offset: (B, 2, h, w) x, y from the cell's middle to the centre, cells.
        box: (B, 4, h, w) natural logarithm of the distances from the centre to the left, upper,
            right and lower edge of the amodal image box, in units of ``BOX_UNIT`` pixels.
        displacement: (B, 2, h, w) x, y from the centre to where it was in the previous image,
            cells.
        visibility: (B, 1, h, w) logits of the visible fraction.
        log_depth: (B, 1, h, w) natural logarithm of the centre's metres along the optical axis.
        log_size: (B, 3, h, w) natural logarithm of length, width and height in metres.
        heading: (B, 2, h, w) sine and cosine, not normalised, of the observation angle: from the
            line of sight to the object's x axis, to the right as seen from above.
    """

    heat: Tensor
    offset: Tensor
    box: Tensor
    displacement: Tensor
    visibility: Tensor
    log_depth: Tensor
    log_size: Tensor
    heading: Tensor


#: Channels of every prediction but the heatmaps.
_GEOMETRY = {
    'offset': 2, 'box': 4, 'displacement': 2, 'log_depth': 1, 'log_size': 3, 'heading': 2,
}  # fmt: skip


class ConvGRU(nn.Module):
    """A gated recurrent unit of convolutions (Ballas et al., ICLR 2016), told the time step."""

    def __init__(self, inputs: int, channels: int, kernel: int) -> None:
        super().__init__()
        self.channels = channels
        # one channel more: the time since the last image
        self.gates = nn.Conv2d(inputs + channels + 1, 2 * channels, kernel, padding=kernel // 2)
        self.candidate = nn.Conv2d(inputs + channels + 1, channels, kernel, padding=kernel // 2)
        assert self.gates.bias is not None
        # start by keeping what is remembered: the update gate is half open at most
        nn.init.constant_(self.gates.bias[:channels], -1.0)

    def forward(self, inputs: Tensor, state: Tensor, dt: Tensor) -> Tensor:
        """Return the next state.

        Args:
            inputs: (B, C, h, w).
            state: (B, channels, h, w) float32.
            dt: (B,) seconds since the state's image.
        """
        clock = (dt.to(inputs) / TIME_UNIT).view(-1, 1, 1, 1).expand(-1, 1, *inputs.shape[-2:])
        known = torch.cat([inputs, clock], 1)
        gates = torch.sigmoid(self.gates(torch.cat([known, state.to(inputs.dtype)], 1)).float())
        update, reset = gates.chunk(2, 1)
        remembered = (reset * state).to(inputs.dtype)
        candidate = torch.tanh(self.candidate(torch.cat([known, remembered], 1)).float())
        return state + update * (candidate - state)


class PermanenceNet(EncoderNet):
    """Encoder, decoder with a memory at stride 8, and heads at stride 4.

    ``forward`` takes one image and the state that the last call returned; ``clip`` takes whole
    clips, computes the same, and is faster.
    """

    def __init__(self, config: PermanenceConfig, pretrained: bool = False) -> None:
        """Build the network.

        Args:
            config: its shape.
            pretrained: start the encoder from ImageNet weights.
        """
        super().__init__()
        self.config = config
        self.encoder = build_encoder(config.encoder, pretrained)
        self.decoder = _MemoryDecoder(self.encoder.channels, config)
        width = config.head_channels
        self.detection = conv_norm_relu(config.channels[-1], width)
        self.geometry = conv_norm_relu(config.channels[-1], width)
        self.dropout = nn.Dropout2d(config.dropout)
        self.detection_head = nn.Conv2d(width, len(config.things) + 1, 1)
        self.geometry_head = nn.Conv2d(width, sum(_GEOMETRY.values()), 1)
        self._start_heads()
        self.encoder.freeze(config.frozen_stages)

    def for_inference(self, dtype: torch.dtype = torch.float32) -> PermanenceNet:
        """Return a faster copy that computes the same: norms folded, body in ``dtype``.

        The heads and the state stay in float32. The copy takes images of type ``dtype`` and
        cannot be trained or saved.
        """
        return inference_copy(self, ('detection_head', 'geometry_head'), dtype)

    def initial_state(self, image: Tensor) -> Tensor:
        """Return the empty memory for images of this size: (B, C, H / 8, W / 8) float32."""
        batch, _, height, width = image.shape
        size = (height // MEMORY_STRIDE, width // MEMORY_STRIDE)
        return torch.zeros(batch, self.config.memory_channels, *size, device=image.device)

    def forward(
        self, image: Tensor, focal: Tensor, dt: Tensor, state: Tensor | None = None
    ) -> tuple[PermanenceOutput, Tensor]:
        """Predict from one image and the memory of earlier ones.

        Args:
            image: (B, 3, H, W) normalised RGB, H and W multiples of 32.
            focal: (B,) focal lengths in pixels of these images.
            dt: (B,) seconds since the image before; 0 for a first image.
            state: what the call for the image before returned, or None to begin.

        Returns:
            The predictions and the new state.

        Raises:
            ValueError: for sizes that are not multiples of 32, or a state of another size.
        """
        if state is None:
            state = self.initial_state(image)
        seen, fine = self._seen(image)
        if state.shape[-2:] != seen.shape[-2:] or len(state) != len(seen):
            raise ValueError(
                f'the state is of {len(state)} images of {state.shape[-1] * MEMORY_STRIDE}x'
                f'{state.shape[-2] * MEMORY_STRIDE}, not {len(image)} of '
                f'{image.shape[-1]}x{image.shape[-2]}; begin anew when the image size changes'
            )
        state = self.decoder.memory(seen, state, dt)
        return self._predict(seen, state, fine, focal), state

    def clip(self, images: Tensor, focal: Tensor, dt: Tensor) -> PermanenceOutput:
        """Predict every image of whole clips, each from itself and the earlier ones.

        Args:
            images: (B, T, 3, H, W) normalised RGB in time order.
            focal: (B,) focal lengths in pixels.
            dt: (B, T) seconds since the image before; 0 for the first.

        Returns:
            Predictions whose first axis is B T images, clip by clip.

        Raises:
            ValueError: for sizes that are not multiples of 32.
        """
        return self.remember(images, focal, dt)[0]

    def remember(
        self, images: Tensor, focal: Tensor, dt: Tensor
    ) -> tuple[PermanenceOutput, Tensor]:
        """Return what ``clip`` does, and the memory after every image: (B, T, C, H / 8, W / 8)."""
        batch, count = images.shape[:2]
        flat = images.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        seen, fine = self._seen(flat)
        steps = seen.unflatten(0, (batch, count))
        state = self.initial_state(flat[:batch])
        states = []
        for step in range(count):
            state = self.decoder.memory(steps[:, step], state, dt[:, step])
            states.append(state)
        memory = torch.stack(states, 1)
        focal = focal.repeat_interleave(count)
        return self._predict(seen, memory.flatten(0, 1), fine, focal), memory

    def _seen(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return what single images show, at strides 8 and 4."""
        height, width = image.shape[-2:]
        if height % COARSEST_STRIDE or width % COARSEST_STRIDE:
            raise ValueError(
                f'network input is {width}x{height}; both must be multiples of {COARSEST_STRIDE}'
            )
        features = self.encoder(image)
        return self.decoder.seen(features), features[1]

    def _predict(
        self, seen: Tensor, state: Tensor, fine: Tensor, focal: Tensor
    ) -> PermanenceOutput:
        x = self.decoder.recalled(seen, state, fine)
        # Predictions in float32: bfloat16 would round log depth to steps of 1.6 %.
        found = predict(self.detection_head, self.dropout(self.detection(x)).float())
        shape = predict(self.geometry_head, self.dropout(self.geometry(x)).float())
        parts = dict(zip(_GEOMETRY, shape.split(list(_GEOMETRY.values()), 1), strict=True))
        # the canonical camera, as in ``DepthSegmentationNet``
        scale = torch.log(focal.float() / self.config.canonical_focal).view(-1, 1, 1, 1)
        parts['log_depth'] = parts['log_depth'] + scale
        things = len(self.config.things)
        return PermanenceOutput(heat=found[:, :things], visibility=found[:, things:], **parts)

    @torch.no_grad()
    def _start_heads(self) -> None:
        """Start near the usual answers, so that training does not begin with their errors."""
        assert self.detection_head.bias is not None
        assert self.geometry_head.bias is not None
        things = len(self.config.things)
        self.detection_head.weight.mul_(0.1)
        self.geometry_head.weight.mul_(0.1)
        self.detection_head.bias[:things] = -math.log(1 / INITIAL_SCORE - 1)
        self.detection_head.bias[things:] = 1.0
        biases = {name: torch.zeros(count) for name, count in _GEOMETRY.items()}
        biases['log_depth'] += math.log(INITIAL_DEPTH)
        biases['log_size'] += torch.tensor(INITIAL_SIZE).log()
        self.geometry_head.bias.copy_(torch.cat(list(biases.values())))


class _MemoryDecoder(nn.Module):
    """``decoders.Decoder`` with a memory between its strides 8 and 4.

    Its parts have the names they have there, so that it can start from a trained decoder.
    """

    def __init__(self, encoder_channels: Sequence[int], config: PermanenceConfig) -> None:
        super().__init__()
        widths = config.channels
        coarsest, *skips = reversed(encoder_channels)
        self.entry = nn.Sequential(
            conv_norm_relu(coarsest, widths[0], 1), conv_norm_relu(widths[0], widths[0])
        )
        self.blocks = nn.ModuleList(
            DecoderBlock(coarse, skip, width)
            for coarse, skip, width in zip(widths, skips, widths[1:], strict=False)
        )
        self.memory = ConvGRU(widths[2], config.memory_channels, config.memory_kernel)
        self.recall = nn.Conv2d(config.memory_channels, widths[2], 1)

    def seen(self, features: Sequence[Tensor]) -> Tensor:
        """Return what the image shows, at stride 8, from the encoder's maps, finest first."""
        coarsest, *skips = reversed(features)
        x = self.entry(coarsest)
        for block, skip in zip(self.blocks[:-1], skips, strict=False):
            x = block(x, skip)
        return x

    def recalled(self, seen: Tensor, state: Tensor, fine: Tensor) -> Tensor:
        """Return the map at stride 4 of what is seen and what is remembered."""
        return self.blocks[-1](seen + self.recall(state.to(seen.dtype)), fine)
