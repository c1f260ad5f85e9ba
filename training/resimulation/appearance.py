"""Paint and light of labelled objects, by shading their surfaces and comparing with images.

A surface point of albedo ``a`` and normal ``n`` sends ``a (m + (1 - m) max(0, n s))`` to the
camera, as ``rendering.shade`` draws it: ``m`` is the share of light from everywhere and ``s`` the
direction to the sun. All objects of a scene share the light; that several painted bodies are seen
from several sides is what tells albedo and light apart. For given light the albedos are linear
least squares in closed form, so that gradient descent searches the light alone (variable
projection, Golub and Pereyra, 1973).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

F64 = npt.NDArray[np.float64]

_STARTS = 6
_STEPS = 60
_RATE = 0.08
_ROUGH = 0.15
"""Relative error at which a pixel begins to count as an outlier: a shadow, a mirror image."""
_PRIOR = 0.02


@dataclass(frozen=True)
class SurfacePixels:
    """Pixels that show paint.

    Attributes:
        normals: (N, 3) unit, outward, in a frame whose z axis is up and that all objects share.
        color: (N, 3) linear light, any exposure.
        object: (N,) which of the objects each shows.
    """

    normals: F64
    color: F64
    object: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        count = len(self.object)
        if self.normals.shape != (count, 3) or self.color.shape != (count, 3):
            raise ValueError(
                f'{count} pixels need ({count}, 3) normals and colours, got '
                f'{self.normals.shape} and {self.color.shape}'
            )
        if not (np.isfinite(self.normals).all() and np.isfinite(self.color).all()):
            raise ValueError('normals and colours must be finite')


@dataclass(frozen=True)
class Appearance:
    """What paints and light explain the pixels best.

    Attributes:
        albedo: (M, 3) of the objects, in the exposure of the pixels; NaN of those without any.
        sun: (3,) unit direction towards the light.
        ambient: share of the light that comes from everywhere.
        error: root of the mean squared relative error, outliers counted less.
    """

    albedo: F64
    sun: F64
    ambient: float
    error: float


def fit_appearance(pixels: SurfacePixels, objects: int) -> Appearance:
    """Return the paints of objects and their light.

    Args:
        pixels: of the objects.
        objects: how many there are.

    Raises:
        ValueError: without pixels, or if one belongs to no object.
    """
    if not len(pixels.object):
        raise ValueError('appearance needs pixels that show the objects')
    if pixels.object.min() < 0 or pixels.object.max() >= objects:
        raise ValueError(f'pixels must belong to objects 0 to {objects - 1}')
    normals = torch.from_numpy(pixels.normals)
    # The scale of an object's light must not decide how much it counts.
    scale = torch.from_numpy(_levels(pixels, objects))
    color = torch.from_numpy(pixels.color) / scale[pixels.object]
    owner = torch.from_numpy(pixels.object)
    best: tuple[float, Tensor, Tensor] | None = None
    for k in range(_STARTS):
        angle = 2 * np.pi * k / _STARTS
        light = torch.tensor([np.cos(angle), np.sin(angle), 1.0, 0.0], dtype=torch.float64)
        light.requires_grad_()
        optimizer = torch.optim.Adam([light], lr=_RATE)
        for _ in range(_STEPS):
            optimizer.zero_grad()
            loss, _ = _loss(light, normals, color, owner, objects)
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            loss, albedo = _loss(light, normals, color, owner, objects)
        if best is None or float(loss) < best[0]:
            best = float(loss), light.detach().clone(), albedo
    assert best is not None
    loss_value, light, albedo = best
    sun = torch.nn.functional.normalize(light[:3], dim=0).numpy()
    paint = (albedo * scale).numpy()
    paint[np.bincount(pixels.object, minlength=objects) == 0] = np.nan
    return Appearance(paint, sun, float(torch.sigmoid(light[3])), float(np.sqrt(loss_value)))


def lit(light: Tensor, normals: Tensor) -> Tensor:
    """Return (N,) shares of full light on surfaces.

    Args:
        light: (4,) direction to the sun, any length, and the logit of the ambient share.
        normals: (N, 3) unit.
    """
    sun = torch.nn.functional.normalize(light[:3], dim=0)
    ambient = torch.sigmoid(light[3])
    return ambient + (1 - ambient) * (normals @ sun).clamp(min=0)


def _loss(
    light: Tensor, normals: Tensor, color: Tensor, owner: Tensor, objects: int
) -> tuple[Tensor, Tensor]:
    """Return the robust mean squared error under the best albedos, and these."""
    share = lit(light, normals)
    weight = torch.ones_like(share)
    albedo = color.new_zeros(objects, 3)
    for _ in range(3):
        above = color.new_zeros(objects, 3).index_add(0, owner, (weight * share)[:, None] * color)
        below = color.new_zeros(objects).index_add(0, owner, weight * share.square())
        albedo = above / below.clamp(min=1e-9)[:, None]
        error = (share[:, None] * albedo[owner] - color).square().mean(1)
        # Cauchy's weights, themselves held fixed.
        weight = (1 / (1 + error / _ROUGH**2)).detach()
    robust = (_ROUGH**2 * torch.log1p(error / _ROUGH**2)).mean()
    # Where all surfaces look one way, light and paint cannot be told apart: a plain sky.
    direction = torch.nn.functional.normalize(light[:3], dim=0)
    prior = _PRIOR * ((direction[2] - 0.7).square() + 0.1 * light[3].square())
    return robust + prior, albedo


def _levels(pixels: SurfacePixels, objects: int) -> F64:
    """Return (M, 1) median brightness of the objects' pixels."""
    levels = np.ones((objects, 1))
    grey = pixels.color.mean(1)
    for k in np.unique(pixels.object):
        levels[k] = max(float(np.median(grey[pixels.object == k])), 1e-6)
    return levels
