"""The permanence network: shapes, memory, time, focal length, precision, checkpoints."""

from __future__ import annotations

import math

import pytest
import torch

from sim_perception.models.checkpoint import load_checkpoint, save_checkpoint
from sim_perception.models.permanence import (
    INITIAL_DEPTH,
    ConvGRU,
    PermanenceConfig,
    PermanenceNet,
)
from sim_perception.taxonomy import load_taxonomy

SMALL = PermanenceConfig(channels=(16, 16, 16, 16), memory_channels=8, head_channels=8)
FOCAL = torch.tensor([300.0, 500.0])


@pytest.fixture(scope='module')
def net() -> PermanenceNet:
    torch.manual_seed(0)
    found = PermanenceNet(SMALL).eval()
    with torch.no_grad():  # heads that say something
        found.detection_head.weight.mul_(50)
        found.geometry_head.weight.mul_(50)
    return found


@pytest.fixture(scope='module')
def clip() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(2, 3, 3, 64, 96), torch.tensor([[0.0, 0.1, 0.2], [0.0, 0.05, 0.3]])


def test_maps_have_the_output_stride_and_the_state_the_memorys(net, clip):
    images, dt = clip
    output, state = net(images[:, 0], FOCAL, dt[:, 0])
    channels = [value.shape[1] for value in output]
    assert channels == [4, 2, 4, 2, 1, 1, 3, 2]
    assert {value.shape[-2:] for value in output} == {(16, 24)}
    assert state.shape == (2, 8, 8, 12)
    assert state.dtype == torch.float32


def test_streaming_equals_the_whole_clip(net, clip):
    images, dt = clip
    with torch.inference_mode():
        whole = net.clip(images, FOCAL, dt)
        state = None
        for t in range(images.shape[1]):
            output, state = net(images[:, t], FOCAL, dt[:, t], state)
            for name, value in output._asdict().items():
                expected = getattr(whole, name).unflatten(0, (2, 3))[:, t]
                torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-4, msg=name)


def test_the_past_and_the_time_since_then_matter(net, clip):
    images, dt = clip
    with torch.inference_mode():
        _, state = net(images[:, 0], FOCAL, dt[:, 0])
        remembering, _ = net(images[:, 1], FOCAL, dt[:, 1], state)
        alone, _ = net(images[:, 1], FOCAL, dt[:, 1])
        later, _ = net(images[:, 1], FOCAL, dt[:, 1] + 0.5, state)
    assert (remembering.heat - alone.heat).abs().max() > 1e-3
    assert (remembering.heat - later.heat).abs().max() > 1e-4


def test_a_closed_gate_keeps_the_memory_and_an_open_one_takes_the_candidate():
    gru = ConvGRU(4, 8, 3)
    torch.nn.init.zeros_(gru.gates.weight)
    state, inputs, dt = torch.randn(1, 8, 5, 6), torch.randn(1, 4, 5, 6), torch.tensor([0.1])
    with torch.no_grad():
        gru.gates.bias.fill_(-100)
        torch.testing.assert_close(gru(inputs, state, dt), state)
        gru.gates.bias.fill_(100)
        clock = torch.ones(1, 1, 5, 6)
        expected = torch.tanh(gru.candidate(torch.cat([inputs, clock, state], 1)))
        torch.testing.assert_close(gru(inputs, state, dt), expected)


@pytest.mark.parametrize('factor', [0.5, 3.0])
def test_depth_is_proportional_to_the_focal_length(net, clip, factor):
    images, dt = clip
    with torch.inference_mode():
        near, _ = net(images[:, 0], FOCAL, dt[:, 0])
        far, _ = net(images[:, 0], FOCAL * factor, dt[:, 0])
    torch.testing.assert_close(far.log_depth, near.log_depth + math.log(factor))
    torch.testing.assert_close(far.log_size, near.log_size)


def test_untrained_heads_start_at_usual_answers():
    torch.manual_seed(0)
    fresh = PermanenceNet(SMALL).eval()
    with torch.inference_mode():
        output, _ = fresh(torch.randn(1, 3, 64, 64), torch.tensor([400.0]), torch.zeros(1))
    assert float(output.log_depth.exp().median()) == pytest.approx(INITIAL_DEPTH, rel=0.3)
    assert float(output.heat.sigmoid().max()) < 0.1


def test_the_inference_copy_computes_the_same(net, clip):
    images, dt = clip
    copy = net.for_inference()
    with torch.inference_mode():
        expected, state = net(images[:, 0], FOCAL, dt[:, 0])
        found, kept = copy(images[:, 0], FOCAL, dt[:, 0])
    torch.testing.assert_close(found.heat, expected.heat, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(kept, state, rtol=1e-3, atol=1e-3)


def test_a_state_of_another_size_is_refused(net, clip):
    images, dt = clip
    _, state = net(images[:, 0], FOCAL, dt[:, 0])
    with pytest.raises(ValueError, match='begin anew when the image size changes'):
        net(torch.zeros(2, 3, 64, 64), FOCAL, dt[:, 0], state)
    with pytest.raises(ValueError, match='multiples of 32'):
        net(torch.zeros(2, 3, 60, 64), FOCAL, dt[:, 0])


def test_frozen_stages_get_no_gradient(clip):
    images, dt = clip
    config = PermanenceConfig(
        channels=(8, 8, 8, 8), memory_channels=8, head_channels=8, frozen_stages=5
    )
    frozen = PermanenceNet(config).train()
    frozen.clip(images[:, :2], FOCAL, dt[:, :2]).heat.sum().backward()
    assert all(p.grad is None for p in frozen.encoder.parameters())
    assert frozen.decoder.memory.candidate.weight.grad is not None


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'things': ('car', 'car')}, 'different class names'),
        ({'channels': (16, 16, 16)}, 'channels must be 4'),
        ({'memory_channels': 12}, 'multiples of 8'),
        ({'memory_kernel': 4}, 'memory_kernel must be odd'),
        ({'min_depth': 0.0}, 'min_depth'),
        ({'canonical_focal': 0.0}, 'canonical_focal'),
        ({'frozen_stages': 6}, 'frozen_stages'),
    ],
)
def test_impossible_shapes_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        PermanenceConfig(**change)


def test_a_checkpoint_brings_it_back(net, tmp_path):
    folder = save_checkpoint(tmp_path / 'c', net, taxonomy=load_taxonomy(), half=False)
    loaded = load_checkpoint(folder, network='permanence')
    assert loaded.net.config == net.config
    for name, value in loaded.net.state_dict().items():
        torch.testing.assert_close(value, net.state_dict()[name], msg=name)
