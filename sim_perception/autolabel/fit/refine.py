"""Fits pose, size and shape to points, image box and ground, from several first poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim_perception.autolabel.config import LabelConfig
from sim_perception.autolabel.fit.kernels import Evidence, Weights, minimise
from sim_perception.autolabel.fit.posed_shape import SHAPE, Space, View, sample
from sim_perception.geometry.boxes import box_corners
from sim_perception.models.shape import SIZE, ShapeModel, ShapePca, decode_mesh
from sim_perception.types import Box3D, Camera

F64 = npt.NDArray[np.float64]

_DIRECTIONS = 500
_CLEAR_COST = 5.0


@dataclass(frozen=True)
class ShapeFit:
    """The best state of an object.

    Attributes:
        state: (7 + K,); see ``posed_shape``.
        cost: half the sum of squared residuals in units of their deviation.
        hessian: (7 + K, 7 + K) normal matrix, symmetric; its inverse is the covariance.
        runner_up: cost of the best other hypothesis that ended elsewhere, infinite if none.
        evidence: what it was fitted to.
    """

    state: F64
    cost: float
    hessian: F64
    runner_up: float
    evidence: Evidence


class Refiner:
    """Fits shapes of one category.

    Args:
        model: the shape space, with its prior.
        config: settings.

    Attributes:
        space: the shape space for the loops.
        seeds: (S, 3 + K) typical members.
    """

    def __init__(self, model: ShapePca, config: LabelConfig) -> None:
        self.config = config
        self.space = make_space(model, cuboid=config.cuboid_boxes)
        self.seeds = model.seeds.numpy().astype(np.float64)
        shift = np.add(config.size_shift, config.population)
        self.seeds[:, :SIZE] += shift
        prior = model.prior_mean.numpy().astype(np.float64)
        prior[:SIZE] += shift
        spread = model.prior_covariance()
        spread[range(SIZE), range(SIZE)] += config.size_spread**2
        self.weights = Weights(
            prior=prior,
            precision=np.asarray(np.linalg.inv(spread), np.float64),
            sigma=config.point_sigma,
            most_points=config.point_count,
            facing=config.facing,
            edge_width=config.edge_width,
            past=config.past_weight,
        )

    def space_about(self, state: F64) -> Space:
        """Return the shape space as the loops read it near a (7 + K,) state."""
        return self.space

    def refine(self, first: F64, evidence: Evidence, view: View) -> ShapeFit:
        """Return the best minimum reached from (H, 7 + K) first states.

        All are fitted roughly to a few points, the best few then to all.
        """
        config, few = self.config, thinned(evidence, self.config.coarse_points)
        states, costs = np.array(first), np.full(len(first), np.inf)
        hessian = np.zeros((states.shape[1],) * 2)
        start, middle, last = config.first_scale, config.middle_scale, config.last_scale
        # A short look tells which directions are hopeless.
        for k, state in enumerate(states):
            costs[k] = minimise(
                self.space, view, few, self.weights, start, start, config.look_iterations, state,
                hessian,
            )  # fmt: skip
        alive = np.argsort(costs)[: max(config.kept, (len(costs) + 1) // 2)]
        states, costs = states[alive], costs[alive]
        for k, state in enumerate(states):
            costs[k] = minimise(
                self.space, view, few, self.weights, start, middle, config.coarse_iterations,
                state, hessian,
            )  # fmt: skip
        ends = []
        for k in distinct(states, costs)[: config.kept]:
            if costs[k] > config.clear * costs.min() + _CLEAR_COST:
                continue
            state, normal = states[k], np.zeros_like(hessian)
            cost = minimise(
                self.space, view, evidence, self.weights, middle, last, config.iterations, state,
                normal,
            )  # fmt: skip
            ends.append((cost, state, normal))
        return best_fit(ends, evidence)


def best_fit(ends: Sequence[tuple[float, F64, F64]], evidence: Evidence) -> ShapeFit:
    """Return the best of several minima, with the cost of the best one that is elsewhere.

    Args:
        ends: cost, state and normal matrix (lower triangle) of each.
        evidence: that they were fitted to.
    """
    (cost, state, normal), *others = sorted(ends, key=lambda end: end[0])
    apart = [c for c, s, _ in others if differ(s, state)]
    whole = np.tril(normal) + np.tril(normal, -1).T
    return ShapeFit(state, cost, whole, min(apart, default=np.inf), evidence)


def make_space(model: ShapeModel, *, cuboid: bool = False) -> Space:
    """Return a shape space as the loops read it.

    Args:
        model: the shape space.
        cuboid: see ``LabelConfig.cuboid_boxes``.
    """
    config = model.config
    mesh = decode_mesh(model, np.zeros(config.components))
    rng = np.random.default_rng(0)
    vertices = mesh.vertices.astype(np.float64)
    # Outlines touch the hull: spread points over it by directions.
    directions = rng.normal(size=(_DIRECTIONS, 3))
    directions /= np.array(config.mean_size)
    outermost = np.unique((directions @ vertices.T).argmax(1))
    width = config.mean_size[1]
    beside: F64 = np.zeros((0, 3))
    if cuboid:
        beside = np.asarray(box_corners(Box3D(np.eye(4), (1.0, 1.0, 1.0))), np.float64)
    elif config.mirror_offset or config.mirror_scale != 1:
        share = 0.5 * (config.mirror_scale + config.mirror_offset / width)
        height, ahead = config.mirror_place
        beside = np.array([[ahead, side * share, height - 0.5] for side in (-1, 1)])
    grid = np.ascontiguousarray(model.linear_grid())
    anchors = np.ascontiguousarray(vertices[outermost])
    normals, offsets = np.empty((len(anchors), 3)), np.empty((len(anchors), grid.shape[3]))
    mean = np.zeros(config.components)
    for anchor, normal, offset in zip(anchors, normals, offsets, strict=True):
        offset[0] = sample(grid, float(config.spacing), anchor, mean, normal, offset[1:])
        normal /= max(float(normal @ normal), 0.25)
    return Space(
        grid,
        float(config.spacing),
        np.array(config.mean_size, np.float64),
        anchors,
        normals,
        offsets,
        beside,
    )


def make_view(camera: Camera, camera_T_level: npt.NDArray[np.floating]) -> View:
    """Return a camera as the loops read it."""
    intrinsics = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
    return View(intrinsics, np.ascontiguousarray(camera_T_level, np.float64))


def thinned(evidence: Evidence, count: int) -> Evidence:
    """Return evidence with at most ``count`` points and half as many rays, spread evenly."""
    keep = evenly(len(evidence.points), count)
    past = evenly(len(evidence.past), max(count // 2, 1))
    return evidence._replace(
        points=evidence.points[keep],
        rays=evidence.rays[keep],
        past=evidence.past[past],
        reach=evidence.reach[past],
    )


def evenly(total: int, count: int) -> npt.NDArray[np.int64]:
    """Return at most ``count`` of ``range(total)``, spread evenly."""
    if total <= count:
        return np.arange(total)
    return np.linspace(0, total - 1, count).astype(np.int64)


def distinct(states: F64, costs: F64) -> list[int]:
    """Return rows by ascending cost, without those that ended where a better one did."""
    chosen: list[int] = []
    for k in np.argsort(costs):
        if all(differ(states[k], states[j]) for j in chosen):
            chosen.append(int(k))
    return chosen


def differ(a: F64, b: F64) -> bool:
    """Return whether two states are different answers: turned by 20 degrees or .5 m apart."""
    turn = abs((a[3] - b[3] + np.pi) % (2 * np.pi) - np.pi)
    return bool(turn > 0.35 or np.hypot(*(a[:2] - b[:2])) > 0.5 or abs(a[4] - b[4]) > 0.2)


def covariance(fit: ShapeFit) -> F64:
    """Return the (7, 7) covariance of x y z yaw and log size, the latent integrated out."""
    spread = np.asarray(np.linalg.inv(fit.hessian), np.float64)
    return spread[:SHAPE, :SHAPE]


def box_size(state: F64, model: ShapeModel, *, mirrors: bool) -> tuple[float, float, float]:
    """Return length, width, height of a state's box, with or without the mirrors."""
    length, width, height = (float(s) for s in np.exp(state[4 : 4 + SIZE]))
    if mirrors:
        width = model.config.mirror_scale * width + model.config.mirror_offset
    return length, width, height
