"""Export to ONNX: the graph computes what the network computes, at any size."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.inference.preprocess import PreprocessConfig
from sim_perception.models.checkpoint import load_checkpoint, save_checkpoint
from sim_perception.models.depth_segmentation import (
    DepthSegmentationConfig,
    DepthSegmentationNet,
)
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Camera, Frame
from training.engine import export as export_module
from training.engine.export import ExportError, export

pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')


@pytest.fixture(scope='module')
def exported(small_checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp('exported') / 'small'
    shutil.copytree(small_checkpoint, folder)
    return folder, export(folder)


@pytest.mark.slow
def test_export_reports_a_small_error_and_keeps_the_checkpoint_valid(exported):
    folder, errors = exported
    assert set(errors) == {'log_depth_error', 'logits_error'}
    assert max(errors.values()) < 1e-4
    loaded = load_checkpoint(folder)
    assert loaded.onnx == (folder / 'model.onnx').read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(('width', 'height'), [(96, 64), (131, 60), (50, 90)])
def test_onnxruntime_engine_equals_the_torch_engine(exported, width, height):
    folder, _ = exported
    torch_engine = DepthSegmentationEngine.load(folder, device='cpu', precision='float32')
    onnx_engine = DepthSegmentationEngine.load(folder, backend='onnxruntime', threads=1)
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    frames = [
        Frame(0, image, Camera(width, height, f, f, width / 2, height / 2)) for f in (50.0, 400.0)
    ]
    for got, want in zip(
        onnx_engine.infer_batch(frames), torch_engine.infer_batch(frames), strict=True
    ):
        np.testing.assert_allclose(got.depth, want.depth, rtol=1e-4)
        assert (got.segmentation == want.segmentation).mean() > 0.999


@pytest.mark.slow
def test_uncertainty_is_exported_and_ego_motion_is_not(tmp_path):
    torch.manual_seed(0)
    config = DepthSegmentationConfig(
        depth_channels=(16, 8), semantic_channels=(16, 8), uncertainty=True, ego_motion=True
    )
    net = DepthSegmentationNet(config)
    torch.nn.init.normal_(net.uncertainty.weight)
    folder = save_checkpoint(
        tmp_path / 'model',
        net,
        taxonomy=load_taxonomy(),
        preprocess=PreprocessConfig(pixels=96 * 64).to_dict(),
    )
    errors = export(folder)
    assert set(errors) == {'log_depth_error', 'logits_error', 'log_scale_error'}
    assert max(errors.values()) < 1e-4
    torch_engine = DepthSegmentationEngine.load(folder, device='cpu', precision='float32')
    onnx_engine = DepthSegmentationEngine.load(folder, backend='onnxruntime', threads=1)
    assert onnx_engine.predicts_uncertainty
    assert not onnx_engine.predicts_motion
    frame = Frame(0, np.random.default_rng(0).integers(0, 256, (60, 131, 3), np.uint8))
    got, want = (e.infer(frame, confidence=True) for e in (onnx_engine, torch_engine))
    np.testing.assert_allclose(got.depth_confidence, want.depth_confidence, atol=1e-4)
    assert want.depth_confidence.std() > 1e-3


def test_a_graph_that_computes_something_else_is_not_written(
    small_checkpoint, tmp_path, monkeypatch
):
    monkeypatch.setattr(export_module, 'to_onnx', lambda net: b'')
    monkeypatch.setattr(
        export_module, 'parity', lambda net, data: {'log_depth_error': 0.3, 'logits_error': 0.0}
    )
    with pytest.raises(ExportError, match='differ by'):
        export(small_checkpoint, tmp_path / 'model.onnx')
    assert not (tmp_path / 'model.onnx').exists()
