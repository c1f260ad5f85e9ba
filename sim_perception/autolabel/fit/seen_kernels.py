# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""The loops of fits to what an image shows: places on the object at pixels, and depths.

They add to what ``fit_kernels.evaluate`` asks of a state: points, outline, ground and prior.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from sim_perception.autolabel.fit.kernels import evaluate, solve, take_step
from sim_perception.autolabel.fit.posed_shape import F64, SHAPE
from sim_perception.kernels import kernel

_ROBUST = 9.0
"""Squared deviations beyond which a pixel is an outlier."""
_MAX_STEP = (1.0, 1.0, 0.5, 0.4, 0.15, 0.15, 0.15)


class Seen(NamedTuple):
    """What an image shows of one object.

    Attributes:
        slopes: (N, 2) x / z and y / z of the pixels' rays in the optical frame.
        shares: (N, 3) places on the object that they show, shares of its box.
        weight: (N,) inverse squared deviations of the slopes that a right state predicts.
        share: how much all pixels count: neighbours err alike.
        depth: (4,) mean logarithm of the pixels' depths and its deviation, then logarithm of the
            depth of the box's centre and its deviation; deviations of 0 for unknown ones.
    """

    slopes: F64
    shares: F64
    weight: F64
    share: float
    depth: F64


@kernel
def _place(state, share, view, c, s, place, rows):
    """Write a place of the object in the optical frame, and its (3, 7) derivative by the state."""
    pose = view.camera_T_level
    box = np.empty(3)
    for axis in range(3):
        box[axis] = share[axis] * math.exp(state[4 + axis])
    x, y = c * box[0] - s * box[1], s * box[0] + c * box[1]
    for i in range(3):
        along = c * pose[i, 0] + s * pose[i, 1]
        across = c * pose[i, 1] - s * pose[i, 0]
        place[i] = (pose[i, 0] * (state[0] + x) + pose[i, 1] * (state[1] + y)
                    + pose[i, 2] * (state[2] + box[2]) + pose[i, 3])  # fmt: skip
        rows[i, 0], rows[i, 1], rows[i, 2] = pose[i, 0], pose[i, 1], pose[i, 2]
        rows[i, 3] = pose[i, 1] * x - pose[i, 0] * y
        rows[i, 4] = along * box[0]
        rows[i, 5] = across * box[1]
        rows[i, 6] = pose[i, 2] * box[2]


@kernel
def _add(hessian, slope, row, residual, weight):
    """Add a residual of the first seven numbers to the normal equations (lower triangle)."""
    for i in range(SHAPE):
        wi = weight * row[i]
        slope[i] += wi * residual
        for j in range(i + 1):
            hessian[i, j] += wi * row[j]


@kernel
def seen_terms(view, seen, state, hessian, slope):
    """Return the cost of what the image shows, and add it to the normal equations.

    Pixels: a place on the object projects to where it was seen (Geman-McClure). Depth: the mean
    over the pixels has one error, that of the object's scale, however many pixels there are.
    """
    c, s = math.cos(state[3]), math.sin(state[3])
    place, rows, row = np.empty(3), np.empty((3, SHAPE)), np.empty(SHAPE)
    mean_row, mean, cost = np.zeros(SHAPE), 0.0, 0.0
    count = len(seen.slopes)
    for k in range(count):
        _place(state, seen.shares[k], view, c, s, place, rows)
        z = max(place[2], 0.3)
        off = np.empty(2)
        for axis in range(2):
            off[axis] = place[axis] / z - seen.slopes[k, axis]
        squared = (off[0] * off[0] + off[1] * off[1]) * seen.weight[k]
        robust = _ROBUST / (_ROBUST + squared)
        cost += 0.5 * seen.share * squared * robust
        weight = seen.share * seen.weight[k] * robust * robust
        for axis in range(2):
            for j in range(SHAPE):
                row[j] = (rows[axis, j] - place[axis] / z * rows[2, j]) / z
            _add(hessian, slope, row, off[axis], weight)
        mean += math.log(z) / count
        for j in range(SHAPE):
            mean_row[j] += rows[2, j] / (z * count)
    if count > 0 and seen.depth[1] > 0.0:
        r = (mean - seen.depth[0]) / seen.depth[1]
        robust = _ROBUST / (_ROBUST + r * r)
        cost += 0.5 * r * r * robust
        _add(hessian, slope, mean_row / seen.depth[1], r, robust * robust)
    if seen.depth[3] > 0.0:
        _place(state, np.zeros(3), view, c, s, place, rows)
        z = max(place[2], 0.3)
        r = (math.log(z) - seen.depth[2]) / seen.depth[3]
        robust = _ROBUST / (_ROBUST + r * r)
        cost += 0.5 * r * r * robust
        for j in range(SHAPE):
            row[j] = rows[2, j] / (z * seen.depth[3])
        _add(hessian, slope, row, r, robust * robust)
    return cost


@kernel
def evaluate_seen(space, view, evidence, weights, seen, scale, state, hessian, slope):
    """Return the cost of a state; ``hessian`` and ``slope`` get the normal equations.

    Args:
        space, view, evidence, weights, scale: see ``fit_kernels.evaluate``; the evidence may have
            no points.
        seen: what the image shows.
        state: (7 + K,).
        hessian: (7 + K, 7 + K), lower triangle.
        slope: (7 + K,).
    """
    cost = evaluate(space, view, evidence, weights, scale, state, hessian, slope)
    return cost + seen_terms(view, seen, state, hessian, slope)


@kernel
def minimise_seen(space, view, evidence, weights, seen, first, last, iterations, state, hessian):
    """Move a state to a minimum by Levenberg-Marquardt; return its cost at scale ``last``.

    See ``fit_kernels.minimise``, which does the same without an image.
    """
    size = len(state)
    slope, step = np.empty(size), np.empty(size)
    trial, trial_hessian, trial_slope = np.empty(size), np.empty((size, size)), np.empty(size)
    damping, cost, scale = 1e-2, np.inf, -1.0
    for i in range(iterations):
        now = first * (last / first) ** min(1.0, i / max(1.0, 0.65 * iterations))
        if now != scale:
            scale = now
            cost = evaluate_seen(
                space, view, evidence, weights, seen, scale, state, hessian, slope
            )
        if not solve(hessian, slope, damping, step):
            damping = min(damping * 10.0, 1e3)
            continue
        take_step(state, step, _MAX_STEP, trial)
        found = evaluate_seen(
            space, view, evidence, weights, seen, scale, trial, trial_hessian, trial_slope
        )
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
        cost = evaluate_seen(space, view, evidence, weights, seen, last, state, hessian, slope)
    return cost
