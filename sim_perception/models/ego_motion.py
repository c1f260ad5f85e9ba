"""Metric ego-motion between two frames from their features and one frame's depth.

Match, weigh, solve: cells of the target are matched with the source by local correlation
(Dosovitskiy et al., "FlowNet", ICCV 2015), a small network corrects the matches and decides how
far to trust each, and the motion is the weighted least-squares solution of the projection
equations, as in the bundle layers of "DeepV2D" (Teed and Deng, ICLR 2020). What is learned is
matching; that depth and image motion together determine metric motion is not left to learn, so
other cameras, speeds and directions of travel need no examples of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from sim_perception.geometry.warping import full_precision, pose_matrix
from sim_perception.models.decoders import NORM_GROUPS, conv_norm_relu, upsample

# Channels of the target's features and of the reduced fine correlation that the matching
# network sees besides the coarse correlation.
_CONTEXT = 16
_FINE = 48
# Columns that are compared in one matrix product.
_BLOCK = 16
# How often the source is brought into line with what is known of the motion and matched again.
# Soft matching underestimates large shifts where there is little texture; small ones it finds.
PASSES = 2
# Pixels by which one unit of the network's output moves a match.
_CORRECTION = 4.0
# The motion assumed before looking: gently forward, in time order. It has the say of a few
# cells, so that images without texture give it and others hardly notice.
_PRIOR_MOTION = (0.0, 0.0, 0.3, 0.0, 0.0, 0.0)
_PRIOR_SIGMA = (0.2, 0.2, 1.0, 0.02, 0.05, 0.02)


@dataclass(frozen=True)
class EgoMotionConfig:
    """The head's shape.

    Attributes:
        channels: of the feature maps that are compared.
        projection: to which they are reduced for comparing.
        width: of the matching network; a multiple of 8.
        radius: cells searched in each direction, at the features' stride and at twice it.
    """

    channels: int = 40
    projection: int = 32
    width: int = 64
    radius: int = 4

    def __post_init__(self) -> None:
        for name in ('channels', 'projection', 'width', 'radius'):
            if getattr(self, name) < 1:
                raise ValueError(f'{name} must be positive, got {getattr(self, name)}')
        if self.width % NORM_GROUPS:
            raise ValueError(f'width must be a multiple of {NORM_GROUPS}, got {self.width}')


class Matches(NamedTuple):
    """Where the target's cells are seen by the source; what a motion is solved from.

    Attributes:
        flow: (B, 2, h, w) float32 (x' - x, y' - y), motion in normalised image coordinates.
        weight: (B, 2, h, w) inverse variances of the two.
        inverse_depth: (B, 1, h, w).
        rays: (B, 2, h, w) normalised coordinates (x, y) of the cells.
    """

    flow: Tensor
    weight: Tensor
    inverse_depth: Tensor
    rays: Tensor


class EgoMotionHead(nn.Module):
    """Predicts ``source_T_target`` as [tx ty tz | rx ry rz], metres and radians.

    For a source that is the earlier frame of a forward-driving car, points are farther from the
    source than from the target: tz > 0. See ``geometry.warping.pose_matrix``.
    """

    def __init__(self, config: EgoMotionConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or EgoMotionConfig()
        shifts = (2 * config.radius + 1) ** 2
        self.project = nn.Conv2d(config.channels, config.projection, 1, bias=False)
        nn.init.orthogonal_(self.project.weight)  # keeps angles between features at the start
        # Inverse temperature of the soft choice among shifts; cosines lie in -1..1.
        self.log_sharpness = nn.Parameter(torch.full((2,), 3.0))
        self.fine = nn.Sequential(
            nn.Conv2d(shifts, _FINE, 3, stride=2, padding=1, bias=False),
            nn.GroupNorm(NORM_GROUPS, _FINE),
            nn.ReLU(inplace=True),
        )
        self.context = nn.Conv2d(config.channels, _CONTEXT, 1)
        inputs = _FINE + shifts + _CONTEXT + 2 + 1 + 4
        self.body = nn.Sequential(
            conv_norm_relu(inputs, config.width, 1),
            conv_norm_relu(config.width, config.width),
        )
        self.wide = nn.Sequential(
            nn.Conv2d(config.width, config.width, 3, stride=2, padding=1, bias=False),
            nn.GroupNorm(NORM_GROUPS, config.width),
            nn.ReLU(inplace=True),
            conv_norm_relu(config.width, config.width),
        )
        # Correction of the match (2), fine or coarse match (1), logarithmic trust (2).
        self.match = nn.Conv2d(config.width, 5, 1)
        nn.init.zeros_(self.match.weight)
        assert self.match.bias is not None
        nn.init.zeros_(self.match.bias)
        sigma = torch.tensor(_PRIOR_SIGMA)
        self.register_buffer('prior_motion', torch.tensor(_PRIOR_MOTION), persistent=False)
        self.register_buffer('prior_sigma', sigma, persistent=False)
        self.prior_motion: Tensor
        self.prior_sigma: Tensor

    def forward(
        self,
        target_features: Tensor,
        source_features: Tensor,
        log_depth: Tensor,
        K: Tensor,
        stride: int,
    ) -> Tensor:
        """Predict the motion.

        Args:
            target_features, source_features: (B, C, h, w) of the same encoder.
            log_depth: (B, 1, h', w') of the target, logarithm of metres, any resolution.
            K: (B, 3, 3) intrinsics in pixels of the network's input image.
            stride: pixels of the input image per cell of the features.

        Returns:
            (B, 6) float32 motion vectors.

        Raises:
            ValueError: if the feature maps differ in shape or have odd sides.
        """
        motion = None
        for _ in range(PASSES):
            found = self.matches(target_features, source_features, log_depth, K, stride, motion)
            motion = self.solve(found)
        assert motion is not None
        return motion

    def solve(self, matches: Matches) -> Tensor:
        """Return the (B, 6) motion that explains the matches best."""
        return solve_motion(*matches, self.prior_motion, self.prior_sigma)

    def matches(
        self,
        target_features: Tensor,
        source_features: Tensor,
        log_depth: Tensor,
        K: Tensor,
        stride: int,
        start: Tensor | None = None,
    ) -> Matches:
        """Match both frames at cells of twice the features' stride.

        Args:
            target_features, source_features, log_depth, K, stride: as for ``forward``.
            start: (B, 6) motion around which matches are searched, or None for no motion; it
                gets no gradient.
        """
        self._check(target_features, source_features)
        radius = self.config.radius
        target_features, source_features = standardise(target_features, source_features)
        if start is not None:
            start = start.detach()
            source_features = aligned(source_features, log_depth.detach(), K, stride, start)
        target = functional.normalize(self.project(target_features), dim=1)
        source = functional.normalize(self.project(source_features), dim=1)
        fine = correlation(target, source, radius)
        target, source = (functional.avg_pool2d(f, 2) for f in (target, source))
        target, source = functional.normalize(target, dim=1), functional.normalize(source, dim=1)
        coarse = correlation(target, source, radius)
        sharpness = self.log_sharpness.float().clamp(max=6).exp()
        flow_fine = functional.avg_pool2d(expected_shift(fine, sharpness[0]), 2) * stride
        flow_coarse = expected_shift(coarse, sharpness[1]) * (2 * stride)

        size = coarse.shape[-2:]
        inverse_depth = (-upsample(log_depth.float(), size)).exp()
        rays = cell_rays(K.float(), size, 2 * stride)
        hints = torch.cat([flow_fine, flow_coarse], 1) / (2 * stride * radius)
        context = self.context(functional.avg_pool2d(target_features, 2))
        inputs = [self.fine(fine), coarse, context, rays, 10 * inverse_depth, hints]
        dtype = inputs[0].dtype
        x = self.body(torch.cat([i.to(dtype) for i in inputs], 1))
        x = x + upsample(self.wide(x), size)
        correction, choice, trust = self.match(x).float().split([2, 1, 2], 1)
        mix = choice.sigmoid()
        flow = mix * flow_fine + (1 - mix) * flow_coarse + _CORRECTION * correction
        focal = torch.stack([K[:, 0, 0], K[:, 1, 1]], 1).float()[..., None, None]
        # Pixels to normalised coordinates; a cell of trust 0 is off by about a pixel.
        weight = trust.clamp(-12, 6).exp() * focal.square()
        flow = flow / focal
        if start is not None:
            flow = flow + rigid_flow(start, inverse_depth.detach(), rays)
        return Matches(flow, weight, inverse_depth, rays)

    def _check(self, target: Tensor, source: Tensor) -> None:
        if target.shape != source.shape:
            raise ValueError(
                f'target and source features differ: {tuple(target.shape)} and '
                f'{tuple(source.shape)}; both frames need the same size'
            )
        channels, height, width = target.shape[1:]
        if channels != self.config.channels or height % 2 or width % 2:
            raise ValueError(
                f'features are {channels}x{height}x{width}; the head needs '
                f'{self.config.channels} channels and even sides'
            )


@full_precision
def standardise(target: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
    """Return both (B, C, h, w) maps with mean 0 and deviation 1 per channel over both.

    What all cells share would make every pair of cells look alike.
    """
    # Moments of each map, then joined: several times as fast as ``var`` of both in one.
    means = [x.mean((2, 3), keepdim=True) for x in (target, source)]
    squares = [x.square().mean((2, 3), keepdim=True) for x in (target, source)]
    mean = (means[0] + means[1]) / 2
    variance = (squares[0] + squares[1]) / 2 - mean.square()
    scale = (variance.clamp(min=0) + 1e-5).rsqrt()
    return (target - mean) * scale, (source - mean) * scale


@full_precision
def aligned(source: Tensor, log_depth: Tensor, K: Tensor, stride: int, motion: Tensor) -> Tensor:
    """Return (B, C, h, w) source features as the target would see them after a motion.

    Args:
        source: (B, C, h, w).
        log_depth: (B, 1, h', w') of the target.
        K: (B, 3, 3) intrinsics in pixels of the network's input image.
        stride: pixels of the input image per cell.
        motion: (B, 6), see ``EgoMotionHead``.
    """
    height, width = source.shape[-2:]
    rays = cell_rays(K, (height, width), stride)
    inverse_depth = (-upsample(log_depth, (height, width))).exp()
    x, y = (rays + rigid_flow(motion, inverse_depth, rays)).unbind(1)
    fx, fy, cx, cy = (K[:, i, j].view(-1, 1, 1) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
    # grid_sample spans the outer edges of the first and last cell by -1 to 1
    columns = (x * fx + cx + 0.5) / (stride * width) * 2 - 1
    rows = (y * fy + cy + 0.5) / (stride * height) * 2 - 1
    grid = torch.stack([columns, rows], -1)
    return functional.grid_sample(source, grid, padding_mode='border', align_corners=False)


def correlation(target: Tensor, source: Tensor, radius: int) -> Tensor:
    """Return (B, (2 radius + 1)^2, h, w) inner products of (B, C, h, w) features.

    Channel ``(dy + radius) (2 radius + 1) + dx + radius`` compares a target cell with the source
    cell dx columns to the right and dy rows below; beyond the border the product is 0.
    """
    batch, channels, height, width = target.shape
    side = 2 * radius + 1
    # Every block of columns times all columns that it can reach: some products too many, but
    # matrix products are several times as fast as one pass over the maps per shift.
    blocks = -(-width // _BLOCK)
    extra = blocks * _BLOCK - width
    reach = _BLOCK + 2 * radius
    left = functional.pad(target, (0, extra)).permute(0, 2, 3, 1)
    left = left.reshape(batch, height, blocks, _BLOCK, channels)
    padded = functional.pad(source, (radius, radius + extra, radius, radius))
    right = padded.unfold(3, reach, _BLOCK).permute(0, 2, 3, 1, 4).contiguous()
    products = []
    for y in range(side):
        product = torch.matmul(left, right[:, y : y + height]).flatten(3)
        # Column i needs entries i to i + side of its row of ``reach``: rows that are one longer
        # bring them all to the front.
        rows = functional.pad(product, (0, _BLOCK)).view(batch, height, blocks * _BLOCK, reach + 1)
        products.append(rows[:, :, :width, :side])
    return torch.cat(products, 3).permute(0, 3, 1, 2)


@full_precision
def expected_shift(scores: Tensor, sharpness: Tensor) -> Tensor:
    """Return the (B, 2, h, w) mean shift (x, y) in cells under a softmax of correlations."""
    radius = (round(scores.shape[1] ** 0.5) - 1) // 2
    offsets = torch.arange(-radius, radius + 1, device=scores.device, dtype=scores.dtype)
    dy, dx = torch.meshgrid(offsets, offsets, indexing='ij')
    shifts = torch.stack([dx.flatten(), dy.flatten()], 1)
    # Shifts last is how ``correlation`` lays its result out in memory: nothing is copied.
    chosen = (sharpness * scores.permute(0, 2, 3, 1)).softmax(-1)
    return (chosen @ shifts).permute(0, 3, 1, 2)


@full_precision
def cell_rays(K: Tensor, size: tuple[int, int] | torch.Size, stride: int) -> Tensor:
    """Return (B, 2, h, w) normalised coordinates of the centres of ``stride``-pixel cells."""
    height, width = size
    u = (torch.arange(width, device=K.device, dtype=K.dtype) + 0.5) * stride - 0.5
    v = (torch.arange(height, device=K.device, dtype=K.dtype) + 0.5) * stride - 0.5
    fx, fy, cx, cy = (K[:, i, j].view(-1, 1, 1) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
    x = ((u.view(1, 1, -1) - cx) / fx).expand(-1, height, width)
    y = ((v.view(1, -1, 1) - cy) / fy).expand(-1, height, width)
    return torch.stack([x, y], 1)


@full_precision
def rigid_flow(motion: Tensor, inverse_depth: Tensor, rays: Tensor) -> Tensor:
    """Return the (B, 2, h, w) flow that a (B, 6) motion causes; see ``Matches``.

    Finite, but meaningless, for points that end up nearer than a tenth of their depth.
    """
    pose = pose_matrix(motion)
    points = torch.cat([rays, torch.ones_like(rays[:, :1])], 1)
    moved = pose[:, :3, :3] @ points.flatten(2) + pose[:, :3, 3:] * inverse_depth.flatten(2)
    moved = moved.view_as(points)
    return moved[:, :2] / moved[:, 2:].clamp(min=0.1) - rays


@full_precision
def solve_motion(
    flow: Tensor,
    weight: Tensor,
    inverse_depth: Tensor,
    rays: Tensor,
    prior_motion: Tensor,
    prior_sigma: Tensor,
) -> Tensor:
    """Return the (B, 6) motion that best explains image motion, given depth.

    A point r / d with ray r = (x, y, 1) and inverse depth d, seen at (x', y') by the source,
    obeys ``(R r + d t)_x = x' (R r + d t)_z`` and likewise in y: linear in t, and in the rotation
    vector while rotations are small (between frames of a vehicle they are a few degrees).

    Args:
        flow, weight, inverse_depth, rays: see ``Matches``.
        prior_motion, prior_sigma: (6,) expected motion and its standard deviations.
    """
    x, y = rays.flatten(2).unbind(1)
    target_x, target_y = (rays + flow).flatten(2).unbind(1)
    d = inverse_depth.flatten(1)
    zero = torch.zeros_like(d)
    rows_x = [d, zero, -target_x * d, -target_x * y, 1 + target_x * x, -y]
    rows_y = [zero, d, -target_y * d, -1 - target_y * y, target_y * x, x]
    # Unknowns in units of their prior's spread: the 6x6 system is then well conditioned.
    rows = torch.stack([torch.stack(rows_x, -1), torch.stack(rows_y, -1)], 1) * prior_sigma
    residual = flow.flatten(2) - rows @ (prior_motion / prior_sigma)
    weighted = rows * weight.flatten(2)[..., None]
    normal = torch.einsum('bcni,bcnj->bij', weighted, rows)
    right = torch.einsum('bcni,bcn->bi', weighted, residual)
    eye = torch.eye(6, device=normal.device, dtype=normal.dtype)
    change = torch.linalg.solve(normal + eye, right)
    return prior_motion + prior_sigma * change
