"""Hand-made scenes for the tracker: boxes that move by known laws."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from sim_perception.tracking.config import PEDESTRIAN, VEHICLE, TrackerConfig
from sim_perception.tracking.detections import DetectionArrays
from sim_perception.tracking.tracker import TrackedFrame, Tracker

CAR, WALKER = 10, 12
CAR_SIZE, WALKER_SIZE = (4.2, 1.8, 1.5), (0.8, 0.6, 1.7)
CONFIG = TrackerConfig(classes={CAR: VEHICLE, WALKER: PEDESTRIAN})
PERIOD = 100_000_000
Array = npt.NDArray[np.float64]
Path = Callable[[float], tuple[float, float, float]]
"""Position and heading x, y, yaw at a time in seconds."""


def straight(
    x: float, y: float, vx: float = 0.0, vy: float = 0.0, yaw: float | None = None
) -> Path:
    heading = yaw if yaw is not None else float(np.arctan2(vy, vx))
    return lambda t: (x + vx * t, y + vy * t, heading)


def boxes(paths: Sequence[Path], t: float, size: tuple[float, float, float] = CAR_SIZE) -> Array:
    rows = [(x, y, size[2] / 2, yaw, *size) for x, y, yaw in (path(t) for path in paths)]
    return np.array(rows, float).reshape(-1, 7)


def arrays(
    rows: Array, class_id: int | Sequence[int] = CAR, score: float = 0.95
) -> DetectionArrays:
    count = len(rows)
    return DetectionArrays(
        np.broadcast_to(np.asarray(class_id, np.int64), (count,)), np.full(count, score), rows
    )


NOTHING = arrays(np.empty((0, 7)))


def seen_from(rows: Array, pose: Sequence[float]) -> Array:
    """Boxes of the world in the frame of a sensor at x, y, heading."""
    x, y, heading = pose
    c, s = np.cos(heading), np.sin(heading)
    out = rows.copy()
    out[:, 0] = c * (rows[:, 0] - x) + s * (rows[:, 1] - y)
    out[:, 1] = -s * (rows[:, 0] - x) + c * (rows[:, 1] - y)
    out[:, 3] -= heading
    return out


def run(tracker: Tracker, frames: Sequence[DetectionArrays]) -> list[TrackedFrame]:
    return [tracker.step(n * PERIOD, frame) for n, frame in enumerate(frames)]


def reported_ids(frame: TrackedFrame) -> list[int]:
    return frame.tracks['id'][frame.reported].tolist()
