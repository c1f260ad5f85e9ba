"""Differentiable rendering of signed-distance shapes, many objects at a time.

Rays are traced without derivatives; those are put back at the points found. The depth of a hit is
where the distance vanishes, so its derivative follows from the implicit function theorem, which
one Newton step with a fixed slope writes as code. The silhouette is soft: it depends on the least
distance along the ray, whose derivative is that of the distance at a fixed place on the ray.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sim_perception.types import Camera

Distance = Callable[[Tensor, Tensor], Tensor]
"""(B, N, 3) points of the normalised frame and (B, K) latents to (B, N) distances, metres of that
frame, positive outside; see ``models.shape`` for the frame. It must be differentiable."""

_GOLDEN = 0.6180339887498949
_STEEPEST = 0.1
"""Least slope of the distance along a ray, per unit of path: bounds derivatives at the rim."""


@dataclass(frozen=True)
class PosedShapes:
    """B objects before a camera.

    Attributes:
        rotation: (B, 3, 3) from the box frame (x forward, y left, z up) to the optical frame.
        translation: (B, 3) box centres in the optical frame, metres.
        size: (B, 3) length, width, height, metres.
        latent: (B, K).
        mean_size: (3,) box of the normalised frame.
    """

    rotation: Tensor
    translation: Tensor
    size: Tensor
    latent: Tensor
    mean_size: Tensor

    def __post_init__(self) -> None:
        count = len(self.rotation)
        shapes = {
            'rotation': (count, 3, 3),
            'translation': (count, 3),
            'size': (count, 3),
            'latent': (count, self.latent.shape[-1]),
            'mean_size': (3,),
        }
        for name, shape in shapes.items():
            if tuple(getattr(self, name).shape) != shape:
                found = tuple(getattr(self, name).shape)
                raise ValueError(f'{name} must be {shape}, got {found}')


@dataclass(frozen=True)
class RenderSettings:
    """How rays are traced.

    Attributes:
        steps: of sphere tracing.
        samples: places on a ray among which the least distance is looked for.
        refinements: of that place; each shortens its interval by .62.
        tolerance: distance that counts as a hit, metres of the normalised frame.
        stride: share of the distance that is stepped; below 1 for distances that are steeper
            than 1, as interpolated ones are.
        margin: how far around the box rays are traced, metres of the normalised frame.
        softness: half width of the silhouette's rim, pixels of the rendering.
        normals: whether normals are wanted; without them they are 0, and a rendering is faster.
    """

    steps: int = 40
    samples: int = 24
    refinements: int = 8
    tolerance: float = 2e-3
    stride: float = 0.95
    margin: float = 0.4
    softness: float = 0.5
    normals: bool = True


@dataclass(frozen=True)
class Rendering:
    """What a camera sees of each object alone.

    Attributes:
        hit: (B, H, W) whether the ray meets the surface.
        silhouette: (B, H, W) in [0, 1], .5 on the outline.
        depth: (B, H, W) metres along the optical axis; 0 without a hit.
        normals: (B, H, W, 3) unit, outward, optical frame; 0 without a hit.
        coordinates: (B, H, W, 3) place on the object in shares of its box, -.5 to .5;
            0 without a hit.
    """

    hit: Tensor
    silhouette: Tensor
    depth: Tensor
    normals: Tensor
    coordinates: Tensor


def crop_pixels(boxes: Tensor, width: int, height: int) -> Tensor:
    """Return the (B, height, width, 2) image places that rasters over image boxes look at.

    Args:
        boxes: (B, 4) x1 y1 x2 y2, pixels; the raster's cells tile them.
        width, height: of the rasters.
    """
    across = (torch.arange(width, dtype=boxes.dtype, device=boxes.device) + 0.5) / width
    down = (torch.arange(height, dtype=boxes.dtype, device=boxes.device) + 0.5) / height
    u = boxes[:, 0, None] + (boxes[:, 2] - boxes[:, 0])[:, None] * across
    v = boxes[:, 1, None] + (boxes[:, 3] - boxes[:, 1])[:, None] * down
    shape = (len(boxes), height, width)
    return torch.stack([u[:, None].expand(shape), v[:, :, None].expand(shape)], -1)


def render(
    distance: Distance,
    shapes: PosedShapes,
    camera: Camera,
    pixels: Tensor,
    settings: RenderSettings = RenderSettings(),
) -> Rendering:
    """Render objects, differentiably by pose, size and latent.

    Args:
        distance: the shape space; ``lambda p, z: model.sdf(p, z)[0]`` for a ``ShapeModel``.
        shapes: the objects.
        camera: an ideal pinhole.
        pixels: (B, H, W, 2) where to look, in pixels of the camera; see ``crop_pixels``.
        settings: how to trace.

    Raises:
        ValueError: for a distorted camera or pixels of another shape.
    """
    if not camera.is_ideal:
        raise ValueError('rendering needs an undistorted camera; rectify the image first')
    count = len(shapes.rotation)
    if pixels.ndim != 4 or pixels.shape[0] != count or pixels.shape[3] != 2:
        raise ValueError(f'pixels must be ({count}, H, W, 2), got {tuple(pixels.shape)}')
    raster = pixels.shape[1:3]
    centre = pixels.new_tensor([camera.cx, camera.cy])
    focal = pixels.new_tensor([camera.fx, camera.fy])
    flat = (pixels.reshape(count, -1, 2) - centre) / focal
    rays = torch.cat([flat, torch.ones_like(flat[..., :1])], -1)

    stretch = shapes.mean_size / shapes.size
    origin = stretch * torch.einsum('bji,bj->bi', shapes.rotation, -shapes.translation)
    direction = stretch[:, None] * torch.einsum('bji,bnj->bni', shapes.rotation, rays)

    def along(depth: Tensor) -> Tensor:
        return distance(origin[:, None] + depth[..., None] * direction, shapes.latent)

    with torch.no_grad():
        near, far = _interval(origin, direction, shapes.mean_size, settings.margin)
        first, hit = _trace(along, near, far, direction.norm(dim=-1), settings)
        closest = _closest(along, near, far, settings)

    depth, place = _hits(distance, shapes, origin, direction, first)
    normals = torch.zeros_like(place)
    if settings.normals:
        normals = _outward(distance, shapes, place, stretch)
    spacing = _pixel_spacing(pixels) / focal.mean()
    scale = shapes.size.prod(-1).pow(1 / 3) / shapes.mean_size.prod().pow(1 / 3)
    # The tangent of the angle between ray and surface.
    apart = along(closest) * (scale / shapes.translation[:, 2].clamp(min=0.1))[:, None]
    silhouette = torch.sigmoid(-2 * apart / (settings.softness * spacing[:, None]))
    coordinates = place / shapes.mean_size
    return Rendering(
        hit=hit.reshape(count, *raster),
        silhouette=silhouette.reshape(count, *raster),
        depth=torch.where(hit, depth, 0.0).reshape(count, *raster),
        normals=torch.where(hit[..., None], normals, 0.0).reshape(count, *raster, 3),
        coordinates=torch.where(hit[..., None], coordinates, 0.0).reshape(count, *raster, 3),
    )


def _interval(
    origin: Tensor, direction: Tensor, mean_size: Tensor, margin: float
) -> tuple[Tensor, Tensor]:
    """Return (B, N) depths between which rays are in the sphere around the grown box.

    Rays that miss it get a short interval about their nearest place.
    """
    radius = (0.5 * mean_size + margin).norm()
    speed = direction.norm(dim=-1)
    middle = -(origin[:, None] * direction).sum(-1) / speed.square()
    off = (origin[:, None] + middle[..., None] * direction).square().sum(-1)
    half = (radius**2 - off).clamp(min=1e-2).sqrt() / speed
    near = (middle - half).clamp(min=0.05)
    return near, torch.maximum(middle + half, near + 1e-3)


def _trace(
    along: Callable[[Tensor], Tensor],
    near: Tensor,
    far: Tensor,
    speed: Tensor,
    settings: RenderSettings,
) -> tuple[Tensor, Tensor]:
    """Return the depth of the first hit by sphere tracing, and whether there is one."""
    depth = near.clone()
    value = along(depth)
    for _ in range(settings.steps):
        depth = torch.minimum(depth + settings.stride * value / speed, far)
        value = along(depth)
    # From inside the object, or beyond a thin wall, the way back is not the first hit.
    hit = (value.abs() < settings.tolerance) & (depth < far) & (depth > near)
    return depth, hit


def _closest(
    along: Callable[[Tensor], Tensor], near: Tensor, far: Tensor, settings: RenderSettings
) -> Tensor:
    """Return the depth of the least distance along each ray: sampled, then by golden section."""
    best, lowest = near, along(near)
    for k in range(1, settings.samples + 1):
        depth = near + (far - near) * (k / settings.samples)
        value = along(depth)
        best = torch.where(value < lowest, depth, best)
        lowest = torch.minimum(value, lowest)
    step = (far - near) / settings.samples
    low, high = (best - step).clamp(min=0.05), best + step
    for _ in range(settings.refinements):
        a, b = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        left = along(a) < along(b)
        low, high = torch.where(left, low, a), torch.where(left, b, high)
    return 0.5 * (low + high)


def _hits(
    distance: Distance, shapes: PosedShapes, origin: Tensor, direction: Tensor, first: Tensor
) -> tuple[Tensor, Tensor]:
    """Return depth (B, N) and place in the normalised frame, with derivatives."""
    start = origin[:, None] + first[..., None] * direction
    _, slope = _value_and_slope(distance, start.detach(), shapes.latent.detach())
    pace = (slope * direction.detach()).sum(-1)
    least = _STEEPEST * direction.detach().norm(dim=-1)
    depth = first - distance(start, shapes.latent) / torch.minimum(pace, -least)
    return depth, origin[:, None] + depth[..., None] * direction


def _outward(distance: Distance, shapes: PosedShapes, place: Tensor, stretch: Tensor) -> Tensor:
    """Return (B, N, 3) unit normals in the optical frame at places of the normalised frame."""
    _, slope = _value_and_slope(distance, place, shapes.latent)
    outward = torch.einsum('bij,bnj->bni', shapes.rotation, slope * stretch[:, None])
    return torch.nn.functional.normalize(outward, dim=-1, eps=1e-9)


def _value_and_slope(distance: Distance, place: Tensor, latent: Tensor) -> tuple[Tensor, Tensor]:
    """Return distances and their slope by place, itself differentiable where that is wanted."""
    wanted = torch.is_grad_enabled() and (place.requires_grad or latent.requires_grad)
    with torch.enable_grad():
        probe = place if place.requires_grad else place.detach().requires_grad_()
        value = distance(probe, latent)
        (slope,) = torch.autograd.grad(value.sum(), probe, create_graph=wanted)
    return (value, slope) if wanted else (value.detach(), slope.detach())


def _pixel_spacing(pixels: Tensor) -> Tensor:
    """Return (B,) mean distance of neighbours in a raster, pixels of the camera."""
    steps = []
    if pixels.shape[2] > 1:
        steps.append((pixels[:, 0, -1, 0] - pixels[:, 0, 0, 0]).abs() / (pixels.shape[2] - 1))
    if pixels.shape[1] > 1:
        steps.append((pixels[:, -1, 0, 1] - pixels[:, 0, 0, 1]).abs() / (pixels.shape[1] - 1))
    return torch.stack(steps).mean(0) if steps else pixels.new_ones(len(pixels))


def shade(
    rendering: Rendering,
    color: Tensor,
    light: Tensor,
    ambient: float = 0.4,
    background: Tensor | None = None,
) -> Tensor:
    """Return (B, H, W, 3) images of painted objects: Lambert's law plus ambient light.

    Differentiable by colour, light and all that the rendering depends on; what the monocular
    mode compares with the image.

    Args:
        rendering: of the objects.
        color: (B, 3) paint in [0, 1].
        light: (3,) or (B, 3) direction to the light in the optical frame, any length.
        ambient: share of the light that comes from everywhere.
        background: (B, H, W, 3) seen beside the object; black if None.

    Raises:
        ValueError: for an ambient share outside [0, 1].
    """
    if not 0 <= ambient <= 1:
        raise ValueError(f'ambient must be in [0, 1], got {ambient}')
    towards = torch.nn.functional.normalize(light, dim=-1)
    if towards.ndim == 1:
        towards = towards.expand(len(color), 3)
    cosine = torch.einsum('bhwc,bc->bhw', rendering.normals, towards).clamp(min=0)
    lit = color[:, None, None] * (ambient + (1 - ambient) * cosine)[..., None]
    share = (rendering.silhouette * rendering.hit)[..., None]
    return share * lit + (1 - share) * (0.0 if background is None else background)
