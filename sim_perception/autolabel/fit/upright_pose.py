"""Where an upright object stands, from places on it that are seen: yaws scanned, the rest solved.

For a fixed yaw and size, both problems are linear in the centre: that each place lies on its
pixel's ray (perspective-n-point with a known vertical), and that it lies on its measured point.
All yaws are solved at once, robustly, so that every basin shows and no random samples are drawn.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

_PASSES = 3
_APART = np.deg2rad(25.0)


def yaws(count: int) -> F64:
    """Return so many yaws, spread evenly over the circle."""
    return 2 * np.pi * np.arange(count) / count - np.pi


def turned(shares: F64, size: F64, yaw: F64) -> F64:
    """Return (Y, N, 3) places about the centre, level frame, of (N, 3) shares at (Y,) yaws."""
    x, y, z = (shares * size).T
    c, s = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
    return np.stack([c * x - s * y, s * x + c * y, np.broadcast_to(z, (len(yaw), len(z)))], -1)


def centres_on_rays(
    shares: F64, slopes: F64, weight: F64, size: F64, yaw: F64, camera_T_level: F64,
    pulls: list[tuple[F64, float, float]] | None = None,
) -> tuple[F64, F64]:  # fmt: skip
    """Solve for the centre at every yaw from pixels.

    Args:
        shares: (N, 3) places on the object.
        slopes: (N, 2) x / z and y / z of their rays.
        weight: (N,) inverse squared deviations of the slopes.
        size: (3,) length, width, height.
        yaw: (Y,).
        camera_T_level: (4, 4).
        pulls: more linear equations ``row . centre = value`` with a deviation each: the ground,
            a depth.

    Returns:
        (Y, 3) centres in the level frame and (Y,) costs, half the robust sum of squares.
    """
    rotation, shift = camera_T_level[:3, :3], camera_T_level[:3, 3]
    offset = turned(shares, size, yaw) @ rotation.T + shift
    # (x - u z) = 0 is linear; divided by the depth it is the error of the slope.
    rows = rotation[:2][None] - slopes[..., None] * rotation[2]
    value = slopes * offset[..., 2:] - offset[..., :2]
    depth = np.full((len(yaw), len(shares)), 10.0)
    robust = np.ones_like(depth)
    centre, cost = np.zeros((len(yaw), 3)), np.zeros(len(yaw))
    for number in range(_PASSES):
        scale = robust * weight / depth**2
        normal = np.einsum('yn,nai,naj->yij', scale, rows, rows) + 1e-9 * np.eye(3)
        right = np.einsum('yn,nai,yna->yi', scale, rows, value)
        for row, wanted, sigma in pulls or ():
            normal += np.outer(row, row) / sigma**2
            right += row * wanted / sigma**2
        centre = np.linalg.solve(normal, right[..., None])[..., 0]
        seen = offset + (centre @ rotation.T)[:, None]
        depth = np.maximum(seen[..., 2], 0.5)
        error = (seen[..., :2] / depth[..., None] - slopes) ** 2
        squared = error.sum(-1) * weight
        loss = 9.0 / (9.0 + squared)
        cost = 0.5 * (squared * loss).sum(1)
        for row, wanted, sigma in pulls or ():
            cost += 0.5 * ((centre @ row - wanted) / sigma) ** 2
        if number + 1 < _PASSES:
            robust = loss**2
    return centre, cost


def centres_on_points(
    shares: F64, points: F64, weight: F64, size: F64, yaw: F64
) -> tuple[F64, F64]:
    """Solve for the centre at every yaw from measured points.

    Args:
        shares: (N, 3) places on the object.
        points: (N, 3) where they are, level frame.
        weight: (N,) inverse squared deviations, 1 / m^2.
        size: (3,) length, width, height.
        yaw: (Y,).

    Returns:
        (Y, 3) centres and (Y,) costs, half the robust sum of squares.
    """
    offset = points - turned(shares, size, yaw)
    robust = np.ones(offset.shape[:2])
    centre, cost = np.zeros((len(yaw), 3)), np.zeros(len(yaw))
    for number in range(_PASSES):
        scale = (robust * weight)[..., None]
        centre = (scale * offset).sum(1) / np.maximum(scale.sum(1), 1e-12)
        squared = ((offset - centre[:, None]) ** 2).sum(-1) * weight
        loss = 9.0 / (9.0 + squared)
        cost = 0.5 * (squared * loss).sum(1)
        if number + 1 < _PASSES:
            robust = loss**2
    return centre, cost


def basins(yaw: F64, cost: F64, count: int) -> list[int]:
    """Return rows of at most ``count`` yaws, the best first, no two within 25 degrees."""
    chosen: list[int] = []
    for k in np.argsort(cost):
        apart = [abs((yaw[k] - yaw[j] + np.pi) % (2 * np.pi) - np.pi) > _APART for j in chosen]
        if all(apart):
            chosen.append(int(k))
        if len(chosen) == count:
            break
    return chosen
