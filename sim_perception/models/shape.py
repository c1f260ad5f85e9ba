"""Shapes of a category as signed distances: what every car can look like, in a few numbers.

Shapes live in the *normalised frame*: x forward, y left, z up, origin at the centre of the
object's box, every shape stretched to the mean box of its category. Distances are metres of that
frame, positive outside. An object of size ``s`` at pose ``parent_T_box`` maps a point ``p`` of its
box frame to ``p * mean_size / s``; a distance of the normalised frame is thus that of the world up
to the stretch, 5 to 15 % for most cars. Stretching first is what lets a linear space describe
shapes of all sizes: it has to explain the form alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

SIZE = 3
"""How many numbers of a prior's vector are the logarithm of length, width, height."""
MAX_COMPONENTS = 16


@dataclass(frozen=True)
class ShapeConfig:
    """What a shape space is about.

    Attributes:
        category: name of the class, for example ``car``.
        mean_size: length, width, height of the mean box, metres.
        components: numbers in a latent.
        spacing: of the grid's nodes, metres of the normalised frame.
        margin: least reach of the grid beyond the box, metres.
        seeds: typical members of the category to start a fit from.
        mirror_scale, mirror_offset: width over the wing mirrors = scale * width + offset metres;
            shapes and sizes are without mirrors, as most data sets' boxes are. 1 and 0: none.
        mirror_place: height of the mirrors, share of the height, and how far they stand ahead of
            the centre, share of the length.
    """

    category: str = 'car'
    mean_size: tuple[float, float, float] = (4.5, 1.8, 1.6)
    components: int = 5
    spacing: float = 0.1
    margin: float = 0.5
    seeds: int = 6
    mirror_scale: float = 1.0
    mirror_offset: float = 0.0
    mirror_place: tuple[float, float] = (0.65, 0.15)

    def __post_init__(self) -> None:
        if len(self.mean_size) != SIZE or not all(s > 0 for s in self.mean_size):
            raise ValueError(f'mean_size must be three positive lengths, got {self.mean_size}')
        if not 0 < self.components <= MAX_COMPONENTS:
            raise ValueError(f'components must be 1 to {MAX_COMPONENTS}, got {self.components}')
        if not (self.spacing > 0 and self.margin >= self.spacing and self.seeds > 0):
            raise ValueError(
                'spacing and seeds must be positive and margin at least the spacing, got '
                f'{self.spacing}, {self.seeds}, {self.margin}'
            )

    @property
    def nodes(self) -> tuple[int, int, int]:
        """Nodes of the grid along x, y and z; odd, so that one plane lies at y = 0."""
        x, y, z = (2 * math.ceil((s / 2 + self.margin) / self.spacing) + 1 for s in self.mean_size)
        return x, y, z

    def node_positions(self) -> npt.NDArray[np.float64]:
        """Return the (X, Y, Z, 3) places of the grid's nodes."""
        axes = [(np.arange(n) - n // 2) * self.spacing for n in self.nodes]
        return np.stack(np.meshgrid(*axes, indexing='ij'), -1)


class Surface(NamedTuple):
    """A triangle mesh.

    Attributes:
        vertices: (V, 3) float32 metres.
        faces: (F, 3) int32, counter-clockwise seen from outside.
    """

    vertices: npt.NDArray[np.float32]
    faces: npt.NDArray[np.int32]


class ShapeModel(Protocol):
    """What labelling asks of a shape space, whatever it is made of.

    Attributes:
        prior_mean: (3 + K,) of log length, width, height and latent.
        seeds: (S, 3 + K) typical members.
    """

    prior_mean: Tensor
    seeds: Tensor

    @property
    def config(self) -> ShapeConfig:
        """Return what the space is about."""

    def prior_covariance(self) -> npt.NDArray[np.float64]:
        """Return the (3 + K, 3 + K) covariance of log size and latent."""

    def sdf(self, points: Tensor, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Return signed distance and its gradient.

        Args:
            points: (B, N, 3) in the normalised frame.
            latent: (B, K).

        Returns:
            (B, N) metres of the normalised frame, positive outside, differentiable by latent and
            points; and (B, N, 3) the gradient by points.
        """

    def distance(self, points: Tensor, latent: Tensor) -> Tensor:
        """Return the distances of ``sdf`` alone."""

    def jacobian(
        self, points: npt.NDArray[np.floating], latent: npt.NDArray[np.floating]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return (N,) distances of (N, 3) points, and (N, K) derivatives by a (K,) latent."""

    def linear_grid(self, latent: Tensor | None = None) -> npt.NDArray[np.float32]:
        """Return distances and their derivatives by latent at the grid's nodes.

        Args:
            latent: (K,) where to linearise; None for the mean shape.

        Returns:
            (X, Y, Z, 1 + K): the distance at latent 0 by linear continuation, then the
            derivative by each number. ``grid @ [1, latent]`` is the distance.
        """


class ShapePrior(nn.Module):
    """What is known of a category before an object is seen: a Gaussian, and typical members.

    The latent's numbers have mean 0 and deviation 1 over the shapes learnt from.

    Attributes:
        prior_mean: (3 + K,) of log length, width, height and latent.
        prior_factor: (3 + K, 3 + K) lower triangular, factor @ factor.T is the covariance.
        seeds: (S, 3 + K) typical members.
    """

    config: ShapeConfig
    prior_mean: Tensor
    prior_factor: Tensor
    seeds: Tensor

    def __init__(self, config: ShapeConfig) -> None:
        super().__init__()
        self.config = config
        size = SIZE + config.components
        mean = torch.zeros(size)
        mean[:SIZE] = torch.tensor(config.mean_size).log()
        self.register_buffer('prior_mean', mean)
        self.register_buffer('prior_factor', torch.eye(size))
        self.register_buffer('seeds', mean.repeat(config.seeds, 1))

    def set_prior(
        self,
        mean: npt.NDArray[np.floating],
        covariance: npt.NDArray[np.floating],
        seeds: npt.NDArray[np.floating],
    ) -> None:
        """Set the Gaussian's (3 + K,) mean and square covariance, and the (S, 3 + K) members.

        Raises:
            ValueError: for arrays of other shapes, or a covariance that is none.
        """
        try:
            factor = np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError as error:
            raise ValueError(f'the prior covariance is not positive definite: {error}') from error
        self.fill({'prior_mean': mean, 'prior_factor': factor, 'seeds': seeds})

    def fill(self, values: dict[str, npt.NDArray[np.floating]]) -> None:
        """Copy arrays into buffers by name.

        Raises:
            ValueError: for arrays of other shapes.
        """
        for name, value in values.items():
            buffer = getattr(self, name)
            if buffer.shape != value.shape:
                raise ValueError(f'{name} must be {tuple(buffer.shape)}, got {value.shape}')
            buffer.copy_(torch.as_tensor(value))

    def prior_covariance(self) -> npt.NDArray[np.float64]:
        """Return the (3 + K, 3 + K) covariance of log size and latent."""
        factor = self.prior_factor.detach().cpu().numpy().astype(np.float64)
        return np.asarray(factor @ factor.T)


class ShapePca(ShapePrior):
    """A linear space of distance grids, with a joint Gaussian of log size and latent.

    Attributes:
        grid: (1 + K, X, Y, Z) mean distances and components at ``config.node_positions()``.
    """

    grid: Tensor

    def __init__(self, config: ShapeConfig | None = None, pretrained: bool = False) -> None:
        """Make an empty space; the tensors are filled by ``from_arrays`` or a checkpoint."""
        config = config or ShapeConfig()
        super().__init__(config)
        self.register_buffer('grid', torch.zeros(1 + config.components, *config.nodes))

    @classmethod
    def from_arrays(
        cls,
        config: ShapeConfig,
        grid: npt.NDArray[np.floating],
        prior_mean: npt.NDArray[np.floating],
        prior_covariance: npt.NDArray[np.floating],
        seeds: npt.NDArray[np.floating],
    ) -> ShapePca:
        """Return a filled space; see the class for the arrays.

        Raises:
            ValueError: for arrays of other shapes, or a covariance that is none.
        """
        model = cls(config)
        model.set_prior(prior_mean, prior_covariance, seeds)
        model.fill({'grid': grid})
        return model

    def sdf(self, points: Tensor, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Return signed distance and gradient; see ``ShapeModel.sdf``.

        Trilinear between nodes; beyond the grid the distance to it is added. The gradient is the
        exact derivative of what is returned, except on the cells' borders, where there is none.
        """
        coefficients = torch.cat([torch.ones_like(latent[:, :1]), latent], 1)
        spacing = self.config.spacing
        last = torch.tensor(self.config.nodes, device=points.device) - 1
        position = points / spacing + last / 2
        inside = torch.minimum(position.clamp(min=0), last - 1e-3)
        index = inside.detach().floor().long()
        fraction = inside - index
        value, slope = self._interpolate(index, fraction, coefficients)
        outside = (position - inside) * spacing
        beyond = outside.square().sum(-1).clamp(min=1e-24).sqrt()
        away = beyond > 1e-2 * spacing
        gradient = torch.where(outside == 0, slope / spacing, 0.0)
        direction = outside / beyond.clamp(min=1e-9)[..., None]
        gradient = torch.where(away[..., None], gradient + direction, gradient)
        return value + torch.where(away, beyond, 0.0), gradient

    def distance(self, points: Tensor, latent: Tensor) -> Tensor:
        """Return the distances of ``sdf`` alone."""
        return self.sdf(points, latent)[0]

    def volumes(self, latent: Tensor) -> Tensor:
        """Return the (B, X, Y, Z) distances of (B, K) latents at the grid's nodes."""
        coefficients = torch.cat([torch.ones_like(latent[:, :1]), latent], 1)
        return torch.einsum('kxyz,bk->bxyz', self.grid, coefficients)

    def sample(self, volumes: Tensor, points: Tensor) -> Tensor:
        """Return the (B, N) distances of ``sdf`` from ``volumes``: faster for many points.

        Args:
            volumes: (B, X, Y, Z).
            points: (B, N, 3) in the normalised frame.
        """
        half = 0.5 * (points.new_tensor(self.config.nodes) - 1) * self.config.spacing
        share = points / half
        outside = ((share - share.clamp(-1, 1)) * half).norm(dim=-1)
        value = nn.functional.grid_sample(
            volumes[:, None], share.flip(-1)[:, :, None, None], align_corners=True,
            padding_mode='border',
        )  # fmt: skip
        return value[:, 0, :, 0, 0] + outside

    def _interpolate(
        self, index: Tensor, fraction: Tensor, coefficients: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return (B, N) values and (B, N, 3) slopes per cell from the eight corners."""
        x, y, z = index.unbind(-1)
        weights = torch.stack([1 - fraction, fraction])  # (2, B, N, 3)
        value: Tensor | float = 0.0
        slopes: list[Tensor | float] = [0.0, 0.0, 0.0]
        for corner in range(8):
            bits = (corner >> 2, corner >> 1 & 1, corner & 1)
            nodes = self.grid[:, x + bits[0], y + bits[1], z + bits[2]]
            distance = torch.einsum('kbn,bk->bn', nodes, coefficients)
            wx, wy, wz = (weights[bit][..., axis] for axis, bit in enumerate(bits))
            sx, sy, sz = (2 * bit - 1 for bit in bits)
            value = value + wx * wy * wz * distance
            slopes[0] = slopes[0] + sx * wy * wz * distance
            slopes[1] = slopes[1] + sy * wx * wz * distance
            slopes[2] = slopes[2] + sz * wx * wy * distance
        return cast(Tensor, value), torch.stack(cast(list[Tensor], slopes), -1)

    def jacobian(
        self, points: npt.NDArray[np.floating], latent: npt.NDArray[np.floating]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return distances and their derivatives by latent; see ``ShapeModel.jacobian``."""
        count = self.config.components
        places = torch.as_tensor(np.asarray(points, np.float32)).expand(1 + count, -1, -1)
        members = torch.cat([torch.zeros(1, count), torch.eye(count)])
        with torch.no_grad():
            values = self.sdf(places, members)[0].numpy()
        slopes = np.ascontiguousarray((values[1:] - values[0]).T)
        return values[0] + slopes @ np.asarray(latent, np.float32), slopes

    def linear_grid(self, latent: Tensor | None = None) -> npt.NDArray[np.float32]:
        """Return the (X, Y, Z, 1 + K) grid; the same for every latent, as the space is linear."""
        grid = self.grid.permute(1, 2, 3, 0).contiguous()
        return grid.detach().cpu().numpy().astype(np.float32)


def decode_mesh(
    model: ShapeModel,
    latent: npt.NDArray[np.floating],
    size: tuple[float, float, float] | None = None,
    spacing: float | None = None,
) -> Surface:
    """Return the surface of a shape, stretched to a size.

    Args:
        model: the shape space.
        latent: (K,).
        size: length, width, height in metres; None for the mean box.
        spacing: of the marching cubes, metres; None for the grid's own.

    Raises:
        ImportError: if scikit-image is not installed.
        ValueError: if the latent has no surface, as one far from all shapes.
    """
    try:
        from skimage.measure import marching_cubes
    except ImportError as error:
        raise ImportError(
            'meshes need scikit-image; install it with: pip install scikit-image'
        ) from error
    config = model.config
    mean = np.array(config.mean_size)
    step = spacing or config.spacing
    half = np.ceil((mean / 2 + 0.6 * config.margin) / step)
    axes = [np.arange(-n, n + 1) * step for n in half]
    points = np.stack(np.meshgrid(*axes, indexing='ij'), -1)
    with torch.no_grad():
        z = torch.as_tensor(np.asarray(latent, np.float32))[None]
        flat = torch.as_tensor(points.reshape(1, -1, 3).astype(np.float32))
        values = model.distance(flat, z)[0].numpy().reshape(points.shape[:3])
    if values.min() >= 0 or values.max() <= 0:
        raise ValueError(f'latent {np.asarray(latent).tolist()} has no surface')
    vertices, faces, _, _ = marching_cubes(values, 0.0, spacing=(step,) * 3)
    stretch = np.asarray(size or mean) / mean
    vertices = (vertices - half * step) * stretch
    return Surface(vertices.astype(np.float32), faces.astype(np.int32))
