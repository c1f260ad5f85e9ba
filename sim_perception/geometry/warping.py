"""Differentiable view synthesis in torch: poses, pinhole projection, warping, normals.

``a_T_b`` is a (B, 4, 4) transform that maps points in frame ``b`` to frame ``a``; K is (B, 3, 3),
intrinsics in pixels without skew; depth is metres along the optical axis; pixel centres lie on
integers; optical frames are x right, y down, z forward. Half types are computed as float32,
also under autocast: a bfloat16 pixel coordinate would be off by a pixel or more.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

P = ParamSpec('P')
R = TypeVar('R')

#: Points closer than this to a camera's plane, or behind it, are not seen, metres.
MIN_DEPTH = 1e-3
# Rounding may put a point of the outermost pixel's centre just outside the image.
_EDGE_TOLERANCE = 1e-3
_HALF = (torch.float16, torch.bfloat16)


def full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function of tensors outside autocast, with half-precision arguments as float32."""

    def widen(value: object) -> object:
        return value.float() if isinstance(value, Tensor) and value.dtype in _HALF else value

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        tensors = [a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)]
        with torch.autocast(tensors[0].device.type, enabled=False):
            return function(
                *map(widen, args),  # type: ignore[arg-type]
                **{k: widen(v) for k, v in kwargs.items()},  # type: ignore[arg-type]
            )

    return wrapped


@full_precision
def pose_matrix(vector: Tensor) -> Tensor:
    """Return (B, 4, 4) transforms of (B, 6) vectors [tx ty tz | rx ry rz].

    Translation in metres, rotation vector in radians (axis times angle; the matrix exponential
    of its cross-product matrix, so that values and gradients are exact at zero too).
    """
    x, y, z = vector[:, 3:].unbind(1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).view(-1, 3, 3)
    return _assemble(torch.linalg.matrix_exp(cross), vector[:, :3])


@full_precision
def pose_vector(matrix: Tensor) -> Tensor:
    """Return the (B, 6) vectors of (B, 4, 4) transforms: the inverse of ``pose_matrix``.

    For rotations by less than about 3 rad; nearer to half a turn the axis becomes ill-defined.
    """
    rotation = matrix[:, :3, :3]
    skew = 0.5 * (rotation - rotation.transpose(1, 2))
    sine_axis = torch.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], 1)
    # angle / sin(angle) is 1 at zero; the clamp keeps it and its gradient finite there.
    sine = sine_axis.square().sum(1).clamp(min=1e-14).sqrt()
    cosine = 0.5 * (rotation.diagonal(dim1=1, dim2=2).sum(1) - 1)
    angle = torch.atan2(sine, cosine)
    return torch.cat([matrix[:, :3, 3], sine_axis * (angle / sine)[:, None]], 1)


@full_precision
def unproject_depth(depth: Tensor, K: Tensor) -> Tensor:
    """Return the (B, 3, H, W) optical-frame points of (B, H, W) depth."""
    height, width = depth.shape[-2:]
    fx, fy, cx, cy = _intrinsics(K)
    u = torch.arange(width, device=depth.device, dtype=depth.dtype).view(1, 1, width)
    v = torch.arange(height, device=depth.device, dtype=depth.dtype).view(1, height, 1)
    return torch.stack([depth * ((u - cx) / fx), depth * ((v - cy) / fy), depth], 1)


@full_precision
def project_points(points: Tensor, K: Tensor) -> tuple[Tensor, Tensor]:
    """Project (B, 3, H, W) optical-frame points.

    Returns:
        (B, 2, H, W) pixels (u, v) and (B, H, W) depth. Where depth is below ``MIN_DEPTH`` the
        pixels are finite, and so are their gradients, but they mean nothing.
    """
    fx, fy, cx, cy = _intrinsics(K)
    x, y, depth = points.unbind(1)
    safe = depth.clamp(min=MIN_DEPTH)
    return torch.stack([fx * (x / safe) + cx, fy * (y / safe) + cy], 1), depth


