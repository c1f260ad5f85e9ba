"""Self-supervised depth and ego-motion from real video: no simulation and no label at all.

Godard et al., "Digging into self-supervised monocular depth estimation" (ICCV 2019), with the
velocity loss of Guizilini et al., "3D packing" (CVPR 2020), for metric scale.
"""

from __future__ import annotations

from typing import ClassVar

from sim_perception.taxonomy import Taxonomy
from training.engine.config import ConfigError, TrainConfig
from training.tasks.guda.task import GudaTask


class SelfSupervisedDepthTask(GudaTask):
    """GUDA's real half alone. The segmentation head of its checkpoint is not trained."""

    name: ClassVar[str] = 'self_supervised_depth'

    def __init__(self, config: TrainConfig, taxonomy: Taxonomy | None = None) -> None:
        super().__init__(config, taxonomy)
        data = self.data_config
        if data.bags or data.clips or data.real_images:
            raise ConfigError(
                'self_supervised_depth takes data.real_clips only; train the task guda to mix '
                'them with simulated data'
            )
