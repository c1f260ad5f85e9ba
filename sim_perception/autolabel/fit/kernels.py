# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""The loops of the shape fit: residuals, normal equations, Levenberg-Marquardt.

All residuals are divided by their deviation. Where a residual's weight depends on the state it
is held fixed in the derivative (iteratively reweighted least squares); the cost is the true one.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from sim_perception.autolabel.fit.posed_shape import (
    F64,
    POSE,
    SHAPE,
    edge_row,
    point_distance,
    pose_of,
    posed_residual,
    silhouette,
)
from sim_perception.kernels import kernel

_FREE = (0.25, 0.6)
"""How far before a point on the object there is certainly nothing, metres."""
_MAX_STEP = (0.5, 0.5, 0.5, 0.3, 0.15, 0.15, 0.15)
_MAX_LATENT = 3.0
_CONTOUR = 16.0
"""More rays along a contour than these count as these: neighbours err alike."""


_NOWHERE, _NO_RAYS, _NO_ANGLES = np.zeros(3), np.zeros((0, 3)), np.zeros(0)


class Evidence(NamedTuple):
    """What was measured of one object, in the level frame.

    Attributes:
        points, rays: (N, 3) points of the object, and unit rays from the sensor to them.
        past, reach: (M, 3) unit rays that went past the object, and (M,) how far they did.
        origin: (3,) of the sensor.
        box, sigma: (4,) image box and deviations of its edges in pixels, 0 for unknown ones.
        ground: (4,) a, b, c, sigma: the ground's height is ``a x + b y + c``.
        eye: (3,) of the camera.
        contour, angle: (C, 3) unit rays from the camera along the contour of the object's mask,
            and (C,) their deviations, radians.
    """

    points: F64
    rays: F64
    past: F64
    reach: F64
    origin: F64
    box: F64
    sigma: F64
    ground: F64
    eye: F64 = _NOWHERE
    contour: F64 = _NO_RAYS
    angle: F64 = _NO_ANGLES


class Weights(NamedTuple):
    """How much the parts count.

    Attributes:
        prior, precision: (3 + K,) and its square matrix, of log size and latent.
        sigma: deviation of a point's distance, metres.
        most_points: more points than these count as these: neighbours err alike.
        facing: cosine between ray and outward slope up to which a surface can be seen.
        edge_width: deviations beyond which an edge of the image box is an outlier.
        past: how many points' weight all rays past the object have together.
    """

    prior: F64
    precision: F64
    sigma: float
    most_points: float
    facing: float
    edge_width: float
    past: float


@kernel
def _add(hessian, slope, row, residual, weight):
    """Add one weighted residual to the normal equations (lower triangle)."""
    for i in range(len(row)):
        wi = weight * row[i]
        slope[i] += wi * residual
        for j in range(i + 1):
            hessian[i, j] += wi * row[j]


@kernel
def _point_terms(space, pose, points, rays, state, scale, weight, facing, hessian, slope):
    """Points lie on the surface that faces the sensor, and what lies before them is free."""
    place, gradient, row = np.empty(3), np.empty(3), np.empty(len(state))
    ahead, latent = np.empty(3), state[SHAPE:]
    cost, c2 = 0.0, scale * scale
    for i in range(len(points)):
        r = posed_residual(space, pose, points[i], state, latent, place, gradient, row)
        away = -(row[0] * rays[i, 0] + row[1] * rays[i, 1] + row[2] * rays[i, 2])
        seen = 1.0 / (1.0 + math.exp(min(60.0, (away - facing) / 0.1)))
        robust = c2 / (c2 + r * r)
        cost += weight * 0.5 * (seen * r * r * robust + (1.0 - seen) * c2)
        _add(hessian, slope, row, r, weight * robust * robust * seen)
        for step in _FREE:
            if r > step:
                # The distance cannot fall by more than the way.
                continue
            for axis in range(3):
                ahead[axis] = points[i, axis] - step * rays[i, axis]
            if point_distance(space, pose, ahead, state, latent) < 0.0:
                f = posed_residual(space, pose, ahead, state, latent, place, gradient, row)
                w = 0.25 * weight * robust * robust
                cost += 0.5 * w * f * f
                _add(hessian, slope, row, f, w)
    return cost


