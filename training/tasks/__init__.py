"""One task per method; ``build_task`` finds it by name."""

from __future__ import annotations

from training.engine.config import ConfigError, TrainConfig
from training.engine.task import Task
from training.tasks.depth_segmentation.task import DepthSegmentationTask
from training.tasks.detector3d.task import Detector3dTask
from training.tasks.guda.task import GudaTask
from training.tasks.permatrack.task import PermaTrackTask
from training.tasks.self_supervised_depth.task import SelfSupervisedDepthTask
from training.tasks.shape_sdf.task import ShapeSdfTask
from training.tasks.spigan.task import SpiganTask
from training.tasks.surface_coordinates.task import SurfaceCoordinatesTask

TASKS: dict[str, type[Task]] = {
    task.name: task
    for task in (
        DepthSegmentationTask,
        Detector3dTask,
        GudaTask,
        PermaTrackTask,
        SelfSupervisedDepthTask,
        ShapeSdfTask,
        SpiganTask,
        SurfaceCoordinatesTask,
    )
}


def build_task(config: TrainConfig) -> Task:
    """Return the configured task.

    Raises:
        ConfigError: for an unknown task or settings it does not take.
    """
    if config.task not in TASKS:
        raise ConfigError(f'unknown task {config.task!r}; known: {", ".join(TASKS)}')
    return TASKS[config.task](config)
