"""What the 3D detector is asked for: centres on the plan and what holds there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from sim_perception.models.detector3d import GEOMETRY, OUTPUT_STRIDE, Detector3dConfig

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

#: Points so far beside a box still belong to it, metres.
_MARGIN = 0.05
#: Deviation of the bump about a centre, cells.
SPREAD = 1.0
#: Cells about a centre that are taught what holds there, and their weight.
BESIDE, BESIDE_WEIGHT = 1.5, 0.5


@dataclass(frozen=True)
class Asked:
    """The objects of one frame, on its plan.

    Attributes:
        thing: (K,) place of the class in ``Detector3dConfig.things``.
        rows: (K, 7) of ``plan.BOX_COLUMNS``.
        unknown: (J, 3) x, y, radius of places where an object may be or not.
        wedges: (I, 2) bearings, least and greatest y / x, between which objects may be or not.
    """

    thing: npt.NDArray[np.int64]
    rows: F64
    unknown: F64
    wedges: F64


@dataclass(frozen=True)
class Change:
    """A similarity of the plan: mirrored, turned, scaled about the camera, then shifted."""

    mirror: bool = False
    turn: float = 0.0
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)

    @property
    def matrix(self) -> F64:
        """The (2, 2) linear part."""
        c, s = np.cos(self.turn), np.sin(self.turn)
        side = -1.0 if self.mirror else 1.0
        return self.scale * np.array([[c, -s * side], [s, c * side]])

    def points(self, points: F32) -> F32:
        """Return (N, 3 or more) points changed; columns after z stay."""
        found = points.copy()
        turned = points[:, :2] @ self.matrix.T.astype(np.float32)
        found[:, :2] = turned + np.array(self.shift, np.float32)
        found[:, 2] *= self.scale
        return found

    def rows(self, rows: F64) -> F64:
        """Return (K, 7) boxes changed."""
        found = rows.copy()
        found[:, :2] = rows[:, :2] @ self.matrix.T + self.shift
        found[:, 3] = (-rows[:, 3] if self.mirror else rows[:, 3]) + self.turn
        found[:, 2] *= self.scale
        found[:, 4:] *= self.scale
        return found

    def back(self, places: F64) -> F64:
        """Return where (..., 2) changed places were."""
        return np.asarray((places - self.shift) @ np.linalg.inv(self.matrix).T)


def resized(points: F32, rows: F64, factors: F64) -> tuple[F32, F64]:
    """Scale objects along their axes, with the points on them; their undersides stay in place.

    After Wang et al., "Train in Germany, test in the USA" (CVPR 2020), section 5: what a detector
    has learnt of one country's cars it must not take for a law.

    Args:
        points: (N, 3 or more) points; columns after z stay.
        rows: (K, 7) of ``plan.BOX_COLUMNS``.
        factors: (K, 3) of length, width and height.
    """
    points, rows = points.copy(), rows.copy()
    for row, factor in zip(rows, factors, strict=True):
        c, s = np.cos(row[3]), np.sin(row[3])
        turn = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
        middle, half = row[:3].copy(), row[4:] / 2
        near = np.flatnonzero(np.abs(points[:, :2] - middle[:2]).max(1) < np.hypot(*half[:2]) + 1)
        local = (points[near, :3] - middle) @ turn.T
        inside = (np.abs(local) < half + _MARGIN).all(1)
        row[2] += (factor[2] - 1) * half[2]
        row[4:] *= factor
        points[near[inside], :3] = (local[inside] * factor) @ turn + row[:3]
    return points, rows


def middles(config: Detector3dConfig) -> F64:
    """Return the (h, w, 2) x, y of the output cells' middles."""
    step = config.cell * OUTPUT_STRIDE
    h, w = config.shape
    spot = np.stack(np.meshgrid(np.arange(h), np.arange(w), indexing='ij'), -1) + 0.5
    return np.asarray(spot * step + [config.x_range[0], config.y_range[0]])


def plan_maps(asked: Asked, change: Change, config: Detector3dConfig) -> dict[str, torch.Tensor]:
    """Return the targets of one frame after a change of its plan.

    Returns:
        ``heat`` (things, h, w), ``heat_weight`` (1, h, w), ``values`` (10, h, w) in the order of
        ``GEOMETRY`` and ``weight`` (h, w).
    """
    places = middles(config)
    h, w = config.shape
    step = config.cell * OUTPUT_STRIDE
    heat = np.zeros((len(config.things), h, w), np.float32)
    values = np.zeros((sum(GEOMETRY.values()), h, w), np.float32)
    weight = np.zeros((h, w), np.float32)
    nearest = np.full((h, w), np.inf)
    known = _known(asked, change, places)
    for thing, row in zip(asked.thing, change.rows(asked.rows), strict=True):
        away = (row[:2] - places) / step
        distance = np.hypot(away[..., 0], away[..., 1])
        r, c = np.unravel_index(distance.argmin(), distance.shape)
        if distance[r, c] > 1:  # beyond the plan's edge
            continue
        bump = np.exp(-0.5 * (distance / SPREAD) ** 2) * (distance < 3 * SPREAD)
        heat[thing] = np.maximum(heat[thing], np.minimum(bump, 0.99))
        heat[thing, r, c] = 1.0
        near = (distance < BESIDE) & (distance < nearest)
        near[r, c] = True
        nearest[near] = distance[near]
        nearest[r, c] = -1.0
        values[:, near] = _told(row)[:, None]
        values[:2, near] = away[near].T
        weight[near] = BESIDE_WEIGHT
        weight[r, c] = 1.0
        known |= distance < 3 * SPREAD
    return {
        'heat': torch.from_numpy(heat),
        'heat_weight': torch.from_numpy(known[None].astype(np.float32)),
        'values': torch.from_numpy(values),
        'weight': torch.from_numpy(weight),
    }


def _told(row: F64) -> F32:
    """Return the values that every cell of an object is told; the offset is filled in later."""
    yaw = row[3]
    return np.array(
        [
            *(0.0, 0.0, row[2], *np.log(row[4:])),
            *(np.sin(2 * yaw), np.cos(2 * yaw), np.sin(yaw), np.cos(yaw)),
        ],
        np.float32,
    )


def _known(asked: Asked, change: Change, places: F64) -> npt.NDArray[np.bool_]:
    """Return at which cells it is known whether an object is there."""
    before = change.back(places)
    known = np.ones(places.shape[:2], bool)
    with np.errstate(divide='ignore', invalid='ignore'):
        bearing = before[..., 1] / before[..., 0]
    ahead = before[..., 0] > 0
    for low, high in asked.wedges:
        known &= ~(ahead & (bearing >= low) & (bearing <= high))
    for x, y, radius in asked.unknown:
        known &= np.hypot(before[..., 0] - x, before[..., 1] - y) > radius
    return known
