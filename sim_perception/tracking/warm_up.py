"""Compilation before the first frame: it would otherwise make that frame wait for seconds."""

from __future__ import annotations

import numpy as np

from sim_perception.tracking.config import TrackerConfig
from sim_perception.tracking.detections import DetectionArrays
from sim_perception.tracking.occlusion import BoxView
from sim_perception.tracking.tracker import Tracker
from sim_perception.types import Camera

_FRAMES = 24
_PERIOD = 100_000_000  # nanoseconds


def warm_up(config: TrackerConfig, *, image: bool = False) -> None:
    """Run a few made-up frames through a tracker of its own.

    Args:
        config: of the tracker that will be used.
        image: whether it will track image boxes.
    """
    tracker = Tracker(config)
    class_id = next(iter(config.classes))
    view = BoxView(Camera(64, 48, 40.0, 40.0, 31.5, 23.5), np.eye(4))
    for n in range(_FRAMES):
        boxes = np.array([[10.0 + n, 0, 0, 0, 4, 2, 2], [20, 5, 0, 0, 4, 2, 2]])
        if image:
            boxes = np.array([[10.0 + n, 10, 20 + n, 30], [40, 10, 50, 30]])
        # one is lost for a while, then another one comes
        boxes = boxes[: 2 - (8 <= n < 16)]
        boxes[1:, 0] += 30.0 * (n >= 16)
        count = len(boxes)
        arrays = DetectionArrays(np.full(count, class_id), np.ones(count), boxes)
        tracker.step(
            (n + 1) * _PERIOD,
            arrays,
            tracking_T_sensor=None if image or config.ego_motion else np.eye(4),
            view=None if image else view,
        )
