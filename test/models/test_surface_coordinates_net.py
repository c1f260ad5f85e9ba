"""The coordinates network: shapes, checkpoint, inference copy, engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sim_perception.inference.preprocess import PreprocessConfig
from sim_perception.inference.surface_coordinates import SurfaceCoordinatesEngine
from sim_perception.models.checkpoint import CheckpointError, save_checkpoint
from sim_perception.models.surface_coordinates import (
    SurfaceCoordinatesConfig,
    SurfaceCoordinatesNet,
)
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Camera

SMALL = {'width': 64, 'height': 48, 'channels': (16, 16, 16), 'head_channels': 16}
CAMERA = Camera(320, 128, 200.0, 200.0, 159.5, 63.5)


@pytest.fixture(scope='module')
def net() -> SurfaceCoordinatesNet:
    torch.manual_seed(0)
    return SurfaceCoordinatesNet(SurfaceCoordinatesConfig(**SMALL)).eval()


def test_predictions_have_their_shapes_and_start_near_the_usual(
    net: SurfaceCoordinatesNet,
) -> None:
    with torch.no_grad():
        output = net(torch.randn(2, 3, 48, 64))
    config = net.config
    assert output.visible.shape == output.amodal.shape == output.log_error.shape == (2, 1, 12, 16)
    assert output.coordinates.shape == (2, 3, 12, 16)
    assert output.bins.shape == output.turn.shape == (2, config.bins)
    assert output.latent.shape == (2, config.components)
    assert output.log_size.exp().numpy() == pytest.approx(
        np.broadcast_to(config.mean_size, (2, 3)), rel=0.5
    )


def test_the_stage_that_is_not_used_takes_no_memory(net: SurfaceCoordinatesNet) -> None:
    assert sum(p.numel() for p in net.encoder.parameters()) < 1e6


def test_the_inference_copy_computes_the_same(net: SurfaceCoordinatesNet) -> None:
    image = torch.randn(1, 3, 48, 64)
    with torch.no_grad():
        for ours, theirs in zip(net(image), net.for_inference()(image), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'width': 100}, 'multiples of 16'),
        ({'channels': (16, 16)}, 'multiples of 8'),
        ({'bins': 1}, 'bins'),
        ({'mean_size': (4.0, 0.0, 1.5)}, 'mean_size'),
    ],
)
def test_bad_settings_are_refused(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SurfaceCoordinatesConfig(**values)


def test_crops_of_another_size_are_refused(net: SurfaceCoordinatesNet) -> None:
    with pytest.raises(ValueError, match='64x48'):
        net(torch.zeros(1, 3, 64, 64))


def test_the_engine_reads_a_checkpoint(net: SurfaceCoordinatesNet, tmp_path: Path) -> None:
    save_checkpoint(
        tmp_path / 'net', net, taxonomy=load_taxonomy(), preprocess=PreprocessConfig().to_dict(),
        half=False,
    )  # fmt: skip
    engine = SurfaceCoordinatesEngine.load(tmp_path / 'net', 'cpu', 'float32')
    image = np.random.default_rng(0).integers(0, 256, (128, 320, 3)).astype(np.uint8)
    boxes = np.array([[20.0, 30, 80, 60], [300, 100, 340, 140]])
    first, second = engine.infer(image, CAMERA, boxes)
    assert first.visible.shape == (12, 16)
    assert first.odds.sum() == pytest.approx(1)
    assert (np.diff(first.odds) <= 0).all()
    assert (np.abs(first.angles) <= np.pi).all()
    alone = engine.infer(image, CAMERA, boxes[1:])[0]
    np.testing.assert_allclose(alone.coordinates, second.coordinates, atol=1e-4)
    assert engine.infer(image, CAMERA, np.zeros((0, 4))) == []


def test_distance_follows_the_focal_length(net: SurfaceCoordinatesNet) -> None:
    engine = SurfaceCoordinatesEngine(
        net, load_taxonomy(), PreprocessConfig(), device='cpu', precision='float32'
    )
    image = np.full((128, 320, 3), 90, np.uint8)
    box = np.array([[100.0, 40, 160, 80]])
    longer = Camera(320, 128, 400.0, 400.0, 159.5, 63.5)
    near = engine.infer(image, CAMERA, box)[0].distance
    far = engine.infer(image, longer, box)[0].distance
    assert far == pytest.approx(2 * near)


def test_another_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match='folder'):
        SurfaceCoordinatesEngine.load(tmp_path / 'absent')
