"""Shapes as a network: DeepSDF, one decoder of distances for all members of a category.

Park et al., "DeepSDF: Learning continuous signed distance functions for shape representation"
(CVPR 2019). Place and latent go in, the signed distance comes out; the latents of the members are
learnt with the weights (``training.tasks.shape_sdf.task``). Frame and units are those of
``models.shape``: the category's mean box, metres, positive outside.

Three things differ from the paper. Members are stretched to the mean box first, so that the
latent explains form alone. Sine waves of the place go in with it, since a small network finds
edges faster with them (Tancik et al., NeurIPS 2020). And cars are mirrored by construction: the
network sees how far a place is from the middle plane, not on which side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sim_perception.models.shape import ShapeConfig, ShapePca, ShapePrior

_CHUNK = 16_384
_KEPT = 16
_SMOOTH = 0.02
"""Over how far the kink of the distance from the middle plane is rounded, metres."""
_REACH = 3.0
"""Places are divided by this before they go in, metres."""


@dataclass(frozen=True)
class ShapeSdfConfig(ShapeConfig):
    """A shape space by a network. See ``ShapeConfig`` for the rest.

    Attributes:
        hidden: width of the layers.
        layers: between input and output.
        octaves: sine waves of the place, from one per 6 m on, each half as long as the one before.
    """

    hidden: int = 128
    layers: int = 4
    octaves: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.hidden > 0 and self.layers > 1 and self.octaves >= 0):
            raise ValueError(
                'hidden must be positive, layers at least 2 and octaves not negative, got '
                f'{self.hidden}, {self.layers}, {self.octaves}'
            )

    @property
    def reach(self) -> tuple[float, float, float]:
        """Half sides of the region that the network knows, metres: the grid's."""
        x, y, z = (0.5 * (n - 1) * self.spacing for n in self.nodes)
        return x, y, z


