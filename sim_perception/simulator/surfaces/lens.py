# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""From the ideal pinhole grid that is drawn to the camera's pixels, distorted or not.

Without distortion, pixels and samples coincide. With it, a finer and larger pinhole grid is
drawn; each pixel takes the face of its nearest sample and meets that face with its own exact
ray, so that every layer refers to the same surface point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.cameras import pixel_rays, project
from sim_perception.kernels import inlined
from sim_perception.simulator.common.scene import F64, I32
from sim_perception.simulator.surfaces.frustum import Grid
from sim_perception.types import Camera

#: How much finer than the image the drawn grid is when there is distortion.
_OVERSAMPLING = 2
_LARGEST_SIDE = 16384


@dataclass(frozen=True)
class Lens:
    """The sample grid of a camera and its link to the pixels.

    Pixel (x, y) is sub-sample (factor x, factor y); the others lie between pixels.

    Attributes:
        camera: the camera.
        factor: sub-samples per pixel and axis.
        grid: the pinhole samples to draw.
        rays: (H * W, 2) float64 slopes of every pixel's viewing ray.
        sub_rays: (factor^2 * H * W, 2) the same for every sub-sample.
        lookup: (factor^2 * H * W,) int32 the sample of each sub-sample, None when equal.
    """

    camera: Camera
    factor: int
    grid: Grid
    rays: F64
    sub_rays: F64
    lookup: I32 | None

    def take(self, samples: npt.NDArray) -> npt.NDArray:
        """Return (factor H, factor W) values of the sub-samples from the drawn samples."""
        if self.lookup is None:
            return samples
        shape = (self.camera.height * self.factor, self.camera.width * self.factor)
        return samples.reshape(-1)[self.lookup].reshape(shape)

    @property
    def step(self) -> int:
        """Every how many drawn samples per axis there can be a pixel."""
        return self.factor if self.lookup is None else 1

    def weights(self) -> I32:
        """Return (h / step, w / step) int32 how many pixels show each such sample."""
        height, width = self.camera.height, self.camera.width
        if self.lookup is None:
            return np.ones((height, width), np.int32)
        shape = (height * self.factor, width * self.factor)
        pixels = self.lookup.reshape(shape)[:: self.factor, :: self.factor].ravel()
        counts = np.bincount(pixels, minlength=self.grid.height * self.grid.width)
        return counts.astype(np.int32).reshape(self.grid.height, self.grid.width)

    def parameters(self) -> F64:
        """Return the 13 numbers that ``distort`` needs."""
        camera = self.camera
        parameters = np.zeros(13)
        parameters[:4] = camera.fx, camera.fy, camera.cx, camera.cy
        if camera.distortion:
            parameters[4 : 4 + len(camera.distortion)] = camera.distortion
            low, high = self.rays.min(0), self.rays.max(0)
            margin = (high - low) / 4
            parameters[9:11], parameters[11:13] = low - margin, high + margin
        return parameters


@inlined
def distort(x, y, lens):
    """Return the pixel of ray slopes x, y (Brown-Conrady).

    Slopes far outside the image, where the polynomial turns around, are not distorted.
    """
    if lens[9] < x < lens[11] and lens[10] < y < lens[12]:
        k1, k2, p1, p2, k3 = lens[4], lens[5], lens[6], lens[7], lens[8]
        r2 = x * x + y * y
        radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
        dx = x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x)
        dy = y * radial + p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y
        x, y = dx, dy
    return lens[0] * x + lens[2], lens[1] * y + lens[3]


def _grid(camera: Camera) -> Grid:
    return Grid(camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy)


def _finer(camera: Camera, factor: int) -> Camera:
    """Return the camera of the sub-samples."""
    return replace(
        camera,
        width=camera.width * factor,
        height=camera.height * factor,
        fx=camera.fx * factor,
        fy=camera.fy * factor,
        cx=camera.cx * factor,
        cy=camera.cy * factor,
    )


def _undone(camera: Camera, rays: F64) -> bool:
    """Return whether the rays project back to their pixels."""
    points = np.concatenate([rays, np.ones((len(rays), 1))], 1)
    pixels = project(camera, points)[0].reshape(camera.height, camera.width, 2)
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    return bool((np.abs(pixels - np.stack([u, v], -1)) < 0.01).all())


def make_lens(camera: Camera, factor: int = 1) -> Lens:
    """Prepare the sample grid of a camera with ``factor`` sub-samples per pixel and axis.

    Raises:
        ValueError: if the distortion cannot be undone over the whole image.
    """
    fine = _finer(camera, factor)
    sub_rays = np.asarray(pixel_rays(fine)[..., :2], np.float64)
    rays = np.ascontiguousarray(sub_rays[::factor, ::factor].reshape(-1, 2))
    sub_rays = np.ascontiguousarray(sub_rays.reshape(-1, 2))
    if not camera.distortion:
        return Lens(camera, factor, _grid(fine), rays, sub_rays, None)
    if not _undone(fine, sub_rays):
        raise ValueError(
            f'distortion {camera.distortion} cannot be undone over the whole image: its '
            'polynomial turns around; use smaller values or a longer focal length'
        )
    fx, fy = camera.fx * _OVERSAMPLING, camera.fy * _OVERSAMPLING
    low, high = sub_rays.min(0), sub_rays.max(0)
    cx, cy = 1.0 - low[0] * fx, 1.0 - low[1] * fy
    width = math.ceil((high[0] - low[0]) * fx) + 3
    height = math.ceil((high[1] - low[1]) * fy) + 3
    if max(width, height) > _LARGEST_SIDE:
        raise ValueError(
            f'distortion {camera.distortion} spreads the image over {width}x{height} samples; '
            'use smaller values or a smaller image'
        )
    column = np.rint(sub_rays[:, 0] * fx + cx).astype(np.int32)
    row = np.rint(sub_rays[:, 1] * fy + cy).astype(np.int32)
    lookup = (row * width + column).astype(np.int32)
    return Lens(camera, factor, Grid(width, height, fx, fy, cx, cy), rays, sub_rays, lookup)
