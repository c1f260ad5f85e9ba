"""Analysis by synthesis: a car's pose, size, shape and paint by the image difference alone.

A guess is rendered and shaded; the difference from the photograph, blurred at first and ever
sharper, is followed downhill through the renderer. Nothing else is known: no LiDAR, no mask, no
detector's heading. Several random guesses start; the worse ones are left on the way.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional

from sim_perception.autolabel.rendering import (
    PosedShapes,
    Rendering,
    RenderSettings,
    crop_pixels,
    render,
)
from sim_perception.models.shape import SIZE, ShapePca
from sim_perception.simulator.catalogue import Slot
from sim_perception.types import Camera
from training.resimulation.bodies import template_faces

Array = npt.NDArray[np.floating]

SETTINGS = RenderSettings(steps=24, samples=12, refinements=4)
_CELLS = (25, 13, 13)
#: Linear colours of what is not paint.
_FIXED = {
    Slot.GLASS: (0.05, 0.06, 0.07), Slot.TYRE: (0.02, 0.02, 0.02), Slot.RIM: (0.35, 0.35, 0.36),
    Slot.HEADLIGHT: (0.6, 0.6, 0.6), Slot.TAILLIGHT: (0.4, 0.01, 0.01),
    Slot.PLATE_0: (0.7, 0.7, 0.65),
}  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """One part of the descent.

    Attributes:
        width: of the rendering, pixels.
        blur: deviation of the blur of both images, pixels of the rendering.
        steps: of Adam.
        kept: guesses that are begun with, the best so far.
        rate: of Adam.
    """

    width: int
    blur: float
    steps: int
    kept: int
    rate: float


STAGES = (
    Stage(20, 2.0, 30, 16, 0.08),
    Stage(28, 1.2, 40, 5, 0.05),
    Stage(44, 0.7, 40, 2, 0.025),
)


@dataclass
class Target:
    """What is to be explained.

    Attributes:
        image: (H, W, 3) linear light in [0, 1], the part in ``box``.
        box: x1 y1 x2 y2 of that part in the camera's image, pixels.
        camera: an ideal pinhole.
        camera_T_level: (4, 4), maps a level frame (z up) to the optical frame.
    """

    image: npt.NDArray[np.float32]
    box: tuple[float, float, float, float]
    camera: Camera
    camera_T_level: Array


@dataclass
class Descent:
    """The course of the best guess.

    Attributes:
        guesses: (13 + K,) parameters after each step; see ``Synthesis``.
        errors: image difference at each step, of blurs that change by stage.
    """

    guesses: list[Tensor] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)


class Synthesis:
    """Renders guesses and compares them with the target.

    A guess is ``place u v, log depth | yaw | log size (3) | latent (K) | logit of paint (3) |
    sun (3), logit of the ambient share``; u and v are the box centre's place in the target's box,
    -1 to 1.

    Args:
        model: the shape space.
        target: the photograph.
    """

    def __init__(self, model: ShapePca, target: Target) -> None:
        self.model, self.target = model, target
        self.latent = model.config.components
        self._texture = _material_grid(model)
        self._prior = torch.linalg.inv(torch.as_tensor(model.prior_covariance())).float()
        self._mean = model.prior_mean.float()
        image = torch.from_numpy(target.image).permute(2, 0, 1)[None]
        self._image, self._background = image, _background(image)

    def random(self, count: int, seed: int) -> Tensor:
        """Return (count, P) guesses: any heading, and anything that a car may be."""
        rng = np.random.default_rng(seed)
        left, _, right, _ = self.target.box
        # A car as wide as half of the picture, whatever its heading.
        depth = self.target.camera.fx * 3.0 / max(0.6 * (right - left), 1.0)
        turns = np.pi * (2 * np.arange(count)[:, None] / count - 1)
        rows = [
            rng.uniform(-0.3, 0.3, (count, 2)),
            np.log(depth) + rng.uniform(-0.5, 0.5, (count, 1)),
            turns + rng.uniform(-0.2, 0.2, (count, 1)),
            self._mean[:SIZE].numpy() + rng.normal(0, 0.08, (count, SIZE)),
            rng.normal(0, 0.7, (count, self.latent)),
            rng.normal(0, 1.0, (count, 3)),
            rng.normal([0.0, 0.0, 1.0], 0.5, (count, 3)),
            rng.normal(0, 0.3, (count, 1)),
        ]  # fmt: skip
        return torch.from_numpy(np.concatenate(rows, 1)).float()

    def shapes(self, guess: Tensor) -> PosedShapes:
        """Return the posed objects of (B, P) guesses."""
        camera = self.target.camera
        x1, y1, x2, y2 = self.target.box
        depth = guess[:, 2].exp()
        u = (x1 + x2) / 2 + guess[:, 0] * (x2 - x1) / 2
        v = (y1 + y2) / 2 + guess[:, 1] * (y2 - y1) / 2
        place = torch.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy,
                             torch.ones_like(u)], 1) * depth[:, None]  # fmt: skip
        c, s, zero = guess[:, 3].cos(), guess[:, 3].sin(), torch.zeros_like(depth)
        level = torch.stack([c, -s, zero, s, c, zero, zero, zero, zero + 1], 1).view(-1, 3, 3)
        turn = torch.as_tensor(self.target.camera_T_level[:3, :3]).float()
        return PosedShapes(
            rotation=turn @ level,
            translation=place,
            size=guess[:, 4:7].exp(),
            latent=guess[:, 7 : 7 + self.latent],
            mean_size=torch.tensor(self.model.config.mean_size),
        )

    def draw(self, guess: Tensor, width: int) -> Tensor:
        """Return (B, 3, H, W) pictures of guesses, linear light."""
        x1, y1, x2, y2 = self.target.box
        height = max(4, round(width * (y2 - y1) / (x2 - x1)))
        boxes = torch.tensor([self.target.box]).expand(len(guess), 4)
        pixels = crop_pixels(boxes, width, height)
        seen = render(lambda p, z: self.model.sdf(p, z)[0], self.shapes(guess),
                      self.target.camera, pixels, SETTINGS)  # fmt: skip
        behind = functional.interpolate(self._background, (height, width), mode='area')
        color = self._paint(seen, guess) * self._light(seen, guess)[:, None]
        share = (seen.silhouette * seen.hit)[:, None]
        return share * color + (1 - share) * behind

    def error(self, guess: Tensor, stage: Stage) -> Tensor:
        """Return (B,) differences between guesses' pictures and the target, with a weak prior."""
        made = self.draw(guess, stage.width)
        wanted = functional.interpolate(self._image, made.shape[2:], mode='area')
        off = blurred(made, stage.blur) - blurred(wanted, stage.blur)
        difference = (off.square() + 1e-4).sqrt().mean((1, 2, 3))
        stray = guess[:, 4 : 7 + self.latent] - self._mean
        prior = torch.einsum('bi,ij,bj->b', stray, self._prior, stray)
        return difference + 4e-4 * prior

    def _paint(self, seen: Rendering, guess: Tensor) -> Tensor:
        """Return (B, 3, H, W) albedo: paint, or what is at that place on cars."""
        at = 2 * seen.coordinates[..., [2, 1, 0]].clamp(-0.5, 0.5)
        count, height, width = at.shape[:3]
        grid = self._texture[None].expand(count, -1, -1, -1, -1)
        value = functional.grid_sample(grid, at[:, None], align_corners=True, mode='bilinear')
        value = value.view(count, 4, height, width)
        paint = torch.sigmoid(guess[:, 7 + self.latent : 10 + self.latent])[:, :, None, None]
        return value[:, :3] + value[:, 3:] * paint

    def _light(self, seen: Rendering, guess: Tensor) -> Tensor:
        """Return (B, H, W) light on the surfaces; its scale is that of the paint."""
        k = 10 + self.latent
        sun = functional.normalize(guess[:, k : k + 3], dim=1)
        turn = torch.as_tensor(self.target.camera_T_level[:3, :3]).float()
        cosine = torch.einsum('bhwc,bc->bhw', seen.normals, sun @ turn.T).clamp(min=0)
        ambient = torch.sigmoid(guess[:, k + 3])[:, None, None]
        return ambient + (1 - ambient) * cosine


