# Kernels are typed by their first call.
# mypy: disable-error-code="no-untyped-def"
"""Shares of points and rays that agree with a fitted shape."""

from __future__ import annotations

import numpy as np

from sim_perception.autolabel.fit.posed_shape import point_residual
from sim_perception.kernels import kernel


@kernel
def point_shares(space, evidence, state, tolerance):
    """Return how well points and rays agree with a posed shape.

    Args:
        space, evidence: see ``posed_shape`` and ``fit_kernels``.
        state: (7 + K,).
        tolerance: metres.

    Returns:
        Share of points within the tolerance of a surface that faces the sensor, their mean
        distance in metres, share of those with the shape .4 m before them, and share of the
        rays past the object that are deeper than the tolerance inside it somewhere.
    """
    place, gradient, row, ahead = np.empty(3), np.empty(3), np.empty(len(state)), np.empty(3)
    points, rays = evidence.points, evidence.rays
    near, total, before = 0, 0.0, 0
    for i in range(len(points)):
        r = point_residual(space, points[i], state, place, gradient, row)
        away = -(row[0] * rays[i, 0] + row[1] * rays[i, 1] + row[2] * rays[i, 2])
        if abs(r) < tolerance and away < 0.5:
            near += 1
            total += abs(r)
            for axis in range(3):
                ahead[axis] = points[i, axis] - 0.4 * rays[i, axis]
            if point_residual(space, ahead, state, place, gradient, row) < -0.5 * tolerance:
                before += 1
    crossed = 0
    for i in range(len(evidence.past)):
        middle = 0.0
        for axis in range(3):
            middle += (state[axis] - evidence.origin[axis]) * evidence.past[i, axis]
        t, end = max(0.5, middle - 3.0), min(middle + 3.0, evidence.reach[i] - 0.3)
        while t < end:
            for axis in range(3):
                ahead[axis] = evidence.origin[axis] + t * evidence.past[i, axis]
            r = point_residual(space, ahead, state, place, gradient, row)
            if r < -tolerance:
                crossed += 1
                break
            t += max(0.15, 0.8 * r)
    return (
        near / max(len(points), 1),
        total / max(near, 1),
        before / max(near, 1),
        crossed / max(len(evidence.past), 1),
    )
