"""The fit of SDFLabel: rendered coordinates and surface points, first-order descent.

Zakharov et al., "Autolabeling 3D objects with differentiable rendering of SDF shape priors"
(CVPR 2020), section 3.3. The rendered surface is compared with a network's normalised coordinates
in the image, and with the LiDAR's points in space.

What differs: rays are traced where the paper draws surfels; several first poses are tried where
it trusts one; the prior of size and shape and the ground are kept near by ``RenderRefiner.common``
where the paper keeps them by tiny steps; and where no network gives coordinates, the outline
follows the image box instead.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sim_perception.autolabel.fit.render_fit import RenderRefiner, Target
from sim_perception.autolabel.rendering import PosedShapes, Rendering

_WEIGHT_IMAGE, _WEIGHT_SPACE = 0.3, 0.5
"""The weights of the released settings."""
_FARTHEST = 0.4
"""Metres beyond which a point of the surface has no partner in the scan."""
_PENALTY = 1.0
"""Loss of an object that is not in the picture."""
_NEIGHBOURS = 1
"""Pixels of the raster around a rendered one in which its partner is looked for."""


class SdfLabelRefiner(RenderRefiner):
    """Descends the distances of visible surface and scan, and of rendered and seen coordinates."""

    def loss(
        self, state: Tensor, shapes: PosedShapes, seen: Rendering, target: Target, extra: Tensor
    ) -> Tensor:  # fmt: skip
        """Return the (B,) losses; see ``RenderRefiner.loss``."""
        in_space = self.surface_loss(shapes, seen, target)
        if target.coordinates is None:
            in_image = self.box_loss(shapes, target)
        else:
            in_image = coordinates_loss(seen, target.coordinates)
        return _WEIGHT_SPACE * in_space + _WEIGHT_IMAGE * in_image

    def surface_loss(self, shapes: PosedShapes, seen: Rendering, target: Target) -> Tensor:
        """Return (B,) mean distances of visible surface points and the nearest of the scan.

        The points move with the object and with its latent; which are visible is held fixed.
        """
        count = len(shapes.latent)
        hit = seen.hit.reshape(count, -1)
        place = (seen.coordinates * shapes.mean_size).reshape(count, -1, 3).detach()
        place = self.on_surface(place, shapes.latent)
        points = place * (shapes.size / shapes.mean_size)[:, None]
        points = torch.einsum('bij,bnj->bni', shapes.rotation, points)
        points = points + shapes.translation[:, None]
        scan = target.to_camera(target.points).expand(count, -1, -1)
        with torch.no_grad():
            nearest = torch.cdist(points, scan).argmin(-1)
        partner = scan.gather(1, nearest[..., None].expand(-1, -1, 3))
        distance = (points - partner).square().sum(-1).clamp(min=1e-8).sqrt()
        near = (hit & (distance < _FARTHEST)).float()
        mean = (distance * near).sum(1) / near.sum(1).clamp(min=1)
        # Few partners are no good fit.
        lost = 1 - near.sum(1) / hit.sum(1).clamp(min=1)
        return torch.where(hit.any(1), mean + 0.5 * _FARTHEST * lost.detach(), _PENALTY)


def coordinates_loss(seen: Rendering, wanted: Tensor) -> Tensor:
    """Return (B,) mean differences of rendered coordinates and the nearest seen ones around.

    Args:
        seen: B renderings.
        wanted: (H, W, 3) a network's coordinates, NaN where there are none.
    """
    reach = _NEIGHBOURS
    size = 2 * reach + 1
    padded = torch.nn.functional.pad(wanted.permute(2, 0, 1), (reach,) * 4, value=torch.nan)
    around = padded.unfold(1, size, 1).unfold(2, size, 1).flatten(3)  # (3, H, W, size * size)
    around = around.permute(1, 2, 0, 3)
    known = torch.isfinite(around).all(-2)
    offset = seen.coordinates[..., None] - around.nan_to_num()
    squared = offset.square().sum(-2)
    best = torch.where(known, squared, torch.inf).argmin(-1, keepdim=True)
    distance = squared.gather(-1, best)[..., 0].clamp(min=1e-8).sqrt()
    both = (seen.hit & known.any(-1)).float()
    mean = (distance * both).sum((1, 2)) / both.sum((1, 2)).clamp(min=1)
    return torch.where(both.any(2).any(1), mean, _PENALTY)
