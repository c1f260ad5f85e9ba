"""Predict: move tracks forward in time, with their uncertainty.

Positions and speeds follow a constant-velocity model with white noise in the acceleration
(Bar-Shalom, Li, Kirubarajan, *Estimation with Applications to Tracking and Navigation*, 2001,
section 6.2.2), stronger along the heading than across it. Classes that turn carry their speed
round with their yaw rate (coordinated turn, section 11.7), which fades.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sim_perception.kernels import kernel, strided
from sim_perception.tracking.tables import Rows

YAW_RATE_MEMORY = 1.0
"""Time constant with which an unobserved yaw rate fades, seconds."""
YAW_RATE_NOISE = 0.4
"""Root of the spectral density of the yaw acceleration, rad/s^1.5."""
HEIGHT_NOISE = 0.3
"""Root of the spectral density of the height's speed, m/s^0.5."""
RESTING = 0.25
"""Share of the acceleration noise that is left for objects that seem to be at rest."""


def predict(tracks: Rows, classes: Rows, dt: float) -> None:
    """Move tracks in place by ``dt`` seconds; two short steps equal one long one.

    Args:
        tracks: rows of ``track_dtype``.
        classes: rows of ``CLASS_DTYPE``.
        dt: seconds, at least 0.
    """
    if len(tracks) and dt > 0:
        _predict(
            tracks['mean'], tracks['cov'], tracks['yaw'], tracks['yaw_cov'], tracks['z'],
            tracks['scale'], tracks['kind'], classes['acceleration'], classes['sideways'],
            classes['rest_speed'], classes['turns'], dt,
        )  # fmt: skip


def shift(tracks: Rows, dt: float) -> None:
    """Move tracks in place along their velocities, without new doubt; ``shift(-dt)`` undoes it.

    Args:
        tracks: rows of ``track_dtype``.
        dt: seconds, of either sign.
    """
    f = np.eye(4)
    f[0, 2] = f[1, 3] = dt
    tracks['mean'] = tracks['mean'] @ f.T
    tracks['cov'] = f @ tracks['cov'] @ f.T


@strided
def _predict(
    mean: npt.NDArray[np.float64],
    cov: npt.NDArray[np.float64],
    yaw: npt.NDArray[np.float64],
    yaw_cov: npt.NDArray[np.float64],
    z: npt.NDArray[np.float64],
    scale: npt.NDArray[np.float64],
    kind: npt.NDArray[np.int64],
    acceleration: npt.NDArray[np.float64],
    sideways: npt.NDArray[np.float64],
    rest_speed: npt.NDArray[np.float64],
    turns: npt.NDArray[np.bool_],
    dt: float,
) -> None:
    f = np.empty((4, 4))
    for i in range(len(mean)):
        k = kind[i]
        speed = math.hypot(mean[i, 2], mean[i, 3])
        turn = yaw[i, 1] * YAW_RATE_MEMORY * (1 - math.exp(-dt / YAW_RATE_MEMORY))
        _transition(f, turn if turns[k] and speed > 2 * rest_speed[k] else 0.0, dt)
        mean[i] = f @ mean[i].copy()
        p = f @ cov[i].copy() @ f.T
        share = RESTING if speed < rest_speed[k] else 1.0
        along, across = share * acceleration[k] * scale[i], share * sideways[k] * scale[i]
        _add_noise(p, yaw[i, 0], along * along, across * across, dt)
        cov[i] = p
        _turn(yaw[i], yaw_cov[i], turn, dt)
        z[i, 1] += HEIGHT_NOISE**2 * dt * scale[i] ** 2


@kernel
def _transition(f: npt.NDArray[np.float64], turn: float, dt: float) -> None:
    """Fill the 4x4 transition of x y vx vy: half the turn is made before moving."""
    f[:] = 0.0
    f[0, 0] = f[1, 1] = 1.0
    c, s = math.cos(turn / 2), math.sin(turn / 2)
    f[0, 2], f[0, 3], f[1, 2], f[1, 3] = c * dt, -s * dt, s * dt, c * dt
    c, s = math.cos(turn), math.sin(turn)
    f[2, 2], f[2, 3], f[3, 2], f[3, 3] = c, -s, s, c


@kernel
def _add_noise(
    p: npt.NDArray[np.float64], heading: float, along: float, across: float, dt: float
) -> None:
    """Add white acceleration noise with variances along and across the heading."""
    c, s = math.cos(heading), math.sin(heading)
    xx, xy, yy = along * c * c + across * s * s, (along - across) * c * s, 0.0
    yy = along * s * s + across * c * c
    a, b = dt * dt * dt / 3, dt * dt / 2
    for i, j, q in ((0, 0, xx), (0, 1, xy), (1, 0, xy), (1, 1, yy)):
        p[i, j] += a * q
        p[i, j + 2] += b * q
        p[i + 2, j] += b * q
        p[i + 2, j + 2] += dt * q


@kernel
def _turn(
    yaw: npt.NDArray[np.float64], cov: npt.NDArray[np.float64], turn: float, dt: float
) -> None:
    """Predict heading and yaw rate, an Ornstein-Uhlenbeck process integrated exactly."""
    fade = math.exp(-dt / YAW_RATE_MEMORY)
    reach = YAW_RATE_MEMORY * (1 - fade)
    yaw[0] += turn
    yaw[1] *= fade
    aa, ab, bb = cov[0], cov[1], cov[2]
    q, memory = YAW_RATE_NOISE * YAW_RATE_NOISE, YAW_RATE_MEMORY
    twice = memory / 2 * (1 - fade * fade)
    cov[0] = aa + 2 * reach * ab + reach * reach * bb + q * memory**2 * (dt - 2 * reach + twice)
    cov[1] = fade * (ab + reach * bb) + q * reach * reach / 2
    cov[2] = fade * fade * bb + q * twice
