"""The 3D detection network: what its output may depend on, its size, its settings."""

import pytest
import torch

from sim_perception.models.checkpoint import load_checkpoint, save_checkpoint
from sim_perception.models.detector3d import GEOMETRY, Detector3dConfig, Detector3dNet
from sim_perception.taxonomy import load_taxonomy

SMALL = {
    'x_range': (0.0, 25.6), 'y_range': (-12.8, 12.8), 'channels': (16, 16, 24),
    'pillar_channels': 8, 'head_channels': 16,
}  # fmt: skip


@pytest.fixture(scope='module')
def net():
    torch.manual_seed(0)
    return Detector3dNet(Detector3dConfig(**SMALL)).eval()


def cloud(batch=1, count=500, seed=0):
    torch.manual_seed(seed)
    low, high = torch.tensor([0, -12, 0, -1, -1, 1.0]), torch.tensor([25, 12, 2, 1, 1, 1.0])
    return low + (high - low) * torch.rand(batch, count, 6)


@torch.no_grad()
def test_every_prediction_has_its_place_and_channels(net):
    output = net(cloud(2), net.image_maps(torch.zeros(2, 3, 64, 128)))
    assert net.config.shape == (32, 32)
    assert output.heat.shape == (2, 1, 32, 32)
    for name, count in GEOMETRY.items():
        assert getattr(output, name).shape == (2, count, 32, 32)
    assert torch.sigmoid(output.heat).mean() < 0.05


@torch.no_grad()
def test_the_order_of_points_and_rows_that_fill_up_mean_nothing(net):
    points = cloud()
    filled = torch.cat([points, torch.full((1, 70, 6), torch.nan)], 1)
    shuffled = filled[:, torch.randperm(570)]
    for a, b in zip(net(points), net(shuffled), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_frames_of_a_batch_do_not_mix(net):
    points = cloud(2)
    both = net(points)
    for k in range(2):
        alone = net(points[k : k + 1])
        torch.testing.assert_close(both.heat[k], alone.heat[0], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_points_off_the_plan_mean_nothing_and_no_points_are_no_error(net):
    points, off = cloud(), cloud(count=60, seed=1)
    off[:, :20, 0], off[:, 20:40, 1], off[:, 40:, 2] = 99.0, -50.0, 9.0
    more = net(torch.cat([points, off], 1))
    torch.testing.assert_close(more.heat, net(points).heat, atol=1e-4, rtol=1e-4)
    assert torch.isfinite(net(points[:, :0]).heat).all()


@torch.no_grad()
def test_the_image_is_seen_by_the_points_in_it_alone(net):
    points = cloud()
    maps = net.image_maps(torch.randn(1, 3, 64, 128, generator=torch.manual_seed(1)))
    assert (net(points, maps).heat - net(points).heat).abs().max() > 1e-4
    points[..., 5] = 0.0
    torch.testing.assert_close(net(points, maps).heat, net(points).heat)


@torch.no_grad()
def test_without_an_image_no_point_is_in_it(net):
    seen = cloud()
    seen[..., 5] = 1.0
    unseen = seen.clone()
    unseen[..., 5] = 0.0
    torch.testing.assert_close(net(seen).heat, net(unseen).heat)


def test_the_encoder_is_cut_frozen_and_everything_else_learns(net):
    torch.manual_seed(0)
    net = Detector3dNet(Detector3dConfig(**SMALL)).train()
    assert not net.encoder.training
    assert sum(p.numel() for p in Detector3dNet(Detector3dConfig()).parameters()) < 1.3e6
    output = net(cloud(), net.image_maps(torch.randn(1, 3, 64, 128)))
    sum(part.square().sum() for part in output).backward()
    for name, parameter in net.named_parameters():
        learns = parameter.grad is not None and parameter.grad.abs().max() > 0
        assert learns != name.startswith('encoder.'), name


@torch.no_grad()
def test_a_checkpoint_gives_the_same_network_back(net, tmp_path):
    folder = save_checkpoint(tmp_path / 'net', net, taxonomy=load_taxonomy(), half=False)
    loaded = load_checkpoint(folder, network='detector3d').net
    assert loaded.config == net.config
    torch.testing.assert_close(loaded(cloud()).heat, net(cloud()).heat)


@torch.no_grad()
def test_without_a_camera_there_is_no_encoder():
    net = Detector3dNet(Detector3dConfig(**SMALL, camera=False)).eval()
    assert net.encoder is None
    assert net.image_maps(torch.zeros(1, 3, 64, 128)) == []
    assert net(cloud()).heat.shape == (1, 1, 32, 32)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'things': ()}, 'things must be different'),
        ({'channels': (8, 8)}, 'channels must be 3'),
        ({'x_range': (0.0, 25.0)}, 'multiple of 8 cells'),
        ({'y_range': (3.0, 3.0)}, 'y_range must ascend'),
        ({'cell': 0.0}, 'must be positive'),
    ],
)
def test_settings_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Detector3dConfig(**{**SMALL, **change})


def test_an_image_of_odd_size_is_refused(net):
    with pytest.raises(ValueError, match='100x64; both must be multiples of 32'):
        net.image_maps(torch.zeros(1, 3, 64, 100))