@full_precision
def transform_points(a_T_b: Tensor, points: Tensor) -> Tensor:
    """Map (B, 3, H, W) points from frame b to frame a."""
    moved = a_T_b[:, :3, :3] @ points.flatten(2) + a_T_b[:, :3, 3:]
    return moved.view_as(points)


@full_precision
def warp(
    source: Tensor,
    depth: Tensor,
    target_K: Tensor,
    source_K: Tensor,
    source_T_target: Tensor,
) -> tuple[Tensor, Tensor]:
    """Synthesise what the target camera sees from an image of the source camera.

    Zhou et al., "Unsupervised learning of depth and ego-motion from video" (CVPR 2017), sec. 3.2.

    Args:
        source: (B, C, h, w) image or feature map.
        depth: (B, H, W) of the target camera's pixels; NaN or not positive where unknown.
        target_K, source_K: intrinsics for ``depth``'s and for ``source``'s size.
        source_T_target: maps points of the target's optical frame to the source's.

    Returns:
        (B, C, H, W) bilinear samples of the source, and (B, H, W) bool: the pixel has a depth,
        lies in front of the source camera and inside its image. Elsewhere the samples are
        finite but mean nothing.

    Raises:
        ValueError: if batch sizes differ or the source is a single row or column.
    """
    batches = {t.shape[0] for t in (source, depth, target_K, source_K, source_T_target)}
    if len(batches) > 1:
        raise ValueError(f'all arguments need the same batch size, got {sorted(batches)}')
    height, width = source.shape[-2:]
    if height < 2 or width < 2:
        raise ValueError(f'source is {width}x{height}; bilinear sampling needs at least 2x2')
    known = torch.isfinite(depth) & (depth > 0)
    points = unproject_depth(torch.where(known, depth, 1.0), target_K)
    pixels, source_depth = project_points(transform_points(source_T_target, points), source_K)
    last = pixels.new_tensor([width - 1, height - 1]).view(1, 2, 1, 1)
    inside = (pixels >= -_EDGE_TOLERANCE) & (pixels <= last + _EDGE_TOLERANCE)
    # Border padding keeps far-away coordinates from overflowing the sampler's integers.
    grid = (pixels * (2 / last) - 1).clamp(-2, 2).permute(0, 2, 3, 1)
    warped = functional.grid_sample(
        source.to(grid.dtype), grid, mode='bilinear', padding_mode='border', align_corners=True
    )
    return warped, known & inside.all(1) & (source_depth > MIN_DEPTH)


@full_precision
def normals_from_depth(depth: Tensor, K: Tensor) -> Tensor:
    """Return (B, 3, H, W) unit surface normals, facing the camera, of (B, H, W) depth.

    The cross product of central differences of the unprojected points, one-sided in the
    outermost rows and columns; exact on planes. Across a depth edge it is the normal of the
    surface that would join both sides.
    """
    points = functional.pad(unproject_depth(depth, K), (1, 1, 1, 1), mode='replicate')
    along_u = points[:, :, 1:-1, 2:] - points[:, :, 1:-1, :-2]
    along_v = points[:, :, 2:, 1:-1] - points[:, :, :-2, 1:-1]
    # v before u: with positive depth this product always points towards the camera.
    return functional.normalize(torch.linalg.cross(along_v, along_u, dim=1), dim=1)


def _intrinsics(K: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return fx, fy, cx, cy as (B, 1, 1)."""
    fx, fy, cx, cy = K[:, 0, 0], K[:, 1, 1], K[:, 0, 2], K[:, 1, 2]
    return fx.view(-1, 1, 1), fy.view(-1, 1, 1), cx.view(-1, 1, 1), cy.view(-1, 1, 1)


def _assemble(rotation: Tensor, translation: Tensor) -> Tensor:
    """Build (B, 4, 4) from (B, 3, 3) and (B, 3)."""
    upper = torch.cat([rotation, translation[..., None]], -1)
    last = upper.new_tensor([0, 0, 0, 1]).expand(upper.shape[0], 1, 4)
    return torch.cat([upper, last], 1)
