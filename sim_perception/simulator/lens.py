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
from sim_perception.simulator.raster import Grid
from sim_perception.simulator.scene import F64, I32
from sim_perception.types import Camera

#: How much finer than the image the drawn grid is when there is distortion.
_OVERSAMPLING = 2
_LARGEST_SIDE = 16384


@dataclass(frozen=True)
class Lens:
    """The sample grid of a camera and its link to the pixels.

    Attributes:
        camera: the camera, of ``rays``' size.
        grid: the pinhole samples to draw.
        rays: (H * W, 2) float64 slopes of every pixel's viewing ray.
        lookup: (H * W,) int32 the sample of each pixel, None when they are the same.
    """

    camera: Camera
    grid: Grid
    rays: F64
    lookup: I32 | None

    def take(self, samples: npt.NDArray) -> npt.NDArray:
        """Return (H * W,) values of the pixels from (h, w) values of the drawn samples."""
        flat = samples.reshape(-1)
        return flat if self.lookup is None else flat[self.lookup]

    def weights(self) -> I32:
        """Return (h, w) int32 how many pixels show each sample."""
        if self.lookup is None:
            return np.ones((self.grid.height, self.grid.width), np.int32)
        size = self.grid.height * self.grid.width
        counts = np.bincount(self.lookup, minlength=size).astype(np.int32)
        return counts.reshape(self.grid.height, self.grid.width)

    def project(self, slopes: F64) -> F64:
        """Return (n, 2) pixels of (n, 2) ray slopes, distorted.

        Slopes far outside the image, where the distortion's polynomial turns around, are
        projected without distortion.
        """
        camera = self.camera
        pixels = slopes * [camera.fx, camera.fy] + [camera.cx, camera.cy]
        if camera.distortion:
            low, high = self.rays.min(0), self.rays.max(0)
            margin = (high - low) / 4
            near = ((slopes > low - margin) & (slopes < high + margin)).all(1)
            points = np.concatenate([slopes[near], np.ones((near.sum(), 1))], 1)
            pixels[near] = project(camera, points)[0]
        return pixels


def finer(camera: Camera, factor: int) -> Camera:
    """Return the camera with ``factor`` samples per pixel and axis; sample 0 is pixel 0."""
    return replace(
        camera,
        width=camera.width * factor,
        height=camera.height * factor,
        fx=camera.fx * factor,
        fy=camera.fy * factor,
        cx=camera.cx * factor,
        cy=camera.cy * factor,
    )


def make_lens(camera: Camera) -> Lens:
    """Prepare the sample grid of a camera.

    Raises:
        ValueError: if the distortion cannot be undone over the whole image.
    """
    rays = np.ascontiguousarray(pixel_rays(camera)[..., :2].reshape(-1, 2))
    if not camera.distortion:
        grid = Grid(camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy)
        return Lens(camera, grid, rays, None)
    if not np.isfinite(rays).all():
        raise ValueError(f'distortion {camera.distortion} cannot be undone; use smaller values')
    fx, fy = camera.fx * _OVERSAMPLING, camera.fy * _OVERSAMPLING
    low, high = rays.min(0), rays.max(0)
    cx, cy = 1.0 - low[0] * fx, 1.0 - low[1] * fy
    width = math.ceil((high[0] - low[0]) * fx) + 3
    height = math.ceil((high[1] - low[1]) * fy) + 3
    if max(width, height) > _LARGEST_SIDE:
        raise ValueError(
            f'distortion {camera.distortion} spreads the image over {width}x{height} samples; '
            'use smaller values or a smaller image'
        )
    column = np.rint(rays[:, 0] * fx + cx).astype(np.int32)
    row = np.rint(rays[:, 1] * fy + cy).astype(np.int32)
    lookup = (row * width + column).astype(np.int32)
    return Lens(camera, Grid(width, height, fx, fy, cx, cy), rays, lookup)