def descend(synthesis: Synthesis, seed: int = 0, stages: tuple[Stage, ...] = STAGES) -> Descent:
    """Return the course of the guess that ends best.

    Args:
        synthesis: renders and compares.
        seed: of the random guesses.
        stages: coarse first.
    """
    guess = synthesis.random(stages[0].kept, seed)
    courses = [Descent([g.clone()], []) for g in guess]
    for stage in stages:
        with torch.no_grad():
            order = synthesis.error(guess, stage).argsort()[: stage.kept].tolist()
        courses = [courses[k] for k in order]
        guess = guess[order].clone().requires_grad_()
        optimizer = torch.optim.Adam([guess], lr=stage.rate)
        for step in range(stage.steps):
            for group in optimizer.param_groups:
                group['lr'] = stage.rate * (1 - 0.7 * step / stage.steps)
            optimizer.zero_grad()
            errors = synthesis.error(guess, stage)
            errors.sum().backward()
            # A sliver of an outline can have any slope.
            slope = guess.grad
            assert slope is not None
            guess.grad = slope / slope.norm(dim=1, keepdim=True).clamp(min=1.0)
            optimizer.step()
            for course, row, error in zip(courses, guess.detach(), errors.tolist(), strict=True):
                course.guesses.append(row.clone())
                course.errors.append(error)
        guess = guess.detach()
    with torch.no_grad():
        return courses[int(synthesis.error(guess, stages[-1]).argmin())]


