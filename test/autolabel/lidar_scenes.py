"""Made scenes: a car of the shape space on flat ground, measured by a simple LiDAR."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from sim_perception.autolabel.fit.posed_shape import SHAPE, silhouette
from sim_perception.autolabel.fit.refine import box_size, make_space, make_view
from sim_perception.geometry.lidar_frame import LidarFrame
from sim_perception.geometry.transforms import BODY_T_OPTICAL, from_euler, invert, make_transform
from sim_perception.models.checkpoint import load_checkpoint
from sim_perception.models.shape import ShapePca
from sim_perception.types import Box3D, Camera

F64 = npt.NDArray[np.float64]

CHECKPOINT = Path(__file__).parents[2] / 'models' / 'shape_car'
CAMERA = Camera(640, 192, 372.0, 372.0, 319.5, 95.5)
CAMERA_T_LEVEL = invert(make_transform(BODY_T_OPTICAL[:3, :3], (0.3, 0.0, 1.65)))
SENSOR = np.array([0.0, 0.0, 1.75])


@dataclass(frozen=True)
class MadeScene:
    """One car, or none.

    Attributes:
        frame: camera and cloud.
        state: of the car.
        box: true upright box.
        box2d: its outline in the image.
        on_car: (N,) which points lie on the car.
    """

    frame: LidarFrame
    state: F64
    box: Box3D
    box2d: F64
    on_car: npt.NDArray[np.bool_]

    def with_points(self, points: F64) -> LidarFrame:
        """Return the frame with other points."""
        return replace(self.frame, points=points)


@cache
def shape_model() -> ShapePca:
    """Return the shipped shape space."""
    model = load_checkpoint(CHECKPOINT, network='shape_pca').net
    assert isinstance(model, ShapePca)
    return model


def car_state(seed: int, *, place: tuple[float, float] = (12.0, 1.5), yaw: float = 0.6) -> F64:
    """Return a car of the category's distribution at a place on flat ground."""
    model = shape_model()
    rng = np.random.default_rng(seed)
    mean, spread = model.prior_mean.numpy(), model.prior_covariance()
    member = rng.multivariate_normal(mean, 0.5 * spread)
    return np.array([*place, np.exp(member[2]) / 2, yaw, *member])


def trace(state: F64, origin: F64, rays: F64, steps: int = 25) -> F64:
    """Return the distance along unit rays to a posed shape, infinite where they miss."""
    model = shape_model()
    c, s = np.cos(state[3]), np.sin(state[3])
    turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1.0]])
    stretch = np.array(model.config.mean_size) / np.exp(state[4:SHAPE])
    start, direction = turn @ (origin - state[:3]) * stretch, rays @ turn.T * stretch
    pace = np.linalg.norm(direction, axis=1)
    latent = torch.as_tensor(state[None, SHAPE:].astype(np.float32))
    along = np.full(len(rays), max(0.0, float(np.linalg.norm(state[:3] - origin)) - 4.0))
    for _ in range(steps):
        places = torch.as_tensor((start + along[:, None] * direction)[None].astype(np.float32))
        distance = model.sdf(places, latent)[0][0].numpy()
        along = along + 0.9 * distance / pace
    return np.where(np.abs(distance) < 0.01, along, np.inf)


def made_scene(
    state: F64, *, noise: float = 0.02, seed: int = 0, hidden: float = -np.inf
) -> MadeScene:
    """Measure a car and the ground.

    Args:
        state: of the car.
        noise: deviation along the rays, metres.
        seed: of the noise.
        hidden: rays whose y direction over x is below this see a wall 5 m away instead.
    """
    rng = np.random.default_rng(seed)
    azimuth, elevation = np.deg2rad(np.arange(-30, 30, 0.4)), np.deg2rad(np.linspace(3, -20, 50))
    a, e = (grid.ravel() for grid in np.meshgrid(azimuth, elevation))
    rays = np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], 1)
    with np.errstate(divide='ignore'):
        ground = np.where(rays[:, 2] < 0, -SENSOR[2] / rays[:, 2], np.inf)
    ground[ground > 60] = np.inf
    wall = np.where(rays[:, 1] / rays[:, 0] < hidden, 5.0 / rays[:, 0], np.inf)
    # Only rays that come near the car are worth tracing.
    offset = state[:3] - SENSOR
    aside = np.linalg.norm(np.cross(rays, offset), axis=1)
    near = np.flatnonzero((aside < np.exp(state[4]) / 2 + 0.3) & (rays @ offset > 0))
    car = np.full(len(rays), np.inf)
    car[near] = trace(state, SENSOR, rays[near])
    reach = np.minimum(np.minimum(ground, car), wall)
    hit = np.isfinite(reach)
    reach = reach[hit] + noise * rng.normal(size=int(hit.sum()))
    frame = LidarFrame(CAMERA, CAMERA_T_LEVEL, SENSOR + rays[hit] * reach[:, None], SENSOR)
    touch, pixel = np.empty((4, 3)), np.empty(4)
    space = make_space(shape_model())._replace(beside=np.zeros((0, 3)))
    assert silhouette(space, state, make_view(CAMERA, CAMERA_T_LEVEL), touch, pixel)
    size = box_size(state, shape_model(), mirrors=False)
    box = Box3D(from_euler(0, 0, state[3], state[:3]), size)
    first = (car <= ground) & (car <= wall)
    return MadeScene(frame, state, box, pixel, first[hit])
