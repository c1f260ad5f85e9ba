"""View synthesis of clips: the target frame out of its neighbours, through depth and motion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sim_perception.geometry.warping import pose_matrix, pose_vector, warp
from training.engine.task import Batch
from training.losses import (
    edge_aware_smoothness,
    minimum_reprojection,
    photometric_error,
    velocity_loss,
)


@dataclass(frozen=True)
class ClipViews:
    """The images of a batch of clips, cut and scaled alike.

    Attributes:
        target: (N, 3, H, W) RGB in 0..1.
        sources: the neighbours in time, likewise.
        matrix: (N, 3, 3) intrinsics of all of them.
        true_poses: per source (N, 4, 4) ``source_T_target``, NaN where unknown.
        distance: (N, S) metres between target and source, NaN where unknown.
        right: the right image of stereo pairs, or None if no clip of the batch has one.
        right_T_target: (N, 4, 4), NaN where there is no right image.
    """

    target: Tensor
    sources: tuple[Tensor, ...]
    matrix: Tensor
    true_poses: tuple[Tensor, ...]
    distance: Tensor
    right: Tensor | None
    right_T_target: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.target.shape[-2:]
        return height, width

    @classmethod
    def of(cls, batch: Batch, stride: int = 1) -> ClipViews:
        """Take the views out of a batch, smaller by the factor ``stride``.

        Args:
            stride: a divisor of height and width.
            batch: ``frames`` (N, 1 + S, H, W, 3) uint8, the target first; ``right`` (N, H, W, 3);
                ``K`` (N, 3, 3); ``source_T_target`` (N, S, 4, 4); ``distance`` (N, S);
                ``right_T_target`` (N, 4, 4).
        """
        target, *sources = (_unit(frame, stride) for frame in batch['frames'].unbind(1))
        known = torch.isfinite(batch['right_T_target']).flatten(1).all(1)
        return cls(
            target=target,
            sources=tuple(sources),
            matrix=scaled_matrix(batch['K'], stride),
            true_poses=batch['source_T_target'].unbind(1),
            distance=batch['distance'],
            right=_unit(batch['right'], stride) if bool(known.any()) else None,
            right_T_target=batch['right_T_target'],
        )


def _unit(image: Tensor, stride: int) -> Tensor:
    """Return (N, H, W, 3) bytes as (N, 3, H / stride, W / stride) in 0..1, area-averaged."""
    image = image.permute(0, 3, 1, 2).float() / 255
    return functional.avg_pool2d(image, stride) if stride > 1 else image


def scaled_matrix(matrix: Tensor, stride: int) -> Tensor:
    """Return the (N, 3, 3) intrinsics of images smaller by a factor; see ``resize_camera``."""
    scaled = matrix.clone()
    scaled[:, :2] /= stride
    scaled[:, :2, 2] += 0.5 / stride - 0.5
    return scaled


def synthesis_loss(
    views: ClipViews,
    depth: Tensor,
    poses: Sequence[Tensor],
    ssim: float,
    stereo: bool = False,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return how badly the sources, warped through depth and poses, show the target.

    Per pixel the best source counts, so that what one source does not see costs nothing; pixels
    that no motion explains better (standing scenes, objects as fast as the camera) are left out.

    Args:
        views: the clips.
        depth: (N, H, W) metres of the target; pixels without a finite depth do not count.
        poses: per source (N, 4, 4); clips without a finite pose do not count.
        ssim: see ``minimum_reprojection``.
        stereo: take the right image as one more source.

    Returns:
        The loss, and ``mask`` (N, H, W) of the pixels that counted and ``warped``, the first
        source as the target's camera would see it.
    """
    finite = torch.isfinite(depth) & (depth > 0)
    depth = torch.where(finite, depth, 1.0)
    images, transforms = list(views.sources), list(poses)
    if stereo and views.right is not None:
        images.append(views.right)
        transforms.append(views.right_T_target)
    warped, valid = [], []
    for image, pose in zip(images, transforms, strict=True):
        known = torch.isfinite(pose).flatten(1).all(1)
        identity = torch.eye(4, dtype=pose.dtype, device=pose.device).expand_as(pose)
        pose = torch.where(known[:, None, None], pose, identity)
        seen, inside = warp(image, depth, views.matrix, views.matrix, pose)
        warped.append(seen)
        valid.append(inside & finite & known[:, None, None])
    loss, mask = minimum_reprojection(views.target, images, warped, valid, ssim)
    return loss, {'mask': mask, 'warped': warped[0]}


