"""The uncertainty head: its start, its types, and that networks without it are as before."""

from __future__ import annotations

import math

import pytest
import torch

from sim_perception.models.checkpoint import load_checkpoint, save_checkpoint
from sim_perception.models.depth_segmentation import (
    INITIAL_SCALE,
    MOTION_STAGES,
    DepthSegmentationConfig,
    DepthSegmentationNet,
)
from sim_perception.models.registry import build_config
from sim_perception.taxonomy import load_taxonomy

SMALL = {'depth_channels': (16, 16), 'semantic_channels': (16, 8)}
FOCAL = torch.tensor([371.0])


@pytest.fixture(scope='module')
def net():
    torch.manual_seed(0)
    return DepthSegmentationNet(DepthSegmentationConfig(uncertainty=True, **SMALL)).eval()


@pytest.fixture
def image():
    return torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))


def test_an_untrained_head_expects_the_initial_error_everywhere(net, image):
    with torch.inference_mode():
        output = net(image, FOCAL)
    assert output.log_scale.shape == output.log_depth.shape
    torch.testing.assert_close(
        output.log_scale, torch.full_like(output.log_scale, math.log(INITIAL_SCALE))
    )
    assert output.resized(64, 96).log_scale.shape == (1, 1, 64, 96)


def test_a_network_without_the_head_has_the_same_weights_and_predictions(net, image):
    plain = DepthSegmentationNet(DepthSegmentationConfig(**SMALL)).eval()
    extra = set(net.state_dict()) - set(plain.state_dict())
    assert extra == {'uncertainty.weight', 'uncertainty.bias'}
    plain.load_state_dict({k: v for k, v in net.state_dict().items() if k not in extra})
    with torch.inference_mode():
        want, got = net(image, FOCAL), plain(image, FOCAL)
    assert got.log_scale is None
    assert torch.equal(got.log_depth, want.log_depth)
    assert torch.equal(got.logits, want.logits)


def test_settings_saved_before_the_head_existed_mean_no_head():
    config = build_config('depth_segmentation', {'classes': 5, 'depth_channels': [8]})
    assert not config.uncertainty
    assert not config.ego_motion


def test_the_head_survives_a_checkpoint(net, image, tmp_path):
    taxonomy = load_taxonomy()
    torch.manual_seed(0)
    trained = DepthSegmentationNet(DepthSegmentationConfig(uncertainty=True, **SMALL)).eval()
    torch.nn.init.normal_(trained.uncertainty.weight)
    save_checkpoint(tmp_path / 'model', trained, taxonomy=taxonomy, half=False)
    loaded = load_checkpoint(tmp_path / 'model').net
    with torch.inference_mode():
        assert torch.equal(loaded(image, FOCAL).log_scale, trained(image, FOCAL).log_scale)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_inference_copies_keep_the_heads_exact(net, image, dtype):
    torch.manual_seed(2)
    trained = DepthSegmentationNet(DepthSegmentationConfig(uncertainty=True, **SMALL)).eval()
    torch.nn.init.normal_(trained.uncertainty.weight, std=0.1)
    fast = trained.for_inference(dtype)
    for name in ('depth.head', 'semantic.head', 'uncertainty'):
        assert torch.equal(fast.get_submodule(name).weight, trained.get_submodule(name).weight)
    with torch.inference_mode():
        got = fast(image.to(dtype), FOCAL).log_scale
        want = trained(image, FOCAL).log_scale
    assert got.dtype == torch.float32
    assert (got - want).abs().max() < (1e-4 if dtype is torch.float32 else 0.1)


def test_encoding_and_decoding_are_the_whole_network(net, image):
    with torch.inference_mode():
        whole = net(image, FOCAL)
        parts = net.decode(net.encode(image), FOCAL)
    for a, b in zip(whole, parts, strict=True):
        assert torch.equal(a, b)


def test_motion_features_are_the_third_map_without_the_later_stages(net, image):
    ran = []
    last = net.encoder.stages()[-1][-1]
    handle = last.register_forward_hook(lambda *_: ran.append(True))
    try:
        with torch.inference_mode():
            features = net.motion_features(image)
            assert not ran
            assert torch.equal(features, net.encode(image)[MOTION_STAGES - 1])
    finally:
        handle.remove()
    assert ran
    assert features.shape[-2:] == (8, 12)


def test_ego_motion_without_its_head_is_refused(net, image):
    features = net.motion_features(image)
    with pytest.raises(ValueError, match='no ego-motion head; train one'):
        net.ego_motion(features, features, torch.zeros(1, 1, 8, 12), torch.eye(3)[None])


def test_motion_features_need_sizes_that_the_encoder_takes(net):
    with pytest.raises(ValueError, match='multiples of 32'):
        net.motion_features(torch.zeros(1, 3, 64, 40))
