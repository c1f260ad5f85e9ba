"""Fits by rendering and gradient descent: what the two published ways share.

The default fit (``refine``) is of second order and renders nothing. SDFLabel and MonoDR instead
render the object, compare, and descend the gradient; ``sdflabel`` and ``photometric`` are written
on this. All take the same first states and evidence and return the same, so that they can be
exchanged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sim_perception.autolabel.config import LabelConfig
from sim_perception.autolabel.fit.kernels import Evidence, evaluate
from sim_perception.autolabel.fit.posed_shape import POSE, SHAPE, View
from sim_perception.autolabel.fit.refine import Refiner, ShapeFit, distinct
from sim_perception.autolabel.rendering import (
    Distance,
    PosedShapes,
    Rendering,
    RenderSettings,
    crop_pixels,
    render,
)
from sim_perception.geometry.windows import cut_window
from sim_perception.models.shape import ShapePca
from sim_perception.models.shape_sdf import ShapeSdf
from sim_perception.types import Camera

F64 = npt.NDArray[np.float64]

_TRACE = RenderSettings(steps=14, samples=8, refinements=3, tolerance=0.02, normals=False)
_STEEP = 0.25
"""Least square of the slope by which surface points are put onto the surface."""


@dataclass(frozen=True)
class Picture:
    """What a camera shows of one object; arrays cover its whole image.

    Attributes:
        image: (H, W, 3) uint8 RGB, or None.
        mask: (H, W) share of each pixel that belongs to the object, 0 to 1, or None.
        depth: (H, W) metres along the optical axis, NaN where unknown, or None.
        coordinates: (H, W, 3) place on the object in shares of its box, -.5 to .5, NaN where
            unknown, or None.
    """

    image: npt.NDArray[np.uint8] | None = None
    mask: npt.NDArray[np.floating] | None = None
    depth: npt.NDArray[np.floating] | None = None
    coordinates: npt.NDArray[np.floating] | None = None


@dataclass(frozen=True)
class Descent:
    """How far and how fast to descend.

    Attributes:
        first: iterations of all hypotheses.
        rest: iterations of the best.
        kept: so many are those.
        width, height: of the rendering.
        grown: by which share of its sides the image box is grown to render it.
        rates: Adam's steps of place (metres), yaw (radians), log size, latent.
    """

    first: int = 10
    rest: int = 40
    kept: int = 2
    width: int = 28
    height: int = 20
    grown: float = 0.1
    rates: tuple[float, float, float, float] = (0.02, 0.01, 0.005, 0.02)


@dataclass(frozen=True)
class Target:
    """What the renderings of one object are compared with.

    Attributes:
        camera: pinhole.
        turn, shift: (3, 3) and (3,), level to optical frame.
        pixels: (1, H, W, 2) where the raster looks.
        points: (N, 3) of the object, level frame.
        box, sigma: (4,) image box and the deviations of its edges, 0 for unknown ones.
        ground: (4,) see ``Evidence``.
        image, mask, depth, coordinates: (H, W, ...) of the raster, or None.
    """

    camera: Camera
    turn: Tensor
    shift: Tensor
    pixels: Tensor
    points: Tensor
    box: Tensor
    sigma: Tensor
    ground: Tensor
    image: Tensor | None
    mask: Tensor | None
    depth: Tensor | None
    coordinates: Tensor | None

    def to_camera(self, points: Tensor) -> Tensor:
        """Map (..., 3) points of the level frame to the optical frame."""
        return points @ self.turn.T + self.shift


class RenderRefiner(Refiner):
    """Fits by rendering; subclasses say what is compared.

    Args:
        model: the shape space; a network is run where gradients matter, and its tangent traced.
        config: settings, as for the default fit.
        descent: how far and how fast.

    Attributes:
        picture: what the camera shows of the object that is fitted next.
    """

    def __init__(
        self,
        model: ShapePca | ShapeSdf,
        config: LabelConfig,
        descent: Descent | None = None,
    ) -> None:
        near = model.tangent() if isinstance(model, ShapeSdf) else model
        super().__init__(near, config)
        self.model, self._near = model, near
        self.descent = descent or Descent()
        self.picture = Picture()
        self._mean_size = torch.tensor(model.config.mean_size)
        self._prior = torch.as_tensor(self.weights.prior, dtype=torch.float32)
        self._precision = torch.as_tensor(self.weights.precision, dtype=torch.float32)
        self._anchors = torch.as_tensor(self.space.anchors, dtype=torch.float32)
        self._beside = torch.as_tensor(self.space.beside, dtype=torch.float32)

    def refine(self, first: F64, evidence: Evidence, view: View) -> ShapeFit:
        """Return the best of the states reached from (H, 7 + K) first ones.

        Raises:
            ValueError: if the way of fitting needs a picture that is not there.
        """
        target = self.target(evidence, view, self.picture)
        descent = self.descent
        states, losses = self._descend(first, target, descent.first)
        kept = distinct(states, losses)[: descent.kept]
        states, losses = self._descend(states[kept], target, descent.rest)
        best = int(losses.argmin())
        return self._fit(states[best], evidence, view)

    def loss(
        self, state: Tensor, shapes: PosedShapes, seen: Rendering, target: Target, extra: Tensor
    ) -> Tensor:  # fmt: skip
        """Return the (B,) losses of B states; to be written by subclasses.

        Args:
            state: (B, 7 + K).
            shapes: the same as posed objects.
            seen: their renderings.
            target: what they are compared with.
            extra: (B, ...) of ``extra``.
        """
        raise NotImplementedError

    def extra(self, count: int, target: Target) -> Tensor:
        """Return (count, ...) numbers that are fitted along, such as textures."""
        return torch.zeros(count, 0)

    def _descend(self, first: F64, target: Target, iterations: int) -> tuple[F64, F64]:
        """Return states after descent and their losses."""
        start = torch.as_tensor(first, dtype=torch.float32)
        place, yaw = start[:, :3].clone(), start[:, 3:POSE].clone()
        size, latent = start[:, POSE:SHAPE].clone(), start[:, SHAPE:].clone()
        extra = self.extra(len(first), target)
        groups = [
            {'params': [part.requires_grad_()], 'lr': rate}
            for part, rate in zip(
                (place, yaw, size, latent, extra), (*self.descent.rates, 0.05), strict=True
            )
        ]
        solver = torch.optim.Adam(groups)
        best, lowest = start.clone(), torch.full((len(first),), torch.inf)
        for _ in range(iterations + 1):
            state = torch.cat([place, yaw, size, latent], 1)
            shapes = self.shapes(state, target)
            pixels = target.pixels.expand(len(first), -1, -1, -1)
            seen = render(self.distance(shapes.latent), shapes, target.camera, pixels, _TRACE)
            losses = self.loss(state, shapes, seen, target, extra) + self.common(state, target)
            solver.zero_grad()
            losses.sum().backward()
            better = losses.detach() < lowest
            best = torch.where(better[:, None], state.detach(), best)
            lowest = torch.where(better, losses.detach(), lowest)
            solver.step()
        return best.double().numpy(), lowest.double().numpy()

    def distance(self, latent: Tensor) -> Distance:
        """Return the distances of (B, K) latents: exact where derivatives are wanted.

        Where none are, as when rays are traced, they come from grids that are made once.
        """
        volumes = self._near.volumes(latent.detach())

        def of(points: Tensor, codes: Tensor) -> Tensor:
            if not torch.is_grad_enabled():
                return self._near.sample(volumes, points)
            return self.model.distance(points, codes)

        return of

    def shapes(self, state: Tensor, target: Target) -> PosedShapes:
        """Return (B, 7 + K) states as posed objects before the camera."""
        c, s = state[:, 3].cos(), state[:, 3].sin()
        zero, one = torch.zeros_like(c), torch.ones_like(c)
        yaw = torch.stack([c, -s, zero, s, c, zero, zero, zero, one], 1).reshape(-1, 3, 3)
        return PosedShapes(
            target.turn @ yaw,
            target.to_camera(state[:, :3]),
            state[:, POSE:SHAPE].exp(),
            state[:, SHAPE:],
            self._mean_size,
        )

    def on_surface(self, places: Tensor, latent: Tensor) -> Tensor:
        """Move (B, N, 3) places of the normalised frame onto the surface along its slope.

        The projection of SDFLabel, section 3.2; its derivative is that by latent.
        """
        with torch.no_grad():
            _, slope = self.model.sdf(places, latent)
        pace = slope.square().sum(-1).clamp(min=_STEEP)
        away = self.distance(latent)(places, latent) / pace
        return places - away[..., None] * slope

    def common(self, state: Tensor, target: Target) -> Tensor:
        """Return the (B,) losses that all ways share: the category's prior, and the ground."""
        off = state[:, POSE:] - self._prior
        unlikely = torch.einsum('bi,ij,bj->b', off, self._precision, off) / off.shape[1]
        a, b, c, sigma = target.ground
        bottom = state[:, 2] - 0.5 * state[:, 6].exp()
        lifted = (bottom - a * state[:, 0] - b * state[:, 1] - c) / sigma
        return 0.01 * unlikely + 0.01 * lifted.square()

    def box_loss(self, shapes: PosedShapes, target: Target) -> Tensor:
        """Return (B,) mean distances of outline and image box, in shares of the box's sides."""
        count = len(shapes.latent)
        anchors = self.on_surface(self._anchors.expand(count, -1, -1), shapes.latent)
        points = anchors * (shapes.size / shapes.mean_size)[:, None]
        if len(self._beside):
            points = torch.cat([points, self._beside * shapes.size[:, None]], 1)
        seen = torch.einsum('bij,bnj->bni', shapes.rotation, points) + shapes.translation[:, None]
        camera = target.camera
        pixel = seen[..., :2] / seen[..., 2:].clamp(min=0.3)
        pixel = pixel * pixel.new_tensor([camera.fx, camera.fy])
        pixel = pixel + pixel.new_tensor([camera.cx, camera.cy])
        outline = torch.cat([pixel.amin(1), pixel.amax(1)], 1)
        side = (target.box[2:] - target.box[:2]).repeat(2)
        known = (target.sigma > 0).float()
        return ((outline - target.box).abs() / side * known).sum(1) / known.sum().clamp(min=1)

    def target(self, evidence: Evidence, view: View, picture: Picture) -> Target:
        """Return the evidence as tensors, the picture seen through the raster."""
        descent = self.descent
        box = torch.as_tensor(evidence.box, dtype=torch.float32)
        side = (box[2:] - box[:2]) * descent.grown
        crop = torch.cat([box[:2] - side, box[2:] + side])[None]
        pixels = crop_pixels(crop, descent.width, descent.height)
        fx, fy, cx, cy = (float(v) for v in view.intrinsics)
        pose = torch.as_tensor(view.camera_T_level, dtype=torch.float32)

        def seen(values: npt.NDArray[np.floating] | None, smooth: bool) -> Tensor | None:
            if values is None:
                return None
            size = (descent.width, descent.height)
            window = crop[0].double().numpy()
            plain = np.asarray(values, np.float32)
            beyond = 0.0 if smooth else np.nan
            return torch.as_tensor(cut_window(plain, window, *size, smooth=smooth, beyond=beyond))

        image = None if picture.image is None else picture.image / np.float32(255)
        return Target(
            camera=Camera(max(2, round(2 * cx)), max(2, round(2 * cy)), fx, fy, cx, cy),
            turn=pose[:3, :3],
            shift=pose[:3, 3],
            pixels=pixels,
            points=torch.as_tensor(evidence.points, dtype=torch.float32),
            box=box,
            sigma=torch.as_tensor(evidence.sigma, dtype=torch.float32),
            ground=torch.as_tensor(evidence.ground, dtype=torch.float32),
            image=seen(image, True),
            mask=seen(picture.mask, True),
            depth=seen(picture.depth, False),
            coordinates=seen(picture.coordinates, False),
        )

    def _fit(self, state: F64, evidence: Evidence, view: View) -> ShapeFit:
        """Return a state with the cost and the normal matrix that the default fit gives it."""
        normal, slope = np.zeros((len(state),) * 2), np.zeros(len(state))
        cost = evaluate(
            self.space, view, evidence, self.weights, self.config.last_scale, state, normal, slope
        )
        whole = np.tril(normal) + np.tril(normal, -1).T
        return ShapeFit(state, cost, whole, np.inf, evidence)
