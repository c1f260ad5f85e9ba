"""A 3D detector: points painted with what the camera sees, as pillars on a plan of the street.

Pillars after PointPillars (Lang et al., CVPR 2019), section 2.1; centres on the plan after
CenterPoint (Yin et al., CVPR 2021), section 4.1; and after PointPainting (Vora et al., CVPR 2020)
every point carries image features, here learnt ones. The points may come from a LiDAR or from a
depth image, so that the camera alone is enough (Wang et al., "Pseudo-LiDAR", CVPR 2019).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from sim_perception.models.decoders import NORM_GROUPS, DecoderBlock, conv_norm_relu, predict
from sim_perception.models.encoders import build_encoder

#: Of the heads' maps, in cells of the plan.
OUTPUT_STRIDE = 2
#: The plan's cells are counted in multiples of this: its coarsest map has stride 8.
COARSEST_STRIDE = 8
#: Encoder maps that points are painted with: those at strides 8 and 16.
IMAGE_STAGES = (2, 3)
#: Of a point: x, y, z in metres; u, v of its pixel from -1 to 1; 1 in the image, else 0.
POINT_COLUMNS = 6
#: Image sizes are multiples of this.
IMAGE_MULTIPLE = 32

_INITIAL_SCORE, _INITIAL_SIZE = 0.01, (4.4, 1.8, 1.6)
#: Numbers that describe a point: in its cell, from the cell's mean, and how full the cell is.
_POINT_FEATURES = 9
_RANGE_UNIT = 50.0


@dataclass(frozen=True)
class Detector3dConfig:
    """The network's shape and the plan that it looks at; saved with every checkpoint.

    The plan's frame: x is forward and y to the left of the camera, metres; z is above the ground.

    Attributes:
        things: names of the classes it detects, in the order of its heatmaps.
        camera: whether points are painted with image features.
        encoder: of images; see ``encoders.build_encoder``. It is never trained.
        image_channels: numbers that a point gets from the image.
        x_range, y_range: extent of the plan, metres.
        z_range: points lower or higher are dropped, metres above the ground.
        cell: side of a pillar, metres.
        pillar_channels: width of a pillar's description, a multiple of 8.
        channels: widths at strides 2, 4 and 8 cells; multiples of 8.
        head_channels: width of the heads' hidden layer, a multiple of 8.
    """

    things: tuple[str, ...] = ('car',)
    camera: bool = True
    encoder: str = 'efficientnet_lite0'
    image_channels: int = 16
    x_range: tuple[float, float] = (0.0, 48.0)
    y_range: tuple[float, float] = (-28.8, 28.8)
    z_range: tuple[float, float] = (-0.6, 3.6)
    cell: float = 0.4
    pillar_channels: int = 32
    channels: tuple[int, ...] = (48, 64, 96)
    head_channels: int = 48

    def __post_init__(self) -> None:
        for name in ('things', 'x_range', 'y_range', 'z_range', 'channels'):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.things or len(set(self.things)) != len(self.things):
            raise ValueError(f'things must be different class names, got {self.things}')
        widths = (*self.channels, self.pillar_channels, self.head_channels)
        if len(self.channels) != 3 or any(w <= 0 or w % NORM_GROUPS for w in widths):
            raise ValueError(
                'channels must be 3 and, like pillar_channels and head_channels, positive '
                f'multiples of {NORM_GROUPS}, got {self.channels}, {self.pillar_channels} and '
                f'{self.head_channels}'
            )
        if self.cell <= 0 or self.image_channels <= 0:
            raise ValueError('cell and image_channels must be positive')
        for name in ('x_range', 'y_range', 'z_range'):
            low, high = getattr(self, name)
            if not low < high:
                raise ValueError(f'{name} must ascend, got {low} and {high}')
        for name, (low, high) in (('x_range', self.x_range), ('y_range', self.y_range)):
            cells = (high - low) / self.cell
            if abs(cells / COARSEST_STRIDE - round(cells / COARSEST_STRIDE)) > 1e-6:
                raise ValueError(
                    f'{name} must be a multiple of {COARSEST_STRIDE} cells of {self.cell} m, '
                    f'got {cells:g} cells'
                )

    @property
    def cells(self) -> tuple[int, int]:
        """Cells of the plan along x and y."""
        (x0, x1), (y0, y1) = self.x_range, self.y_range
        return round((x1 - x0) / self.cell), round((y1 - y0) / self.cell)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows (along x) and columns (along y) of the heads' maps."""
        rows, columns = self.cells
        return rows // OUTPUT_STRIDE, columns // OUTPUT_STRIDE