def blurred(images: Tensor, deviation: float) -> Tensor:
    """Return (B, C, H, W) images blurred by a Gaussian; borders repeat."""
    reach = max(1, round(2.5 * deviation))
    steps = torch.arange(-reach, reach + 1, dtype=images.dtype)
    weights = torch.exp(-0.5 * (steps / deviation) ** 2)
    weights = weights / weights.sum()
    channels = images.shape[1]
    padded = functional.pad(images, (reach,) * 4, mode='replicate')
    across = weights.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
    down = weights.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    return functional.conv2d(functional.conv2d(padded, across, groups=channels), down,
                             groups=channels)  # fmt: skip


def _background(image: Tensor) -> Tensor:
    """Return what may be behind a car: the picture's left and right border, joined in rows."""
    width = image.shape[3]
    edge = max(1, width // 24)
    left, right = image[..., :edge].mean(3), image[..., -edge:].mean(3)
    share = torch.linspace(0, 1, width)
    return left[..., None] * (1 - share) + right[..., None] * share


def _material_grid(model: ShapePca) -> Tensor:
    """Return (4, X, Y, Z): fixed linear colour and share of paint at places in the box."""
    size = model.config.mean_size
    places, materials = template_faces(model, size)
    shape = np.array(_CELLS)
    cells = np.clip(np.rint((places + 0.5) * (shape - 1)).astype(int), 0, shape - 1)
    flat = np.ravel_multi_index(cells.T, _CELLS)
    color = np.zeros((len(places), 4))
    color[:, 3] = 1
    for slot, value in _FIXED.items():
        color[materials == slot] = [*value, 0]
    count = np.bincount(flat, minlength=shape.prod()).astype(float)
    total = np.stack([np.bincount(flat, c, shape.prod()) for c in color.T])
    total, count = total.reshape(4, *_CELLS), count.reshape(_CELLS)
    # Surfaces of other cars lie beside those seen here: cells spread to their neighbours.
    spread = [
        np.stack([gaussian_filter(t, s) for t in total]) / (gaussian_filter(count, s) + 1e-9)
        for s in (0.5, 2.0)
    ]
    sure = np.clip(gaussian_filter(count, 0.5) / 2, 0, 1)
    grid = sure * spread[0] + (1 - sure) * spread[1]
    return torch.from_numpy(grid).float()