@kernel
def _clear_terms(space, pose, origin, rays, reach, state, weight, hessian, slope):
    """Rays that went past the object do not cross it: no negative distance along them."""
    place, gradient, row = np.empty(3), np.empty(3), np.empty(len(state))
    point, latent, offset = np.empty(3), state[SHAPE:], np.empty(3)
    cost, squared, radius2 = 0.0, 0.0, 0.0
    for axis in range(3):
        offset[axis] = state[axis] - origin[axis]
        squared += offset[axis] * offset[axis]
        radius2 += 0.25 * math.exp(2.0 * state[POSE + axis])
    for i in range(len(rays)):
        middle = offset[0] * rays[i, 0] + offset[1] * rays[i, 1] + offset[2] * rays[i, 2]
        chord2 = radius2 - squared + middle * middle
        if chord2 <= 0.0:
            continue
        # Within the ball about the object, in steps as the distance allows.
        half = math.sqrt(chord2)
        t, end = max(0.5, middle - half), min(middle + half, reach[i] - 0.3)
        deepest, where = 0.0, 0.0
        while t < end:
            for axis in range(3):
                point[axis] = origin[axis] + t * rays[i, axis]
            r = point_distance(space, pose, point, state, latent)
            if r < deepest:
                deepest, where = r, t
            t += max(0.15, 0.8 * r)
        if deepest < 0.0:
            for axis in range(3):
                point[axis] = origin[axis] + where * rays[i, axis]
            posed_residual(space, pose, point, state, latent, place, gradient, row)
            # Saturates: a ray through a window must not push the whole car away.
            robust = 0.04 / (0.04 + deepest * deepest)
            cost += 0.5 * weight * deepest * deepest * robust
            _add(hessian, slope, row, deepest, weight * robust * robust)
    return cost


@kernel
def _contour_terms(space, pose, eye, rays, angle, state, width, hessian, slope):
    """Rays along the mask's contour touch the shape: their least distance to it is zero.

    By the envelope theorem the derivative of the least distance is that at its place.
    """
    place, gradient, row = np.empty(3), np.empty(3), np.empty(len(state))
    point, latent, offset = np.empty(3), state[SHAPE:], np.empty(3)
    cost, c2, squared, radius2 = 0.0, width * width, 0.0, 0.0
    share = min(1.0, _CONTOUR / max(len(rays), 1))
    for axis in range(3):
        offset[axis] = state[axis] - eye[axis]
        squared += offset[axis] * offset[axis]
        radius2 += 0.25 * math.exp(2.0 * state[POSE + axis])
    for i in range(len(rays)):
        middle = offset[0] * rays[i, 0] + offset[1] * rays[i, 1] + offset[2] * rays[i, 2]
        half = math.sqrt(max(radius2 - squared + middle * middle, 0.0))
        t, end = max(0.5, middle - half), middle + half
        least, where = np.inf, max(0.5, middle)
        while t <= end + 1e-9:
            for axis in range(3):
                point[axis] = eye[axis] + t * rays[i, axis]
            r = point_distance(space, pose, point, state, latent)
            if r < least:
                least, where = r, t
            t += max(0.1, 0.7 * r)
        for axis in range(3):
            point[axis] = eye[axis] + where * rays[i, axis]
        scale = 1.0 / (angle[i] * where)
        r = scale * posed_residual(space, pose, point, state, latent, place, gradient, row)
        robust = c2 / (c2 + r * r)
        for j in range(len(row)):
            row[j] *= scale
        cost += share * 0.5 * r * r * robust
        _add(hessian, slope, row, r, share * robust * robust)
    return cost


@kernel
def _edge_terms(space, view, state, box, sigma, width, hessian, slope):
    """The silhouette touches the edges of the image box."""
    touch, pixel, row = np.empty((4, 3)), np.empty(4), np.empty(len(state))
    if not silhouette(space, state, view, touch, pixel):
        return 4 * 0.5 * width * width
    cost, c2 = 0.0, width * width
    for edge in range(4):
        if sigma[edge] <= 0.0:
            continue
        r = (pixel[edge] - box[edge]) / sigma[edge]
        robust = c2 / (c2 + r * r)
        edge_row(space, state, view, touch[edge], edge % 2, row)
        for j in range(len(row)):
            row[j] /= sigma[edge]
        cost += 0.5 * r * r * robust
        _add(hessian, slope, row, r, robust * robust)
    return cost


