"""The fit of MonoDR: an object is re-rendered with its texture and compared with one image.

Beker et al., "Monocular differentiable rendering for self-supervised 3D object detection" (ECCV
2020). No LiDAR is used: outline and mask, image box, a network's depth and the image itself are
compared. Texture is a coarse field of colours on the object, the same on both sides, and is
fitted along; several first rotations are tried and the least loss wins.

The LiDAR's points in the evidence are not looked at. What differs from the paper: the shape space
is one of signed distances where it has meshes, and depth is compared where it is rendered, on a
logarithmic scale.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sim_perception.autolabel.config import LabelConfig
from sim_perception.autolabel.fit.kernels import Evidence
from sim_perception.autolabel.fit.posed_shape import View
from sim_perception.autolabel.fit.refine import ShapeFit
from sim_perception.autolabel.fit.render_fit import (
    F64,
    Descent,
    RenderRefiner,
    Target,
)
from sim_perception.autolabel.rendering import PosedShapes, Rendering
from sim_perception.models.shape import ShapePca
from sim_perception.models.shape_sdf import ShapeSdf

_TEXTURE = (4, 4, 8)
"""Cells of the texture along height, half the width, and length."""
_MASK, _BOX, _DEPTH, _COLOUR = 1.0, 2.0, 1.0, 0.5


class PhotometricRefiner(RenderRefiner):
    """Descends the differences of a textured rendering and the image."""

    def __init__(
        self,
        model: ShapePca | ShapeSdf,
        config: LabelConfig,
        descent: Descent | None = None,
    ) -> None:
        super().__init__(model, config, descent or Descent(rates=(0.03, 0.015, 0.005, 0.02)))

    def refine(self, first: F64, evidence: Evidence, view: View) -> ShapeFit:
        """Return the best state; see ``RenderRefiner.refine``.

        Raises:
            ValueError: without an image and a mask.
        """
        if self.picture.image is None or self.picture.mask is None:
            raise ValueError(
                "the refinement 'photometric' compares images: give it a picture with image and "
                "mask, or choose 'fit' or 'sdflabel'"
            )
        return super().refine(first, evidence, view)

    def extra(self, count: int, target: Target) -> Tensor:
        """Return (count, 3, ...) textures of the object's mean colour."""
        assert target.image is not None
        assert target.mask is not None
        weight = target.mask[..., None] + 1e-3
        mean = (target.image * weight).sum((0, 1)) / weight.sum()
        return mean[None, :, None, None, None].repeat(count, 1, *_TEXTURE)

    def loss(
        self, state: Tensor, shapes: PosedShapes, seen: Rendering, target: Target, extra: Tensor
    ) -> Tensor:  # fmt: skip
        """Return the (B,) losses; see ``RenderRefiner.loss``."""
        assert target.image is not None
        assert target.mask is not None
        loss = _MASK * mask_loss(seen.silhouette, target.mask)
        loss = loss + _BOX * self.box_loss(shapes, target)
        if target.depth is not None:
            loss = loss + _DEPTH * depth_loss(seen, target.depth, target.mask)
        return loss + _COLOUR * colour_loss(seen, extra, target.image, target.mask)


def mask_loss(silhouette: Tensor, mask: Tensor) -> Tensor:
    """Return (B,) one minus the soft overlap of (B, H, W) silhouettes and a (H, W) mask."""
    shared = (silhouette * mask).sum((1, 2))
    either = (silhouette + mask - silhouette * mask).sum((1, 2))
    return 1 - shared / either.clamp(min=1e-6)


def depth_loss(seen: Rendering, depth: Tensor, mask: Tensor) -> Tensor:
    """Return (B,) mean differences of log depths where both are known and the mask is."""
    known = seen.hit & torch.isfinite(depth) & (depth > 0) & (mask > 0.5)
    wanted = torch.where(torch.isfinite(depth) & (depth > 0), depth, 1.0).log()
    found = torch.where(seen.hit, seen.depth, 1.0).clamp(min=0.1).log()
    share = known.float()
    error = ((found - wanted).abs() * share).sum((1, 2)) / share.sum((1, 2)).clamp(min=1)
    return torch.where(known.any(2).any(1), error, 1.0)


def colour_loss(seen: Rendering, texture: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """Return (B,) mean differences of textured renderings and a (H, W, 3) image in the mask.

    Args:
        seen: B renderings.
        texture: (B, 3, D, H, W) colours along height, distance from the middle plane, and length.
        image, mask: what was seen.
    """
    both = (seen.hit & (mask > 0.5)).float()
    painted = paint(seen, texture)
    error = (painted - image).abs().mean(-1)
    return (error * both).sum((1, 2)) / both.sum((1, 2)).clamp(min=1)


def paint(seen: Rendering, texture: Tensor) -> Tensor:
    """Return (B, H, W, 3) renderings with textures, which hold the light as well."""
    x, y, z = seen.coordinates.unbind(-1)
    # grid_sample wants the last axis of the field first, from -1 to 1.
    place = torch.stack([2 * x, 4 * y.abs() - 1, 2 * z], -1)[:, None]
    colour = torch.nn.functional.grid_sample(
        texture, place, align_corners=True, padding_mode='border'
    )
    return colour[:, :, 0].permute(0, 2, 3, 1)
