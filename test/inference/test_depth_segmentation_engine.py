"""The engine: any image in, depth and labels of its size out; the same on every path."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_perception.inference import backend as backends
from sim_perception.inference.backend import choose_device, choose_precision
from sim_perception.inference.depth_segmentation import DepthSegmentationEngine
from sim_perception.models.checkpoint import (
    CheckpointError,
    load_checkpoint,
    save_checkpoint,
)
from sim_perception.taxonomy import load_taxonomy
from sim_perception.types import Camera, Frame


@pytest.fixture(scope='module')
def engine(small_checkpoint):
    return DepthSegmentationEngine.load(small_checkpoint, device='cpu', precision='float32')


def random_image(width, height, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@settings(deadline=None, max_examples=25)
@given(
    width=st.integers(1, 400),
    height=st.integers(1, 300),
    focal=st.none() | st.floats(20, 3000),
    confidence=st.booleans(),
)
def test_any_image_size_gives_valid_outputs_of_that_size(engine, width, height, focal, confidence):
    camera = None if focal is None else Camera(width, height, focal, focal, width / 2, height / 2)
    result = engine.infer(Frame(0, random_image(width, height), camera), confidence=confidence)
    assert result.depth.shape == result.segmentation.shape == (height, width)
    assert result.depth.dtype == np.float32
    assert result.segmentation.dtype == np.uint8
    assert np.isfinite(result.depth).all()
    assert result.depth.min() >= 0.5
    assert result.depth.max() <= 120
    assert result.segmentation.max() < len(engine.taxonomy)
    if confidence:
        assert result.confidence.dtype == np.float32
        assert result.confidence.min() >= 1 / len(engine.taxonomy) - 1e-5
        assert result.confidence.max() <= 1
    else:
        assert result.confidence is None


@pytest.mark.parametrize('value', [0, 255])
def test_uniform_images_are_no_trouble(engine, value):
    result = engine.infer(Frame(0, np.full((40, 70, 3), value, np.uint8)))
    assert np.isfinite(result.depth).all()


def test_sky_has_no_depth_if_so_wanted(engine):
    frame = Frame(0, random_image(200, 150))
    plain = engine.infer(frame)
    some_class = int(np.bincount(plain.segmentation.ravel()).argmax())
    classes = list(engine.taxonomy.classes)
    classes[some_class] = replace(classes[some_class], name='sky')
    classes[engine.taxonomy.id_of('sky')] = replace(classes[some_class], name='elsewhere')
    taxonomy = replace(engine.taxonomy, classes=tuple(classes))
    other = DepthSegmentationEngine(
        engine._backend.net,
        taxonomy,
        engine.preprocess,
        backend=engine._backend,
    )
    masked = other.infer(frame, mask_sky=True)
    sky = plain.segmentation == some_class
    assert sky.any()
    assert np.isnan(masked.depth[sky]).all()
    assert np.array_equal(masked.depth[~sky], plain.depth[~sky])
    assert np.array_equal(other.infer(frame).depth, plain.depth)


def test_depth_follows_the_calibration(engine):
    image = random_image(96, 64)
    near = engine.infer(Frame(0, image, Camera(96, 64, 80, 80, 48, 32)))
    far = engine.infer(Frame(0, image, Camera(96, 64, 160, 160, 48, 32)))
    np.testing.assert_allclose(far.depth, 2 * near.depth, rtol=1e-4)
    assert np.array_equal(far.segmentation, near.segmentation)


def test_equal_frames_give_equal_bytes(engine, small_checkpoint):
    frame = Frame(0, random_image(123, 77))
    other = DepthSegmentationEngine.load(small_checkpoint, device='cpu', precision='float32')
    results = [engine.infer(frame), engine.infer(frame), other.infer(frame)]
    assert len({r.depth.tobytes() + r.segmentation.tobytes() for r in results}) == 1


def test_results_do_not_share_memory(engine):
    first = engine.infer(Frame(0, random_image(96, 64, 0)))
    before = first.depth.copy()
    engine.infer(Frame(0, random_image(96, 64, 1)))
    assert np.array_equal(first.depth, before)


def test_a_batch_equals_its_frames(engine):
    frames = [
        Frame(0, random_image(100, 60, i), Camera(100, 60, f, f, 50, 30))
        for i, f in enumerate((60.0, 200.0, 90.0))
    ]
    for got, frame in zip(engine.infer_batch(frames), frames, strict=True):
        want = engine.infer(frame)
        np.testing.assert_allclose(got.depth, want.depth, rtol=1e-3)
        assert (got.segmentation == want.segmentation).mean() > 0.999


def test_bfloat16_agrees_with_float32(engine, small_checkpoint):
    half = DepthSegmentationEngine.load(small_checkpoint, device='cpu', precision='bfloat16')
    frame = Frame(0, random_image(192, 96))
    got, want = half.infer(frame), engine.infer(frame)
    assert np.abs(np.log(got.depth / want.depth)).mean() < 0.03
    assert len(np.unique(got.depth)) > 1000  # no steps of bfloat16 in the result


def test_engine_equals_the_trained_network(engine, small_checkpoint):
    """Folding, layouts and compiled upsampling change nothing about what was trained."""
    net = load_checkpoint(small_checkpoint).net
    image = random_image(96, 64)
    camera = Camera(96, 64, 90, 90, 48, 32)
    tensor = (torch.from_numpy(image).permute(2, 0, 1)[None].float() - 127) / 128
    with torch.inference_mode():
        output = net(tensor, torch.tensor([90.0])).resized(64, 96)
    result = engine.infer(Frame(0, image, camera))
    np.testing.assert_allclose(result.depth, output.log_depth.exp()[0, 0].numpy(), rtol=1e-3)
    assert (result.segmentation == output.logits.argmax(1)[0].numpy()).mean() > 0.999


def test_class_probabilities_agree_with_the_classes(engine):
    shown = Frame(0, random_image(96, 64), None)
    told = engine.class_probabilities(shown)
    assert told.shape[0] == len(engine.taxonomy.names)
    np.testing.assert_allclose(told.sum(0), 1, atol=1e-5)
    labels = engine.infer(shown).segmentation
    rows, columns = (
        ((np.arange(cells) + 0.5) * pixels / cells).astype(int)
        for cells, pixels in zip(told.shape[1:], labels.shape, strict=True)
    )
    assert (told.argmax(0) == labels[np.ix_(rows, columns)]).mean() > 0.9


def test_warm_up_takes_any_camera(engine):
    engine.warm_up(Camera(33, 21, 30, 30, 16, 10))


def test_bad_frames_raise_and_good_ones_still_work(engine):
    good = Frame(0, random_image(96, 64))
    want = engine.infer(good).depth
    for image in (np.zeros((0, 0, 3), np.uint8), np.zeros((4, 4), np.uint8), None):
        with pytest.raises(ValueError, match='image'):
            engine.infer(Frame(0, image))
    with pytest.raises(ValueError, match='calibration'):
        engine.infer(Frame(0, good.image, Camera(5, 5, 5, 5, 2, 2)))
    assert np.array_equal(engine.infer(good).depth, want)


def test_engine_carries_the_checkpoints_record(engine):
    assert engine.metrics == {'miou': 0.1}
    assert engine.taxonomy == load_taxonomy()


def test_engine_keeps_the_weights_it_was_given(small_checkpoint, engine):
    loaded = load_checkpoint(small_checkpoint)
    own = DepthSegmentationEngine(
        loaded.net, loaded.taxonomy, engine.preprocess, device='cpu', precision='float32'
    )
    frame = Frame(0, random_image(96, 64))
    before = own.infer(frame).depth
    with torch.no_grad():
        for parameter in loaded.net.parameters():
            parameter.add_(1.0)
    assert np.array_equal(own.infer(frame).depth, before)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'device': 'tpu'}, "unknown device 'tpu'"),
        ({'precision': 'int4'}, "unknown precision 'int4'"),
        ({'precision': 'float16', 'device': 'cpu'}, 'needs a GPU'),
        ({'backend': 'caffe'}, "unknown backend 'caffe'"),
        ({'threads': 0}, 'threads must be at least 1'),
        ({'backend': 'onnxruntime', 'precision': 'bfloat16'}, 'float32 on the CPU'),
    ],
)
def test_wrong_options_are_refused(small_checkpoint, options, message):
    with pytest.raises(ValueError, match=message):
        DepthSegmentationEngine.load(small_checkpoint, **options)


def test_cuda_without_cuda_is_a_clear_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match='CUDA is not available'):
        choose_device('cuda:0')
    assert choose_device('auto') == torch.device('cpu')


def test_automatic_precision_follows_the_machine(monkeypatch):
    cpu = torch.device('cpu')
    monkeypatch.setattr(backends, 'has_fast_bfloat16', lambda: True)
    assert choose_precision('auto', cpu) == torch.bfloat16
    monkeypatch.setattr(backends, 'has_fast_bfloat16', lambda: False)
    assert choose_precision('auto', cpu) == torch.float32
    assert choose_precision('auto', torch.device('cuda')) == torch.float16


def test_threads_are_set(small_checkpoint):
    before = torch.get_num_threads()
    try:
        DepthSegmentationEngine.load(small_checkpoint, device='cpu', threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_damaged_checkpoint_is_refused(small_checkpoint, tmp_path):
    with pytest.raises(CheckpointError):
        DepthSegmentationEngine.load(tmp_path)
    loaded = load_checkpoint(small_checkpoint)
    folder = save_checkpoint(
        tmp_path / 'x', loaded.net, taxonomy=loaded.taxonomy, preprocess={'wings': 2}
    )
    with pytest.raises(CheckpointError, match='unknown preprocess settings wings'):
        DepthSegmentationEngine.load(folder)


def test_onnxruntime_without_an_export_says_how_to_make_one(small_checkpoint):
    with pytest.raises(CheckpointError, match=r'python -m training export'):
        DepthSegmentationEngine.load(small_checkpoint, device='cpu', backend='onnxruntime')
