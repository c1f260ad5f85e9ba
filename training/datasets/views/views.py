"""Random views: scale, aspect, crop and mirror drawn once, applied to any images alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from sim_perception.geometry.cameras import crop_camera, resize_camera
from sim_perception.types import Camera
from training.engine.config import Section

Array = npt.NDArray[np.floating]
Pixels = TypeVar('Pixels', bound=np.generic)

_MIRROR_X = np.diag([-1.0, 1.0, 1.0, 1.0])


class GeometryConfig(Section):
    """Random scale, aspect, crop and mirror."""

    width: int = Field(default=416, gt=0)
    height: int = Field(default=192, gt=0)
    """Size of the crop, pixels."""
    focal: tuple[float, float] = (230.0, 800.0)
    """Focal length after scaling is drawn log-uniformly from this range, pixels..."""
    scale: tuple[float, float] = (0.5, 1.6)
    """...and the scale it takes is clamped to this range (and to what fills the crop)."""
    aspect: float = Field(default=1.08, ge=1)
    """Greatest stretch of one axis against the other."""
    mirror: float = Field(default=0.5, ge=0, le=1)
    """Probability of a left-right mirror image."""


@dataclass(frozen=True)
class View:
    """A crop of a resized image, perhaps mirrored.

    Attributes:
        source: width and height of the image.
        full: width and height that it is resized to.
        corner: column and row of the crop's first pixel in the resized image.
        size: width and height of the crop.
        mirror: whether the crop is mirrored left to right.
    """

    source: tuple[int, int]
    full: tuple[int, int]
    corner: tuple[int, int]
    size: tuple[int, int]
    mirror: bool = False

    @property
    def matrix(self) -> Array:
        """The 3x3 affine map of homogeneous source pixels to pixels of the view.

        The view's intrinsics are ``matrix @ K``, for a mirrored one
        ``matrix @ K @ diag(-1, 1, 1)``: so unknown intrinsics can be learnt across views.
        """
        sx, sy = (full / source for full, source in zip(self.full, self.source, strict=True))
        x, y = self.corner
        found = np.array(
            [[sx, 0.0, 0.5 * sx - 0.5 - x], [0.0, sy, 0.5 * sy - 0.5 - y], [0.0, 0.0, 1.0]]
        )
        if self.mirror:
            found = np.array([[-1.0, 0, self.size[0] - 1], [0, 1, 0], [0, 0, 1]]) @ found
        return found

    def camera(self, camera: Camera) -> Camera:
        """Return the view's own camera."""
        found = crop_camera(resize_camera(camera, *self.full), *self.corner, *self.size)
        return replace(found, cx=found.width - 1 - found.cx) if self.mirror else found

    def transform(self, a_T_b: Array) -> Array:
        """Return a 4x4 transform between optical frames of which both are viewed like this.

        In a mirror the x axes of both frames turn round: ``D @ a_T_b @ D`` with
        ``D = diag(-1, 1, 1, 1)``. The right camera of a stereo pair then stands on the left.
        """
        return _MIRROR_X @ a_T_b @ _MIRROR_X if self.mirror else a_T_b

    def smooth(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return the view of an image, interpolated, without aliasing."""
        return self._cut(image, blend=True)

    def nearest(self, layer: npt.NDArray[Pixels]) -> npt.NDArray[Pixels]:
        """Return the view of depth or labels: a mean of two surfaces would lie on neither."""
        return self._cut(layer, blend=False)

    def _cut(self, image: npt.NDArray[Pixels], blend: bool) -> npt.NDArray[Pixels]:
        """Cut the crop out of the resized image without resizing what lies outside it."""
        if image.shape[1::-1] != self.source:
            raise ValueError(
                f'the view is of {self.source[0]}x{self.source[1]} images, not '
                f'{image.shape[1]}x{image.shape[0]}'
            )
        (width, height), (x, y) = self.source, self.corner
        sx, sy = width / self.full[0], height / self.full[1]
        # rows of the source that the crop needs, with a margin for the interpolation
        x0, y0 = max(0, int(x * sx) - 2), max(0, int(y * sy) - 2)
        x1 = min(width, int((x + self.size[0]) * sx) + 3)
        y1 = min(height, int((y + self.size[1]) * sy) + 3)
        # maps crop pixels to source pixels, centres on integers
        matrix = np.array(
            [[sx, 0.0, (x + 0.5) * sx - 0.5 - x0], [0.0, sy, (y + 0.5) * sy - 0.5 - y0]]
        )
        part = np.ascontiguousarray(image[y0:y1, x0:x1])
        if blend and (sx > 1.2 or sy > 1.2):
            # shrinking: smooth first, or fine texture turns into noise
            sigma = (max(0.01, 0.4 * (sx - 0.5)), max(0.01, 0.4 * (sy - 0.5)))
            part = cv2.GaussianBlur(part, (0, 0), sigma[0], sigmaY=sigma[1])
        how = cv2.INTER_LINEAR if blend else cv2.INTER_NEAREST
        found = cv2.warpAffine(
            part,
            matrix,
            self.size,
            flags=how | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.ascontiguousarray(found[:, ::-1] if self.mirror else found)


def draw_view(
    source: tuple[int, int], focal: float, config: GeometryConfig, rng: np.random.Generator
) -> View:
    """Draw a view of images of one size.

    Args:
        source: width and height of the images.
        focal: their focal length in pixels.
        config: what to draw from.
        rng: source of all randomness.
    """
    width, height = source
    wanted = np.exp(rng.uniform(*np.log(config.focal)))
    scale = float(np.clip(wanted / focal, *config.scale))
    stretch = np.exp(rng.uniform(-1, 1) * np.log(config.aspect))
    scale_x = max(scale * np.sqrt(stretch), config.width / width)
    scale_y = max(scale / np.sqrt(stretch), config.height / height)
    # where filling the crop forced one axis, the other follows as far as the aspect asks
    scale_x = max(scale_x, scale_y / config.aspect)
    scale_y = max(scale_y, scale_x / config.aspect)
    full_width = max(config.width, round(width * scale_x))
    full_height = max(config.height, round(height * scale_y))
    x = int(rng.integers(0, full_width - config.width + 1))
    y = int(rng.integers(0, full_height - config.height + 1))
    mirror = bool(rng.random() < config.mirror)
    return View(source, (full_width, full_height), (x, y), (config.width, config.height), mirror)
