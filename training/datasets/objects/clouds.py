"""The points that a detector sees of a frame: the LiDAR's, or those of a predicted depth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from sim_perception.geometry.lidar_frame import LidarFrame
from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.inference.plan import DEPTH_STRIDE, depth_frame
from sim_perception.types import Frame
from training.datasets.objects.label_scenes import LabelScene, TrueObject


def cloud_source(
    points: str, checkpoint: str, device: str = 'auto'
) -> Callable[[LabelScene], LidarFrame]:
    """Return what gives the points that a detector shall see of a frame.

    Args:
        points: ``lidar`` or ``depth``.
        checkpoint: of depth.
        device: of that network, see ``choose_device``.

    Raises:
        CheckpointError: for an unusable checkpoint.
    """
    if points == 'lidar':
        return lambda scene: scene.frame
    engine = DepthSegmentationEngine.load(Path(checkpoint), device=device, threads=1)

    def predicted(scene: LabelScene) -> LidarFrame:
        camera = scene.frame.camera
        depth = engine.infer(Frame(0, scene.image, camera)).depth
        return depth_frame(depth, camera, np.asarray(scene.frame.camera_T_level))

    return predicted


def points_on(points: str) -> Callable[[TrueObject], float]:
    """Return what tells how many of the points that a detector sees are on an object.

    Of predicted depth that is what the camera sees of the object, wherever the depth puts it.

    Args:
        points: ``lidar`` or ``depth``.
    """
    if points == 'lidar':
        return lambda item: item.points

    def pixels(item: TrueObject) -> float:
        x1, y1, x2, y2 = item.box2d
        return (x2 - x1) * (y2 - y1) * (1 - item.occluded) / DEPTH_STRIDE**2

    return pixels