class ShapeSdf(ShapePrior):
    """Distances by a network, behind the interface of ``ShapeModel``.

    Attributes:
        center: (K,) mean of the members' codes as the network knows them.
        spread: (K, K) the code of a latent is ``center + spread @ latent``; latents thus have
            mean 0 and deviation 1 over the members.
    """

    center: Tensor
    spread: Tensor

    def __init__(self, config: ShapeSdfConfig | None = None, pretrained: bool = False) -> None:
        config = config or ShapeSdfConfig()
        super().__init__(config)
        self.config: ShapeSdfConfig = config
        k, width = config.components, config.hidden
        self.register_buffer('center', torch.zeros(k))
        self.register_buffer('spread', torch.eye(k))
        self.place = nn.Linear(3 + 6 * config.octaves, width)
        self.code = nn.Linear(k, width, bias=False)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(config.layers - 1))
        # Half way, the place goes in again: DeepSDF, figure 4.
        self.again = nn.Linear(3 + 6 * config.octaves, width, bias=False)
        self.out = nn.Linear(width, 1)
        self._tangents: dict[tuple[float, ...], ShapePca] = {}

    def decode(self, points: Tensor, codes: Tensor) -> Tensor:
        """Return (B, N) distances within the region that the network knows.

        Args:
            points: (B, N, 3) in the normalised frame.
            codes: (B, K) or (B, N, K), as the network knows them; not latents.
        """
        seen = self._encoded(points)
        by_code = self.code(codes)
        flow = self.place(seen) + (by_code[:, None] if by_code.ndim == 2 else by_code)
        flow = nn.functional.silu(flow)
        for number, layer in enumerate(self.hidden):
            flow = layer(flow)
            if number == len(self.hidden) // 2:
                flow = flow + self.again(seen)
            flow = nn.functional.silu(flow)
        return cast(Tensor, self.out(flow)[..., 0])

    def _encoded(self, points: Tensor) -> Tensor:
        x, y, z = points.unbind(-1)
        y = (y.square() + _SMOOTH**2).sqrt() - _SMOOTH
        place = torch.stack([x, y, z], -1) / _REACH
        waves = [place]
        for octave in range(self.config.octaves):
            angle = (math.pi * 2**octave) * place
            waves += [angle.sin(), angle.cos()]
        return torch.cat(waves, -1)

    def codes(self, latent: Tensor) -> Tensor:
        """Return the (..., K) codes of latents."""
        return self.center + latent @ self.spread.T

    def distance(self, points: Tensor, latent: Tensor) -> Tensor:
        """Return the (B, N) distances of ``sdf`` alone; latents may be (B, N, K), too.

        Beyond the region that the network knows, the distance to it is added.
        """
        reach = points.new_tensor(self.config.reach)
        inside = torch.maximum(torch.minimum(points, reach), -reach)
        outside = (points - inside).square().sum(-1)
        beyond = outside > 1e-8
        away = torch.where(beyond, outside, 1.0).sqrt()
        value = self.decode(inside, self.codes(latent))
        return value + torch.where(beyond, away, 0.0)

    def sdf(self, points: Tensor, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Return signed distance and gradient; see ``ShapeModel.sdf``."""
        wanted = torch.is_grad_enabled()
        with torch.enable_grad():
            probe = points if points.requires_grad else points.detach().requires_grad_()
            value = self.distance(probe, latent)
            (slope,) = torch.autograd.grad(value.sum(), probe, create_graph=wanted)
        return (value, slope) if wanted else (value.detach(), slope)

    def jacobian(
        self, points: npt.NDArray[np.floating], latent: npt.NDArray[np.floating]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return distances of one member and their derivatives by its latent.

        Args:
            points: (N, 3).
            latent: (K,).

        Returns:
            (N,) and (N, K).
        """
        values, slopes = [], []
        places = torch.as_tensor(np.asarray(points, np.float32))
        member = torch.as_tensor(np.asarray(latent, np.float32))
        for some in places.split(_CHUNK):
            # One latent per place: then one backward pass gives all derivatives.
            own = member.expand(1, len(some), -1).clone().requires_grad_()
            with torch.enable_grad():
                value = self.distance(some[None], own)
                (slope,) = torch.autograd.grad(value.sum(), own)
            values.append(value.detach()[0])
            slopes.append(slope[0])
        return torch.cat(values).numpy(), torch.cat(slopes).numpy()

    def linear_grid(self, latent: Tensor | None = None) -> npt.NDArray[np.float32]:
        """Return the (X, Y, Z, 1 + K) grid of the tangent at a latent; see ``ShapeModel``."""
        config = self.config
        at = np.zeros(config.components) if latent is None else latent.detach().cpu().numpy()
        values, slopes = self.jacobian(config.node_positions().reshape(-1, 3), at)
        values = values - slopes @ at.astype(np.float32)
        grid = np.concatenate([values[:, None], slopes], 1)
        return np.ascontiguousarray(grid.reshape(*config.nodes, -1))

    def tangent(self, latent: npt.NDArray[np.floating] | None = None) -> ShapePca:
        """Return the linear space of grids that touches this one at a latent, kept for next time.

        It samples a grid where this runs a network, a hundred times as fast, and is right near
        that latent: second-order fits and ray tracing go there. Prior and members are the same.
        """
        config = self.config
        at = np.zeros(config.components) if latent is None else np.asarray(latent, np.float64)
        key = tuple(round(float(v), 6) for v in at)
        if key not in self._tangents:
            plain = ShapeConfig(**{f.name: getattr(config, f.name) for f in fields(ShapeConfig)})
            grid = self.linear_grid(torch.as_tensor(at))
            near = ShapePca.from_arrays(
                plain,
                np.moveaxis(grid, -1, 0),
                self.prior_mean.numpy(),
                self.prior_covariance(),
                self.seeds.numpy(),
            )
            while len(self._tangents) >= _KEPT:
                self._tangents.pop(next(iter(self._tangents)))
            self._tangents[key] = near
        return self._tangents[key]

    def forget(self) -> None:
        """Drop the kept tangents; call it after the weights have changed."""
        self._tangents.clear()
