"""The ground and the scale of predicted depth, where there is no LiDAR."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim_perception.autolabel.evidence.sight import camera_place
from sim_perception.geometry.lidar_frame import LidarFrame, fit_ground
from sim_perception.geometry.transforms import invert, transform_points
from sim_perception.taxonomy import Taxonomy
from sim_perception.types import DepthSegmentation

Array = npt.NDArray[np.floating]
F64 = npt.NDArray[np.float64]

GROUND_CLASSES = ('road', 'sidewalk')
_PLAUSIBLE_HEIGHT = (0.5, 4.0)
_MOST_SCALE = 1.6
"""A predicted depth that is off by more is not believed to be off in scale alone."""
_LEVEL = 0.02
"""Metres per metre: predicted ground is more exact, and most roads of a level camera flatter."""
_STEP = 4


@dataclass(frozen=True)
class ImageGround:
    """The ground below a camera.

    Attributes:
        plane: (3,) a, b, c of its height ``a x + b y + c`` in the level frame.
        depth: (H, W) metres, its scale put right by the ground; None without a depth network.
        scale: that it was multiplied with.
    """

    plane: F64
    depth: npt.NDArray[np.float32] | None
    scale: float


def ground_of_image(
    frame: LidarFrame,
    seen: DepthSegmentation | None,
    taxonomy: Taxonomy | None,
    camera_height: float | None = None,
) -> ImageGround | None:
    """Return the ground of an image, or None if nothing tells where it is.

    Where the camera's height is known the ground lies that deep below it, level but for what
    predicted depth shows of a camera that nods, and predicted depth is scaled such that its ground
    lies there. Else the ground is where predicted depth has it.

    Args:
        frame: camera and level frame; its points are not looked at.
        seen: depth and classes of the image, or None.
        taxonomy: of the classes.
        camera_height: metres; None for the camera's height in the level frame, if plausible.
    """
    place = camera_place(frame.camera_T_level)
    known = camera_height
    if known is None and _PLAUSIBLE_HEIGHT[0] < place[2] < _PLAUSIBLE_HEIGHT[1]:
        known = float(place[2])
    plane = None if known is None else np.array([0.0, 0.0, place[2] - known])
    if seen is None or taxonomy is None:
        return None if plane is None else ImageGround(plane, None, 1.0)
    fitted = fit_ground(ground_points(frame, seen, taxonomy), place)
    scale = 1.0
    if fitted is not None and known is not None:
        below = float(place[2] - fitted[0] * place[0] - fitted[1] * place[1] - fitted[2])
        if 1 / _MOST_SCALE < known / max(below, 1e-3) < _MOST_SCALE:
            scale = known / below
            line = invert(np.asarray(frame.camera_T_level, np.float64))[:2, 2]
            plane = _tilted(fitted[:2], line, place, known)
    if plane is None:
        plane = fitted
    if plane is None:
        return None
    return ImageGround(plane, (seen.depth * np.float32(scale)).astype(np.float32), scale)


def _tilted(gradient: Array, line: Array, place: Array, height: float) -> F64:
    """Return the ground at a known height below a camera that may nod against the level frame.

    The frames are believed where predicted depth shows it level to ``_LEVEL``, and predicted depth
    from twice that on: such a camera is not mounted as its frames say.

    Args:
        gradient: (2,) of the ground of predicted depth, in the level frame.
        line: (2,) direction of sight in plan.
        place: (3,) of the camera.
        height: of the camera above the ground.
    """
    line = line / max(float(np.linalg.norm(line)), 1e-9)
    shown = float(gradient @ line)
    slope = math.copysign(min(2 * max(abs(shown) - _LEVEL, 0.0), abs(shown)), shown) * line
    return np.array([*slope, place[2] - height - slope @ place[:2]], np.float64)


def ground_points(frame: LidarFrame, seen: DepthSegmentation, taxonomy: Taxonomy) -> F64:
    """Return (N, 3) points of the level frame where the image shows ground."""
    names = [name for name in GROUND_CLASSES if name in taxonomy.names]
    ids = [taxonomy.id_of(name) for name in names]
    rows, columns = np.mgrid[: seen.depth.shape[0] : _STEP, : seen.depth.shape[1] : _STEP]
    depth = seen.depth[rows, columns]
    shown = np.isin(seen.segmentation[rows, columns], ids) & np.isfinite(depth)
    camera = frame.camera
    z = depth[shown].astype(np.float64)
    x = (columns[shown] - camera.cx) / camera.fx * z
    y = (rows[shown] - camera.cy) / camera.fy * z
    level_T_camera = invert(np.asarray(frame.camera_T_level, np.float64))
    return np.asarray(transform_points(level_T_camera, np.stack([x, y, z], 1)), np.float64)
