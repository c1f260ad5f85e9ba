"""``python -m training average``: the mean of a network before and after a training."""

import pytest
import torch

from sim_perception.models.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from sim_perception.models.depth_segmentation import DepthSegmentationConfig, DepthSegmentationNet
from sim_perception.taxonomy import load_taxonomy
from training.engine.averaging import average_checkpoints
from training.engine.config import TrainConfig


def checkpoint(folder, seed, channels=(8,)):
    torch.manual_seed(seed)
    taxonomy = load_taxonomy()
    config = DepthSegmentationConfig(
        classes=len(taxonomy), depth_channels=channels, semantic_channels=(8,)
    )
    run = {
        'command': 'python -m training train',
        'step': seed,
        'samples': 2,
        'parameters': 3,
        'config': TrainConfig(notes=f'Run {seed}.').model_dump(mode='json'),
    }
    return save_checkpoint(
        folder,
        DepthSegmentationNet(config),
        taxonomy=taxonomy,
        preprocess={'pixels': 2048},
        metrics={'training': run, 'evaluations': {'x': {'score': 1.0}}},
    )


def test_the_mean_lies_between(tmp_path):
    first, second = (checkpoint(tmp_path / str(seed), seed) for seed in (1, 2))
    mean = load_checkpoint(average_checkpoints(first, second, tmp_path / 'mean', 0.25))
    weights = [load_checkpoint(folder).net.state_dict() for folder in (first, second)]
    for name, value in mean.net.state_dict().items():
        old, new = weights[0][name].double(), weights[1][name].double()
        expected = 0.75 * old + 0.25 * new if value.is_floating_point() else new
        torch.testing.assert_close(value.double(), expected, rtol=1e-3, atol=1e-3)
    assert mean.preprocess['pixels'] == 2048
    assert 'evaluations' not in mean.metrics
    notes = mean.metrics['training']['config']['notes']
    assert notes.startswith('Run 2. After this run: python -m training average')
    assert notes in (tmp_path / 'mean/README.md').read_text()


def test_networks_of_other_shapes_are_refused(tmp_path):
    first, second = checkpoint(tmp_path / 'a', 1), checkpoint(tmp_path / 'b', 2, (16,))
    with pytest.raises(CheckpointError, match='different shapes'):
        average_checkpoints(first, second, tmp_path / 'mean')
    assert not (tmp_path / 'mean').exists()