@kernel
def evaluate(space, view, evidence, weights, scale, state, hessian, slope):
    """Return the cost of a state; ``hessian`` and ``slope`` get the normal equations.

    Args:
        space, view, evidence, weights: the fixed things.
        scale: metres beyond which points are outliers.
        state: (7 + K,).
        hessian: (7 + K, 7 + K), lower triangle.
        slope: (7 + K,).
    """
    size = len(state)
    hessian[:] = 0.0
    slope[:] = 0.0
    points, ground = evidence.points, evidence.ground
    unit = 1.0 / (weights.sigma * weights.sigma)
    weight = unit * min(1.0, weights.most_points / max(len(points), 1))
    pose = np.empty(5)
    pose_of(space, state, pose)
    cost = _point_terms(
        space, pose, points, evidence.rays, state, scale, weight, weights.facing, hessian, slope
    )
    if len(evidence.past) > 0 and weights.past > 0.0:
        weight = unit * weights.past / len(evidence.past)
        cost += _clear_terms(
            space, pose, evidence.origin, evidence.past, evidence.reach, state, weight, hessian,
            slope,
        )  # fmt: skip
    width = max(weights.edge_width, 4.0 * scale * weights.edge_width)
    cost += _edge_terms(space, view, state, evidence.box, evidence.sigma, width, hessian, slope)
    if len(evidence.contour) > 0:
        cost += _contour_terms(
            space, pose, evidence.eye, evidence.contour, evidence.angle, state, width, hessian,
            slope,
        )  # fmt: skip
    row = np.zeros(size)
    half = 0.5 * math.exp(state[6])
    r = (state[2] - half - ground[0] * state[0] - ground[1] * state[1] - ground[2]) / ground[3]
    row[0], row[1] = -ground[0] / ground[3], -ground[1] / ground[3]
    row[2], row[6] = 1.0 / ground[3], -half / ground[3]
    cost += 0.5 * r * r
    _add(hessian, slope, row, r, 1.0)
    for i in range(size - POSE):
        pull = 0.0
        for j in range(size - POSE):
            pull += weights.precision[i, j] * (state[POSE + j] - weights.prior[j])
            if j <= i:
                hessian[POSE + i, POSE + j] += weights.precision[i, j]
        slope[POSE + i] += pull
        cost += 0.5 * pull * (state[POSE + i] - weights.prior[i])
    return cost


@kernel
def solve(hessian, slope, damping, step):
    """Write the damped Newton step from the lower triangle; return False if it has none."""
    size = len(slope)
    factor = np.empty((size, size))
    for i in range(size):
        for j in range(i + 1):
            total = hessian[i, j]
            if i == j:
                total += damping * (hessian[i, i] + 1e-3)
            for k in range(j):
                total -= factor[i, k] * factor[j, k]
            if i == j:
                if not total > 0.0:
                    return False
                factor[i, i] = math.sqrt(total)
            else:
                factor[i, j] = total / factor[j, j]
    for i in range(size):
        total = -slope[i]
        for k in range(i):
            total -= factor[i, k] * step[k]
        step[i] = total / factor[i, i]
    for i in range(size - 1, -1, -1):
        total = step[i]
        for k in range(i + 1, size):
            total -= factor[k, i] * step[k]
        step[i] = total / factor[i, i]
    return True


@kernel
def take_step(state, step, limits, trial):
    """Write to ``trial`` the state after a step no longer than its limits, with a usual latent.

    Args:
        state, step, trial: (7 + K,).
        limits: of pose and logarithm of size, 7; steps of the latent end at 1.
    """
    for j in range(len(state)):
        limit = limits[j] if j < SHAPE else 1.0
        trial[j] = state[j] + min(max(step[j], -limit), limit)
        if j >= SHAPE:
            trial[j] = min(max(trial[j], -_MAX_LATENT), _MAX_LATENT)


@kernel
def minimise(space, view, evidence, weights, first, last, iterations, state, hessian):
    """Move a state to a minimum by Levenberg-Marquardt; return its cost at scale ``last``.

    The scale of outliers falls from ``first`` to ``last`` over the first two thirds of the
    iterations. ``hessian`` receives the last normal matrix (lower triangle).
    """
    size = len(state)
    slope, step = np.empty(size), np.empty(size)
    trial, trial_hessian, trial_slope = np.empty(size), np.empty((size, size)), np.empty(size)
    damping, cost, scale = 1e-2, np.inf, -1.0
    for i in range(iterations):
        now = first * (last / first) ** min(1.0, i / max(1.0, 0.65 * iterations))
        if now != scale:
            scale = now
            cost = evaluate(space, view, evidence, weights, scale, state, hessian, slope)
        if not solve(hessian, slope, damping, step):
            damping = min(damping * 10.0, 1e3)
            continue
        take_step(state, step, _MAX_STEP, trial)
        found = evaluate(space, view, evidence, weights, scale, trial, trial_hessian, trial_slope)
        if found < cost:
            gain = cost - found
            cost = found
            state[:] = trial
            hessian[:] = trial_hessian
            slope[:] = trial_slope
            damping = max(damping * 0.3, 1e-5)
            if scale == last and gain < 1e-3 * cost:
                break
        else:
            damping = min(damping * 5.0, 1e3)
    if scale != last:
        cost = evaluate(space, view, evidence, weights, last, state, hessian, slope)
    return cost
