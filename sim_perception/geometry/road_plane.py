"""The road as a plane below a camera, by the depth and the pixels that a network calls road."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_perception.geometry.lenses import slopes_of
from sim_perception.geometry.transforms import homogeneous
from sim_perception.types import Camera

F64 = npt.NDArray[np.float64]

#: Depths between which the road is looked at, metres: beyond, it need not be the same plane.
NEAR, FAR = 4.0, 22.0
_MIN_PIXELS, _PIXELS, _STRIDE = 100, 2000, 2
# A predicted depth is off by such a share where it is right at all.
_SHARE = 0.05
_UPRIGHT = 0.8


@dataclass(frozen=True)
class RoadPlane:
    """The plane ``normal . X = height`` of the road in a camera's optical frame.

    Attributes:
        normal: (3,) unit vector, down.
        height: of the camera above it, metres.
    """

    normal: F64
    height: float


def fit_road_plane(
    depth: npt.NDArray[np.floating], road: npt.NDArray[np.bool_], camera: Camera
) -> RoadPlane | None:
    """Return the road's plane, or None where too little of it is seen or it is no road.

    Args:
        depth: (H, W) metres; NaN where unknown.
        road: (H, W) pixels that show road.
        camera: an ideal pinhole.
    """
    rows, columns = np.nonzero(road[::_STRIDE, ::_STRIDE])
    rows, columns = rows * _STRIDE, columns * _STRIDE
    metres = depth[rows, columns].astype(np.float64)
    near = (metres > NEAR) & (metres < FAR)
    rows, columns, metres = thinned(near, rows, columns, metres, count=_PIXELS)
    if len(metres) < _MIN_PIXELS:
        return None
    rays = homogeneous(slopes_of(camera, np.column_stack([columns, rows]).astype(np.float64)))
    rays, metres = thinned(np.isfinite(rays).all(1), rays, metres, count=_PIXELS)
    # 1 / z = (normal . ray) / height is linear; depth errs about as a share of itself.
    weight = np.ones(len(metres))
    solution = np.zeros(3)
    for _ in range(5):
        scaled = rays * (weight * metres)[:, None]
        solution = np.linalg.lstsq(scaled, weight, rcond=None)[0]
        weight = 1 / (1 + ((rays @ solution * metres - 1) / _SHARE) ** 2)
    length = float(np.linalg.norm(solution))
    if length < 1e-6 or solution[1] / length < _UPRIGHT:
        return None
    return RoadPlane(solution / length, 1 / length)


def thinned(keep: Any, *arrays: Any, count: int) -> tuple[Any, ...]:
    """Return the entries of arrays that a mask keeps, evenly thinned to at most ``count``."""
    index = np.flatnonzero(keep)
    if len(index) > count:
        index = index[np.linspace(0, len(index) - 1, count).astype(int)]
    return tuple(array[index] for array in arrays)