class Detector3dOutput(NamedTuple):
    """Predictions on the plan; what they mean holds where a centre is.

    With ``s = OUTPUT_STRIDE * cell`` row r and column c have their middle at
    ``x_range[0] + (r + .5) s`` and ``y_range[0] + (c + .5) s``.

    Attributes:
        heat: (B, things, h, w) logits of a centre of each class.
        offset: (B, 2, h, w) x, y from there to the centre, in units of s.
        height: (B, 1, h, w) of the centre above the ground, metres.
        log_size: (B, 3, h, w) natural logarithm of length, width, height in metres.
        axis: (B, 2, h, w) sine and cosine, not normalised, of twice the yaw: the direction of
            the long axis, whose two ends may look alike.
        heading: (B, 2, h, w) sine and cosine of the yaw, which tell the ends apart.
    """

    heat: Tensor
    offset: Tensor
    height: Tensor
    log_size: Tensor
    axis: Tensor
    heading: Tensor


#: Channels of every prediction but the heatmaps.
GEOMETRY = {'offset': 2, 'height': 1, 'log_size': 3, 'axis': 2, 'heading': 2}


class Detector3dNet(nn.Module):
    """Painted points to centres of objects on the plan.

    The image encoder is frozen: its maps of an image can be computed once and kept while the
    rest learns.
    """

    def __init__(self, config: Detector3dConfig, pretrained: bool = False) -> None:
        """Build the network.

        Args:
            config: its shape.
            pretrained: start the encoder from ImageNet weights.
        """
        super().__init__()
        self.config = config
        self.encoder = build_encoder(config.encoder, pretrained) if config.camera else None
        if self.encoder is not None:
            self.encoder.keep(IMAGE_STAGES[-1] + 1)
            self.encoder.requires_grad_(False)
            widths = [self.encoder.channels[stage] for stage in IMAGE_STAGES]
            self.paint = nn.ModuleList(nn.Conv2d(w, config.image_channels, 1) for w in widths)
        inputs = _POINT_FEATURES + (config.image_channels if config.camera else 0)
        self.point = nn.Sequential(
            nn.Linear(inputs, config.pillar_channels, bias=False),
            nn.LayerNorm(config.pillar_channels),
            nn.ReLU(inplace=True),
        )
        first, second, third = config.channels
        self.fine = nn.Sequential(_halved(config.pillar_channels, first), _conv(first))
        self.middle = nn.Sequential(_halved(first, second), _conv(second), _conv(second))
        self.coarse = nn.Sequential(_halved(second, third), _conv(third), _conv(third))
        self.up_middle = DecoderBlock(third, second, second)
        self.up_fine = DecoderBlock(second, first, first)
        self.shared = conv_norm_relu(first, config.head_channels)
        self.head = nn.Conv2d(config.head_channels, len(config.things) + sum(GEOMETRY.values()), 1)
        self._start_head()

    def train(self, mode: bool = True) -> Detector3dNet:
        """Switch modes; the encoder always stays in evaluation mode."""
        super().train(mode)
        if self.encoder is not None:
            self.encoder.eval()
        return self

    def image_maps(self, image: Tensor) -> list[Tensor]:
        """Return the maps that points are painted with; empty without ``camera``.

        Args:
            image: (B, 3, H, W) normalised RGB, H and W multiples of 32.

        Raises:
            ValueError: for other sizes.
        """
        if self.encoder is None:
            return []
        height, width = image.shape[-2:]
        if height % IMAGE_MULTIPLE or width % IMAGE_MULTIPLE:
            raise ValueError(
                f'the image is {width}x{height}; both must be multiples of {IMAGE_MULTIPLE}'
            )
        with torch.no_grad():
            maps = self.encoder(image, IMAGE_STAGES[-1] + 1)
        return [maps[stage] for stage in IMAGE_STAGES]

    def forward(self, points: Tensor, maps: Sequence[Tensor] = ()) -> Detector3dOutput:
        """Predict objects from points and image maps.

        Args:
            points: (B, N, 6) in the plan's frame, see ``POINT_COLUMNS``; rows of NaN fill up.
            maps: what ``image_maps`` returned, or none: then nothing is known of the image.
        """
        if self.config.camera and not maps:
            # As in training without an image, where no point is in it.
            points = torch.cat([points[..., :5], torch.zeros_like(points[..., 5:])], -1)
        x = self._pillars(points, maps)
        fine = self.fine(x)
        middle = self.middle(fine)
        x = self.up_fine(self.up_middle(self.coarse(middle), middle), fine)
        found = predict(self.head, self.shared(x).float())
        things = len(self.config.things)
        parts = found[:, things:].split(list(GEOMETRY.values()), 1)
        return Detector3dOutput(found[:, :things], *parts)

    def _pillars(self, points: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Return the (B, C, rows, columns) plan of pillars."""
        config = self.config
        rows, columns = config.cells
        batch = len(points)
        kept, cell = self._cells(points)
        number = kept.nonzero()[:, 0]
        place = number * (rows * columns) + cell[kept]
        features = [_described(points[kept], place, batch * rows * columns, config)]
        if config.camera:
            features.append(self._painted(points, maps)[kept])
        seen = self.point(torch.cat(features, 1)).float()
        plan = seen.new_zeros(batch * rows * columns, config.pillar_channels)
        where = place[:, None].expand(-1, config.pillar_channels)
        plan = plan.scatter_reduce(0, where, seen, 'amax')
        return plan.view(batch, rows, columns, -1).permute(0, 3, 1, 2)

    def _cells(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return which of (B, N) points are on the plan, and in which of its cells."""
        config = self.config
        rows, columns = config.cells
        low = points.new_tensor([config.x_range[0], config.y_range[0]])
        spot = ((points[..., :2] - low) / config.cell).floor()
        z0, z1 = config.z_range
        kept = (spot[..., 0] >= 0) & (spot[..., 0] < rows)
        kept &= (spot[..., 1] >= 0) & (spot[..., 1] < columns)
        kept &= (points[..., 2] >= z0) & (points[..., 2] <= z1)
        spot = torch.where(kept[..., None], spot, 0.0).long()
        return kept, spot[..., 0] * columns + spot[..., 1]

    def _painted(self, points: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Return (B, N, C) image features of points; 0 outside the image."""
        batch, count = points.shape[:2]
        if self.config.camera and not maps:
            return points.new_zeros(batch, count, self.config.image_channels)
        pixel = torch.nan_to_num(points[..., 3:5]).unsqueeze(1)
        found = points.new_zeros(())
        for layer, features in zip(self.paint, maps, strict=True):
            thin = predict(layer, features.float())
            found = found + functional.grid_sample(
                thin, pixel, padding_mode='border', align_corners=False
            )
        return found[:, :, 0].movedim(1, 2) * torch.nan_to_num(points[..., 5:6])

    @torch.no_grad()
    def _start_head(self) -> None:
        """Start near the usual answers, so that training does not begin with their errors."""
        assert self.head.bias is not None
        things = len(self.config.things)
        self.head.weight.mul_(0.1)
        self.head.bias.zero_()
        self.head.bias[:things] = -math.log(1 / _INITIAL_SCORE - 1)
        at = things + GEOMETRY['offset']
        self.head.bias[at] = _INITIAL_SIZE[2] / 2
        self.head.bias[at + 1 : at + 4] = torch.tensor(_INITIAL_SIZE).log()


def _described(points: Tensor, place: Tensor, cells: int, config: Detector3dConfig) -> Tensor:
    """Return (M, 9) numbers about points: PointPillars, section 2.1."""
    spot = points[:, :3]
    count = torch.bincount(place, minlength=cells).to(spot)
    total = spot.new_zeros(cells, 3).index_add(0, place, spot)
    mean = (total / count.clamp(min=1)[:, None])[place]
    low = spot.new_tensor([config.x_range[0], config.y_range[0]])
    inner = ((spot[:, :2] - low) / config.cell).remainder(1.0) - 0.5
    reach = spot[:, :2].norm(dim=1, keepdim=True) / _RANGE_UNIT
    full = torch.log1p(count[place])[:, None] / 4
    return torch.cat(
        [inner, spot[:, 2:], (spot - mean) / config.cell, reach, full, points[:, 5:6]], 1
    )


def _halved(inputs: int, outputs: int) -> nn.Sequential:
    """Return a convolution that halves the map's size, with GroupNorm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False),
        nn.GroupNorm(NORM_GROUPS, outputs),
        nn.ReLU(inplace=True),
    )


def _conv(channels: int) -> nn.Sequential:
    return conv_norm_relu(channels, channels)
