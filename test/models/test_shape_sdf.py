"""Shapes by a network: distances, derivatives, symmetry, and the linear space that touches it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sim_perception.models.checkpoint import load_checkpoint, save_checkpoint
from sim_perception.models.shape_sdf import ShapeSdf, ShapeSdfConfig
from sim_perception.taxonomy import load_taxonomy

CONFIG = ShapeSdfConfig(
    'ball', (1.4, 1.4, 1.4), components=2, spacing=0.1, hidden=32, layers=3, octaves=2
)


@pytest.fixture(scope='module')
def balls() -> ShapeSdf:
    """A network that was taught balls whose radius is .7 + .1 code_0."""
    torch.manual_seed(0)
    model = ShapeSdf(CONFIG)
    solver = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(400):
        for group in solver.param_groups:
            group['lr'] = 1e-2 * (1 - step / 400)
        codes = torch.randn(4, 2)
        points = 2.4 * (torch.rand(4, 256, 3) - 0.5)
        wanted = points.norm(dim=-1) - 0.7 - 0.1 * codes[:, :1]
        loss = (model.decode(points, codes) - wanted).abs().mean()
        solver.zero_grad()
        loss.backward()
        solver.step()
    # Latents are half as large as codes.
    model.fill({'center': np.array([0.1, 0.0]), 'spread': 2 * np.eye(2)})
    return model


def test_distances_and_gradients_of_balls_also_beyond_the_region(balls: ShapeSdf) -> None:
    points = torch.tensor([[[0.3, 0.5, 0.0], [0.0, -0.9, 0.2], [0.5, 0.3, 0.4], [4.0, 0, 0]]])
    distance, gradient = balls.sdf(points, torch.tensor([[0.5, 0.0]]))
    expected = points.norm(dim=-1) - 0.7 - 0.1 * (0.1 + 2 * 0.5)
    torch.testing.assert_close(distance, expected, atol=0.05, rtol=0)
    unit = points / points.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(gradient, unit, atol=0.25, rtol=0)


def test_derivatives_by_place_and_latent_are_those_of_finite_differences(balls: ShapeSdf) -> None:
    model = balls.double()
    rng = np.random.default_rng(0)
    points = torch.tensor(rng.normal(size=(1, 20, 3)) * 0.5, requires_grad=True)
    latent = torch.tensor(rng.normal(size=(1, 2)), requires_grad=True)
    value, gradient = model.sdf(points, latent)
    (by_latent,) = torch.autograd.grad(value.sum(), latent, retain_graph=True)
    with torch.no_grad():
        for axis in range(3):
            step = torch.zeros(3, dtype=torch.float64)
            step[axis] = 1e-6
            ends = [model.distance(points + sign * step, latent) for sign in (1, -1)]
            torch.testing.assert_close(
                gradient[..., axis], (ends[0] - ends[1]) / 2e-6, atol=1e-4, rtol=1e-4
            )
        for k in range(2):
            step = torch.zeros(2, dtype=torch.float64)
            step[k] = 1e-6
            ends = [model.distance(points, latent + sign * step).sum() for sign in (1, -1)]
            assert float(by_latent[0, k]) == pytest.approx(
                float(ends[0] - ends[1]) / 2e-6, abs=1e-4
            )
    # The gradient itself has derivatives, which normals of renderings need.
    (second,) = torch.autograd.grad(gradient.square().sum(), points)
    assert second.abs().max() > 0
    balls.float()


def test_both_sides_are_alike_and_meet_smoothly(balls: ShapeSdf) -> None:
    left = torch.tensor([[[0.2, 0.4, 0.1], [0.5, 0.0, -0.2]]])
    latent = torch.tensor([[0.3, -0.2]])
    distance, gradient = balls.sdf(left, latent)
    mirror = torch.tensor([1.0, -1.0, 1.0])
    other, turned = balls.sdf(left * mirror, latent)
    torch.testing.assert_close(distance, other)
    torch.testing.assert_close(gradient, turned * mirror)
    assert float(gradient[0, 1, 1].detach()) == pytest.approx(0, abs=1e-6)


def test_jacobian_gives_what_sdf_gives(balls: ShapeSdf) -> None:
    rng = np.random.default_rng(1)
    points, latent = rng.normal(size=(50, 3)) * 0.6, np.array([0.4, -0.3])
    values, slopes = balls.jacobian(points, latent)
    member = torch.tensor(latent[None], dtype=torch.float32)
    direct, _ = balls.sdf(torch.tensor(points[None], dtype=torch.float32), member)
    np.testing.assert_allclose(values, direct[0].detach().numpy(), atol=1e-6)
    moved, _ = balls.jacobian(points, latent + np.array([1e-2, 0]))
    np.testing.assert_allclose((moved - values) / 1e-2, slopes[:, 0], atol=0.02)


def test_tangent_touches_the_network_and_is_kept(balls: ShapeSdf) -> None:
    at = np.array([0.4, -0.3])
    near = balls.tangent(at)
    assert balls.tangent(at) is near
    places = near.config.node_positions()[3:-3:2, 3:-3:3, 4:-4:3].reshape(1, -1, 3)
    points = torch.tensor(places, dtype=torch.float32)
    for move, least in ((0.0, 2e-3), (0.2, 0.03)):
        latent = torch.tensor(at[None] + move, dtype=torch.float32)
        with torch.no_grad():
            network, grid = balls.sdf(points, latent)[0], near.sdf(points, latent)[0]
        torch.testing.assert_close(grid, network, atol=least, rtol=0)
    np.testing.assert_allclose(near.prior_covariance(), balls.prior_covariance(), atol=1e-6)
    balls.forget()
    assert balls.tangent(at) is not near


def test_checkpoint_gives_the_network_back(balls: ShapeSdf, tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / 'balls', balls, taxonomy=load_taxonomy(), half=False)
    net = load_checkpoint(folder, network='shape_sdf').net
    assert isinstance(net, ShapeSdf)
    assert net.config == balls.config
    points, latent = torch.rand(1, 30, 3), torch.tensor([[0.2, 0.1]])
    torch.testing.assert_close(net.distance(points, latent), balls.distance(points, latent))


@pytest.mark.parametrize('values', [{'hidden': 0}, {'layers': 1}, {'octaves': -1}])
def test_bad_settings_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(ValueError, match='hidden must be positive, layers at least 2'):
        ShapeSdfConfig(**values)
