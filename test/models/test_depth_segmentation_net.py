"""The depth + segmentation network: shapes, focal length, freezing, precision."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from sim_perception.models.depth_segmentation import (
    INITIAL_DEPTH,
    DepthSegmentationConfig,
    DepthSegmentationNet,
)

SMALL = {'depth_channels': (16, 16), 'semantic_channels': (16, 8)}


@pytest.fixture(scope='module')
def net():
    torch.manual_seed(0)
    return DepthSegmentationNet(DepthSegmentationConfig(**SMALL)).eval()


@pytest.mark.parametrize('levels', [1, 3, 4, 5])
def test_number_of_widths_sets_the_output_stride(levels):
    widths = (16,) * levels
    config = DepthSegmentationConfig(5, depth_channels=widths, semantic_channels=widths)
    output = DepthSegmentationNet(config)(torch.zeros(2, 3, 64, 96), torch.full((2,), 300.0))
    stride = 32 // 2 ** (levels - 1)
    assert output.log_depth.shape == (2, 1, 64 // stride, 96 // stride)
    assert output.logits.shape == (2, 5, 64 // stride, 96 // stride)
    full = output.resized(64, 96)
    assert full.log_depth.shape == (2, 1, 64, 96)
    assert full.logits.shape == (2, 5, 64, 96)


@pytest.mark.parametrize('factor', [0.5, 2.0, 3.7])
def test_depth_is_proportional_to_the_focal_length(net, factor):
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        near = net(image, torch.tensor([200.0]))
        far = net(image, torch.tensor([200.0 * factor]))
    torch.testing.assert_close(far.log_depth.exp(), near.log_depth.exp() * factor)
    torch.testing.assert_close(far.logits, near.logits)


def test_each_image_of_a_batch_has_its_own_focal_length(net):
    images = torch.randn(2, 3, 64, 64)
    focal = torch.tensor([150.0, 900.0])
    with torch.inference_mode():
        together = net(images, focal)
        alone = net(images[1:], focal[1:])
    torch.testing.assert_close(together.log_depth[1:], alone.log_depth, rtol=1e-4, atol=1e-4)


def test_untrained_depth_starts_near_street_scenes():
    torch.manual_seed(0)
    config = DepthSegmentationConfig(canonical_focal=400.0)
    net = DepthSegmentationNet(config).eval()
    with torch.inference_mode():
        output = net(torch.randn(1, 3, 64, 64), torch.tensor([400.0]))
    assert abs(output.log_depth.median().item() - math.log(INITIAL_DEPTH)) < 1


@pytest.mark.parametrize(('height', 'width'), [(60, 64), (64, 100), (33, 32)])
def test_other_sizes_than_multiples_of_32_are_refused(net, height, width):
    with pytest.raises(ValueError, match=f'{width}x{height}.*multiples of 32'):
        net(torch.zeros(1, 3, height, width), torch.ones(1))


def _norm_buffers(net):
    return {
        name: value.clone() for name, value in net.encoder.named_buffers() if 'running' in name
    }


@pytest.mark.parametrize('frozen', [True, False])
def test_encoder_norm_statistics_move_only_if_not_frozen(frozen):
    torch.manual_seed(0)
    net = DepthSegmentationNet(DepthSegmentationConfig(freeze_encoder_norm=frozen, **SMALL))
    net.train()
    assert any(m.training for m in net.depth.modules())
    before = _norm_buffers(net)
    net(torch.randn(2, 3, 64, 64), torch.ones(2))
    moved = any(not torch.equal(before[k], v) for k, v in _norm_buffers(net).items())
    assert moved is not frozen


@pytest.mark.parametrize('stages', [0, 2, 5])
def test_frozen_stages_get_no_gradient_and_the_rest_does(stages):
    net = DepthSegmentationNet(DepthSegmentationConfig(frozen_stages=stages, **SMALL)).train()
    output = net(torch.randn(2, 3, 64, 64), torch.ones(2))
    (output.log_depth.square().mean() + output.logits.square().mean()).backward()
    for i, modules in enumerate(net.encoder.stages()):
        grads = [p.grad is not None for m in modules for p in m.parameters()]
        assert all(grads) if i >= stages else not any(grads)
    assert all(p.grad is not None for p in net.depth.parameters())
    assert all(p.grad is not None for p in net.semantic.parameters())


def test_autocast_keeps_predictions_in_float32(net):
    with torch.autocast('cpu', torch.bfloat16):
        output = net(torch.randn(1, 3, 64, 64), torch.ones(1))
    assert output.log_depth.dtype == output.logits.dtype == torch.float32
    # not merely converted: bfloat16 has 8 bits, these values need more
    assert (output.log_depth != output.log_depth.bfloat16().float()).float().mean() > 0.9


@pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.float32, 1e-4), (torch.bfloat16, 0.1)])
def test_inference_copy_computes_the_same_and_leaves_the_original(net, dtype, tolerance):
    before = {k: v.clone() for k, v in net.state_dict().items()}
    fast = net.for_inference(dtype)
    image, focal = torch.randn(1, 3, 64, 96), torch.tensor([371.0])
    with torch.inference_mode():
        got, want = fast(image.to(dtype), focal), net(image, focal)
    assert got.log_depth.dtype == torch.float32
    assert got.log_scale is want.log_scale is None
    for a, b in zip(got[:2], want[:2], strict=True):
        assert (a - b).abs().max() < tolerance * b.abs().max()
    assert not any(p.requires_grad for p in fast.parameters())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fast.modules())
    for key, value in net.state_dict().items():
        assert torch.equal(value, before[key])


def test_a_few_steps_of_training_fit_one_batch():
    torch.manual_seed(0)
    net = DepthSegmentationNet(DepthSegmentationConfig(4, dropout=0.0, **SMALL)).train()
    image, focal = torch.randn(2, 3, 64, 64), torch.tensor([300.0, 600.0])
    depth = torch.linspace(1.0, 3.5, 16).view(1, 1, 4, 4).expand(2, 1, 4, 4)
    labels = torch.arange(16).view(1, 4, 4).expand(2, 4, 4) % 4
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    losses = []
    for _ in range(25):
        output = net(image, focal)
        loss = (output.log_depth - depth).abs().mean()
        loss = loss + nn.functional.cross_entropy(output.logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'classes': 1}, 'classes must be at least 2'),
        ({'depth_channels': (12, 16)}, 'depth_channels must be .* multiples of 8'),
        ({'semantic_channels': ()}, 'semantic_channels must be 1 to 5'),
        ({'semantic_channels': (8,) * 6}, 'semantic_channels must be 1 to 5'),
        ({'min_depth': 5.0, 'max_depth': 5.0}, 'min_depth < max_depth'),
        ({'canonical_focal': 0.0}, 'canonical_focal must be positive'),
        ({'frozen_stages': 6}, 'frozen_stages must be 0 to 5'),
    ],
)
def test_impossible_settings_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        DepthSegmentationConfig(**values)
