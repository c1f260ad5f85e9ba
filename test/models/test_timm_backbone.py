"""The adapter of timm backbones, against a stand-in of timm's interface and timm itself."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from sim_perception.models.depth_segmentation import (
    DepthSegmentationConfig,
    DepthSegmentationNet,
)
from sim_perception.models.encoders import build_encoder


class StandIn(nn.Module):
    """Five stages named as timm names them; the first map comes after a module of no weights."""

    def __init__(self, reduction=(2, 4, 8, 16, 32)):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, 2, 1)
        self.act1 = nn.ReLU()
        for i in range(4):
            block = nn.Sequential(nn.Conv2d(4, 4, 3, 2, 1), nn.BatchNorm2d(4))
            setattr(self, f'stages_{i}', block)
        self.feature_info = SimpleNamespace(
            reduction=lambda: list(reduction),
            channels=lambda: [4] * 5,
            module_name=lambda: ['act1', *(f'stages.{i}' for i in range(4))],
        )
        self.pretrained_cfg = {'mean': (0.5, 0.4, 0.3), 'std': (0.2, 0.2, 0.1)}

    def forward(self, image):
        features = [self.act1(self.conv1(image))]
        for i in range(4):
            features.append(getattr(self, f'stages_{i}')(features[-1]))
        return features


def stand_in_timm(monkeypatch, **options):
    timm = SimpleNamespace(
        is_model=lambda name: name == 'tiny',
        create_model=lambda name, pretrained, features_only: StandIn(**options),
    )
    monkeypatch.setitem(sys.modules, 'timm', timm)


def test_backbone_serves_the_network(monkeypatch):
    stand_in_timm(monkeypatch)
    config = DepthSegmentationConfig(
        encoder='timm:tiny', depth_channels=(8, 8), semantic_channels=(8, 8), frozen_stages=2
    )
    net = DepthSegmentationNet(config).train()
    encoder = net.encoder
    assert encoder.channels == (4,) * 5
    assert encoder.mean == pytest.approx((127.5, 102, 76.5))
    assert encoder.std == pytest.approx((51, 51, 25.5))
    assert [len(stage) for stage in encoder.stages()] == [1, 2, 2, 2, 2]
    assert not encoder.body.conv1.weight.requires_grad
    assert not encoder.body.stages_0[1].weight.requires_grad
    assert encoder.body.stages_1[0].weight.requires_grad
    output = net.for_inference()(torch.zeros(1, 3, 64, 64), torch.ones(1))
    assert output.logits.shape == (1, 14, 4, 4)


def test_unknown_backbone_and_other_strides_are_refused(monkeypatch):
    stand_in_timm(monkeypatch, reduction=(4, 8, 16, 32))
    with pytest.raises(ValueError, match="no backbone 'huge'"):
        build_encoder('timm:huge')
    with pytest.raises(ValueError, match=r'strides \[4, 8, 16, 32\]'):
        build_encoder('timm:tiny')


def test_timms_own_lite0_computes_the_same():
    pytest.importorskip('timm')
    own = build_encoder('efficientnet_lite0', pretrained=True).eval()
    other = build_encoder('timm:tf_efficientnet_lite0').eval()
    names = list(other.body.state_dict())
    weights = dict(zip(names, own.state_dict().values(), strict=True))
    other.body.load_state_dict(weights)
    image = torch.randn(1, 3, 96, 160, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for got, want in zip(own(image), other(image), strict=True):
            torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-3)