def real_terms(
    views: ClipViews, depth: Tensor, vectors: Sequence[Tensor], ssim: float
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the self-supervised terms of real clips, and outputs to draw.

    Args:
        views: the clips.
        depth: (N, H, W) predicted metres.
        vectors: per source the predicted (N, 6) ``source_T_target``.
        ssim: see ``minimum_reprojection``.

    Returns:
        ``photometric``, ``smoothness`` and ``velocity``; ``log_depth``, ``mask``, ``warped``.
    """
    poses = [pose_matrix(vector) for vector in vectors]
    photometric, outputs = synthesis_loss(views, depth, poses, ssim, stereo=True)
    velocity = torch.stack(
        [
            velocity_loss(vector[:, :3], views.distance[:, number])
            for number, vector in enumerate(vectors)
        ]
    ).mean()
    terms = {
        'photometric': photometric,
        'smoothness': edge_aware_smoothness(1 / depth, views.target),
        'velocity': velocity,
    }
    return terms, {**outputs, 'log_depth': depth.log()}


def hint_loss(views: ClipViews, depth: Tensor, hint: Tensor, ssim: float) -> Tensor:
    """Return the mean absolute log ratio of depth to hints that explain the right image better.

    View synthesis has many local minima; a proposal from classical matching leads out of them,
    and where it is wrong it is not followed (Watson et al., "Self-supervised monocular depth
    hints", ICCV 2019, eq. 3).

    Args:
        views: the clips; ``right`` may be None.
        depth: (N, H, W) predicted metres.
        hint: (N, H, W) proposed metres, NaN where there is none.
        ssim: see ``photometric_error``.
    """
    usable = torch.isfinite(hint) & (hint > 0)
    if views.right is None or not bool(usable.any()):
        return depth.sum() * 0.0
    proposed = torch.where(usable, hint, 1.0)
    with torch.no_grad():
        errors, seen_by_both = [], usable
        for candidate in (depth, proposed):
            pose = torch.nan_to_num(views.right_T_target)
            seen, inside = warp(views.right, candidate, views.matrix, views.matrix, pose)
            errors.append(photometric_error(seen, views.target, ssim))
            seen_by_both = seen_by_both & inside
        better = seen_by_both & (errors[1] < errors[0])
    ratio = torch.where(better, depth.log() - proposed.log(), 0.0).abs()
    return ratio.sum() / usable.sum().clamp(min=1)


def pose_error(
    vectors: Sequence[Tensor], poses: Sequence[Tensor], rotation: float = 10.0
) -> Tensor:
    """Return the mean absolute error of predicted motions.

    Args:
        vectors: per source (N, 6), metres and radians.
        poses: per source the true (N, 4, 4); those that are not finite do not count.
        rotation: a radian counts as much as so many metres: about the distance of what is seen.
    """
    errors = []
    for vector, pose in zip(vectors, poses, strict=True):
        known = torch.isfinite(pose).flatten(1).all(1)
        if bool(known.any()):
            difference = (vector[known] - pose_vector(pose[known])).abs()
            errors.append(difference[:, :3].sum(1) + rotation * difference[:, 3:].sum(1))
    if not errors:
        return vectors[0].sum() * 0.0
    return torch.cat(errors).mean()
