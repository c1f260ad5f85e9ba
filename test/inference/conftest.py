"""A small checkpoint with random weights, made once for all tests of this folder."""

from __future__ import annotations

import pytest
import torch

from sim_perception.inference.preprocess import PreprocessConfig
from sim_perception.models.checkpoint import save_checkpoint
from sim_perception.models.depth_segmentation import (
    DepthSegmentationConfig,
    DepthSegmentationNet,
)
from sim_perception.taxonomy import load_taxonomy


@pytest.fixture(scope='session')
def small_checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    config = DepthSegmentationConfig(depth_channels=(16, 8), semantic_channels=(16, 8))
    return save_checkpoint(
        tmp_path_factory.mktemp('checkpoints') / 'small',
        DepthSegmentationNet(config),
        taxonomy=load_taxonomy(),
        preprocess=PreprocessConfig(pixels=96 * 64).to_dict(),
        metrics={'miou': 0.1},
    )
